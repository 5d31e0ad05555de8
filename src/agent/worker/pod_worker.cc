#include "agent/worker/pod_worker.h"

#include <algorithm>

#include "agent/logs/log_files.h"
#include "agent/pod/container_lists.h"
#include "agent/pod/pod_admission.h"
#include "agent/pod/pod_status.h"
#include "agent/pod/references.h"
#include "agent/pod/storage_limits.h"
#include "agent/worker/pod_hooks.h"
#include "api/object.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "client/event_recorder.h"

namespace berth::agent {

using State = ContainerRecord::State;

namespace {
constexpr Duration kRestartAllPause = 2s;  // between two beginnings of all containers of a pod
constexpr int kMostLastWrites = 5;         // of the status of a pod that is torn down: then it goes as it is
}  // namespace

PodWorker::PodWorker(std::shared_ptr<Services> services, Value pod, PodRecord record,
                     std::function<void(const std::string&)> finished)
    : services_(std::move(services)),
      record_(std::move(record)),
      context_{*services_, std::move(pod), record_, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}},
      finished_(std::move(finished)),
      hooks_(make_pod_hooks()) {
  if (record_.uid.empty()) {
    record_.uid = api::uid_of(context_.pod);
    record_.ns = api::namespace_of(context_.pod);
    record_.name = api::name_of(context_.pod);
  }
  context_.directory = services_->config.pods() + "/" + record_.uid;
  context_.memory = services_->config.memory() + "/pods/" + record_.uid;
  seen_revision_ =
      parse_int(api::resource_version_of(context_.pod)).ok() ? *parse_int(api::resource_version_of(context_.pod)) : 0;
}

PodWorker::~PodWorker() { stop(); }

void PodWorker::stop() {
  stopped_ = true;
  for (TimerId* timer : {&timer_, &status_timer_, &log_timer_}) {
    if (*timer) runtime().cancel(std::exchange(*timer, 0));
  }
  for (auto& [name, live] : live_) {
    live.prober.reset();
    if (live.stop_timer) runtime().cancel(std::exchange(live.stop_timer, 0));
  }
  interests_.clear();
  context_.poke = nullptr;
}

void PodWorker::begin() {
  context_.poke = [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->look();
  };
  if (record_.started == Time{}) record_.started = runtime().now();
  admit();
  admitted_ = !record_.rejected;
  if (!record_.rejected) follow_references();
  for (auto& [name, r] : record_.containers) {
    if (r.state != State::kRunning) continue;
    if (services_->logs) services_->logs->follow(log_path(name, r.attempt));
    go_on(name);
  }
  rotate_logs();
  look();
}

// Once, before anything is prepared: what runs or ran already has been admitted.
void PodWorker::admit() {
  std::string_view phase = context_.pod["status"]["phase"].as_string("Pending");
  if (record_.prepared || gone_ || !record_.failed_reason.empty() || phase != "Pending" ||
      api::is_terminating(context_.pod))
    return;
  auto no =
      reject_pod(context_.pod, services_->config.allowed_unsafe_sysctls, read_security_modules(), services_->unfit);
  if (!no) return;
  event("Warning", no->reason, no->message);
  record_.rejected = true;
  record_.failed_reason = no->reason;
  record_.failed_message = "Pod was rejected: " + no->message;
}

bool PodWorker::adopt(const ContainerStatus& status) {
  ContainerRecord& r = record_.containers[status.name];
  // Its end has been dealt with, and it is to begin anew.
  if (status.id == r.id && r.state == State::kWaiting && r.last && r.last->reason == kRestartingAll) return false;
  if (status.id != r.id) {
    // Started just before the old agent ended, and not written down any more.
    if (status.attempt <= r.attempt || status.state == ContainerState::kCreated) return false;
    begin_attempt(r, status.id, status.attempt);
  }
  if (status.state == ContainerState::kExited) {
    if (r.state != State::kExited) exited(status.name, status);
    return r.state != State::kExited;
  }
  r.state = State::kRunning;
  if (r.started == Time{}) r.started = status.started;
  return true;
}

void PodWorker::adopted() {
  for (auto& [name, r] : record_.containers) {
    if (r.state != State::kRunning || services_->containers.status(r.id)) continue;
    r.state = State::kExited;
    r.running_fully = r.ready = false;
    r.ended = Termination{137,
                          0,
                          "ContainerStatusUnknown",
                          "The container could not be located when the pod was looked at again",
                          r.id,
                          r.started,
                          runtime().now()};
  }
}

void PodWorker::update(const Value& pod) {
  auto revision = parse_int(api::resource_version_of(pod));
  if (revision.ok() && *revision < seen_revision_) return;  // our own write has told us of something newer
  if (revision.ok()) {
    if (*revision > seen_revision_) idle_patch_ = nullptr;
    seen_revision_ = *revision;
  }
  bool references = context_.pod["spec"] != pod["spec"];
  bool metadata = context_.pod["metadata"]["labels"] != pod["metadata"]["labels"] ||
                  context_.pod["metadata"]["annotations"] != pod["metadata"]["annotations"];
  Value before = std::exchange(context_.pod, pod);
  if (references) {
    room_ = nullptr;
    follow_references();
    images_changed(before);
  }
  if (metadata) refresh();
  look();
}

// A container that waits for an image that the spec names no more is tried with the new one at once.
void PodWorker::images_changed(const Value& before) {
  for (const char* field : {"containers", "initContainers"}) {
    for (const Value& old : before["spec"][field]) {
      std::string name = old["name"].str();
      if (spec_of(name)["image"] == old["image"]) continue;
      Live& live = live_[name];
      if (!live.starting) live.image.reset();
      record_.containers[name].retry_at = {};
    }
  }
}

void PodWorker::vanish() {
  gone_ = true;
  look();
}

void PodWorker::clock_moved() {
  refresh();
  look();
}

void PodWorker::container_changed(const ContainerStatus& status) {
  if (stopped_) return;
  auto found = record_.containers.find(status.name);
  if (found == record_.containers.end() || found->second.id != status.id) return;
  if (status.state == ContainerState::kExited && found->second.state == State::kRunning) {
    exited(status.name, status);
    look();
  }
}

void PodWorker::evict(const std::string& message, bool for_the_node) {
  if (stopped_ || !may_be_evicted()) return;
  record_.failed_reason = "Evicted";
  record_.failed_message = message;
  record_.disruption = for_the_node;
  event("Warning", "Evicted", message);
  look();
}

void PodWorker::reject(const std::string& reason, const std::string& message) {
  record_.rejected = true;
  record_.failed_reason = reason;
  record_.failed_message = "Pod was rejected: " + message;
  event("Warning", reason, message);
}

bool PodWorker::takes_room() const {
  return admitted_ && !gone_ && !record_.torn_down && !api::is_pod_terminal(context_.pod);
}

bool PodWorker::may_be_evicted() const {
  return !stopped_ && !ending_ && !done_ && record_.failed_reason.empty() && !api::is_terminating(context_.pod) &&
         !is_critical(context_.pod);
}

StoragePlaces PodWorker::storage_places() const {
  StoragePlaces out;
  for (const Value& volume : context_.pod["spec"]["volumes"]) {
    const Value& source = volume["emptyDir"];
    if (source.is_null() || source["medium"].as_string() == "Memory") continue;
    out.empty_dirs.push_back({volume["name"].str(), {empty_dir_path(context_.directory, volume["name"].str())}});
  }
  for (const auto& [name, r] : record_.containers) {
    std::string log = log_path(name, 0);
    StoragePlaces::Place place{name, {log.substr(0, log.rfind('/'))}};
    if (std::string layer = services_->containers.writable_layer(r.id); !r.id.empty() && !layer.empty())
      place.paths.push_back(layer);
    out.containers.push_back(std::move(place));
  }
  return out;
}

void PodWorker::look() {
  if (stopped_ || look_posted_) return;
  look_posted_ = true;
  runtime().post([self = shared_from_this()] {
    self->look_posted_ = false;
    if (!self->stopped_) self->sync();
  });
}

void PodWorker::sync() {
  if (done_) return;
  consider_resize();
  PodPlan plan = plan_pod({context_.pod, record_, runtime().now(), gone_});
  if (!plan.fail_reason.empty()) {
    record_.failed_reason = plan.fail_reason;
    record_.failed_message = plan.fail_message;
    event("Normal", plan.fail_reason, plan.fail_message);
    plan = plan_pod({context_.pod, record_, runtime().now(), gone_});
  }
  record_.initialized = plan.initialized;
  record_.restarting_all = plan.restart_all;
  if (plan.ending && !ending_) {
    ending_ = true;
    for (auto& [name, live] : live_) {
      if (live.prober) live.prober->only_readiness();
    }
  }
  bool unknown = record_.prepared && !surroundings_known_ && !plan.ending;
  if (plan.prepare || unknown) prepare();
  for (const auto& wait : plan.backing_off) back_off(wait);
  for (const auto& stop : plan.stop) stop_container(stop);
  if (!unknown) {
    start_containers(plan.start);
  }
  apply_resize();
  if (plan.reset) reset_containers();
  if (plan.tear_down) tear_down();
  if (timer_) runtime().cancel(std::exchange(timer_, 0));
  if (plan.look_again) {
    Duration delay = std::max<Duration>(*plan.look_again - runtime().now(), 1ms);
    timer_ = runtime().after(delay, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      self->timer_ = 0;
      self->look();
    });
  }
  save();
  write_status();
  finish();
}

// All containers have ended, and begin anew in what the pod has: its volumes, its network, its sandbox.
void PodWorker::reset_containers() {
  for (const auto& [name, live] : live_) {
    if (live.starting) return;  // it will be there in a moment, and has to end first
  }
  // Kubelet needs a second or two for it, which holds back what ends again and again.
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
      r.ready = r.running_fully = r.must_restart = r.replace = false;
    }
  }
  record_.initialized = record_.restarting_all = false;
  record_.restarted_all = from;
  fault::step("pod.restart_all");
  look();
}

// The surroundings, hook after hook. Failures are told as an event and tried again with growing delays.
void PodWorker::prepare() {
  if (preparing_ || tearing_down_) return;
  if (next_prepare_ > runtime().monotonic()) return;
  preparing_ = true;
  services_->containers.expect_container();
  run_hook(0);
}

void PodWorker::run_hook(std::size_t at) {
  if (at == hooks_.size()) {
    preparing_ = false;
    hook_failures_ = 0;
    record_.prepared = surroundings_known_ = true;
    return look();
  }
  hooks_[at]->prepare(context_, [self = shared_from_this(), at](std::optional<HookFailure> failure) {
    if (self->stopped_) return;
    fault::step("pod.prepare " + std::string(self->hooks_[at]->name()));
    if (failure) return self->hook_failed(*failure);
    // A pod that is to end meanwhile gets no more.
    if (self->ending_) {
      self->preparing_ = false;
      return self->look();
    }
    self->run_hook(at + 1);
  });
}

void PodWorker::hook_failed(const HookFailure& failure) {
  preparing_ = false;
  if (!failure.reason.empty()) {
    event("Warning", failure.reason, failure.message);
    Duration delay = std::min<Duration>(500ms * (1 << std::min(hook_failures_++, 8)), 122s);
    next_prepare_ = runtime().monotonic() + delay;
    runtime().after(delay, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->look();
    });
  }
  if (ending_) look();
}

// What the pod refers to has changed: its files are brought up to date.
void PodWorker::refresh() {
  if (stopped_ || ending_) return;
  for (auto& [name, r] : record_.containers) {
    if (r.waiting_reason == "CreateContainerConfigError") r.retry_at = {};
  }
  next_prepare_ = {};
  if (!surroundings_known_) return look();
  if (refreshing_) {
    refresh_again_ = true;
    return;
  }
  refreshing_ = true;
  auto left = std::make_shared<std::size_t>(hooks_.size());
  for (auto& hook : hooks_) {
    hook->update(context_, [self = shared_from_this(), left](std::optional<HookFailure> failure) {
      if (self->stopped_) return;
      if (failure && !failure->reason.empty()) self->event("Warning", failure->reason, failure->message);
      if (--*left > 0) return;
      self->refreshing_ = false;
      if (std::exchange(self->refresh_again_, false)) self->refresh();
      self->look();
    });
  }
}

void PodWorker::follow_references() {
  for (const auto& reference : references_of(context_.pod)) {
    if (!followed_.insert(reference).second) continue;
    interests_.push_back(services_->objects.follow(reference.first, reference.second, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->refresh();
    }));
  }
}

void PodWorker::tear_down() {
  if (tearing_down_ || preparing_) return;
  std::vector<std::string> ids;
  for (auto& [name, live] : live_) {
    if (live.in_runtime) return;  // its answer comes first
  }
  tearing_down_ = true;
  for (auto& [name, r] : record_.containers) {
    if (!r.id.empty()) ids.push_back(r.id);
  }
  remove_containers(std::move(ids));
}

void PodWorker::remove_containers(std::vector<std::string> ids) {
  auto left = std::make_shared<std::size_t>(ids.size() + 1);
  auto one_less = [self = shared_from_this(), left](Status) {
    if (--*left > 0 || self->stopped_) return;
    fault::step("pod.containers_removed");
    self->clean_up(self->hooks_.size());
  };
  for (const auto& id : ids) services_->containers.remove_container(id, one_less);
  one_less({});
}

// The hooks, backwards; `left` of them are still to be cleaned up.
void PodWorker::clean_up(std::size_t left) {
  if (left == 0) {
    tearing_down_ = false;
    record_.torn_down = true;
    if (services_->room_changed) services_->room_changed();
    return look();
  }
  hooks_[left - 1]->cleanup(context_, [self = shared_from_this(), left](std::optional<HookFailure> failure) {
    if (self->stopped_) return;
    fault::step("pod.clean_up " + std::string(self->hooks_[left - 1]->name()));
    if (!failure) return self->clean_up(left - 1);
    // Never given up: what is still mounted or running may not be called gone.
    self->event("Warning", failure->reason, failure->message);
    log_warning("agent", "cleaning up a pod failed",
                {{"pod", pod_in_messages(self->record_)},
                 {"hook", std::string(self->hooks_[left - 1]->name())},
                 {"error", failure->message}});
    self->runtime().after(1s, [self, left] {
      if (!self->stopped_) self->clean_up(left);
    });
  });
}

void PodWorker::back_off(const PodPlan::Wait& wait) {
  // A start that is under way has raised the delay of the one after it: nothing is held back now.
  if (auto live = live_.find(wait.container); live != live_.end() && live->second.starting) return;
  ContainerRecord& r = record_.containers[wait.container];
  if (r.waiting_reason == "CrashLoopBackOff") return;
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wait.delay).count();
  std::string delay = seconds >= 60 ? std::to_string(seconds / 60) + "m" + std::to_string(seconds % 60) + "s"
                                    : std::to_string(seconds) + "s";
  r.waiting_reason = "CrashLoopBackOff";
  r.waiting_message =
      "back-off " + delay + " restarting failed container=" + wait.container + " pod=" + pod_in_messages(record_);
  event("Warning", "BackOff",
        "Back-off restarting failed container " + wait.container + " in pod " + pod_in_messages(record_),
        wait.container);
}

void PodWorker::save() {
  std::string text = json::encode(to_json(record_));
  if (text == saved_) return;
  fault::step("pod.save");
  // A memory file system: a few microseconds, and gone with the machine, as the containers are.
  if (auto written = write_file(services_->config.records() + "/" + record_.uid + ".json", text, 0600); !written.ok()) {
    log_warning("agent", "cannot remember a pod",
                {{"pod", pod_in_messages(record_)}, {"error", written.error().message}});
    return;
  }
  fault::step("pod.saved");
  saved_ = std::move(text);
}

void PodWorker::write_status() {
  if (gone_ || deleting_) return;
  if (status_in_flight_) {
    status_again_ = true;
    return;
  }
  bool running = std::any_of(record_.containers.begin(), record_.containers.end(),
                             [](const auto& c) { return c.second.state == State::kRunning; });
  bool starting = std::any_of(live_.begin(), live_.end(), [](const auto& l) { return l.second.in_runtime; });
  StatusInput input{
      context_.pod,   record_, runtime().now(), services_->config.node_ip, ending_ && !running && !starting,
      most_ephemeral_};
  Value patch = status_patch(context_.pod, make_pod_status(input));
  if (patch.is_null() || patch == idle_patch_) return;
  if (record_.torn_down && api::is_terminating(context_.pod) && ++last_writes_ > kMostLastWrites) return;
  status_in_flight_ = true;
  sent_patch_ = patch;
  fault::step("pod.status");
  services_->client.patch(api::resources::kPods, api::Name{record_.ns, record_.name}, api::PatchType::kStrategic,
                          std::move(patch), api::WriteOptions{"status", "kubelet"},
                          [self = shared_from_this()](Result<Value> answer) {
                            if (!self->stopped_) self->status_written(std::move(answer));
                          });
}

void PodWorker::status_written(Result<Value> answer) {
  fault::step("pod.status_written");
  status_in_flight_ = false;
  bool again = std::exchange(status_again_, false);
  if (answer.ok()) {
    if (api::uid_of(*answer) == record_.uid) {
      if (api::resource_version_of(*answer) == api::resource_version_of(context_.pod))
        idle_patch_ = std::move(sent_patch_);
      update(*answer);
    }
    return look();
  }
  Code code = answer.error().code;
  if (code == Code::kNotFound || code == Code::kConflict) {
    // It has gone, or another pod has its name: the watch tells. Not tried again without news.
    if (again || code == Code::kConflict)
      log_debug("agent", "status not written", {{"pod", pod_in_messages(record_)}, {"error", answer.error().message}});
    return;
  }
  if (code == Code::kTooLarge && shorten_status()) return look();
  log_warning("agent", "status not written", {{"pod", pod_in_messages(record_)}, {"error", answer.error().message}});
  if (status_timer_) runtime().cancel(status_timer_);
  status_timer_ = runtime().after(1s, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->status_timer_ = 0;
    self->look();
  });
}

// With fewer statuses of ephemeral containers, the newest. False where it is not because of them.
bool PodWorker::shorten_status() {
  const std::size_t told = std::min(most_ephemeral_, context_.pod["spec"]["ephemeralContainers"].size());
  if (told == 0) return false;
  most_ephemeral_ = told / 4;
  last_writes_ = 0;
  return true;
}

// Nothing runs and nothing is left: the object may go, and then the worker.
void PodWorker::finish() {
  if (!record_.torn_down || done_ || deleting_) return;
  if (!gone_ && (!api::is_terminating(context_.pod) || status_in_flight_)) return;
  auto forget = [self = shared_from_this()] {
    self->done_ = true;
    fault::step("pod.forget");
    const AgentConfig& config = self->services_->config;
    std::string logs = config.logs() + "/" + self->record_.ns + "_" + self->record_.name + "_" + self->record_.uid;
    std::string record = config.records() + "/" + self->record_.uid + ".json";
    self->runtime().offload(
        [logs, record] {
          (void)remove_all(logs);
          fault::step("pod.logs_removed");
          (void)remove_all(record);
        },
        [self] {
          if (!self->stopped_) self->finished_(self->record_.uid);
        });
  };
  if (gone_) return forget();
  deleting_ = true;
  fault::step("pod.delete");
  api::DeleteOptions options;
  options.grace_seconds = 0;
  options.uid = record_.uid;
  services_->client.remove(
      api::resources::kPods, api::Name{record_.ns, record_.name}, options,
      [self = shared_from_this(), forget](Result<Value> answer) {
        if (self->stopped_ || self->done_) return;
        if (answer.ok() || answer.failed_with(Code::kNotFound) || answer.failed_with(Code::kConflict)) return forget();
        self->runtime().after(1s, [self] {
          self->deleting_ = false;
          self->look();
        });
      });
}

void PodWorker::event(std::string_view type, std::string_view reason, std::string_view message,
                      std::string_view container) {
  if (record_.name.empty()) return;  // of a pod of which nobody knows more than that it was here
  std::string path;
  if (!container.empty()) path = "spec." + std::string(list_of(container)) + "{" + std::string(container) + "}";
  services_->events.event(context_.pod, type, reason, message, path);
}

const Value& PodWorker::spec_of(std::string_view container) const {
  static const Value none;
  for (const char* field : kContainerLists) {
    for (const Value& c : context_.pod["spec"][field]) {
      if (c["name"].as_string() == container) return c;
    }
  }
  return none;
}

std::string_view PodWorker::list_of(std::string_view container) const {
  for (const char* field : kContainerLists) {
    for (const Value& c : context_.pod["spec"][field]) {
      if (c["name"].as_string() == container) return field;
    }
  }
  return "containers";
}

std::string PodWorker::log_path(const std::string& container, int attempt) const {
  return services_->config.logs() + "/" + record_.ns + "_" + record_.name + "_" + record_.uid + "/" + container + "/" +
         std::to_string(attempt) + ".log";
}

std::string PodWorker::termination_file(const std::string& container, int attempt) const {
  return written_files(context_.memory) + "/termination-" + container + "-" + std::to_string(attempt);
}

bool PodWorker::idle() const {
  if (look_posted_ || resize_under_way_ || preparing_ || tearing_down_ || status_in_flight_ || deleting_ || refreshing_)
    return false;
  return std::none_of(live_.begin(), live_.end(), [](const auto& l) { return l.second.starting || l.second.stopping; });
}

}  // namespace berth::agent
