#include "agent/runtime/oci_spec.h"

#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "agent/profiles/default_profiles.h"
#include "agent/runtime/cgroup.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using json::Value;

Value strings(const std::vector<std::string>& texts) {
  Value out = Value::array();
  for (const auto& text : texts) out.push(text);
  return out;
}

Value mount(std::string_view target, std::string_view type, std::string_view source,
            std::initializer_list<Value> options) {
  return Value::object(
      {{"destination", target}, {"type", type}, {"source", source}, {"options", Value::array(options)}});
}

Value mounts_of(const ContainerSpec& spec, const OciSurroundings& around) {
  Value access = spec.privileged ? "rw" : "ro";
  Value out = Value::array();
  out.push(mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  out.push(mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  out.push(mount("/dev/pts", "devpts", "devpts",
                 {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}));
  if (around.ipc_namespace.empty() && around.node_has_mqueue) {
    out.push(mount("/dev/mqueue", "bind", "/dev/mqueue", {"rbind", "rw", "nosuid", "noexec", "nodev"}));
  } else {
    out.push(mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  }
  if (around.network_namespace.empty()) {
    // A sysfs shows the network namespace it was mounted in, and mounting it again needs to own that namespace.
    out.push(mount("/sys", "bind", "/sys", {"rbind", "nosuid", "noexec", "nodev", access}));
  } else {
    out.push(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}));
    out.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", access}));
  }
  if (!around.shm.empty()) out.push(mount("/dev/shm", "bind", around.shm, {"rbind", "rw"}));
  for (const Mount& m : spec.mounts) {
    Value options = Value::array({m.recursive ? "rbind" : "bind", m.read_only ? "ro" : "rw"});
    if (m.read_only && m.read_only_below) options.push("rro");
    options.push(m.propagation.empty() ? "rprivate" : m.propagation);
    if (m.no_exec) options.push("noexec");
    Value one = Value::object({{"destination", m.target}, {"type", "bind"}, {"source", m.source}});
    one.set("options", std::move(options));
    out.push(std::move(one));
  }
  for (const auto& device : around.devices) {
    out.push(Value::object(
        {{"destination", device}, {"type", "bind"}, {"source", device}, {"options", Value::array({"bind", "rw"})}}));
  }
  return out;
}

// Parents before what is mounted below them, whatever their order in the pod; otherwise the order stays.
Value by_depth(const Value& mounts) {
  auto depth = [](const Value& mount) {
    std::size_t parts = 0;
    for (std::string_view part : split(mount["destination"].as_string(), '/')) parts += !part.empty() && part != ".";
    return parts;
  };
  std::vector<Value> sorted(mounts.begin(), mounts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Value& a, const Value& b) { return depth(a) < depth(b); });
  Value out = Value::array();
  for (Value& one : sorted) out.push(std::move(one));
  return out;
}

// What a container mounts shows on the node only where its own mounts are not private from the root on.
std::string root_propagation(const ContainerSpec& spec) {
  std::string out;
  for (const Mount& m : spec.mounts) {
    if (m.propagation == "rshared") return "rshared";
    if (m.propagation == "rslave") out = "rslave";
  }
  return out;
}

Value namespaces_of(const OciSurroundings& around) {
  Value out = Value::array({Value::object({{"type", "mount"}})});
  auto join = [&out](std::string_view type, const std::string& path) {
    if (!path.empty()) out.push(Value::object({{"type", type}, {"path", path}}));
  };
  join("user", around.user_namespace);
  join("network", around.network_namespace);
  join("ipc", around.ipc_namespace);
  join("uts", around.uts_namespace);
  if (!around.pid_namespace.empty()) {
    join("pid", around.pid_namespace);
  } else if (!around.host_pid) {
    out.push(Value::object({{"type", "pid"}}));
  }
  if (around.unified_cgroups) out.push(Value::object({{"type", "cgroup"}}));
  return out;
}

// The kernel's limit of open files of one process.
rlim_t most_files() {
  auto text = read_file("/proc/sys/fs/nr_open");
  auto number = text.ok() ? parse_int(trim(*text)) : Result<long>(1048576L);
  return number.ok() && *number > 0 ? static_cast<rlim_t>(*number) : 1048576;
}

// Resource limits of a container's processes: the same whatever started the agent, as far as the agent may set them.
// The first three are those of containerd's unit; the rest are the kernel's own defaults.
Value resource_limits() {
  struct Wanted {
    __rlimit_resource resource;
    const char* name;
    rlim_t soft, hard;
  };
  static constexpr rlim_t kNone = RLIM_INFINITY;
  static constexpr Wanted kWanted[] = {
      {RLIMIT_NOFILE, "RLIMIT_NOFILE", 1048576, 1048576},
      {RLIMIT_NPROC, "RLIMIT_NPROC", kNone, kNone},
      {RLIMIT_CORE, "RLIMIT_CORE", kNone, kNone},
      {RLIMIT_STACK, "RLIMIT_STACK", 8 << 20, kNone},
      {RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", 8 << 20, 8 << 20},
      {RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE", 819200, 819200},
      {RLIMIT_AS, "RLIMIT_AS", kNone, kNone},
      {RLIMIT_CPU, "RLIMIT_CPU", kNone, kNone},
      {RLIMIT_DATA, "RLIMIT_DATA", kNone, kNone},
      {RLIMIT_FSIZE, "RLIMIT_FSIZE", kNone, kNone},
      {RLIMIT_LOCKS, "RLIMIT_LOCKS", kNone, kNone},
      {RLIMIT_NICE, "RLIMIT_NICE", 0, 0},
      {RLIMIT_RSS, "RLIMIT_RSS", kNone, kNone},
      {RLIMIT_RTPRIO, "RLIMIT_RTPRIO", 0, 0},
      {RLIMIT_RTTIME, "RLIMIT_RTTIME", kNone, kNone},
  };
  const bool may_raise = ::prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1;
  const auto as_number = [](rlim_t limit) { return Value(static_cast<std::uint64_t>(limit)); };
  Value out = Value::array();
  for (const Wanted& wanted : kWanted) {
    rlimit own{};
    if (::getrlimit(wanted.resource, &own) != 0) continue;
    rlim_t hard = may_raise ? wanted.hard : std::min(wanted.hard, own.rlim_max);
    if (wanted.resource == RLIMIT_NOFILE) hard = std::min(hard, most_files());
    out.push(Value::object(
        {{"type", wanted.name}, {"soft", as_number(std::min(wanted.soft, hard))}, {"hard", as_number(hard)}}));
  }
  return out;
}

Value process_of(const ContainerSpec& spec, const OciSurroundings& around) {
  Value groups = Value::array();
  for (auto group : spec.groups) groups.push(group);
  Value user = Value::object({{"uid", spec.uid}, {"gid", spec.gid}, {"additionalGids", std::move(groups)}});
  Value held = strings(spec.privileged ? all_capabilities() : spec.capabilities);
  Value process = Value::object({{"terminal", spec.tty},
                                 {"user", std::move(user)},
                                 {"args", strings(spec.args)},
                                 {"env", strings(spec.env)},
                                 {"cwd", spec.working_directory.empty() ? "/" : spec.working_directory},
                                 {"noNewPrivileges", spec.no_new_privileges}});
  process.set("capabilities", Value::object({{"bounding", held}, {"effective", held}, {"permitted", held}}));
  if (!spec.apparmor.empty()) process.set("apparmorProfile", spec.apparmor);
  if (!spec.selinux_label.empty()) process.set("selinuxLabel", spec.selinux_label);
  process.set("rlimits", resource_limits());
  process.set("oomScoreAdj", std::max(spec.oom_score_adj, around.oom_score_floor));
  return process;
}

Value resources_of(const ContainerSpec& spec) {
  Value cpu = Value::object({{"shares", cpu_shares(spec.limits.cpu_milli_request)}});
  if (spec.limits.cpu_milli_limit > 0) {
    cpu.set("quota", cpu_quota(spec.limits.cpu_milli_limit));
    cpu.set("period", 100000);
  }
  Value out = Value::object({{"cpu", std::move(cpu)}});
  if (spec.limits.memory_bytes > 0) out.set("memory", Value::object({{"limit", spec.limits.memory_bytes}}));
  if (spec.limits.pids > 0) out.set("pids", Value::object({{"limit", spec.limits.pids}}));
  out.set("devices", Value::array({Value::object({{"allow", spec.privileged}, {"access", "rwm"}})}));
  return out;
}

}  // namespace

std::vector<std::string> all_capabilities() {
  std::vector<std::string> out;
  for (cap_value_t n = 0; CAP_IS_SUPPORTED(n); ++n) {
    // Only what this process may pass on.
    if (::cap_get_bound(n) != 1) continue;
    char* name = ::cap_to_name(n);
    if (!name) continue;
    std::string upper = name;
    ::cap_free(name);
    std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
    out.push_back(upper);
  }
  return out;
}

const std::vector<std::string>& default_capabilities() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Value& name : default_profile("default_capabilities.json")) out.push_back(name.str());
    return out;
  }();
  return names;
}

Value oci_config(const ContainerSpec& spec, const OciSurroundings& around) {
  Value linux_part = Value::object({{"cgroupsPath", around.cgroup}, {"namespaces", namespaces_of(around)}});
  if (around.unified_cgroups)
    linux_part.set("resources", resources_of(spec));  // otherwise Cgroups::confine() sees to it
  if (!spec.privileged && !spec.unmasked_proc) {
    linux_part.set("maskedPaths",
                   Value::array({"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                 "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                                 "/sys/devices/virtual/powercap", "/proc/scsi"}));
    linux_part.set("readonlyPaths",
                   Value::array({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}));
  }
  if (!around.user_namespace.empty()) {
    Value map =
        Value::array({Value::object({{"containerID", 0}, {"hostID", around.first_user}, {"size", kUserRange}})});
    linux_part.set("uidMappings", map);
    linux_part.set("gidMappings", std::move(map));
  }
  if (std::string propagation = root_propagation(spec); !propagation.empty())
    linux_part.set("rootfsPropagation", propagation);
  Value out = Value::object({{"ociVersion", "1.0.2"},
                             {"process", process_of(spec, around)},
                             {"root", Value::object({{"path", around.rootfs}, {"readonly", spec.read_only_rootfs}})},
                             {"mounts", by_depth(mounts_of(spec, around))},
                             {"linux", std::move(linux_part)}});
  if (!around.seccomp_filter.empty()) {
    out.set("annotations", Value::object({{"run.oci.seccomp_bpf_data", around.seccomp_filter}}));
  }
  return out;
}

}  // namespace berth::agent
