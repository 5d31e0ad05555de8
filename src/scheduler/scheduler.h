#pragma once
// Scheduler: gives every pod that names this scheduler a node.
//
// Pods are decided one after the other against the snapshot (plan.h); a decided pod is assumed on its node at once, and
// its claims and its binding are written while the next pods are decided. Claims that wait for their first consumer are
// annotated with the node, or a free volume is reserved for them; the pod is bound as soon as they all are. Nothing
// polls: what could not be placed rests until a change that concerns it, and is looked at again after `parked_retry` in
// any case.
//
// A pod that cannot be decided about (an exception) is parked, and one that the server died on three times
// (controllers/handling.h) is left alone until it is changed.
//
// Two schedulers may be alive at once: a binding names the pod's uid and fails where the pod has a node already.
// Owner: one Runtime. At rest nothing runs and nothing is written.

#include <cstddef>
#include <memory>
#include <string>

#include "base/runtime.h"
#include "client/informer.h"
#include "controllers/handling.h"

namespace berth::scheduler {

struct Options {
  std::string name = "default-scheduler";  // pods' spec.schedulerName
  std::size_t bindings_in_flight = 512;
  Duration bind_timeout = 600s;  // for claims to become bound
  Duration first_backoff = 1s;   // after a write that failed; doubles ...
  Duration last_backoff = 10s;   // ... up to this
  Duration parked_retry = 300s;
  controllers::HandlingRecord* record = nullptr;  // outlives the scheduler; null: deaths are not noted
};

class Scheduler {
 public:
  // Starts once pods, nodes, claims, volumes and classes have been listed. The set outlives the scheduler.
  explicit Scheduler(client::InformerSet& informers);
  Scheduler(client::InformerSet& informers, Options options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;

  // No pod to look at, nothing being written. Parked pods and pods waiting for their claims do not count.
  bool idle() const;
  std::size_t parked() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::scheduler
