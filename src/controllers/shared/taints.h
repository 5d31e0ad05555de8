#pragma once
// Taints and tolerations. Pure. Used by the node controllers and the scheduler.

#include <optional>
#include <string_view>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers {

inline constexpr std::string_view kNotReady = "node.kubernetes.io/not-ready";
inline constexpr std::string_view kUnreachable = "node.kubernetes.io/unreachable";
inline constexpr std::string_view kUnschedulable = "node.kubernetes.io/unschedulable";
inline constexpr std::string_view kMemoryPressure = "node.kubernetes.io/memory-pressure";
inline constexpr std::string_view kDiskPressure = "node.kubernetes.io/disk-pressure";
inline constexpr std::string_view kPidPressure = "node.kubernetes.io/pid-pressure";
inline constexpr std::string_view kNetworkUnavailable = "node.kubernetes.io/network-unavailable";
inline constexpr std::string_view kNoSchedule = "NoSchedule";
inline constexpr std::string_view kNoExecute = "NoExecute";

// One toleration against one taint.
bool tolerates(const Value& toleration, const Value& taint);
// True if any of a pod's tolerations matches.
bool tolerated(const Value& tolerations, const Value& taint);

// How long a pod may stay on a node with this NoExecute taint, by its first matching toleration. Empty: for ever; zero:
// not at all.
std::optional<Duration> tolerated_for(const Value& pod, const Value& taint);

// The node's taints after adding and removing those that follow from its conditions and cordon. Taints of other clients
// stay, and so do existing timeAdded values. `now`: timeAdded of new taints.
Value desired_taints(const Value& node, Time now);

}  // namespace berth::controllers
