#pragma once
// Feature gates as Kubernetes 1.36 ships them (schema/kubernetes-1.36.gates), and the fields that they keep or drop.
//
// A field with the flag `gate=NAME` (docs/formats/schema.md) is dropped on write where the gate is off, unless the
// stored object has a field of the same gate already. Immutable after start; any thread.

#include <map>
#include <string>
#include <string_view>

#include "api/schema/schema.h"
#include "base/result.h"

namespace berth::api::schema {

class FeatureGates {
 public:
  FeatureGates();  // 1.36's defaults
  // "Name=true,Other=false". A gate may be set to its default, or to either value where Berth acts upon both;
  // everything else is kInvalid, and nothing is changed.
  Result<void> set(std::string_view text);
  // False for names that no gate has.
  bool enabled(std::string_view name) const;

 private:
  std::map<std::string, bool, std::less<>> enabled_;
};

// Drops from `object` the fields of gates that are off and that `before` (null: the object is new) has no field of.
void drop_disabled(const Kind& kind, const FeatureGates& gates, const Value& before, Value& object);

}  // namespace berth::api::schema
