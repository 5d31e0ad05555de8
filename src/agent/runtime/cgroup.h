#pragma once
// Control groups, version 1 (also in hybrid mode) and version 2. Paths are relative to each hierarchy's root:
// "berth/pod1". All calls are small file operations; any thread. A controller that the machine does not have is skipped
// without an error.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "base/result.h"

namespace berth::agent {

class Cgroups {
 public:
  // `root`: normally "/sys/fs/cgroup", seen from the mount namespace of the caller.
  explicit Cgroups(std::string root = "/sys/fs/cgroup");

  bool unified() const { return unified_; }
  Status create(const std::string& path, const Limits& limits) const;
  Status set_limits(const std::string& path, const Limits& limits) const;
  // Removes those limits of cpu and memory that `limits` does not set.
  Status lift_limits(const std::string& path, const Limits& limits) const;
  // Kills its processes and removes the group with all groups below. Succeeds if there is none.
  Status remove(const std::string& path) const;
  // Version 1: creates the group in every hierarchy, for processes that move themselves there. All devices are allowed.
  // confine() comes later.
  Status create_everywhere(const std::string& path) const;
  // Version 1, after the first process has moved there and before it runs the container's program: sets the limits, and
  // allows all devices or those that every container has.
  Status confine(const std::string& path, const Limits& limits, bool all_devices) const;
  // Version 2. After a pause, the first move of a process between control groups waits for an RCU grace period of the
  // kernel (10 to 20 ms); moves soon after it do not wait. This call causes that wait, so that the next move is fast.
  void expect_move() const;
  // The `tasks` files by which a thread moves itself into the group without a lock, one in each hierarchy; none with
  // version 2.
  std::vector<std::string> task_files(const std::string& path) const;
  std::vector<pid_t> processes(const std::string& path) const;  // of it and of everything below
  void kill(const std::string& path) const;  // SIGKILL to all of them, however they fork; and unthrottle()
  // Lets killed processes run to their end: thaws the group, removes its own limit of CPU time, and restarts its period
  // and that of the group above (the pod's), whose limit stays. Linux 6.18 can leave a group whose processes fork
  // without end throttled for ever; any write to its limit ends that.
  void unthrottle(const std::string& path) const;
  // Restarts the periods alone, as unthrottle() does, for processes that are not to end.
  void restart_cpu_period(const std::string& path) const;
  // Version 1: thaws the group and all below it, which a kill() that ended with the agent has left frozen, or which a
  // container has frozen itself.
  void thaw(const std::string& path) const;
  std::int64_t oom_kills(const std::string& path) const;  // 0 where unknown
  // kUnavailable where the pod's group uses more memory, files on memory file systems included, than the new limit.
  Status check_pod_use(const std::string& path, const Limits& limits) const;
  std::optional<ContainerUsage> usage(const std::string& path) const;

 private:
  std::vector<std::string> directories(const std::string& path) const;  // one in each hierarchy
  Status inherit_cpuset(const std::string& path) const;
  Status lift_cpu_limit(const std::string& path) const;
  std::string in(const std::string& controller, const std::string& path) const;
  std::string root_;
  bool unified_ = false;
  std::vector<std::string> hierarchies_;  // version 1: directory names below the root
};

std::int64_t cpu_shares(std::int64_t milli);  // version 1; at least 2
std::int64_t cpu_weight(std::int64_t milli);  // version 2, from the shares
std::int64_t cpu_quota(std::int64_t milli);   // microseconds in each period of 100 ms; at least 1000

}  // namespace berth::agent
