// How a PodWorker changes the resources of containers that run.
#include "agent/pod/resize.h"
#include "agent/spec/resources.h"
#include "agent/worker/pod_worker.h"
#include "base/fault.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;
constexpr Duration kResizeRetry = 10s;

}  // namespace

// The pod with what it has been granted in place of what its spec asks for.
Value PodWorker::granted_pod() const { return with_grant(context_.pod, record_.granted); }

std::shared_ptr<const PodRoom> PodWorker::room() {
  if (!room_) room_ = std::make_shared<const PodRoom>(room_of(granted_pod()));
  return room_;
}

// Grants what the spec asks for where the node has room for it.
void PodWorker::consider_resize() {
  if (object_deleted_ || is_ending()) return;
  const Value requested = grant_of(context_.pod["spec"]);
  if (!record_.granted.is_object()) record_.granted = requested;
  if (requested == record_.granted) {
    record_.resize_refused = record_.resize_message = {};
    refused_ = Value();
    return;
  }
  if (requested == refused_) return;
  std::optional<ResizeRefusal> refusal;
  if (services_->refuse_resize) refusal = services_->refuse_resize(context_.pod);
  if (refusal) return refuse(requested, *refusal);
  grant(requested);
}

void PodWorker::refuse(const Value& requested, const ResizeRefusal& refusal) {
  refused_ = requested;
  if (refusal.reason != record_.resize_refused || refusal.message != record_.resize_message) {
    emit_event("Warning", "Resize" + refusal.reason,
               resize_text(refusal.reason, context_.pod, requested, refusal.message));
  }
  record_.resize_refused = refusal.reason;
  record_.resize_message = refusal.message;
}

void PodWorker::grant(const Value& requested) {
  refused_ = Value();
  record_.resize_refused = record_.resize_message = {};
  record_.granted = requested;
  room_ = nullptr;
  if (record_.prepared) {
    record_.resizing = true;
    record_.resize_failure.clear();
    next_resize_ = {};
    emit_event("Normal", "ResizeStarted", resize_text("started", context_.pod, requested));
  }
  refresh();  // files of the downward API may state what a container has
  if (services_->on_room_change) services_->on_room_change();
}

void PodWorker::on_room_change() {
  if (is_stopped() || record_.resize_refused.empty()) return;
  refused_ = Value();
  request_sync();
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
  if (is_ending() || object_deleted_ || !record_.prepared || !are_ready(surroundings_) ||
      resize_ == CallPhase::kInFlight)
    return;
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
    if (Status fits = check_usage(*container, limits); !fits.ok()) return on_resize_failed(fits.error());
    order.containers.emplace_back(record_.at(resized["name"].as_string()).id, limits);
    changes.emplace_back(resized["name"].str(), resources);
  }
  if (pod_waits && !restarting) order.after = next;
  if (order.before || order.after || !order.containers.empty())
    return send_resize(std::move(order), std::move(changes));
  if (!restarting) finish_resize();
}

// `changes`: by container, in the order of order.containers, the resources that are then in force.
void PodWorker::send_resize(PodResize order, std::vector<std::pair<std::string, Value>> changes) {
  resize_.apply(CallEvent::kSend);
  fault::step("pod.resize");
  services_->containers.resize(
      record_.uid, order,
      [self = shared_from_this(), order, changes, granted = record_.granted](std::size_t changed, Status result) {
        if (self->is_stopped()) return;
        fault::step("pod.resized");
        self->resize_.apply(CallEvent::kAnswer);
        for (std::size_t i = 0; i < changed; ++i) {
          ContainerRecord& r = self->record_.containers[changes[i].first];
          if (r.id == order.containers[i].first) r.in_force = changes[i].second;
        }
        if (!result.ok()) return self->on_resize_failed(result.error());
        self->widened_ = granted;
        if (order.after) self->record_.pod_in_force = granted;
        self->request_sync();
      });
}

void PodWorker::finish_resize() {
  record_.resizing = false;
  record_.resize_failure.clear();
  emit_event("Normal", "ResizeCompleted", resize_text("completed", context_.pod, record_.granted));
}

// A memory limit below what a container uses would end it.
Status PodWorker::check_usage(const Value& container, const Limits& limits) const {
  const std::string name = container["name"].str();
  const auto usage = services_->containers.usage(record_.at(name).id);
  const std::int64_t used = usage ? static_cast<std::int64_t>(usage->memory_working_set_bytes) : 0;
  if (limits.memory_bytes == 0 || used <= limits.memory_bytes) return {};
  return error(Code::kUnavailable, "attempting to set container " + quoted(name) + " memory limit (" +
                                       std::to_string(limits.memory_bytes) + ") below current usage (" +
                                       std::to_string(used) + ")");
}

void PodWorker::on_resize_failed(const Error& why) {
  record_.resizing = true;
  if (record_.resize_failure != why.message)
    emit_event("Warning", "ResizeError", resize_text("error", context_.pod, record_.granted, why.message));
  record_.resize_failure = why.message;
  next_resize_ = runtime().monotonic() + kResizeRetry;
  runtime().after(kResizeRetry, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->request_sync();
  });
  request_sync();
}

}  // namespace berth::agent
