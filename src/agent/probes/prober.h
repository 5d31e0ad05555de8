#pragma once
// The probes of one running container: when they run, how their results are counted, what follows. Loop thread only.
//
// While a container is young, startup and readiness probes are tried far more often than their period until the first
// success, so that a pod is ready when it is ready and not up to a period later. Tries before the first period has
// passed are not counted when they fail and are not reported.

#include <functional>
#include <memory>
#include <string>

#include "agent/services.h"
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
    bool liveness = true;  // false for a pod that is being ended: only readiness goes on
  };
  struct Callbacks {
    std::function<void()> startup_passed;
    std::function<void(bool)> readiness;
    std::function<void(const std::string& kind)> failed;  // "liveness", "startup"
    std::function<void(const std::string& message)> unhealthy;  // for the event
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
