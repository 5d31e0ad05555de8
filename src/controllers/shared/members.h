#pragma once
// The members of a controller object: adoption of orphans that its selector matches, release of objects that it does
// not match. Pure. Used by ReplicaSets (for pods) and Deployments (for ReplicaSets).

#include <string_view>
#include <vector>

#include "api/selector.h"
#include "controllers/driver.h"

namespace berth::controllers {

struct Ownership {
  api::Resource owner_resource;
  std::string_view api_version, kind;  // of the owner
  api::Resource member_resource;
};

// Returns the owned objects that match. Adds the writes that adopt and release to `plan`; if there are any, the caller
// must plan nothing else yet. An owner that is being deleted adopts nothing.
std::vector<Value> adopt_and_release(const Ownership& ownership, const Value& owner, const api::LabelSelector& selector,
                                     const std::vector<Value>& owned, const std::vector<Value>& orphans, Plan& plan);

}  // namespace berth::controllers
