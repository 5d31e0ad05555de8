#pragma once
// Control groups, version 1 (also in hybrid mode) and version 2. Paths are relative to each hierarchy's root:
// "berth/pod1".
// All calls are small file operations; any thread. What a hierarchy does not have is left out silently.

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
  // Version 1: makes the group in every hierarchy, for processes that move themselves there. All devices are open to
  // it.
  Status create_everywhere(const std::string& path) const;
  // Version 1, once the first process is there and before it runs anything of the container's: its limits, and which
  // devices it may use: all, or those that every container has.
  Status confine(const std::string& path, const Limits& limits, bool all_devices) const;
  // Version 2. The first process moved between control groups after a while waits for the kernel's readers of them (an
  // RCU grace period, 10 to 20 ms); those that follow at once do not. This call waits for them, so that a move right
  // after it need not.
  void expect_move() const;
  // The files by which a thread moves itself there without a lock, one in each hierarchy; none with version 2.
  std::vector<std::string> task_files(const std::string& path) const;
  std::vector<pid_t> processes(const std::string& path) const;  // of it and of everything below
  void kill(const std::string& path) const;  // SIGKILL to all of them, however they fork; and unthrottle()
  // Lets processes that were killed run to their end: removes the group's own limit of CPU time, and restarts the
  // period of the group above (the pod's), whose limit stays. Linux 6.18 can leave a group whose processes fork without
  // end throttled for good; any write to its limit ends that. What is frozen in it goes on.
  void unthrottle(const std::string& path) const;
  // The second half of it, for processes that live on.
  void restart_cpu_period(const std::string& path) const;
  // Version 1: it and all below it, after a kill() that was cut short with the agent, or frozen by a container itself.
  void thaw(const std::string& path) const;
  std::int64_t oom_kills(const std::string& path) const;  // 0 where unknown
  // kUnavailable where what the pod's group holds, with the files that it has in memory, would not fit into a new
  // limit.
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
