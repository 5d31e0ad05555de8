#pragma once
// Pods that controllers make under drawn names. Pure. Shared by all controllers whose pods are interchangeable.

#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::controllers {

// "<owner>-<five characters>", drawn from `state`: who decides from the same state takes the same name. `draw`: the how
// manieth.
std::string drawn_name(std::string_view owner, std::string_view state, int draw);

// A pod of that name out of a template, owned by `owner`.
Value pod_of_template(const Value& owner, std::string_view api_version, std::string_view kind,
                      const Value& pod_template, const std::string& name);

}  // namespace berth::controllers
