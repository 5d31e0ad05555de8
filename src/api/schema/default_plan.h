#pragma once
// Inside the schema module: what defaulting has to do per type, worked out once when a schema is loaded.

#include <map>
#include <memory>
#include <vector>

#include "api/schema/default_rules.h"
#include "api/schema/schema.h"

namespace berth::api::schema {

struct DefaultPlan {
  struct Step {
    const Field* field = nullptr;
    enum { kSetDefault, kObject, kListOf, kMapOf, kResourceList } action = kSetDefault;
    const DefaultPlan* plan = nullptr;  // of the member, element or map value
  };
  DefaultRule rule = nullptr;  // first
  std::vector<Step> steps;
  void apply(Value& object) const;
};

// Owns the plans of one schema. Types that refer to each other in a circle are fine.
class DefaultPlans {
 public:
  // Null where nothing in or below the type has a default.
  const DefaultPlan* plan_of(const Type& type);

 private:
  std::map<const Type*, std::unique_ptr<DefaultPlan>> plans_;
};

}  // namespace berth::api::schema
