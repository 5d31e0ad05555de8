#pragma once
// Preemptor: executes a preemption: sets DisruptionTarget on the victims, deletes them, emits the events. Owner: one
// scheduler.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/lifetime.h"
#include "client/client.h"
#include "client/event_recorder.h"
#include "scheduler/snapshot/pod_info.h"

namespace berth::scheduler {

class Preemptor {
 public:
  // Client, runtime and recorder outlive the Preemptor.
  Preemptor(Runtime& runtime, client::Client& client, client::EventRecorder& recorder);

  // `victims`: pods as last seen. Calls `done` in a later loop task: true if all victims are gone or being deleted.
  void remove(const PodInfo& preemptor, const std::string& node, const std::vector<Value>& victims,
              Function<void(bool)> done);

 private:
  struct PreemptionJob;
  void mark_victim(const std::shared_ptr<PreemptionJob>& job, const Value& victim);
  void delete_victim(const std::shared_ptr<PreemptionJob>& job, const Value& victim);
  static void on_answer(const std::shared_ptr<PreemptionJob>& job, bool succeeded);
  Runtime& runtime_;
  client::Client& client_;
  client::EventRecorder& recorder_;
  Lifetime lifetime_;
};

}  // namespace berth::scheduler
