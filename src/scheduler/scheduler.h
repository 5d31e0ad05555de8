#pragma once
// Scheduler: binds every pod with this scheduler's name to a node.
//
// Pods are decided one after another against the snapshot (plan.h). A decided pod is assumed on its node at once; its
// claims and its binding are written while the next pods are decided. For claims with WaitForFirstConsumer the
// scheduler annotates the claim with the node or reserves a free volume; the pod is bound when all its claims are.
// Nothing polls: an unschedulable pod is parked until a change that concerns it, and is decided again after
// `parked_retry` in any case.
//
// A pod whose decision throws is parked; a pod that the server died on three times (controllers/handling.h) is not
// decided until it changes.
//
// Two schedulers may run at the same time: a binding has the pod's uid as precondition and fails if the pod has a node
// already. Owner: one Runtime. An idle cluster causes no decisions and no writes.

#include <cstddef>
#include <memory>
#include <string>

#include "base/runtime.h"
#include "client/informer.h"
#include "controllers/handling.h"

namespace berth::scheduler {

struct SchedulerOptions {
  std::string name = "default-scheduler";  // pods' spec.schedulerName
  std::size_t bindings_in_flight = 512;
  Duration bind_timeout = 600s;  // for claims to be bound
  Duration first_backoff = 1s;   // after a failed write; doubles ...
  Duration last_backoff = 10s;   // ... up to this
  Duration parked_retry = 300s;
  controllers::HandlingRecord* record = nullptr;  // outlives the scheduler; null: crashes are not counted
};

class Scheduler {
 public:
  // Starts when pods, nodes, claims, volumes and classes are listed. `informers` outlives the scheduler.
  explicit Scheduler(client::InformerSet& informers);
  Scheduler(client::InformerSet& informers, SchedulerOptions options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;

  // True if no pod is active and no write is in flight. Parked pods and pods that wait for their claims do not count.
  bool idle() const;
  std::size_t parked() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::scheduler
