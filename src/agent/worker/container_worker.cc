#include "agent/worker/container_worker.h"

#include <unistd.h>

#include <algorithm>

#include "agent/logs/log_files.h"
#include "agent/pod/container_lists.h"
#include "api/containers.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/fs/bounded_read.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;

constexpr std::size_t kLongestMessage = 4096, kLongestLogMessage = 2048;
constexpr int kMostLogLines = 80;
constexpr int kMostLogFiles = 16;  // of one attempt, rotated ones included
constexpr const char* kEagerProbes = "berth.dev/eager-probes";

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

ContainerPhase phase_of(const PodRecord& record, const std::string& container) {
  return record.at(container).state == State::kRunning ? ContainerPhase::kRunning : ContainerPhase::kIdle;
}

}  // namespace

std::string pod_log_directory(const AgentConfig& config, const PodRecord& record) {
  return config.logs() + "/" + record.ns + "_" + record.name + "_" + record.uid;
}

std::string container_log_path(const AgentConfig& config, const PodRecord& record, std::string_view container,
                               int attempt) {
  return pod_log_directory(config, record) + "/" + std::string(container) + "/" + std::to_string(attempt) + ".log";
}

ContainerWorker::ContainerWorker(ContainerOwner& owner, std::string name)
    : owner_(owner), name_(std::move(name)), phase_(phase_of(owner.context().record, name_)) {}

const Value& ContainerWorker::spec() const { return container_spec(pod(), name_); }
bool ContainerWorker::is_init() const { return is_init_container(pod(), name_); }
bool ContainerWorker::is_ephemeral() const { return is_ephemeral_container(pod(), name_); }

std::string ContainerWorker::log_path(int attempt) const {
  return container_log_path(services().config, owner_.context().record, name_, attempt);
}

std::string ContainerWorker::termination_file(int attempt) const {
  return written_files(owner_.context().memory) + "/termination-" + name_ + "-" + std::to_string(attempt);
}

bool ContainerWorker::adopt(const ContainerStatus& status) {
  ContainerRecord& r = record();
  // The record has its end already, and the container is to start anew.
  if (status.id == r.id && r.state == State::kWaiting && r.last && r.last->reason == kRestartingAll) return false;
  const bool exited = status.state == ContainerState::kExited;
  if (status.id != r.id) {
    // An attempt that the earlier agent started and had not recorded when it ended.
    if (status.attempt <= r.attempt || status.state == ContainerState::kCreated) return false;
    begin_attempt(status.id, status.attempt);
  } else if (exited && r.state == State::kExited) {
    return false;
  }
  r.state = State::kRunning;
  if (r.started == Time{}) r.started = status.started;
  if (phase_ == ContainerPhase::kIdle) phase_.apply(ContainerEvent::kFoundRunning);
  if (exited) on_exited(status);
  return !exited;
}

void ContainerWorker::end_lost_container() {
  ContainerRecord& r = record();
  if (r.state != State::kRunning || services().containers.status(r.id)) return;
  phase_.apply(ContainerEvent::kExited);
  r.state = State::kExited;
  r.startup_done = r.ready = false;
  r.ended = Termination{
      137,  0,         "ContainerStatusUnknown", "The container could not be located when the pod was looked at again",
      r.id, r.started, runtime().now()};
}

// A postStart hook that was interrupted runs once more: Kubernetes promises that a hook runs at least once.
void ContainerWorker::resume() {
  const ContainerRecord& r = record();
  auto image = services().images.find(r.image_id);
  if (!image) image = services().images.find(r.image);
  set_stop_signal(image ? image->config : Value());
  if (services().logs) services().logs->follow(log_path(r.attempt));
  if (r.must_restart || r.post_started) return start_prober();
  enter_running();
}

void ContainerWorker::begin_attempt(const std::string& id, int attempt) {
  ContainerRecord& r = record();
  if (r.state == State::kExited) r.last = r.ended;
  r.previous_id = r.id;
  r.id = id;
  r.attempt = attempt;
  r.waiting_reason.clear();
  r.waiting_message.clear();
  r.retry_at = {};
  r.post_started = r.startup_done = r.ready = r.must_restart = r.replace = false;
  r.started = {};
}

// The container has just been started: its log is followed, and the postStart hook runs before the probes.
void ContainerWorker::enter_running() {
  ContainerRecord& r = record();
  if (services().logs) services().logs->follow(log_path(r.attempt));
  r.ready = !has_probe(spec(), "readiness");
  if (!spec()["lifecycle"]["postStart"].is_null()) return run_post_start_hook();
  on_post_start_over();
}

void ContainerWorker::run_post_start_hook() {
  fault::step("pod.post_start");
  run_lifecycle_handler(spec()["lifecycle"]["postStart"], Duration::zero(),
                        [self = self(), id = record().id](const ProbeResult& result) {
                          if (!self->owner_.is_stopped()) self->on_post_start_done(id, result);
                        });
}

void ContainerWorker::on_post_start_done(const std::string& id, const ProbeResult& result) {
  const ContainerRecord& r = record();
  if (r.id != id || r.state != State::kRunning) return;
  if (!result.good) {
    emit_event("Warning", "FailedPostStartHook", "PostStartHook failed");
    return mark_for_restart("postStart");
  }
  fault::step("pod.post_start_over");
  on_post_start_over();
  owner_.request_sync();
}

void ContainerWorker::on_post_start_over() {
  ContainerRecord& r = record();
  r.post_started = true;
  r.startup_done = !has_probe(spec(), "startup");
  start_prober();
}

// Also for a container that an earlier agent started: ready and startup_done of the record hold until a probe of this
// agent changes them.
void ContainerWorker::start_prober() {
  const Value& container = spec();
  const ContainerRecord& r = record();
  const bool main_or_sidecar = !is_init() || api::is_sidecar(container);
  const bool any =
      has_probe(container, "startup") || has_probe(container, "readiness") || has_probe(container, "liveness");
  if (!main_or_sidecar || !any) return;
  Prober::Start start;
  start.container = container;
  start.container_id = r.id;
  start.pod_ip = owner_.context().record.ip;
  start.started = r.started;
  start.startup_passed = r.startup_done;
  start.ready = r.ready && has_probe(container, "readiness");
  start.eager = pod()["metadata"]["annotations"][kEagerProbes].as_string() != "false";
  start.liveness = !owner_.is_ending();
  prober_ = std::make_unique<Prober>(runtime(), services().probes, std::move(start), prober_callbacks());
}

// Results of probes of an earlier attempt are ignored.
Prober::Callbacks ContainerWorker::prober_callbacks() {
  auto current = [weak = std::weak_ptr(self()), id = record().id]() -> Self {
    auto self = weak.lock();
    if (!self || self->owner_.is_stopped() || self->record().id != id) return nullptr;
    return self;
  };
  Prober::Callbacks callbacks;
  callbacks.startup_passed = [current] {
    auto self = current();
    if (!self) return;
    self->record().startup_done = true;
    self->owner_.request_sync();
  };
  callbacks.readiness = [current](bool ready) {
    auto self = current();
    if (!self || self->record().ready == ready) return;
    self->record().ready = ready;
    self->owner_.request_sync();
  };
  callbacks.unhealthy = [current](const std::string& message) {
    if (auto self = current()) self->emit_event("Warning", "Unhealthy", message);
  };
  callbacks.warned = [current](const std::string& message) {
    if (auto self = current()) self->emit_event("Warning", "ProbeWarning", message);
  };
  callbacks.failed = [current](const std::string& kind) {
    if (auto self = current()) self->mark_for_restart(kind);
  };
  return callbacks;
}

// The container is to be stopped because it is not healthy; the restart policy decides whether it starts again.
void ContainerWorker::mark_for_restart(const std::string& cause) {
  ContainerRecord& r = record();
  if (r.state != State::kRunning || r.must_restart) return;
  restart_cause_ = cause;
  r.must_restart = true;
  r.ready = false;
  owner_.request_sync();
}

void ContainerWorker::run_lifecycle_handler(const Value& handler, Duration timeout, Function<void(ProbeResult)> done) {
  if (const Value& sleep = handler["sleep"]; !sleep.is_null()) {
    Duration length = std::chrono::seconds(sleep["seconds"].as_int());
    if (timeout > Duration::zero()) length = std::min(length, timeout);
    runtime().after(length, [done = std::move(done)] { done(ProbeResult{true, ""}); });
    return;
  }
  const Value& container = spec();
  ProbeTarget target{record().id, owner_.context().record.ip, &container, true};
  services().probes.run(handler, target, timeout, std::move(done));
}

void ContainerWorker::on_exited(const ContainerStatus& status) {
  fault::step("pod.container_exited");
  phase_.apply(ContainerEvent::kExited);
  prober_.reset();
  restart_cause_.clear();
  if (stop_timer_) runtime().cancel(std::exchange(stop_timer_, 0));
  record_termination(status);
  const int attempt = record().attempt;
  // The record is saved before the termination file and the container are removed: after a crash in between, a new
  // agent finds the exit code and the message in one place or the other.
  owner_.save_record();
  ::unlink(termination_file(attempt).c_str());
  if (services().logs) services().logs->forget(log_path(attempt));
  services().containers.remove_container(status.id, [](Status) {});
  // The logs of this attempt and the one before are kept.
  if (attempt >= 2) remove_log(attempt - 2);
}

void ContainerWorker::record_termination(const ContainerStatus& status) {
  ContainerRecord& r = record();
  r.state = State::kExited;
  r.ready = r.startup_done = r.must_restart = false;
  Termination& end = r.ended;
  end = Termination{};
  end.exit_code = status.exit_code;
  end.reason = status.oom_killed ? "OOMKilled" : status.exit_code == 0 ? "Completed" : "Error";
  end.container_id = status.id;
  end.started = r.started == Time{} ? status.started : r.started;
  end.finished = std::max(status.finished, end.started);
  end.message = termination_message(status.exit_code);
}

std::string ContainerWorker::termination_message(int exit_code) {
  const int attempt = record().attempt;
  auto text = read_start(termination_file(attempt), kLongestMessage);
  std::string message = text.ok() ? std::move(*text) : "";
  if (message.empty() && exit_code != 0 && spec()["terminationMessagePolicy"].as_string() == "FallbackToLogsOnError") {
    message = log_tail(log_path(attempt));
  }
  return message;
}

void ContainerWorker::remove_log(int attempt) {
  runtime().offload(
      [path = log_path(attempt)] {
        ::unlink(path.c_str());
        for (int n = 1; n < kMostLogFiles; ++n) ::unlink((path + "." + std::to_string(n)).c_str());
      },
      [] {});
}

void ContainerWorker::on_image_changed() {
  // The step of a start that is under way is dropped when it answers (on_image_outcome): it may be in its own callback.
  if (!is_starting(phase_)) image_step_.reset();
  record().retry_at = {};
}

void ContainerWorker::on_pod_ending() {
  if (prober_) prober_->keep_only_readiness();
}

void ContainerWorker::on_agent_stopping() {
  prober_.reset();
  if (stop_timer_) runtime().cancel(std::exchange(stop_timer_, 0));
}

}  // namespace berth::agent
