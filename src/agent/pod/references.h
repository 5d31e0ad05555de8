#pragma once
// references_of(): the ConfigMaps and Secrets that a pod refers to, in volumes, environments and image pull secrets.
// Pure.

#include <set>
#include <utility>

#include "api/object.h"
#include "base/json/json.h"

namespace berth::agent {

std::set<std::pair<api::Resource, api::Name>> references_of(const Value& pod);

}  // namespace berth::agent
