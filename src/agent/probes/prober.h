#pragma once
// Prober: runs the probes of one running container on their schedule and counts their results against the thresholds.
// Owner: the ContainerWorker, on the agent's loop.
//
// Eager probes: for ten seconds, a startup or readiness probe runs more often than its period until its first success,
// so that the pod is Ready at once and not up to a period later. The pause between two attempts is at least twenty
// times the duration of the last one and at most the period. Attempts at the period are counted; an attempt in between
// that fails is neither counted nor reported.

#include <functional>
#include <memory>
#include <string>

#include "agent/pod/services.h"
#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::agent {

class Prober {
 public:
  struct Start {
    Value container;  // of the spec
    std::string container_id, pod_ip;
    Time started{};               // of the container
    bool startup_passed = false;  // as an earlier agent found
    bool ready = false;
    bool eager = true;     // false: counted attempts only
    bool liveness = true;  // false: the pod ends, only the readiness probe runs
  };
  struct Callbacks {
    std::function<void()> startup_passed;
    std::function<void(bool)> readiness;                        // each time that a threshold is reached
    std::function<void(const std::string& kind)> failed;        // "liveness", "startup"
    std::function<void(const std::string& message)> unhealthy;  // for the event
    std::function<void(const std::string& message)> warned;     // the same, of a probe that succeeded
  };
  Prober(Runtime& runtime, ProbeRunner& runner, Start start, Callbacks callbacks);
  ~Prober();
  Prober(const Prober&) = delete;
  // Stops the liveness and startup probes.
  void keep_only_readiness();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

bool has_probe(const Value& container, const char* kind);

}  // namespace berth::agent
