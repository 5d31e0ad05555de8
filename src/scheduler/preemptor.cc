#include "scheduler/preemptor.h"

#include "base/log.h"
#include "base/time/time.h"

namespace berth::scheduler {

struct Preemptor::PreemptionJob {
  std::string preemptor_uid, scheduler, node;
  std::size_t pending = 0;
  bool succeeded = true;
  Function<void(bool)> done;
};

Preemptor::Preemptor(Runtime& runtime, client::Client& client, client::EventRecorder& recorder)
    : runtime_(runtime), client_(client), recorder_(recorder) {}

void Preemptor::remove(const PodInfo& preemptor, const std::string& node, const std::vector<Value>& victims,
                       Function<void(bool)> done) {
  auto job = std::make_shared<PreemptionJob>();
  job->preemptor_uid = preemptor.uid;
  job->scheduler = preemptor.pod["spec"]["schedulerName"].str("default-scheduler");
  job->node = node;
  job->pending = victims.size() + 1;
  job->done = std::move(done);
  for (const Value& victim : victims) mark_victim(job, victim);
  runtime_.post([job] { on_answer(job, true); });
}

void Preemptor::mark_victim(const std::shared_ptr<PreemptionJob>& job, const Value& victim) {
  Value condition = Value::object({{"type", "DisruptionTarget"},
                                   {"status", "True"},
                                   {"reason", "PreemptionByScheduler"},
                                   {"message", job->scheduler + ": preempting to accommodate a higher priority pod"},
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
                [this, alive = lifetime_.guard(), job, victim](Result<Value> answer) {
                  if (!alive) return;
                  if (answer.ok() || answer.failed_with(Code::kUnknown)) return delete_victim(job, victim);
                  const bool gone = answer.failed_with(Code::kNotFound) || answer.failed_with(Code::kConflict);
                  if (!gone)
                    log_warning("scheduler", "cannot mark a victim",
                                {{"pod", api::name_key(victim).to_string()}, {"error", answer.error().message}});
                  on_answer(job, gone);
                });
}

void Preemptor::delete_victim(const std::shared_ptr<PreemptionJob>& job, const Value& victim) {
  api::DeleteOptions options;
  options.uid = api::uid_of(victim);
  client_.remove(api::resources::kPods, api::name_key(victim), options,
                 [this, alive = lifetime_.guard(), job, victim](Result<Value> answer) {
                   if (!alive) return;
                   if (answer.ok()) {
                     recorder_.event(victim, client::kNormal, "Preempted",
                                     "Preempted by pod " + job->preemptor_uid + " on node " + job->node);
                     return on_answer(job, true);
                   }
                   const bool gone = answer.failed_with(Code::kNotFound) || answer.failed_with(Code::kConflict);
                   if (!gone)
                     log_warning("scheduler", "cannot delete a victim",
                                 {{"pod", api::name_key(victim).to_string()}, {"error", answer.error().message}});
                   on_answer(job, gone);
                 });
}

void Preemptor::on_answer(const std::shared_ptr<PreemptionJob>& job, bool succeeded) {
  job->succeeded = job->succeeded && succeeded;
  if (--job->pending == 0) job->done(job->succeeded);
}

}  // namespace berth::scheduler
