#pragma once
// Warnings of the kinds' rows (KindRules), for objects that are accepted. Pure; any thread. Internal to validation/.

#include <string>
#include <vector>

#include "apiserver/validation/kind_rules.h"

namespace berth::apiserver::validation {

// warnings.cc
void warn_of_node(const Value& object, Warnings& warnings);
void warn_of_volume(const Value& object, Warnings& warnings);
void warn_of_claim(const Value& object, Warnings& warnings);
void warn_of_secret(const Value& object, Warnings& warnings);
void warn_of_service(const Value& object, Warnings& warnings);
void warn_of_account(const Value& object, Warnings& warnings);
void warn_of_slice(const Value& object, Warnings& warnings);
void warn_of_runtime_class(const Value& object, Warnings& warnings);
void warn_of_class(const Value& object, Warnings& warnings);
// workload_warnings.cc; `before` is null where the object is new
void warn_of_pod_change(const Value& before, const Value& after, Warnings& warnings);
void warn_of_set_change(const Value& before, const Value& after, Warnings& warnings);

}  // namespace berth::apiserver::validation
