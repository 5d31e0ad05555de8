#pragma once
// Preemptor: carries a preemption out: marks the victims as disrupted, deletes them, says so. Owner: one scheduler.

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
  // The client, the runtime and the recorder outlive it.
  Preemptor(Runtime& runtime, client::Client& client, client::EventRecorder& recorder);

  // `victims`: pods as last seen. `done` is told whether all of them are gone or going; it comes on a later turn.
  void remove(const PodInfo& preemptor, const std::string& node, const std::vector<Value>& victims,
              Function<void(bool)> done);

 private:
  struct Work;
  void mark(const std::shared_ptr<Work>& work, const Value& victim);
  void erase(const std::shared_ptr<Work>& work, const Value& victim);
  static void answered(const std::shared_ptr<Work>& work, bool good);
  Runtime& runtime_;
  client::Client& client_;
  client::EventRecorder& recorder_;
  Lifetime lifetime_;
};

}  // namespace berth::scheduler
