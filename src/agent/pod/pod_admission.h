#pragma once
// What a node refuses before it prepares anything of a pod: settings that it cannot obey and may not drop. A refused
// pod is Failed for good, with the reason, as kubelet leaves it. The order of the checks and the texts are
// kubelet 1.36's.

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json/json.h"

namespace berth::agent {

// What the kernel of this node enforces.
struct SecurityModules {
  bool apparmor = false;
  std::set<std::string> apparmor_profiles;  // loaded
  bool selinux = false;
};
// Reads a few files below /sys. Any thread.
SecurityModules read_security_modules();

struct PodRejection {
  std::string reason;   // status.reason, and the event's
  std::string message;  // the event's; status.message is the same behind "Pod was rejected: "
};
// `unfit` is asked in between: pod_fit.h.
std::optional<PodRejection> reject_pod(const Value& pod, const std::vector<std::string>& allowed_unsafe_sysctls,
                                       const SecurityModules& modules,
                                       const std::function<std::optional<PodRejection>(const Value& pod)>& unfit = {});

// The AppArmor profile that a container is to run under: its own setting, the annotation of earlier releases, the
// pod's. Empty: none asked for. "unconfined", or the name of a loaded profile.
std::string apparmor_profile(const Value& pod, const Value& container);
// "system_u:system_r:container_t:s0" with the parts that are set; empty where the pod asks for none.
std::string selinux_label(const Value& pod, const Value& container);

// The profile that stands for RuntimeDefault. The administrator loads it.
inline constexpr const char* kDefaultAppArmorProfile = "berth-default";

}  // namespace berth::agent
