#pragma once
// Ends all containers of a node: SIGTERM to each, and SIGKILL to those that are left when the time is up. For
// `berth down`; the pods stay in the API and run again after the next `up`. How they ended is written to a file.

#include <set>
#include <string>

#include "agent/container_ends.h"
#include "agent/runtime/container_runtime.h"
#include "base/loop.h"

namespace berth {

class PodShutdown {
 public:
  PodShutdown(Loop& loop, agent::ContainerRuntime& containers, std::string ends_file, Task done, Duration grace = std::chrono::seconds(25));
  ~PodShutdown();
  void start();

 private:
  void ended(const agent::ContainerStatus& status);
  void finish();

  Loop& loop_;
  agent::ContainerRuntime& containers_;
  std::string ends_file_;
  Task done_;
  Duration grace_;
  std::set<std::string> waiting_;
  agent::ContainerEnds ends_;
  TimerId timer_ = 0;
  bool started_ = false, finished_ = false;
};

}  // namespace berth
