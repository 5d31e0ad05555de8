#include "scheduler/preemptor.h"

#include "base/log.h"
#include "base/time/time.h"

namespace berth::scheduler {

struct Preemptor::Work {
  std::string preemptor_uid, scheduler, node;
  std::size_t left = 0;
  bool good = true;
  Function<void(bool)> done;
};

Preemptor::Preemptor(Runtime& runtime, client::Client& client, client::EventRecorder& recorder)
    : runtime_(runtime), client_(client), recorder_(recorder) {}

void Preemptor::remove(const PodInfo& preemptor, const std::string& node, const std::vector<Value>& victims,
                       Function<void(bool)> done) {
  auto work = std::make_shared<Work>();
  work->preemptor_uid = preemptor.uid;
  work->scheduler = preemptor.pod["spec"]["schedulerName"].str("default-scheduler");
  work->node = node;
  work->left = victims.size() + 1;
  work->done = std::move(done);
  for (const Value& victim : victims) mark(work, victim);
  runtime_.post([work] { answered(work, true); });
}

void Preemptor::mark(const std::shared_ptr<Work>& work, const Value& victim) {
  Value condition = Value::object({{"type", "DisruptionTarget"},
                                   {"status", "True"},
                                   {"reason", "PreemptionByScheduler"},
                                   {"message", work->scheduler + ": preempting to accommodate a higher priority pod"},
                                   {"lastProbeTime", nullptr},
                                   {"lastTransitionTime", format_time(runtime_.now())}});
  if (!victim["metadata"]["generation"].is_null())
    condition.set("observedGeneration", victim["metadata"]["generation"]);
  Value change = Value::object({{"metadata", Value::object({{"uid", api::uid_of(victim)}})},
                                {"status", Value::object({{"conditions", Value::array({condition})}})}});
  api::WriteOptions write;
  write.subresource = "status";
  write.field_manager = "kube-scheduler";
  client_.patch(api::resources::kPods, api::name_key(victim), api::PatchType::kStrategic, std::move(change), write,
                [this, alive = lifetime_.guard(), work, victim](Result<Value> answer) {
                  if (!alive) return;
                  if (answer.ok() || answer.failed_with(Code::kUnknown)) return erase(work, victim);
                  const bool gone = answer.failed_with(Code::kNotFound) || answer.failed_with(Code::kConflict);
                  if (!gone)
                    log_warning("scheduler", "cannot mark a victim",
                                {{"pod", api::name_key(victim).to_string()}, {"error", answer.error().message}});
                  answered(work, gone);
                });
}

void Preemptor::erase(const std::shared_ptr<Work>& work, const Value& victim) {
  api::DeleteOptions options;
  options.uid = api::uid_of(victim);
  client_.remove(api::resources::kPods, api::name_key(victim), options,
                 [this, alive = lifetime_.guard(), work, victim](Result<Value> answer) {
                   if (!alive) return;
                   if (answer.ok()) {
                     recorder_.event(victim, client::kNormal, "Preempted",
                                     "Preempted by pod " + work->preemptor_uid + " on node " + work->node);
                     return answered(work, true);
                   }
                   const bool gone = answer.failed_with(Code::kNotFound) || answer.failed_with(Code::kConflict);
                   if (!gone)
                     log_warning("scheduler", "cannot delete a victim",
                                 {{"pod", api::name_key(victim).to_string()}, {"error", answer.error().message}});
                   answered(work, gone);
                 });
}

void Preemptor::answered(const std::shared_ptr<Work>& work, bool good) {
  work->good = work->good && good;
  if (--work->left == 0) work->done(work->good);
}

}  // namespace berth::scheduler
