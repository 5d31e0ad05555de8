#pragma once
// Sysctls of pods: which ones the kernel keeps per namespace, which ones every pod may set, and where they are written.
// As kubelet 1.36 has them. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::agent {

enum class SysctlNamespace { kNone, kIpc, kNetwork };

// "net/ipv4/ip_forward" -> "net.ipv4.ip_forward": where the first separator is a slash, slashes and dots change places.
std::string sysctl_with_dots(std::string_view name);
// Of a name with dots. kNone: the setting is the machine's, and is never written for a pod.
SysctlNamespace sysctl_namespace(std::string_view name);
// The file of a name with dots, below /proc/sys. kInvalid for names that are none, or that lead elsewhere.
Result<std::string> sysctl_path(std::string_view name);

// Error: kubelet's words on why a pod may not set it. `allowed`: names and patterns ("kernel.msg*") of
// --allowed-unsafe-sysctls.
Status check_sysctl(std::string_view name, const std::vector<std::string>& allowed, bool host_network, bool host_ipc);
// Whether a pattern may be in that list; kubelet's words where not.
Status check_sysctl_pattern(std::string_view pattern);

}  // namespace berth::agent
