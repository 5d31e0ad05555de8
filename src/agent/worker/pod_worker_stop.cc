// How a pod worker ends a container, and what it learns from one that has ended.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/logs/log_files.h"
#include "agent/worker/pod_worker.h"
#include "api/object.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/fs/bounded_read.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::size_t kLongestMessage = 4096, kLongestLogMessage = 2048;
constexpr int kMostLogLines = 80;
constexpr Duration kShortestGrace = 2s;  // between the stop signal and SIGKILL; kubelet's minimumGracePeriodInSeconds
constexpr Duration kKillAgain = 10s;     // where a killed container has not ended

// As much of a log's end as kMostLogLines lines or kLongestLogMessage bytes of text can take, with what the format puts
// before them.
constexpr std::size_t kLogEnd = 64 * 1024;

// The texts of the last lines of a log in the CRI format.
std::string log_tail(const std::string& path) {
  auto text = read_end(path, kLogEnd);
  if (!text.ok()) return {};
  auto lines = split(*text, '\n');
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  if (lines.size() > kMostLogLines) lines.erase(lines.begin(), lines.end() - kMostLogLines);
  std::string out;
  for (auto line : lines) {
    // time stream F|P text
    for (int field = 0; field < 3; ++field) line = cut(line, " ").after;
    out += std::string(line) + "\n";
  }
  if (out.size() > kLongestLogMessage) out.erase(0, out.size() - kLongestLogMessage);
  return out;
}

}  // namespace

// As kubelet ends a container: the hook, then the wait for its turn, then the stop signal, all within the grace period;
// and at least kShortestGrace from the signal to SIGKILL, also where the period is over by then.
void PodWorker::stop_container(const PodPlan::Stop& stop) {
  if (stop.at_once) return stop_at_once(stop);
  Live& live = live_[stop.container];
  Duration now = runtime().monotonic();
  Duration grace = std::chrono::seconds(std::max<std::int64_t>(0, stop.grace_seconds));
  if (live.stopping) {
    live.turn = live.turn || stop.turn;
    live.deadline = std::min(live.deadline, live.stop_began + grace);
    if (live.signalled)
      live.kill_at = std::min(live.kill_at, std::max(live.deadline, live.signalled_at + kShortestGrace));
    return advance_stop(stop.container);
  }
  live.stopping = true;
  live.turn = stop.turn;
  live.hook_running = live.signalled = live.killed = false;
  live.stop_began = now;
  live.deadline = now + grace;
  if (live.prober) live.prober->only_readiness();
  event("Normal", "Killing", killing_text(stop), stop.container);
  if (stop.new_image || stop.resize) {
    ContainerRecord& r = record_.containers[stop.container];
    r.replace = true;
    r.back_off = {};
  }
  if (grace > Duration::zero() && !spec_of(stop.container)["lifecycle"]["preStop"].is_null()) pre_stop(stop.container);
  advance_stop(stop.container);
}

void PodWorker::stop_at_once(const PodPlan::Stop& stop) {
  Live& live = live_[stop.container];
  if (live.killed) return;
  if (!live.stopping) {
    live.stop_began = runtime().monotonic();
    event("Normal", "Killing", killing_text(stop), stop.container);
  }
  live.stopping = live.signalled = live.killed = live.turn = true;
  live.hook_running = false;
  live.deadline = live.signalled_at = runtime().monotonic();
  if (live.prober) live.prober->only_readiness();
  kill_container(stop.container);
}

std::string PodWorker::killing_text(const PodPlan::Stop& stop) const {
  const std::string& by = live_.at(stop.container).condemned_by;
  if (stop.new_image && is_init(stop.container)) return "Init container " + stop.container + " definition changed";
  if (stop.new_image) return "Container " + stop.container + " definition changed, will be restarted";
  if (stop.resize) return "Container " + stop.container + " resize requires restart";
  if (stop.to_restart && by == "postStart") return "FailedPostStartHook";
  if (stop.to_restart && (by == "liveness" || by == "startup")) {
    bool again = is_init(stop.container) || context_.pod["spec"]["restartPolicy"].as_string() != "Never";
    return "Container " + stop.container + " failed " + by + " probe" + (again ? ", will be restarted" : "");
  }
  return "Stopping container " + stop.container;
}

void PodWorker::pre_stop(const std::string& name) {
  Live& live = live_[name];
  live.hook_running = true;
  fault::step("pod.pre_stop");
  // Past the deadline nobody waits for it, but it may run on for as long as its container does.
  Duration limit = live.deadline - runtime().monotonic() + kShortestGrace;
  run_lifecycle(spec_of(name)["lifecycle"]["preStop"], name, limit,
                [self = shared_from_this(), name, id = record_.containers[name].id](ProbeResult result) {
                  if (self->stopped_ || self->record_.containers[name].id != id) return;
                  Live& live = self->live_[name];
                  if (!live.stopping || !live.hook_running) return;
                  live.hook_running = false;
                  fault::step("pod.pre_stop_over");
                  if (!result.good) self->event("Warning", "FailedPreStopHook", "PreStopHook failed", name);
                  self->advance_stop(name);
                });
}

// The next step of stopping a container that is due, and a timer for the one after it.
void PodWorker::advance_stop(const std::string& name) {
  Live& live = live_[name];
  Duration now = runtime().monotonic();
  if (!live.signalled && ((!live.hook_running && live.turn) || now >= live.deadline)) {
    live.signalled = true;
    live.signalled_at = now;
    live.kill_at = std::max(live.deadline, now + kShortestGrace);
    signal_container(name);
  }
  Duration next = live.signalled ? live.kill_at : live.deadline;
  if (live.stop_timer) runtime().cancel(live.stop_timer);
  live.stop_timer = runtime().after(std::max<Duration>(next - now, Duration::zero()), [weak = weak_from_this(), name] {
    auto self = weak.lock();
    if (!self || self->stopped_) return;
    Live& live = self->live_[name];
    live.stop_timer = 0;
    if (!live.signalled) return self->advance_stop(name);
    self->kill_container(name);
  });
}

void PodWorker::signal_container(const std::string& name) {
  fault::step("pod.signal");
  services_->containers.signal_container(record_.containers[name].id, live_[name].stop_signal, [name](Status sent) {
    if (!sent.ok())
      log_warning("agent", "cannot signal a container", {{"container", name}, {"error", sent.error().message}});
  });
}

void PodWorker::kill_container(const std::string& name) {
  Live& live = live_[name];
  live.kill_at = runtime().monotonic() + kKillAgain;
  fault::step("pod.kill");
  services_->containers.kill_container(record_.containers[name].id, [self = shared_from_this(), name](Status killed) {
    if (!killed.ok())
      log_warning("agent", "cannot kill a container", {{"container", name}, {"error", killed.error().message}});
    if (!self->stopped_ && self->live_[name].stopping) self->advance_stop(name);
  });
}

// It is to end because it is not healthy; whether it starts again is the restart policy's business.
void PodWorker::condemn(const std::string& name, const std::string& by) {
  ContainerRecord& r = record_.containers[name];
  if (r.state != ContainerRecord::State::kRunning || r.must_restart) return;
  live_[name].condemned_by = by;
  r.must_restart = true;
  r.ready = false;
  look();
}

void PodWorker::exited(const std::string& name, const ContainerStatus& status) {
  Live& live = live_[name];
  fault::step("pod.container_exited");
  live.prober.reset();
  live.stopping = live.hook_running = live.signalled = live.killed = false;
  live.condemned_by.clear();
  if (live.stop_timer) runtime().cancel(std::exchange(live.stop_timer, 0));
  const Value& container = spec_of(name);
  ContainerRecord& r = record_.containers[name];
  r.state = ContainerRecord::State::kExited;
  r.ready = r.running_fully = r.must_restart = false;
  Termination& end = r.ended;
  end = Termination{};
  end.exit_code = status.exit_code;
  end.reason = status.oom_killed ? "OOMKilled" : status.exit_code == 0 ? "Completed" : "Error";
  end.container_id = status.id;
  end.started = r.started == Time{} ? status.started : r.started;
  end.finished = std::max(status.finished, end.started);
  end.message = termination_message(container, r, status.exit_code);
  ::unlink(termination_file(name, r.attempt).c_str());
  save();
  if (services_->logs) services_->logs->forget(log_path(name, r.attempt));
  // Its log stays, and what it left behind is told; nothing else of it is of use.
  services_->containers.remove_container(status.id, [](Status) {});
  // The logs of this attempt and the one before are kept.
  if (r.attempt >= 2) {
    std::string old = log_path(name, r.attempt - 2);
    runtime().offload(
        [old] {
          ::unlink(old.c_str());
          for (int n = 1; n < 16; ++n) ::unlink((old + "." + std::to_string(n)).c_str());
        },
        [] {});
  }
}

std::string PodWorker::termination_message(const Value& container, const ContainerRecord& r, int exit_code) const {
  std::string name = container["name"].str();
  auto text = read_start(termination_file(name, r.attempt), kLongestMessage);
  std::string message = text.ok() ? std::move(*text) : "";
  if (message.empty() && exit_code != 0 &&
      container["terminationMessagePolicy"].as_string() == "FallbackToLogsOnError") {
    message = log_tail(log_path(name, r.attempt));
  }
  return message;
}

void PodWorker::run_lifecycle(const Value& handler, const std::string& name, Duration timeout,
                              Function<void(ProbeResult)> done) {
  if (const Value& sleep = handler["sleep"]; !sleep.is_null()) {
    Duration length = std::chrono::seconds(sleep["seconds"].as_int());
    if (timeout > Duration::zero()) length = std::min(length, timeout);
    runtime().after(length, [done = std::move(done)] { done(ProbeResult{true, ""}); });
    return;
  }
  const Value& container = spec_of(name);
  ProbeTarget target{record_.containers[name].id, record_.ip, &container, true};
  services_->probes.run(handler, target, timeout, std::move(done));
}

// conmon begins a new log at its limit by itself (LogFiles). A conmon that was started without a limit is told to.
// Looks only while something runs.
void PodWorker::rotate_logs() {
  const AgentConfig& config = services_->config;
  log_timer_ = runtime().after(config.log_check, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || self->stopped_ || self->done_) return;
    for (auto& [name, r] : self->record_.containers) {
      if (r.state != ContainerRecord::State::kRunning) continue;
      struct stat at {};
      std::string path = self->log_path(name, r.attempt);
      if (::stat(path.c_str(), &at) != 0 || at.st_size < 2 * self->services_->config.log_max_bytes) continue;
      self->services_->containers.reopen_log(r.id, [](Status) {});
    }
    self->rotate_logs();
  });
}

}  // namespace berth::agent
