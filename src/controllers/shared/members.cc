#include "controllers/shared/members.h"

namespace berth::controllers {

std::vector<Value> settle_members(const Family& family, const Value& owner, const api::LabelSelector& selector,
                                  const std::vector<Value>& owned, const std::vector<Value>& orphans, Plan& plan) {
  std::vector<Value> members;
  const bool leaving = api::is_terminating(owner);
  for (const Value& one : owned) {
    if (selector.matches(api::labels_of(one))) {
      members.push_back(one);
    } else if (!leaving && !api::is_terminating(one)) {
      Value strike = Value::object({{"$patch", "delete"}, {"uid", api::uid_of(owner)}});
      Value change = Value::object({{"metadata", Value::object({{"ownerReferences", Value::array({strike})}})}});
      plan.add(patch(family.member_resource, one, api::PatchType::kStrategic, std::move(change)));
    }
  }
  if (leaving) return members;
  for (const Value& one : orphans) {
    if (api::is_terminating(one) || !selector.matches(api::labels_of(one))) continue;
    Value ours = api::controller_reference(owner, family.api_version, family.kind);
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", Value::array({ours})}})}});
    plan.add_chain({confirm(family.owner_resource, owner),
                    patch(family.member_resource, one, api::PatchType::kStrategic, std::move(change), true)});
  }
  return members;
}

}  // namespace berth::controllers
