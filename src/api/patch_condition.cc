#include "api/patch_condition.h"

#include <algorithm>

namespace berth::api {

Error as_failed_condition(Error error) {
  if (error.code != Code::kInvalid || !error.details || error.details->causes.empty()) return error;
  const auto& causes = error.details->causes;
  bool uid_alone =
      std::all_of(causes.begin(), causes.end(), [](const Cause& cause) { return cause.field == "metadata.uid"; });
  if (uid_alone) error.code = Code::kConflict;
  return error;
}

}  // namespace berth::api
