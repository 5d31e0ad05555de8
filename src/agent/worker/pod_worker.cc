#include "agent/worker/pod_worker.h"

#include <sys/stat.h>

#include <algorithm>

#include "agent/pod/container_lists.h"
#include "agent/pod/pod_admission.h"
#include "agent/pod/storage_limits.h"
#include "agent/spec/security.h"
#include "agent/worker/pod_hooks.h"
#include "api/metadata.h"
#include "api/object.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "client/event_recorder.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;

constexpr Duration kRestartAllPause = 2s;  // between two restarts of all containers of a pod
constexpr Duration kDeleteRetry = 1s;
// Starts of one pod's containers that are under way at a time, so that stops and the starts of other pods come in
// between. The sync after each of them begins the next.
constexpr int kMostStarts = 8, kMostEphemeralStarts = 4;

}  // namespace

PodWorker::PodWorker(std::shared_ptr<Services> services, Value pod, PodRecord record,
                     std::function<void(const std::string&)> finished)
    : services_(std::move(services)),
      record_(std::move(record)),
      context_{*services_, std::move(pod), record_, {}, {}, {}, {}, {}, {}, {}, {}, {}},
      finished_(std::move(finished)),
      hooks_(make_pod_hooks()) {
  if (record_.uid.empty()) {
    record_.uid = api::uid_of(context_.pod);
    record_.ns = api::namespace_of(context_.pod);
    record_.name = api::name_of(context_.pod);
  }
  context_.directory = services_->config.pods() + "/" + record_.uid;
  context_.memory = services_->config.memory() + "/pods/" + record_.uid;
  newest_revision_ = api::resource_version_number(context_.pod);
}

PodWorker::~PodWorker() { stop(); }

bool PodWorker::adopt(const ContainerStatus& status) { return container(status.name).adopt(status); }

void PodWorker::end_lost_containers() {
  for (const auto& [name, r] : record_.containers) container(name).end_lost_container();
}

void PodWorker::start() {
  phase_.apply(WorkerEvent::kStart);
  if (record_.started == Time{}) record_.started = runtime().now();
  admit();
  if (!record_.rejected) follow_references();
  for (const auto& [name, r] : record_.containers) {
    if (r.state == State::kRunning) container(name).resume();
  }
  check_log_sizes();
  request_sync();
}

void PodWorker::stop() {
  phase_.apply(WorkerEvent::kStop);
  for (TimerId* timer : {&sync_timer_, &status_timer_, &log_timer_}) {
    if (*timer) runtime().cancel(std::exchange(*timer, 0));
  }
  for (auto& [name, worker] : containers_) worker.on_agent_stopping();
  interests_.clear();
}

// Rejects the pod where the node cannot run it. Only before its surroundings are prepared for the first time: a pod
// that runs or ran has been admitted already.
void PodWorker::admit() {
  std::string_view phase = context_.pod["status"]["phase"].as_string("Pending");
  if (record_.prepared || object_deleted_ || !record_.failed_reason.empty() || phase != "Pending" ||
      api::is_terminating(context_.pod))
    return;
  if (auto rejection = reject_pod(context_.pod, services_->config.allowed_unsafe_sysctls, read_security_modules(),
                                  services_->check_fit))
    reject(rejection->reason, rejection->message);
}

void PodWorker::reject(const std::string& reason, const std::string& message) {
  record_.rejected = true;
  record_.failed_reason = reason;
  record_.failed_message = "Pod was rejected: " + message;
  emit_event("Warning", reason, message);
}

void PodWorker::on_update(const Value& pod) {
  auto revision = parse_int(api::resource_version_of(pod));
  // The answer to a write of the status may be newer than what the watch sends next.
  if (revision.ok() && *revision < newest_revision_) return;
  if (revision.ok()) {
    if (*revision > newest_revision_) ineffective_patch_ = nullptr;
    newest_revision_ = *revision;
  }
  const bool new_spec = context_.pod["spec"] != pod["spec"];
  const bool new_metadata = context_.pod["metadata"]["labels"] != pod["metadata"]["labels"] ||
                            context_.pod["metadata"]["annotations"] != pod["metadata"]["annotations"];
  const Value old_pod = std::exchange(context_.pod, pod);
  if (new_spec) {
    room_ = nullptr;
    follow_references();
    on_images_changed(old_pod);
  }
  if (new_metadata) refresh();
  request_sync();
}

void PodWorker::on_images_changed(const Value& old_pod) {
  for (const char* list : {"containers", "initContainers"}) {
    for (const Value& old : old_pod["spec"][list]) {
      const std::string name = old["name"].str();
      if (container_spec(context_.pod, name)["image"] != old["image"]) container(name).on_image_changed();
    }
  }
}

void PodWorker::on_deleted() {
  object_deleted_ = true;
  request_sync();
}

void PodWorker::on_clock_change() {
  refresh();
  request_sync();
}

void PodWorker::on_container_change(const ContainerStatus& status) {
  if (is_stopped()) return;
  const ContainerRecord& r = record_.at(status.name);
  // A container whose start has not been answered is in no record yet: the answer says whether it has ended.
  if (r.id != status.id || r.state != State::kRunning || status.state != ContainerState::kExited) return;
  container(status.name).on_exited(status);
  request_sync();
}

void PodWorker::evict(const std::string& message, bool for_the_node) {
  if (!may_be_evicted()) return;
  record_.failed_reason = "Evicted";
  record_.failed_message = message;
  record_.disruption = for_the_node;
  emit_event("Warning", "Evicted", message);
  request_sync();
}

bool PodWorker::takes_room() const {
  return phase_ != WorkerPhase::kCreated && !record_.rejected && !object_deleted_ && !record_.cleaned_up &&
         !api::is_pod_terminal(context_.pod);
}

bool PodWorker::may_be_evicted() const {
  return may_start_containers(phase_) && record_.failed_reason.empty() && !api::is_terminating(context_.pod) &&
         !is_critical(context_.pod);
}

StoragePaths PodWorker::storage_paths() const {
  StoragePaths out;
  for (const Value& volume : context_.pod["spec"]["volumes"]) {
    const Value& source = volume["emptyDir"];
    if (source.is_null() || source["medium"].as_string() == "Memory") continue;
    out.empty_dirs.push_back({volume["name"].str(), {empty_dir_path(context_.directory, volume["name"].str())}});
  }
  for (const auto& [name, r] : record_.containers) {
    const std::string log = log_path(name, 0);
    StoragePaths::Entry entry{name, {log.substr(0, log.rfind('/'))}};
    if (std::string layer = services_->containers.writable_layer(r.id); !r.id.empty() && !layer.empty())
      entry.paths.push_back(layer);
    out.containers.push_back(std::move(entry));
  }
  return out;
}

void PodWorker::request_sync() {
  if (is_stopped() || sync_posted_) return;
  sync_posted_ = true;
  runtime().post([self = shared_from_this()] {
    self->sync_posted_ = false;
    if (!self->is_stopped()) self->sync();
  });
}

// The order matters. A resize is considered first: the plan compares the resources in force with those granted. The
// record is saved before the status is written: after a crash, a new agent must not know less than the API. finish()
// comes last: the object is deleted only after the answer to the final status.
void PodWorker::sync() {
  if (phase_ == WorkerPhase::kDone) return;
  consider_resize();
  const PodPlan plan = make_plan();
  record_.initialized = plan.initialized;
  record_.restarting_all = plan.restart_all;
  if (plan.ending && !is_ending()) enter_ending();
  const bool ready = are_ready(surroundings_);
  if (!ready && !plan.ending) prepare();
  for (const auto& wait : plan.back_offs) report_back_off(wait);
  for (const auto& order : plan.stop) container(order.container).stop(order);
  // Containers that an earlier agent started run on meanwhile; new ones need what the hooks fill in.
  if (ready) start_containers(plan.start);
  apply_resize();
  if (plan.reset_containers) restart_all_containers();
  if (plan.clean_up) clean_up();
  set_sync_timer(plan.next_sync);
  save_record();
  write_status();
  finish();
}

PodPlan PodWorker::make_plan() {
  const PodPlan plan = plan_pod({context_.pod, record_, runtime().now(), object_deleted_});
  if (plan.fail_reason.empty()) return plan;
  record_.failed_reason = plan.fail_reason;
  record_.failed_message = plan.fail_message;
  emit_event("Normal", plan.fail_reason, plan.fail_message);
  return plan_pod({context_.pod, record_, runtime().now(), object_deleted_});
}

void PodWorker::enter_ending() {
  // The record of an earlier agent may say that there is nothing left to end.
  phase_.apply(record_.cleaned_up ? WorkerEvent::kFoundCleanedUp : WorkerEvent::kEnd);
  for (auto& [name, worker] : containers_) worker.on_pod_ending();
}

void PodWorker::set_sync_timer(const std::optional<Time>& due) {
  if (sync_timer_) runtime().cancel(std::exchange(sync_timer_, 0));
  if (!due) return;
  const Duration delay = std::max<Duration>(*due - runtime().now(), 1ms);
  sync_timer_ = runtime().after(delay, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->sync_timer_ = 0;
    self->request_sync();
  });
}

void PodWorker::start_containers(const std::vector<std::string>& names) {
  int mains = 0, ephemerals = 0;
  auto count_of = [&](const std::string& name) -> int& {
    return is_ephemeral_container(context_.pod, name) ? ephemerals : mains;
  };
  for (const auto& [name, worker] : containers_) {
    if (is_starting(worker.phase())) ++count_of(name);
  }
  for (const auto& name : names) {
    ContainerWorker& worker = container(name);
    int& count = count_of(name);
    if (worker.phase() != ContainerPhase::kIdle) continue;
    if (count >= (&count == &ephemerals ? kMostEphemeralStarts : kMostStarts)) continue;
    worker.start();
    if (is_starting(worker.phase())) ++count;
  }
}

// All containers have ended, and start again in the pod's present volumes, network and sandbox.
void PodWorker::restart_all_containers() {
  for (const auto& [name, worker] : containers_) {
    if (is_starting(worker.phase())) return;  // it is about to run, and has to end before all can restart
  }
  // Kubelet needs a second or two for it, which holds back a pod that asks for it again and again.
  const Time now = runtime().now(), from = std::max(now, record_.restarted_all + kRestartAllPause);
  for (const char* list : {"initContainers", "containers"}) {
    for (const Value& container : context_.pod["spec"][list]) {
      ContainerRecord& r = record_.containers[container["name"].str()];
      r.retry_at = from;
      if (r.attempt < 0) continue;
      r.state = State::kWaiting;
      r.last = Termination{
          137, 0, kRestartingAll, "The container is removed because RestartAllContainers in place", "", Time{}, Time{}};
      r.waiting_reason.clear();
      r.waiting_message.clear();
      r.back_off = {};
      r.ready = r.startup_done = r.must_restart = r.replace = false;
    }
  }
  record_.initialized = record_.restarting_all = false;
  record_.restarted_all = from;
  fault::step("pod.restart_all");
  request_sync();
}

void PodWorker::report_back_off(const PodPlan::BackOff& wait) {
  // A start that is under way has raised the delay of the one after it: nothing is held back now.
  if (is_starting(container(wait.container).phase())) return;
  ContainerRecord& r = record_.containers[wait.container];
  if (r.waiting_reason == "CrashLoopBackOff") return;
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wait.delay).count();
  std::string delay = seconds >= 60 ? std::to_string(seconds / 60) + "m" + std::to_string(seconds % 60) + "s"
                                    : std::to_string(seconds) + "s";
  r.waiting_reason = "CrashLoopBackOff";
  r.waiting_message =
      "back-off " + delay + " restarting failed container=" + wait.container + " pod=" + pod_in_messages(record_);
  emit_event("Warning", "BackOff",
             "Back-off restarting failed container " + wait.container + " in pod " + pod_in_messages(record_),
             wait.container);
}

void PodWorker::save_record() {
  std::string text = json::encode(to_json(record_));
  if (text == saved_record_) return;
  fault::step("pod.save");
  // On a memory file system: a few microseconds, and gone with the machine, as the containers are.
  if (auto written = write_file(services_->config.records() + "/" + record_.uid + ".json", text, 0600); !written.ok()) {
    log_warning("agent", "cannot save the record of a pod",
                {{"pod", pod_in_messages(record_)}, {"error", written.error().message}});
    return;
  }
  fault::step("pod.saved");
  saved_record_ = std::move(text);
}

// After the clean-up: deletes the object of a terminating pod, and ends the worker when the object is gone.
void PodWorker::finish() {
  if (phase_ != WorkerPhase::kCleanedUp) return;
  if (object_deleted_) return forget();
  // The deletion would overtake a status that is in flight.
  if (api::is_terminating(context_.pod) && status_write_ == CallPhase::kIdle) delete_object();
}

void PodWorker::delete_object() {
  phase_.apply(WorkerEvent::kDelete);
  fault::step("pod.delete");
  api::DeleteOptions options;
  options.grace_seconds = 0;
  options.uid = record_.uid;
  services_->client.remove(
      api::resources::kPods, api::Name{record_.ns, record_.name}, options,
      [self = shared_from_this()](Result<Value> answer) {
        if (self->is_stopped()) return;
        // kConflict: another pod has its name.
        if (answer.ok() || answer.failed_with(Code::kNotFound) || answer.failed_with(Code::kConflict))
          return self->forget();
        self->runtime().after(kDeleteRetry, [self] {
          if (self->is_stopped()) return;
          self->phase_.apply(WorkerEvent::kDeleteFailed);
          self->request_sync();
        });
      });
}

void PodWorker::forget() {
  phase_.apply(WorkerEvent::kForget);
  fault::step("pod.forget");
  const std::string logs = pod_log_directory(services_->config, record_);
  const std::string record = services_->config.records() + "/" + record_.uid + ".json";
  runtime().offload(
      // The record goes last: it is what makes a new agent remove the logs after a crash in between.
      [logs, record] {
        (void)remove_all(logs);
        fault::step("pod.logs_removed");
        (void)remove_all(record);
      },
      [self = shared_from_this()] {
        if (!self->is_stopped()) self->finished_(self->record_.uid);
      });
}

// conmon starts a new log at its limit by itself (LogFiles). A conmon that was started without a limit is told to here.
void PodWorker::check_log_sizes() {
  log_timer_ = runtime().after(services_->config.log_check, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || self->is_stopped() || self->phase_ == WorkerPhase::kDone) return;
    for (const auto& [name, r] : self->record_.containers) {
      if (r.state != State::kRunning) continue;
      struct stat at {};
      const std::string path = self->log_path(name, r.attempt);
      if (::stat(path.c_str(), &at) != 0 || at.st_size < 2 * self->services_->config.log_max_bytes) continue;
      self->services_->containers.reopen_log(r.id, [](Status) {});
    }
    self->check_log_sizes();
  });
}

void PodWorker::emit_event(std::string_view type, std::string_view reason, std::string_view message,
                           std::string_view container) {
  // Only the uid is known of a pod whose record is lost: it has no object that an event could be about.
  if (record_.name.empty()) return;
  std::string path;
  if (!container.empty())
    path = "spec." + std::string(container_list(context_.pod, container)) + "{" + std::string(container) + "}";
  services_->events.event(context_.pod, type, reason, message, path);
}

ContainerWorker& PodWorker::container(const std::string& name) {
  return containers_.try_emplace(name, static_cast<ContainerOwner&>(*this), name).first->second;
}

std::string PodWorker::log_path(const std::string& container, int attempt) const {
  return container_log_path(services_->config, record_, container, attempt);
}

bool PodWorker::is_idle() const {
  const bool waiting = sync_posted_ || surroundings_ == Surroundings::kPreparing ||
                       surroundings_ >= Surroundings::kRefreshing || phase_ == WorkerPhase::kCleaningUp ||
                       phase_ == WorkerPhase::kDeleting || status_write_ == CallPhase::kInFlight ||
                       resize_ == CallPhase::kInFlight;
  return !waiting && std::none_of(containers_.begin(), containers_.end(), [](const auto& c) {
    return is_starting(c.second.phase()) || is_stopping(c.second.phase());
  });
}

}  // namespace berth::agent
