// How a pod worker changes what running containers may take.
#include "agent/pod/resize.h"
#include "agent/pod/resources.h"
#include "agent/worker/pod_worker.h"
#include "base/fault.h"
#include "base/text.h"
#include "client/event_recorder.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;
constexpr Duration kResizeRetry = 10s;

}  // namespace

Value PodWorker::granted_pod() const { return with_grant(context_.pod, record_.granted); }

std::shared_ptr<const PodRoom> PodWorker::room() {
  if (!room_) room_ = std::make_shared<const PodRoom>(room_of(granted_pod()));
  return room_;
}

// Takes what the spec asks for as granted, where the node has room for it.
void PodWorker::consider_resize() {
  if (gone_ || ending_) return;
  const Value wanted = grant_of(context_.pod["spec"]);
  if (!record_.granted.is_object()) record_.granted = wanted;
  if (wanted == record_.granted) {
    record_.resize_refused = record_.resize_message = {};
    considered_ = Value();
    return;
  }
  if (wanted == considered_) return;
  std::optional<ResizeRefusal> no;
  if (services_->refuse_resize) no = services_->refuse_resize(context_.pod);
  if (no) {
    considered_ = wanted;
    if (no->reason != record_.resize_refused || no->message != record_.resize_message) {
      event("Warning", "Resize" + no->reason, resize_text(no->reason, context_.pod, wanted, no->message));
    }
    record_.resize_refused = no->reason;
    record_.resize_message = no->message;
    return;
  }
  considered_ = Value();
  record_.resize_refused = record_.resize_message = {};
  record_.granted = wanted;
  room_ = nullptr;
  if (record_.prepared) {
    record_.resizing = true;
    record_.resize_failure.clear();
    next_resize_ = {};
    event("Normal", "ResizeStarted", resize_text("started", context_.pod, wanted));
  }
  refresh();  // files may tell what a container has
  if (services_->room_changed) services_->room_changed();
}

void PodWorker::room_changed() {
  if (stopped_ || record_.resize_refused.empty()) return;
  considered_ = Value();
  look();
}

// Containers that run with something else than they have been granted.
std::vector<const Value*> PodWorker::to_be_resized() const {
  std::vector<const Value*> out;
  for (const char* list : {"containers", "initContainers"}) {
    for (const Value& container : context_.pod["spec"][list]) {
      if (record_.at(container["name"].as_string()).state != State::kRunning) continue;
      if (in_force_for(record_, container) != granted_to(record_, container)) out.push_back(&container);
    }
  }
  return out;
}

// Puts in force what has been granted. The pod's control group has room for old and new while its containers change;
// those that restart for it do so by the plan.
void PodWorker::apply_resize() {
  if (ending_ || gone_ || !record_.prepared || !surroundings_known_ || resize_under_way_) return;
  if (!record_.pod_in_force.is_object()) record_.pod_in_force = record_.granted;
  const bool pod_waits = record_.pod_in_force != record_.granted;
  if ((!record_.resizing && !pod_waits) || next_resize_ > runtime().monotonic()) return;
  const Limits old = pod_limits(with_grant(context_.pod, record_.pod_in_force)), next = pod_limits(granted_pod());
  PodResize order;
  std::vector<std::pair<std::string, Value>> changes;
  bool restarting = false;
  if (pod_waits && widened_ != record_.granted) order.before = larger(old, next);
  for (const Value* container : to_be_resized()) {
    const Value& resources = granted_to(record_, *container);
    if (resize_restarts(*container, in_force_for(record_, *container), resources)) {
      restarting = true;
      continue;
    }
    Value resized = *container;
    resized.set("resources", resources);
    const Limits limits = container_limits(resized);
    if (Status fits = check_usage(*container, limits); !fits.ok()) return resize_failed(fits.error());
    order.containers.emplace_back(record_.at(resized["name"].as_string()).id, limits);
    changes.emplace_back(resized["name"].str(), resources);
  }
  if (pod_waits && !restarting) order.after = next;
  if (!order.before && !order.after && order.containers.empty()) {
    if (!restarting) finish_resize();
    return;
  }
  resize_under_way_ = true;
  fault::step("pod.resize");
  services_->containers.resize(
      record_.uid, order,
      [self = shared_from_this(), order, changes, granted = record_.granted](std::size_t changed, Status result) {
        if (self->stopped_) return;
        fault::step("pod.resized");
        self->resize_under_way_ = false;
        for (std::size_t i = 0; i < changed; ++i) {
          ContainerRecord& r = self->record_.containers[changes[i].first];
          if (r.id == order.containers[i].first) r.in_force = changes[i].second;
        }
        if (!result.ok()) return self->resize_failed(result.error());
        self->widened_ = granted;
        if (order.after) self->record_.pod_in_force = granted;
        self->look();
      });
}

void PodWorker::finish_resize() {
  record_.resizing = false;
  record_.resize_failure.clear();
  event("Normal", "ResizeCompleted", resize_text("completed", context_.pod, record_.granted));
}

// Less than a container holds would end it.
Status PodWorker::check_usage(const Value& container, const Limits& limits) const {
  const std::string name = container["name"].str();
  const auto usage = services_->containers.usage(record_.at(name).id);
  const std::int64_t used = usage ? static_cast<std::int64_t>(usage->memory_working_set_bytes) : 0;
  if (limits.memory_bytes == 0 || used <= limits.memory_bytes) return {};
  return error(Code::kUnavailable, "attempting to set container " + quoted(name) + " memory limit (" +
                                       std::to_string(limits.memory_bytes) + ") below current usage (" +
                                       std::to_string(used) + ")");
}

void PodWorker::resize_failed(const Error& why) {
  record_.resizing = true;
  if (record_.resize_failure != why.message)
    event("Warning", "ResizeError", resize_text("error", context_.pod, record_.granted, why.message));
  record_.resize_failure = why.message;
  next_resize_ = runtime().monotonic() + kResizeRetry;
  runtime().after(kResizeRetry, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->look();
  });
  look();
}

}  // namespace berth::agent
