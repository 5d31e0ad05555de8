#pragma once
// Ends all containers of a node: SIGTERM to each, and SIGKILL to those that are left when their pod's grace period is
// over. For `berth down`; the pods stay in the API and run again after the next `up`. How they ended is written to a
// file; which pods are waited for and which were killed, to another one, for the command that waits.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/pod/container_ends.h"
#include "agent/runtime/container_runtime.h"
#include "base/runtime.h"

namespace berth::agent {

struct ShutdownPod {
  std::string name;  // "namespace/name"
  Duration grace{};
};

// A pod as the progress file has it.
struct ShutdownLine {
  std::string pod;
  std::int64_t seconds = 0;  // its grace period, or when it was killed
  bool killed = false;
};
std::vector<ShutdownLine> read_shutdown_progress(const std::string& path);  // none where there is no such file yet

class PodShutdown {
 public:
  struct Config {
    std::string ends_file, progress_file;
    std::map<std::string, ShutdownPod> pods;  // by uid; one that is not there has kUnknownGrace
    std::optional<Duration> most;             // bounds every pod's grace period
  };
  static constexpr Duration kUnknownGrace = std::chrono::seconds(30);

  PodShutdown(Runtime& runtime, ContainerRuntime& containers, Config config, Task done);
  ~PodShutdown();
  void start();

 private:
  void ended(const ContainerStatus& status);
  void kill_what_is_due();
  void tell() const;
  void finish();
  ShutdownPod pod_of(const ContainerStatus& status) const;

  struct Waiting {
    ShutdownPod pod;
    bool killed = false;
  };
  Runtime& runtime_;
  ContainerRuntime& containers_;
  Config config_;
  Task done_;
  std::map<std::string, Waiting> waiting_;      // by container id
  std::map<std::string, std::int64_t> killed_;  // pods, with the second
  ContainerEnds ends_;
  Duration began_{};  // monotonic
  TimerId timer_ = 0;
  bool started_ = false, finished_ = false;
};

}  // namespace berth::agent
