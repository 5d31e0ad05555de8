// How a PodWorker prepares, refreshes and cleans up its pod's surroundings, hook by hook.

#include <algorithm>

#include "agent/pod/references.h"
#include "agent/worker/pod_worker.h"
#include "base/fault.h"
#include "base/log.h"

namespace berth::agent {
namespace {

constexpr Duration kFirstPrepareDelay = 500ms, kLongestPrepareDelay = 122s;
constexpr int kMostDoublings = 8;
constexpr Duration kCleanUpRetry = 1s;

}  // namespace

// One hook after the other. A failure is reported as an event; the next attempt begins with the first hook after a
// growing delay.
void PodWorker::prepare() {
  if (surroundings_ == Surroundings::kPreparing || next_prepare_ > runtime().monotonic()) return;
  surroundings_.apply(SurroundingsEvent::kPrepare);
  services_->containers.expect_container();
  prepare_from(0);
}

void PodWorker::prepare_from(std::size_t hook) {
  if (hook == hooks_.size()) {
    surroundings_.apply(SurroundingsEvent::kPrepared);
    prepare_failures_ = 0;
    record_.prepared = true;
    return request_sync();
  }
  hooks_[hook]->prepare(context_, [self = shared_from_this(), hook](std::optional<HookFailure> failure) {
    if (self->is_stopped()) return;
    fault::step("pod.prepare " + std::string(self->hooks_[hook]->name()));
    if (failure) return self->on_prepare_failed(*failure);
    if (self->is_ending()) {
      self->surroundings_.apply(SurroundingsEvent::kPrepareAbandoned);
      return self->request_sync();
    }
    self->prepare_from(hook + 1);
  });
}

// A failure without a reason: the hook waits for an object of the API, whose arrival causes a refresh()
// (follow_references).
void PodWorker::on_prepare_failed(const HookFailure& failure) {
  surroundings_.apply(SurroundingsEvent::kPrepareFailed);
  if (!failure.reason.empty()) {
    emit_event("Warning", failure.reason, failure.message);
    const Duration delay = std::min<Duration>(kFirstPrepareDelay * (1 << std::min(prepare_failures_++, kMostDoublings)),
                                              kLongestPrepareDelay);
    next_prepare_ = runtime().monotonic() + delay;
    runtime().after(delay, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->request_sync();
    });
  }
  if (is_ending()) request_sync();
}

// An object that the pod refers to has changed, or its own metadata: the hooks update its files, and containers and
// hooks that failed for a wrong configuration are tried again at once.
void PodWorker::refresh() {
  if (is_stopped() || is_ending()) return;
  for (auto& [name, r] : record_.containers) {
    if (r.waiting_reason == "CreateContainerConfigError") r.retry_at = {};
  }
  next_prepare_ = {};
  if (!are_ready(surroundings_)) return request_sync();
  const bool under_way = surroundings_ != Surroundings::kReady;
  surroundings_.apply(SurroundingsEvent::kRefresh);
  if (under_way) return;
  auto left = std::make_shared<std::size_t>(hooks_.size());
  for (auto& hook : hooks_) {
    hook->update(context_, [self = shared_from_this(), left](std::optional<HookFailure> failure) {
      if (self->is_stopped()) return;
      if (failure && !failure->reason.empty()) self->emit_event("Warning", failure->reason, failure->message);
      if (--*left == 0) self->on_refreshed();
    });
  }
}

void PodWorker::on_refreshed() {
  const bool stale = surroundings_ == Surroundings::kRefreshingStale;
  surroundings_.apply(SurroundingsEvent::kRefreshed);
  if (stale) refresh();
  request_sync();
}

void PodWorker::follow_references() {
  for (const auto& reference : references_of(context_.pod)) {
    if (!followed_.insert(reference).second) continue;
    interests_.push_back(services_->objects.follow(reference.first, reference.second, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->refresh();
    }));
  }
}

// Removes the containers from the runtime, then cleans up with the hooks. Waits for answers of the runtime and of a
// hook's prepare(): what they make afterwards would stay.
void PodWorker::clean_up() {
  if (phase_ != WorkerPhase::kEnding || surroundings_ == Surroundings::kPreparing) return;
  for (const auto& [name, worker] : containers_) {
    if (worker.phase() == ContainerPhase::kStarting) return;
  }
  phase_.apply(WorkerEvent::kCleanUp);
  auto pending = std::make_shared<std::size_t>(1);  // removals, and this function itself
  auto on_removed = [self = shared_from_this(), pending](Status) {
    if (--*pending > 0 || self->is_stopped()) return;
    fault::step("pod.containers_removed");
    self->clean_up_hooks(self->hooks_.size());
  };
  for (const auto& [name, r] : record_.containers) {
    if (r.id.empty()) continue;
    ++*pending;
    services_->containers.remove_container(r.id, on_removed);
  }
  on_removed({});
}

// Backwards; `left` hooks are still to be cleaned up.
void PodWorker::clean_up_hooks(std::size_t left) {
  if (left == 0) {
    phase_.apply(WorkerEvent::kCleanedUp);
    record_.cleaned_up = true;
    if (services_->on_room_change) services_->on_room_change();
    return request_sync();
  }
  hooks_[left - 1]->cleanup(context_, [self = shared_from_this(), left](std::optional<HookFailure> failure) {
    if (self->is_stopped()) return;
    fault::step("pod.clean_up " + std::string(self->hooks_[left - 1]->name()));
    if (failure) return self->on_clean_up_failed(left, *failure);
    self->clean_up_hooks(left - 1);
  });
}

// Retried until it succeeds: the pod's object stays while something of the pod is still mounted or running.
void PodWorker::on_clean_up_failed(std::size_t left, const HookFailure& failure) {
  emit_event("Warning", failure.reason, failure.message);
  log_warning(
      "agent", "cleaning up a pod failed",
      {{"pod", pod_in_messages(record_)}, {"hook", std::string(hooks_[left - 1]->name())}, {"error", failure.message}});
  runtime().after(kCleanUpRetry, [self = shared_from_this(), left] {
    if (!self->is_stopped()) self->clean_up_hooks(left);
  });
}

}  // namespace berth::agent
