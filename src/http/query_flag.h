#pragma once
// Booleans of a query, as Kubernetes reads them.

#include <string_view>

#include "base/text.h"
#include "http/message.h"

namespace berth::http {

// True unless the parameter is absent, or "0" or "false" in any case: clients in Python send "True", and "?watch" alone
// is true.
inline bool is_true(std::string_view text, bool present) { return present && text != "0" && !iequals(text, "false"); }
inline bool query_flag(const Request& request, std::string_view name) {
  return is_true(request.parameter(name), request.has_parameter(name));
}

}  // namespace berth::http
