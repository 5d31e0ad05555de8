#pragma once
// UsageService: answers GET /usage of the agent's socket with what the node and its pods use now, as the metrics API
// shows it:
//   {"node": {"timestamp", "window", "usage": {"cpu", "memory"}},
//    "pods": [{"namespace", "name", "uid", "timestamp", "window", "containers": [{"name", "usage"}]}]}
//
// Usage is measured at a request only. A request without an earlier sample takes a second: a rate needs two samples.
// A pod one of whose containers could not be measured is left out.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/node/usage_meter.h"
#include "agent/pod/pod_summary.h"
#include "http/server.h"

namespace berth::agent {

class UsageService {
 public:
  using Pods = std::function<std::vector<PodSummary>()>;
  using Usage = std::function<std::optional<ContainerUsage>(const std::string& container)>;  // by id

  // `proc`: where the machine's own counters are read.
  UsageService(Runtime& runtime, Pods pods, Usage usage, std::string proc = "/proc");
  ~UsageService();  // questions that wait are not answered
  UsageService(const UsageService&) = delete;

  bool handle(const std::shared_ptr<http::Exchange>& exchange);  // false: not for this
  void report(Function<void(Value)> done);

 private:
  void sample();
  Value compose() const;

  Runtime& runtime_;
  Pods pods_;
  Usage usage_;
  std::string proc_;
  UsageMeter meter_;
  std::vector<Function<void(Value)>> waiting_;
  TimerId timer_ = 0;
};

// The whole machine: time its processors were busy, and memory that is in use and cannot simply be dropped.
ContainerUsage machine_usage(const std::string& proc);

}  // namespace berth::agent
