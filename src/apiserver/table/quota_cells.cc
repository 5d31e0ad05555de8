#include "api/object.h"
#include "apiserver/table/printers.h"
#include "base/text.h"

namespace berth::apiserver::table {

Value quota_cells(const Value& quota, Time now) {
  std::vector<std::string> requests, limits;
  for (auto [name, hard] : quota["status"]["hard"].entries()) {
    std::vector<std::string>& column = name.starts_with("limits.") ? limits : requests;
    column.push_back(std::string(name) + ": " + quota["status"]["used"][name].str("0") + "/" + hard.str());
  }
  return Value::array({api::name_of(quota), join(requests, ", "), join(limits, ", "), age_of(quota, now)});
}

}  // namespace berth::apiserver::table
