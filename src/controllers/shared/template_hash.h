#pragma once
// The hash of a pod template: label pod-template-hash of ReplicaSets, part of the names of a DaemonSet's
// ControllerRevisions. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::controllers {

inline constexpr std::string_view kHashLabel = "pod-template-hash";

// Equal except for the hash label.
bool same_template(const Value& a, const Value& b);
// As upstream: FNV-1a over the encoded template (without the hash label) and the collision count, in upstream's safe
// alphabet.
std::string template_hash(const Value& pod_template, std::int64_t collision_count);

}  // namespace berth::controllers
