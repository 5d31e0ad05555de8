#pragma once
// Inside the schema module: defaults that depend on other fields, one function per API type.

#include <string_view>

#include "base/json/json.h"

namespace berth::api::schema {

// One type's own rule, run before those of its members. The object is of that type and decoded; idempotent.
using DefaultRule = void (*)(Value& object);

// autoscaling_defaults.cc
void default_autoscaler_v1(Value& autoscaler);
void default_autoscaler_v2(Value& autoscaler);

// By definition name ("io.k8s.api.core.v1.Container"); null where the type has no rule.
DefaultRule rule_of(std::string_view type_name);

}  // namespace berth::api::schema
