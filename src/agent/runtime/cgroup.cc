#include "agent/runtime/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::int64_t kPeriod = 100'000;
constexpr std::size_t kMostKilled = 100'000;  // of one kill()
// What a container may do with devices that has not got all of them, as runc and crun have it: make any node, and use
// null, zero, full, random, urandom, tty, console, ptmx and its terminals.
constexpr const char* kDevices[] = {"c *:* m",   "b *:* m",   "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",  "c 1:8 rwm",
                                    "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"};

Status write_value(const std::string& path, const std::string& value) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return errno == ENOENT ? Status() : Status(errno_error("opening " + path));
  if (::write(fd.get(), value.data(), value.size()) < 0) return errno_error("writing " + value + " to " + path);
  return {};
}

std::int64_t read_number(const std::string& path) {
  auto text = read_file(path);
  if (!text.ok()) return 0;
  auto number = parse_int(trim(*text));
  return number.ok() ? *number : 0;
}

// The number behind `key ` in a file of "key number" lines.
std::int64_t read_keyed(const std::string& path, std::string_view key) {
  auto text = read_file(path);
  if (!text.ok()) return 0;
  for (auto line : split(*text, '\n')) {
    auto parts = cut(line, " ");
    if (parts.before != key) continue;
    auto number = parse_int(trim(parts.after));
    return number.ok() ? *number : 0;
  }
  return 0;
}

void remove_tree(const std::string& path) {
  if (auto names = list_directory(path); names.ok()) {
    for (const auto& name : *names) {
      struct stat at {};
      std::string below = path + "/" + name;
      if (::lstat(below.c_str(), &at) == 0 && S_ISDIR(at.st_mode)) remove_tree(below);
    }
  }
  ::rmdir(path.c_str());
}

// A container that may write its groups can have frozen some below its own.
void thaw_tree(const std::string& directory) {
  (void)write_value(directory + "/freezer.state", "THAWED");
  auto names = list_directory(directory);
  if (!names.ok()) return;
  for (const auto& name : *names) {
    if (name.find('.') == std::string::npos && path_exists(directory + "/" + name + "/freezer.state"))
      thaw_tree(directory + "/" + name);
  }
}

bool is_type(const std::string& path, long magic) {
  struct statfs at {};
  return ::statfs(path.c_str(), &at) == 0 && static_cast<long>(at.f_type) == magic;
}

void collect_processes(const std::string& directory, std::vector<pid_t>& out) {
  auto text = read_file(directory + "/cgroup.procs");
  if (!text.ok()) return;
  for (auto line : split(*text, '\n')) {
    if (auto pid = parse_int(line); pid.ok() && *pid > 0) out.push_back(static_cast<pid_t>(*pid));
  }
  auto names = list_directory(directory);
  if (!names.ok()) return;
  for (const auto& name : *names) {
    if (name.find('.') == std::string::npos && path_exists(directory + "/" + name + "/cgroup.procs")) {
      collect_processes(directory + "/" + name, out);
    }
  }
}

}  // namespace

std::int64_t cpu_shares(std::int64_t milli) { return std::max<std::int64_t>(2, milli * 1024 / 1000); }
std::int64_t cpu_weight(std::int64_t milli) { return 1 + ((cpu_shares(milli) - 2) * 9999) / 262142; }
std::int64_t cpu_quota(std::int64_t milli) { return std::max<std::int64_t>(1000, milli * kPeriod / 1000); }

Cgroups::Cgroups(std::string root) : root_(std::move(root)), unified_(is_type(root_, CGROUP2_SUPER_MAGIC)) {
  if (unified_) return;
  if (auto names = list_directory(root_); names.ok()) {
    for (const auto& name : *names) {
      struct stat at {};
      std::string path = root_ + "/" + name;
      // "cpu,cpuacct" and the like are reached by the links that stand for each controller.
      if (::lstat(path.c_str(), &at) == 0 && S_ISDIR(at.st_mode)) hierarchies_.push_back(name);
    }
  }
}

std::string Cgroups::in(const std::string& controller, const std::string& path) const {
  return unified_ ? root_ + "/" + path : root_ + "/" + controller + "/" + path;
}

std::vector<std::string> Cgroups::directories(const std::string& path) const {
  if (unified_) return {root_ + "/" + path};
  std::vector<std::string> out;
  for (const auto& name : hierarchies_) out.push_back(root_ + "/" + name + "/" + path);
  return out;
}

Status Cgroups::create(const std::string& path, const Limits& limits) const {
  if (unified_) {
    // Controllers must be handed down from the root, level by level.
    std::string at = root_;
    std::string controllers =
        read_file(root_ + "/cgroup.controllers").ok() ? *read_file(root_ + "/cgroup.controllers") : "";
    for (auto part : split(path, '/')) {
      for (auto controller : split(trim(controllers), ' ')) {
        if (controller == "cpu" || controller == "memory" || controller == "pids" || controller == "io" ||
            controller == "cpuset") {
          (void)write_value(at + "/cgroup.subtree_control", "+" + std::string(controller));
        }
      }
      at += "/" + std::string(part);
      if (::mkdir(at.c_str(), 0755) != 0 && errno != EEXIST) return errno_error("making " + at);
    }
    return set_limits(path, limits);
  }
  for (const char* controller : {"cpu", "memory", "pids"}) {
    if (!path_exists(root_ + "/" + controller)) continue;
    BERTH_TRY(make_directories(in(controller, path)));
  }
  return set_limits(path, limits);
}

// A group of the cpuset hierarchy accepts no process before it has processors and memory; a new one has none.
Status Cgroups::inherit_cpuset(const std::string& path) const {
  std::string at = root_ + "/cpuset";
  for (auto part : split(path, '/')) {
    const std::string parent = std::exchange(at, at + "/" + std::string(part));
    for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
      auto own = read_file(at + file), given = read_file(parent + file);
      if (own.ok() && given.ok() && trim(*own).empty()) BERTH_TRY(write_value(at + file, std::string(trim(*given))));
    }
  }
  return {};
}

Status Cgroups::create_everywhere(const std::string& path) const {
  for (const auto& name : hierarchies_) {
    if (!path_exists(root_ + "/" + name + "/tasks")) continue;  // version 2, in hybrid mode
    BERTH_TRY(make_directories(root_ + "/" + name + "/" + path));
  }
  return inherit_cpuset(path);
}

Status Cgroups::confine(const std::string& path, const Limits& limits, bool all_devices) const {
  BERTH_TRY(write_value(in("cpu", path) + "/cpu.shares", std::to_string(cpu_shares(limits.cpu_milli_request))));
  // Nothing runs without a limit that it was to have.
  const std::string devices = in("devices", path);
  for (auto [wanted, controller] :
       {std::pair(limits.cpu_milli_limit > 0, "cpu"), std::pair(limits.memory_bytes > 0, "memory"),
        std::pair(limits.pids > 0, "pids"), std::pair(!all_devices, "devices")}) {
    if (wanted && !path_exists(in(controller, path)))
      return error(Code::kUnavailable, "the machine has no " + std::string(controller) +
                                           " controller of control groups, which the container's limits need");
  }
  BERTH_TRY(set_limits(path, limits));
  if (all_devices) return {};
  BERTH_TRY(write_value(devices + "/devices.deny", "a"));
  const std::string allow = devices + "/devices.allow";
  Fd fd(::open(allow.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return errno_error("opening " + allow);
  for (std::string_view device : kDevices) {
    // EPERM: one that the agent itself may not use.
    if (::write(fd.get(), device.data(), device.size()) < 0 && errno != EPERM)
      return errno_error("writing " + std::string(device) + " to " + allow);
  }
  return {};
}

Status Cgroups::set_limits(const std::string& path, const Limits& limits) const {
  if (unified_) {
    std::string at = root_ + "/" + path;
    if (limits.cpu_milli_limit > 0) {
      BERTH_TRY(write_value(at + "/cpu.max",
                            std::to_string(cpu_quota(limits.cpu_milli_limit)) + " " + std::to_string(kPeriod)));
    }
    if (limits.cpu_milli_request > 0)
      BERTH_TRY(write_value(at + "/cpu.weight", std::to_string(cpu_weight(limits.cpu_milli_request))));
    if (limits.memory_bytes > 0) BERTH_TRY(write_value(at + "/memory.max", std::to_string(limits.memory_bytes)));
    if (limits.pids > 0) BERTH_TRY(write_value(at + "/pids.max", std::to_string(limits.pids)));
    return {};
  }
  if (limits.cpu_milli_limit > 0) {
    BERTH_TRY(write_value(in("cpu", path) + "/cpu.cfs_period_us", std::to_string(kPeriod)));
    BERTH_TRY(write_value(in("cpu", path) + "/cpu.cfs_quota_us", std::to_string(cpu_quota(limits.cpu_milli_limit))));
  }
  if (limits.cpu_milli_request > 0) {
    BERTH_TRY(write_value(in("cpu", path) + "/cpu.shares", std::to_string(cpu_shares(limits.cpu_milli_request))));
  }
  if (limits.memory_bytes > 0) {
    BERTH_TRY(write_value(in("memory", path) + "/memory.limit_in_bytes", std::to_string(limits.memory_bytes)));
  }
  if (limits.pids > 0) BERTH_TRY(write_value(in("pids", path) + "/pids.max", std::to_string(limits.pids)));
  return {};
}

Status Cgroups::lift_limits(const std::string& path, const Limits& limits) const {
  if (limits.cpu_milli_limit == 0) BERTH_TRY(lift_cpu_limit(path));
  if (limits.memory_bytes != 0) return {};
  return write_value(in("memory", path) + (unified_ ? "/memory.max" : "/memory.limit_in_bytes"),
                     unified_ ? "max" : "-1");
}

Status Cgroups::lift_cpu_limit(const std::string& path) const {
  return write_value(in("cpu", path) + (unified_ ? "/cpu.max" : "/cpu.cfs_quota_us"), unified_ ? "max" : "-1");
}

Status Cgroups::remove(const std::string& path) const {
  if (path.empty() || path.find("..") != std::string::npos)
    return error(Code::kInvalid, "not a control group of ours: \"" + path + "\"");
  for (const auto& directory : directories(path)) {
    if (is_type(directory, CGROUP_SUPER_MAGIC) || is_type(directory, CGROUP2_SUPER_MAGIC)) {
      remove_tree(directory);
    } else {
      // Where version 2 was unmounted, crun makes plain directories and files instead.
      BERTH_TRY(remove_all(directory));
    }
  }
  for (const auto& directory : directories(path)) {
    if (path_exists(directory)) return error(Code::kUnavailable, "control group " + directory + " is still in use");
  }
  return {};
}

std::vector<pid_t> Cgroups::processes(const std::string& path) const {
  std::vector<pid_t> out;
  for (const auto& directory : directories(path)) {
    if (!unified_ && !is_type(directory, CGROUP_SUPER_MAGIC)) continue;
    collect_processes(directory, out);
    if (!out.empty()) break;
  }
  return out;
}

void Cgroups::expect_move() const {
  auto own = read_file("/proc/self/cgroup");
  if (!own.ok()) return;
  for (auto line : split(trim(*own), '\n')) {  // number:controllers:path
    const auto parts = cut(cut(line, ":").after, ":");
    std::string hierarchy(parts.before.starts_with("name=") ? parts.before.substr(5) : parts.before);
    if (!unified_ && hierarchy.empty()) continue;
    const std::string file =
        root_ + (hierarchy.empty() ? "" : "/" + hierarchy) + std::string(parts.after) + "/cgroup.procs";
    Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    // This process, to where it is: nothing changes but that the readers have been waited for.
    if (fd && ::write(fd.get(), "0", 1) == 1) return;
  }
}

std::vector<std::string> Cgroups::task_files(const std::string& path) const {
  std::vector<std::string> out;
  if (unified_) return out;
  for (const std::string& directory : directories(path)) {
    std::string file = directory + "/tasks";
    if (path_exists(file)) out.push_back(std::move(file));
  }
  return out;
}

void Cgroups::unthrottle(const std::string& path) const {
  (void)lift_cpu_limit(path);
  restart_cpu_period(path);
  thaw(path);
}

void Cgroups::restart_cpu_period(const std::string& path) const {
  const std::string group = in("cpu", path), above = group.substr(0, group.rfind('/'));
  // The burst of every group is 0, so this changes no limit; but any write makes the kernel begin the group's period
  // anew. To write the quota itself could undo a resize() of the same moment.
  for (const std::string& one : {group, above})
    (void)write_value(one + (unified_ ? "/cpu.max.burst" : "/cpu.cfs_burst_us"), "0");
}

void Cgroups::kill(const std::string& path) const {
  if (unified_ && path_exists(root_ + "/" + path + "/cgroup.kill")) {
    (void)write_value(root_ + "/" + path + "/cgroup.kill", "1");
    return unthrottle(path);
  }
  // Frozen, they cannot fork away from their signals. Those that cannot be frozen, as they have no turn, cannot fork
  // either.
  const std::string freezer = in("freezer", path) + "/freezer.state";
  (void)write_value(freezer, "FROZEN");
  std::set<pid_t> signalled;
  for (bool more = true; more;) {
    more = false;
    for (pid_t pid : processes(path)) {
      more = signalled.insert(pid).second || more;
      ::kill(pid, SIGKILL);
    }
    if (signalled.size() > kMostKilled) break;
  }
  unthrottle(path);
}

void Cgroups::thaw(const std::string& path) const {
  if (unified_) return;  // there what is frozen can be killed
  thaw_tree(in("freezer", path));
}

std::int64_t Cgroups::oom_kills(const std::string& path) const {
  return unified_ ? read_keyed(root_ + "/" + path + "/memory.events", "oom_kill")
                  : read_keyed(in("memory", path) + "/memory.oom_control", "oom_kill");
}

Status Cgroups::check_pod_use(const std::string& path, const Limits& limits) const {
  const std::optional<ContainerUsage> now = usage(path);
  const std::int64_t used = now ? static_cast<std::int64_t>(now->memory_working_set_bytes) : 0;
  if (limits.memory_bytes == 0 || used <= limits.memory_bytes) return {};
  return error(Code::kUnavailable, "attempting to set pod memory limit (" + std::to_string(limits.memory_bytes) +
                                       ") below current usage (" + std::to_string(used) + ")");
}

std::optional<ContainerUsage> Cgroups::usage(const std::string& path) const {
  ContainerUsage out;
  std::int64_t used = 0, inactive = 0;
  if (unified_) {
    std::string at = root_ + "/" + path;
    if (!path_exists(at)) return std::nullopt;
    out.cpu_nanoseconds = static_cast<std::uint64_t>(read_keyed(at + "/cpu.stat", "usage_usec")) * 1000;
    used = read_number(at + "/memory.current");
    inactive = read_keyed(at + "/memory.stat", "inactive_file");
  } else {
    if (!path_exists(in("memory", path))) return std::nullopt;
    out.cpu_nanoseconds = static_cast<std::uint64_t>(read_number(in("cpuacct", path) + "/cpuacct.usage"));
    used = read_number(in("memory", path) + "/memory.usage_in_bytes");
    inactive = read_keyed(in("memory", path) + "/memory.stat", "total_inactive_file");
  }
  out.memory_working_set_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, used - inactive));
  return out;
}

}  // namespace berth::agent
