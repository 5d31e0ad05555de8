#include "apiserver/registry/resource_version.h"

#include "api/plain_error.h"
#include "base/text.h"

namespace berth::apiserver::registry {

Error too_large_version(store::Revision requested, store::Revision current) {
  Error e = error(Code::kTimeout, "Timeout: Too large resource version: " + std::to_string(requested) +
                                      ", current: " + std::to_string(current));
  auto details = std::make_shared<ErrorDetails>();
  details->retry_after_seconds = 1;
  details->causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  e.details = details;
  return e;
}

Result<store::Revision> parse_resource_version(std::string_view text) {
  Result<long> number = parse_int(text);
  if (number.ok() && *number >= 0) return static_cast<store::Revision>(*number);
  return api::plain_error("resourceVersion: Invalid value: " + quoted(text) + ": strconv.ParseUint: parsing " +
                          quoted(text) + ": invalid syntax");
}

}  // namespace berth::apiserver::registry
