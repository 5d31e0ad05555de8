#pragma once
// Names of pods whose controllers generate them. Pure. Used by all controllers whose pods are interchangeable.

#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::controllers {

// "<owner>-<five characters>", derived from `state`: two planners with the same state choose the same name. `attempt`:
// number of the attempt.
std::string derived_name(std::string_view owner, std::string_view state, int attempt);

// A pod made of a template, owned by `owner`.
Value pod_of_template(const Value& owner, std::string_view api_version, std::string_view kind,
                      const Value& pod_template, const std::string& name);

}  // namespace berth::controllers
