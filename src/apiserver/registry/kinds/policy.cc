// What bounds or ranks other objects: ResourceQuotas, LimitRanges, PodDisruptionBudgets, PriorityClasses,
// RuntimeClasses.
#include "apiserver/admission/priority.h"
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/registry/kinds/generation.h"
#include "apiserver/registry/state.h"
#include "base/ids.h"

namespace berth::apiserver::registry {
namespace {

void prepare_quota(const CreateContext&, Value& object) { object.set("status", Value::object()); }

// A LimitRange without name and generateName gets a random name.
void prepare_limit_range(const CreateContext& context, Value& object) {
  const Value& metadata = object["metadata"];
  if (metadata["name"].as_string().empty() && metadata["generateName"].as_string().empty())
    object.mut("metadata").set("name", new_uid(context.state.runtime));
}

void prepare_budget(const CreateContext&, Value& object) {
  object.set(
      "status",
      Value::object({{"disruptionsAllowed", 0}, {"currentHealthy", 0}, {"desiredHealthy", 0}, {"expectedPods", 0}}));
}

}  // namespace

std::span<const KindStrategy> policy_rows() {
  static const KindStrategy kRows[] = {{.group = "",
                                        .kind = "ResourceQuota",
                                        .prepare_create = prepare_quota,
                                        .status_takes_metadata = true,
                                        .delete_answer = DeleteAnswer::kLastVersion},
                                       {.group = "", .kind = "LimitRange", .prepare_create = prepare_limit_range},
                                       {.group = "policy",
                                        .kind = "PodDisruptionBudget",
                                        .prepare_create = prepare_budget,
                                        .needs_version = true,
                                        .status_takes_metadata = true,
                                        .changes_generation = spec_changes},
                                       {.group = "scheduling.k8s.io",
                                        .kind = "PriorityClass",
                                        .admit_create = admission::admit_priority_class,
                                        .admit_update = admission::admit_priority_class,
                                        .changes_generation = spec_changes,
                                        .check_deletion = admission::check_priority_class_deletion},
                                       {.group = "node.k8s.io", .kind = "RuntimeClass", .needs_version = true}};
  return kRows;
}

}  // namespace berth::apiserver::registry
