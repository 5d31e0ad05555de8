// How a ContainerWorker stops its container, as kubelet does: the preStop hook, the wait for the container's turn, the
// stop signal, all within the grace period; then SIGKILL, at least kShortestGrace after the signal, also where the
// period is over by then.

#include <algorithm>

#include "agent/worker/container_worker.h"
#include "base/fault.h"
#include "base/log.h"

namespace berth::agent {
namespace {

constexpr Duration kShortestGrace = 2s;  // between the stop signal and SIGKILL; kubelet's minimumGracePeriodInSeconds
constexpr Duration kKillAgain = 10s;     // where a killed container has not ended

Duration grace_of(const PodPlan::Stop& order) {
  return std::chrono::seconds(std::max<std::int64_t>(0, order.grace_seconds));
}

}  // namespace

void ContainerWorker::stop(const PodPlan::Stop& order) {
  if (order.at_once) return kill_at_once(order);
  if (is_stopping(phase_)) return tighten_stop(order);
  begin_stop(order);
}

void ContainerWorker::begin_stop(const PodPlan::Stop& order) {
  const Duration grace = grace_of(order);
  stop_began_ = runtime().monotonic();
  deadline_ = stop_began_ + grace;
  const bool hook = grace > Duration::zero() && !spec()["lifecycle"]["preStop"].is_null();
  phase_.apply(hook ? ContainerEvent::kStopWithHook : ContainerEvent::kStop);
  if (prober_) prober_->keep_only_readiness();
  emit_event("Normal", "Killing", killing_text(order));
  if (order.new_image || order.resize) {
    ContainerRecord& r = record();
    r.replace = true;
    r.back_off = {};
  }
  if (order.turn) apply_and_signal(ContainerEvent::kTurn);
  if (hook) run_pre_stop_hook();
  advance_stop();
}

// A stop is under way: its turn may have come, and its grace period may have been made shorter, never longer.
void ContainerWorker::tighten_stop(const PodPlan::Stop& order) {
  deadline_ = std::min(deadline_, stop_began_ + grace_of(order));
  if (is_signalled(phase_)) kill_at_ = std::min(kill_at_, std::max(deadline_, signalled_at_ + kShortestGrace));
  const bool waits = phase_ == ContainerPhase::kPreStopOutOfTurn || phase_ == ContainerPhase::kAwaitingTurn;
  if (order.turn && waits) apply_and_signal(ContainerEvent::kTurn);
  advance_stop();
}

void ContainerWorker::kill_at_once(const PodPlan::Stop& order) {
  if (phase_ == ContainerPhase::kKilledAtOnce) return;
  const Duration now = runtime().monotonic();
  if (!is_stopping(phase_)) {
    stop_began_ = now;
    emit_event("Normal", "Killing", killing_text(order));
  }
  phase_.apply(ContainerEvent::kStopAtOnce);
  deadline_ = signalled_at_ = now;
  if (prober_) prober_->keep_only_readiness();
  send_kill();
}

std::string ContainerWorker::killing_text(const PodPlan::Stop& order) const {
  if (order.new_image && is_init()) return "Init container " + name_ + " definition changed";
  if (order.new_image) return "Container " + name_ + " definition changed, will be restarted";
  if (order.resize) return "Container " + name_ + " resize requires restart";
  if (order.to_restart && restart_cause_ == "postStart") return "FailedPostStartHook";
  if (order.to_restart && (restart_cause_ == "liveness" || restart_cause_ == "startup")) {
    const bool again = is_init() || pod()["spec"]["restartPolicy"].as_string() != "Never";
    return "Container " + name_ + " failed " + restart_cause_ + " probe" + (again ? ", will be restarted" : "");
  }
  return "Stopping container " + name_;
}

void ContainerWorker::run_pre_stop_hook() {
  fault::step("pod.pre_stop");
  // The stop goes on at the deadline without the hook, which may run for as long as its container does.
  const Duration limit = deadline_ - runtime().monotonic() + kShortestGrace;
  run_lifecycle_handler(spec()["lifecycle"]["preStop"], limit,
                        [self = self(), id = record().id](const ProbeResult& result) {
                          if (!self->owner_.is_stopped()) self->on_pre_stop_done(id, result);
                        });
}

void ContainerWorker::on_pre_stop_done(const std::string& id, const ProbeResult& result) {
  if (record().id != id || !is_stopping(phase_) || phase_ == ContainerPhase::kKilledAtOnce) return;
  fault::step("pod.pre_stop_over");
  if (!result.good) emit_event("Warning", "FailedPreStopHook", "PreStopHook failed");
  apply_and_signal(ContainerEvent::kPreStopDone);
  advance_stop();
}

// Applies the event; where the container becomes due for its stop signal, sends it.
void ContainerWorker::apply_and_signal(ContainerEvent event) {
  const bool signalled = is_signalled(phase_);
  phase_.apply(event);
  if (signalled || !is_signalled(phase_)) return;
  signalled_at_ = runtime().monotonic();
  kill_at_ = std::max(deadline_, signalled_at_ + kShortestGrace);
  send_stop_signal();
}

// Signals the container if its deadline has passed, and sets the timer for the next step.
void ContainerWorker::advance_stop() {
  if (!is_stopping(phase_)) return;  // it has ended meanwhile
  const Duration now = runtime().monotonic();
  if (!is_signalled(phase_) && now >= deadline_) apply_and_signal(ContainerEvent::kDeadline);
  const Duration next = is_signalled(phase_) ? kill_at_ : deadline_;
  if (stop_timer_) runtime().cancel(stop_timer_);
  stop_timer_ = runtime().after(std::max<Duration>(next - now, Duration::zero()), [weak = std::weak_ptr(self())] {
    auto self = weak.lock();
    if (self && !self->owner_.is_stopped()) self->on_stop_timer();
  });
}

void ContainerWorker::on_stop_timer() {
  stop_timer_ = 0;
  if (!is_signalled(phase_)) return advance_stop();
  phase_.apply(ContainerEvent::kGraceOver);
  send_kill();
}

void ContainerWorker::send_stop_signal() {
  fault::step("pod.signal");
  services().containers.signal_container(record().id, stop_signal_, [name = name_](Status sent) {
    if (!sent.ok())
      log_warning("agent", "cannot signal a container", {{"container", name}, {"error", sent.error().message}});
  });
}

// SIGKILL is sent again after kKillAgain where the container has not ended by then.
void ContainerWorker::send_kill() {
  kill_at_ = runtime().monotonic() + kKillAgain;
  fault::step("pod.kill");
  services().containers.kill_container(record().id, [self = self()](Status killed) {
    if (!killed.ok())
      log_warning("agent", "cannot kill a container", {{"container", self->name_}, {"error", killed.error().message}});
    if (!self->owner_.is_stopped()) self->advance_stop();
  });
}

}  // namespace berth::agent
