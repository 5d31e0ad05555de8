#include "agent/runtime/sysctls.h"

#include <algorithm>

#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::size_t kLongestName = 253;

// What no pod can harm others with. All of them exist since Linux 4.15.
constexpr std::string_view kSafe[] = {"kernel.shm_rmid_forced",
                                      "net.ipv4.ip_local_port_range",
                                      "net.ipv4.tcp_syncookies",
                                      "net.ipv4.ping_group_range",
                                      "net.ipv4.ip_unprivileged_port_start",
                                      "net.ipv4.ip_local_reserved_ports",
                                      "net.ipv4.tcp_keepalive_time",
                                      "net.ipv4.tcp_fin_timeout",
                                      "net.ipv4.tcp_keepalive_intvl",
                                      "net.ipv4.tcp_keepalive_probes",
                                      "net.ipv4.tcp_rmem",
                                      "net.ipv4.tcp_wmem"};

bool is_segment(std::string_view text) {
  auto word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (text.empty() || !word(text.front()) || !word(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return word(c) || c == '-' || c == '_'; });
}

bool matches(std::string_view pattern, std::string_view name) {
  if (!pattern.ends_with('*')) return pattern == name;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

}  // namespace

std::string sysctl_with_dots(std::string_view name) {
  std::string out(name);
  auto first = out.find_first_of("./");
  if (first == std::string::npos || out[first] == '.') return out;
  for (char& c : out) c = c == '/' ? '.' : c == '.' ? '/' : c;
  return out;
}

SysctlNamespace sysctl_namespace(std::string_view name) {
  if (name == "kernel.sem" || name.starts_with("kernel.shm") || name.starts_with("kernel.msg") ||
      name.starts_with("fs.mqueue."))
    return SysctlNamespace::kIpc;
  return name.starts_with("net.") ? SysctlNamespace::kNetwork : SysctlNamespace::kNone;
}

Result<std::string> sysctl_path(std::string_view name) {
  std::string path = "/proc/sys";
  if (name.size() > kLongestName) return error(Code::kInvalid, "the sysctl name is longer than 253 characters");
  for (std::string_view part : split(name, '.')) {
    // A slash stands for a dot in the name of an interface: "net.ipv4.conf.eth0/1.rp_filter".
    for (std::string_view piece : split(part, '/')) {
      if (!is_segment(piece)) return error(Code::kInvalid, quoted(name) + " is no name of a sysctl");
    }
    path += "/" + replace_all(std::string(part), "/", ".");
  }
  return path;
}

Status check_sysctl(std::string_view name, const std::vector<std::string>& allowed, bool host_network, bool host_ipc) {
  std::string dotted = sysctl_with_dots(name);
  SysctlNamespace space = sysctl_namespace(dotted);
  bool known = std::find(std::begin(kSafe), std::end(kSafe), dotted) != std::end(kSafe) ||
               std::any_of(allowed.begin(), allowed.end(),
                           [&](const std::string& one) { return matches(sysctl_with_dots(one), dotted); });
  if (!known || space == SysctlNamespace::kNone || !sysctl_path(dotted).ok())
    return error(Code::kForbidden, quoted(dotted) + " not allowlisted");
  if (space == SysctlNamespace::kIpc && host_ipc)
    return error(Code::kForbidden, quoted(dotted) + " not allowed with host ipc enabled");
  if (space == SysctlNamespace::kNetwork && host_network)
    return error(Code::kForbidden, quoted(dotted) + " not allowed with host net enabled");
  return {};
}

Status check_sysctl_pattern(std::string_view pattern) {
  std::string dotted = sysctl_with_dots(pattern);
  bool open = dotted.ends_with('*');
  std::string stem = open ? dotted.substr(0, dotted.size() - 1) : dotted;
  std::string_view checked = stem;
  if (open && checked.ends_with('.')) checked.remove_suffix(1);
  if (checked.empty() || !sysctl_path(checked).ok())
    return error(Code::kInvalid, "the sysctl pattern " + quoted(pattern) +
                                     " is no name of a sysctl, nor the beginning of one with * behind it");
  if (sysctl_namespace(stem) == SysctlNamespace::kNone)
    return error(Code::kInvalid, "the sysctls " + quoted(pattern) + " are not known to be namespaced");
  return {};
}

}  // namespace berth::agent
