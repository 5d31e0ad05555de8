#pragma once
// The probes of one running container: when they run, how their results are counted, what follows. Loop thread only.
//
// In the first ten seconds, startup and readiness probes are tried more often than their period until the first
// success, so that a pod is ready when it is ready and not up to a period later. The pause between two such tries is at
// least twenty times what the last one took and at most the period. Those between the counted ones, which keep the
// period, are neither counted nor reported when they fail.

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
    bool startup_passed = false;  // what an earlier agent had found
    bool ready = false;
    bool eager = true;     // false: no tries but the counted ones
    bool liveness = true;  // false for a pod that is being ended: only readiness goes on
  };
  struct Callbacks {
    std::function<void()> startup_passed;
    std::function<void(bool)> readiness;
    std::function<void(const std::string& kind)> failed;        // "liveness", "startup"
    std::function<void(const std::string& message)> unhealthy;  // for the event
    std::function<void(const std::string& message)> warned;     // the same, of a probe that succeeded
  };
  Prober(Runtime& runtime, ProbeRunner& runner, Start start, Callbacks callbacks);
  ~Prober();
  Prober(const Prober&) = delete;
  // Ends liveness and startup probes.
  void only_readiness();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

bool has_probe(const Value& container, const char* kind);

}  // namespace berth::agent
