#include "controllers/shared/members.h"

namespace berth::controllers {

std::vector<Value> adopt_and_release(const Ownership& ownership, const Value& owner, const api::LabelSelector& selector,
                                     const std::vector<Value>& owned, const std::vector<Value>& orphans, Plan& plan) {
  std::vector<Value> members;
  const bool is_deleted = api::is_terminating(owner);
  for (const Value& one : owned) {
    if (selector.matches(api::labels_of(one))) {
      members.push_back(one);
    } else if (!is_deleted && !api::is_terminating(one)) {
      Value strike = Value::object({{"$patch", "delete"}, {"uid", api::uid_of(owner)}});
      Value change = Value::object({{"metadata", Value::object({{"ownerReferences", Value::array({strike})}})}});
      plan.add(patch(ownership.member_resource, one, api::PatchType::kStrategic, std::move(change)));
    }
  }
  if (is_deleted) return members;
  for (const Value& one : orphans) {
    if (api::is_terminating(one) || !selector.matches(api::labels_of(one))) continue;
    Value ours = api::controller_reference(owner, ownership.api_version, ownership.kind);
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", Value::array({ours})}})}});
    plan.add_chain({confirm(ownership.owner_resource, owner),
                    patch(ownership.member_resource, one, api::PatchType::kStrategic, std::move(change), true)});
  }
  return members;
}

}  // namespace berth::controllers
