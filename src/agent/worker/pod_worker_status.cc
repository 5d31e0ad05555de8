// How a PodWorker writes its pod's status to the API.

#include <algorithm>

#include "agent/pod/pod_status.h"
#include "agent/worker/pod_worker.h"
#include "api/object.h"
#include "base/fault.h"
#include "base/log.h"

namespace berth::agent {
namespace {

constexpr int kMostLastWrites = 5;  // of a pod that is cleaned up and being deleted: then its object goes as it is
constexpr Duration kStatusRetry = 1s;

}  // namespace

void PodWorker::write_status() {
  // The answer to a write that is in flight requests a sync, which writes what has changed since.
  if (object_deleted_ || phase_ == WorkerPhase::kDeleting || status_write_ == CallPhase::kInFlight) return;
  const bool running = std::any_of(record_.containers.begin(), record_.containers.end(),
                                   [](const auto& c) { return c.second.state == ContainerRecord::State::kRunning; });
  const bool starting = std::any_of(containers_.begin(), containers_.end(),
                                    [](const auto& c) { return c.second.phase() == ContainerPhase::kStarting; });
  StatusInput input{
      context_.pod,   record_, runtime().now(), services_->config.node_ip, is_ending() && !running && !starting,
      most_ephemeral_};
  Value patch = status_patch(context_.pod, make_pod_status(input));
  if (patch.is_null() || patch == ineffective_patch_) return;
  if (record_.cleaned_up && api::is_terminating(context_.pod) && ++last_writes_ > kMostLastWrites) return;
  status_write_.apply(CallEvent::kSend);
  sent_patch_ = patch;
  fault::step("pod.status");
  services_->client.patch(api::resources::kPods, api::Name{record_.ns, record_.name}, api::PatchType::kStrategic,
                          std::move(patch), api::WriteOptions{"status", "kubelet"},
                          [self = shared_from_this()](Result<Value> answer) {
                            if (!self->is_stopped()) self->on_status_written(std::move(answer));
                          });
}

void PodWorker::on_status_written(Result<Value> answer) {
  fault::step("pod.status_written");
  status_write_.apply(CallEvent::kAnswer);
  if (answer.ok()) {
    if (api::uid_of(*answer) == record_.uid) {
      if (api::resource_version_of(*answer) == api::resource_version_of(context_.pod))
        ineffective_patch_ = std::move(sent_patch_);
      on_update(*answer);
    }
    return request_sync();
  }
  const Code code = answer.error().code;
  if (code == Code::kNotFound || code == Code::kConflict) {
    // The pod is gone, or another pod has its name: the watch will say so. Not tried again before that.
    log_debug("agent", "status not written", {{"pod", pod_in_messages(record_)}, {"error", answer.error().message}});
    return;
  }
  if (code == Code::kTooLarge && shorten_status()) return request_sync();
  log_warning("agent", "status not written", {{"pod", pod_in_messages(record_)}, {"error", answer.error().message}});
  if (status_timer_) runtime().cancel(status_timer_);
  status_timer_ = runtime().after(kStatusRetry, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->status_timer_ = 0;
    self->request_sync();
  });
}

// The next status has fewer ephemeral containers, the newest. False where the pod is too large without any.
bool PodWorker::shorten_status() {
  const std::size_t written = std::min(most_ephemeral_, context_.pod["spec"]["ephemeralContainers"].size());
  if (written == 0) return false;
  most_ephemeral_ = written / 4;
  last_writes_ = 0;
  return true;
}

}  // namespace berth::agent
