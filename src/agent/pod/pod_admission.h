#pragma once
// reject_pod(): the checks that a pod passes before anything of it is prepared. A pod whose settings the node can
// neither obey nor drop fails, with the reason, as with kubelet. The order of the checks and the texts are
// kubelet 1.36's.

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json/json.h"

namespace berth::agent {

// The security modules that the kernel of this node enforces.
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
// `check_fit` (pod_fit.h) comes between the checks of kubelet's order; null: the pod fits.
std::optional<PodRejection> reject_pod(
    const Value& pod, const std::vector<std::string>& allowed_unsafe_sysctls, const SecurityModules& modules,
    const std::function<std::optional<PodRejection>(const Value& pod)>& check_fit = {});

// The AppArmor profile of a container: its own setting, else the annotation of earlier releases, else the pod's. Empty:
// none is asked for. "unconfined", or the name of a loaded profile.
std::string apparmor_profile(const Value& pod, const Value& container);
// "system_u:system_r:container_t:s0" with the parts that are set; empty where the pod asks for none.
std::string selinux_label(const Value& pod, const Value& container);

// The AppArmor profile of RuntimeDefault, which the administrator loads.
inline constexpr const char* kDefaultAppArmorProfile = "berth-default";

}  // namespace berth::agent
