#pragma once
// Who belongs to a controller object: adoption of orphans that its selector matches, release of those that it does not
// match any more. Pure. Shared by ReplicaSets (of pods) and Deployments (of ReplicaSets).

#include <string_view>
#include <vector>

#include "api/selector.h"
#include "controllers/driver.h"

namespace berth::controllers {

struct Family {
  api::Resource owner_resource;
  std::string_view api_version, kind;  // of the owner
  api::Resource member_resource;
};

// The owned ones that match. Adds to `plan` what adopts and releases; where it added something, decide nothing else
// yet. An owner that is being deleted adopts nobody.
std::vector<Value> settle_members(const Family& family, const Value& owner, const api::LabelSelector& selector,
                                  const std::vector<Value>& owned, const std::vector<Value>& orphans, Plan& plan);

}  // namespace berth::controllers
