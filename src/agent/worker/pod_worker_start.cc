// How a pod worker starts a container: image, configuration, run, postStart, probes.

#include <signal.h>

#include <algorithm>

#include "agent/logs/log_files.h"
#include "agent/pod/env_files.h"
#include "agent/pod/environment.h"
#include "agent/pod/pod_admission.h"
#include "agent/pod/resize.h"
#include "agent/pod/resources.h"
#include "agent/pod/security.h"
#include "agent/runtime/mounts.h"
#include "agent/worker/mounts_of_container.h"
#include "agent/worker/pod_worker.h"
#include "api/object.h"
#include "base/fault.h"
#include "base/fs/rooted_dir.h"
#include "base/text.h"
#include "client/informer.h"

namespace berth::agent {
namespace {

constexpr Duration kConfigRetry = 10s;
// Starts of one pod's containers that are under way at a time, so that stops and the starts of other pods come in
// between. sync() begins the next when one of them is over.
constexpr int kMostStarts = 8, kMostEphemeralStarts = 4;
constexpr const char* kEagerProbes = "berth.dev/eager-probes";

std::string new_container_id(Runtime& runtime) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) {
    std::uint64_t word = runtime.random();
    bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return hex_encode(bytes);
}

int signal_number(std::string_view name) {
  auto number = parse_int(name);
  // An image may name any number.
  if (number.ok()) return *number > 0 && *number <= SIGRTMAX ? static_cast<int>(*number) : SIGTERM;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  struct Known {
    std::string_view name;
    int number;
  };
  static constexpr Known kKnown[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"ABRT", SIGABRT},
                                     {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},   {"TERM", SIGTERM},
                                     {"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"WINCH", SIGWINCH}, {"ALRM", SIGALRM},
                                     {"PWR", SIGPWR}};
  for (const auto& known : kKnown) {
    if (known.name == name) return known.number;
  }
  if (name.starts_with("RTMIN+")) {
    auto offset = parse_int(name.substr(6));
    if (offset.ok() && *offset >= 0 && *offset <= SIGRTMAX - SIGRTMIN) return SIGRTMIN + static_cast<int>(*offset);
  }
  return SIGTERM;
}

// Of several names of one image the one that the spec uses.
std::string shown_image(const Image& image, const std::string& wanted) {
  if (image.tags.empty()) return wanted;
  auto whole = normalize_reference(wanted);
  bool known = whole.ok() && std::find(image.tags.begin(), image.tags.end(), *whole) != image.tags.end();
  return known ? *whole : image.tags.front();
}

}  // namespace

void PodWorker::start_containers(const std::vector<std::string>& names) {
  int starts = 0, ephemeral = 0;
  for (const auto& [name, live] : live_) {
    if (live.starting) ++(is_ephemeral(name) ? ephemeral : starts);
  }
  for (const auto& name : names) {
    auto live = live_.find(name);
    if (live != live_.end() && live->second.starting) continue;
    int& count = is_ephemeral(name) ? ephemeral : starts;
    if (count >= (&count == &ephemeral ? kMostEphemeralStarts : kMostStarts)) continue;
    start_container(name);
    if (live_[name].starting) ++count;
  }
}

void PodWorker::start_container(const std::string& name) {
  Live& live = live_[name];
  if (live.starting || live.stopping || !surroundings_known_) return;
  live.starting = true;
  if (!live.image) live.image = std::make_unique<ImageStep>();
  live.wanted_image = spec_of(name)["image"].str();
  auto tell = [self = shared_from_this(), name](std::string_view type, std::string_view reason,
                                                std::string_view message) {
    if (!self->stopped_) self->event(type, reason, message, name);
  };
  live.image->run(context_, spec_of(name), tell, [self = shared_from_this(), name](ImageStep::Outcome outcome) {
    if (!self->stopped_) self->image_ready(name, std::move(outcome));
  });
}

void PodWorker::image_ready(const std::string& name, ImageStep::Outcome outcome) {
  if (ending_) {
    live_[name].starting = false;
    return look();
  }
  Live& live = live_[name];
  if (live.wanted_image != spec_of(name)["image"].as_string()) {  // changed meanwhile
    live.starting = false;
    runtime().post([step = std::move(live.image)] {});  // it is in its own callback
    return look();
  }
  if (outcome.image) return read_env_files(name, outcome.image);
  live.starting = false;
  ContainerRecord& r = record_.containers[name];
  r.waiting_reason = outcome.reason;
  r.waiting_message = outcome.message;
  r.retry_at = outcome.retry_at;
  look();
}

// Files that variables come from. A container may have put anything there: read on the pool, in bounds, from inside the
// volume only.
void PodWorker::read_env_files(const std::string& name, std::shared_ptr<const Image> image) {
  using Read = std::vector<std::pair<std::string, Result<std::string>>>;
  std::vector<std::pair<EnvFile, std::string>> wanted;  // with the volume's place
  for (const EnvFile& file : env_files_of(spec_of(name))) {
    if (auto volume = context_.volumes.find(file.volume); volume != context_.volumes.end())
      wanted.emplace_back(file, volume->second.path);
  }
  if (wanted.empty()) return run_with_image(name, std::move(image));
  auto read = std::make_shared<Read>();
  auto work = [wanted, read] {
    for (const auto& [file, root] : wanted) {
      auto directory = RootedDir::open(root);
      read->emplace_back(file.key(), directory.ok() ? directory->read_file(file.path, kMostEnvFile)
                                                    : Result<std::string>(directory.error()));
    }
  };
  runtime().offload(work, [self = shared_from_this(), name, image, read] {
    if (self->stopped_) return;
    if (self->ending_) {
      self->live_[name].starting = false;
      return self->look();
    }
    for (auto& [key, text] : *read) self->context_.env_files.insert_or_assign(key, std::move(text));
    self->run_with_image(name, image);
  });
}

void PodWorker::config_error(const std::string& name, const Error& why) {
  live_[name].starting = false;
  ContainerRecord& r = record_.containers[name];
  r.retry_at = runtime().now() + kConfigRetry;
  if (why.code != Code::kUnavailable) {
    // Not yet known objects are no error; their arrival pokes the worker.
    r.waiting_reason = why.code == Code::kInternal ? "CreateContainerError" : "CreateContainerConfigError";
    r.waiting_message = why.message;
    event("Warning", "Failed", "Error: " + why.message, name);
  } else {
    r.waiting_reason.clear();
    r.retry_at = runtime().now() + 1s;
  }
  look();
}

Status PodWorker::fill_spec(const Value& container, const Image& image, const ImageUsers& users, ContainerSpec& spec,
                            std::vector<SubPath>& sub_paths) {
  std::vector<Value> services;
  if (services_->cluster_services) {
    services = services_->cluster_services->list(record_.ns);
    if (record_.ns != "default") {
      const Value& master = services_->cluster_services->get("default", "kubernetes");
      if (!master.is_null()) services.push_back(master);
    }
  }
  BERTH_ASSIGN(Variables variables, container_variables(context_, container, services));
  CommandLine line = command_line(container, image.config, variables, context_.hostname);
  if (line.args.empty()) return error(Code::kInvalid, "no command specified");
  spec.args = std::move(line.args);
  spec.env = std::move(line.env);
  spec.working_directory = std::move(line.working_directory);
  BERTH_TRY(resolve_security(context_.pod, container, image.config, users, pod_in_messages(record_), spec));
  BERTH_ASSIGN(ContainerMounts mounts,
               container_mounts(context_, container, variables, termination_file(spec.name, spec.attempt)));
  spec.mounts = std::move(mounts.mounts);
  sub_paths = std::move(mounts.sub_paths);
  if (is_ephemeral(spec.name)) BERTH_TRY(fill_ephemeral(container, spec));
  spec.limits = container_limits(container);
  spec.oom_score_adj = oom_score(granted_pod(), container, node_memory_bytes());
  spec.tty = container["tty"].as_bool();
  spec.stdin_open = container["stdin"].as_bool();
  spec.stdin_once = container["stdinOnce"].as_bool();
  for (auto layer = image.layers.rbegin(); layer != image.layers.rend(); ++layer) {
    if (!spec.rootfs_layers.empty()) spec.rootfs_layers += ":";
    spec.rootfs_layers += overlay_option(*layer);
  }
  return {};
}

// What only ephemeral containers have: a target. And what was looked at when the pod came, without them.
Status PodWorker::fill_ephemeral(const Value& container, ContainerSpec& spec) const {
  if (auto no = reject_pod(context_.pod, services_->config.allowed_unsafe_sysctls, read_security_modules()))
    return error(Code::kInvalid, no->message);
  if (!container["volumeDevices"].empty())
    return error(Code::kInvalid, "this node does not support raw block devices (volumeDevices)");
  std::string target = container["targetContainerName"].str();
  if (target.empty()) return {};
  const ContainerRecord& r = record_.at(target);
  if (r.state != ContainerRecord::State::kRunning)
    return error(Code::kInvalid, "unable to find target container " + quoted(target));
  spec.processes_of = r.id;
  return {};
}

void PodWorker::run_with_image(const std::string& name, std::shared_ptr<const Image> image) {
  if (!needs_image_users(context_.pod, spec_of(name), image->config)) return configure(name, image, {});
  auto users = std::make_shared<Result<ImageUsers>>(error(Code::kInternal, "not run"));
  runtime().offload([users, layers = image->layers] { *users = read_image_users(layers); },
                    [self = shared_from_this(), name, image, users] {
                      if (self->stopped_) return;
                      if (!users->ok() && !self->ending_) return self->config_error(name, users->error());
                      if (!self->ending_) return self->configure(name, image, **users);
                      self->live_[name].starting = false;
                      self->look();
                    });
}

void PodWorker::configure(const std::string& name, std::shared_ptr<const Image> image, const ImageUsers& users) {
  Value container = spec_of(name);
  const Value resources = granted_to(record_, container);
  if (resources.is_object()) container.set("resources", resources);
  live_[name].resources = resources;
  ContainerRecord& r = record_.containers[name];
  ContainerSpec spec;
  spec.id = new_container_id(runtime());
  spec.pod_uid = record_.uid;
  spec.pod_ns = record_.ns;
  spec.pod_name = record_.name;
  spec.name = name;
  spec.attempt = r.attempt + 1;
  spec.log_path = log_path(name, spec.attempt);
  spec.log_limit = services_->config.log_max_bytes;
  std::vector<SubPath> sub_paths;
  if (auto filled = fill_spec(container, *image, users, spec, sub_paths); !filled.ok())
    return config_error(name, filled.error());
  live_[name].in_runtime = true;
  if (sub_paths.empty()) return run_configured(name, *image, std::move(spec));
  blocking(
      runtime(), [sub_paths = std::move(sub_paths)] { return bind_sub_paths(sub_paths); },
      [self = shared_from_this(), name, image, spec = std::move(spec)](Status bound) mutable {
        if (self->stopped_) return;
        if (bound.ok() && !self->ending_) return self->run_configured(name, *image, std::move(spec));
        self->live_[name].in_runtime = false;
        if (!self->ending_) return self->config_error(name, bound.error());
        self->live_[name].starting = false;
        self->look();
      });
}

void PodWorker::run_configured(const std::string& name, const Image& image, ContainerSpec spec) {
  const Value& container = spec_of(name);
  ContainerRecord& r = record_.containers[name];
  Live& live = live_[name];
  live.stop_signal = SIGTERM;
  std::string stop_signal = container["lifecycle"]["stopSignal"].str(image.config["StopSignal"].as_string());
  if (!stop_signal.empty()) live.stop_signal = signal_number(stop_signal);
  r.image = shown_image(image, live.wanted_image);
  r.image_id = image.digests.empty() ? image.id : image.digests.front();
  r.spec_image = live.wanted_image;
  if (r.state == ContainerRecord::State::kExited) raise_back_off(r, runtime().now());
  fault::step("pod.container_run");
  services_->containers.run_container(spec, [self = shared_from_this(), name, spec](Result<ContainerStatus> result) {
    if (!self->stopped_) self->started(name, spec, std::move(result));
  });
}

void PodWorker::begin_attempt(ContainerRecord& r, const std::string& id, int attempt) {
  if (r.state == ContainerRecord::State::kExited) r.last = r.ended;
  r.previous_id = r.id;
  r.id = id;
  r.attempt = attempt;
  r.waiting_reason.clear();
  r.waiting_message.clear();
  r.retry_at = {};
  r.post_started = r.running_fully = r.ready = r.must_restart = r.replace = false;
  r.started = {};
}

void PodWorker::started(const std::string& name, const ContainerSpec& spec, Result<ContainerStatus> result) {
  Live& live = live_[name];
  live.starting = live.in_runtime = false;
  fault::step("pod.container_started");
  ContainerRecord& r = record_.containers[name];
  begin_attempt(r, spec.id, spec.attempt);
  if (!result.ok()) {
    r.state = ContainerRecord::State::kExited;
    r.ended = Termination{128, 0, "StartError", result.error().message, spec.id, Time{}, runtime().now()};
    if (!is_ephemeral(name)) {
      r.waiting_reason = "RunContainerError";
      r.waiting_message = result.error().message;
    }
    event("Normal", "Created", "Container created", name);
    event("Warning", "Failed", "Error: " + result.error().message, name);
    return look();
  }
  r.state = ContainerRecord::State::kRunning;
  r.started = result->started;
  r.in_force = live.resources;
  r.uid = spec.uid;
  r.gid = spec.gid;
  r.groups = spec.groups;
  event("Normal", "Created", "Container created", name);
  event("Normal", "Started", "Container started", name);
  now_running(name);
  if (result->state == ContainerState::kExited) exited(name, *result);
  look();
}

void PodWorker::now_running(const std::string& name) {
  const Value& container = spec_of(name);
  ContainerRecord& r = record_.containers[name];
  if (services_->logs) services_->logs->follow(log_path(name, r.attempt));
  r.ready = !has_probe(container, "readiness");
  if (!container["lifecycle"]["postStart"].is_null()) return post_start(name);
  post_started(name);
}

// After a restart of the agent: what the one before began with a container and did not finish is done again. A hook
// that was interrupted runs once more, as Kubernetes says of hooks.
void PodWorker::go_on(const std::string& name) {
  const ContainerRecord& r = record_.containers[name];
  if (r.must_restart || ending_) return watch_health(name);
  if (!r.post_started) return now_running(name);
  watch_health(name);
}

void PodWorker::post_started(const std::string& name) {
  ContainerRecord& r = record_.containers[name];
  r.post_started = true;
  r.running_fully = !has_probe(spec_of(name), "startup");
  watch_health(name);
}

void PodWorker::post_start(const std::string& name) {
  live_[name].post_start_running = true;
  std::string id = record_.containers[name].id;
  fault::step("pod.post_start");
  run_lifecycle(spec_of(name)["lifecycle"]["postStart"], name, Duration::zero(),
                [self = shared_from_this(), name, id](ProbeResult result) {
                  if (self->stopped_) return;
                  self->live_[name].post_start_running = false;
                  ContainerRecord& r = self->record_.containers[name];
                  if (r.id != id || r.state != ContainerRecord::State::kRunning) return;
                  if (!result.good) {
                    self->event("Warning", "FailedPostStartHook", "PostStartHook failed", name);
                    return self->condemn(name, "postStart");
                  }
                  fault::step("pod.post_start_over");
                  self->post_started(name);
                  self->look();
                });
}

// Also for containers that an earlier agent started: what it had found holds until a probe says otherwise.
void PodWorker::watch_health(const std::string& name) {
  const Value& container = spec_of(name);
  ContainerRecord& r = record_.containers[name];
  bool main_or_sidecar = !is_init(name) || is_sidecar(container);
  bool any = has_probe(container, "startup") || has_probe(container, "readiness") || has_probe(container, "liveness");
  if (!main_or_sidecar || !any) return;
  std::string id = r.id;
  Prober::Callbacks callbacks;
  auto current = [weak = weak_from_this(), name, id]() -> std::shared_ptr<PodWorker> {
    auto self = weak.lock();
    if (!self || self->stopped_ || self->record_.containers[name].id != id) return nullptr;
    return self;
  };
  callbacks.startup_passed = [current, name] {
    auto self = current();
    if (!self) return;
    self->record_.containers[name].running_fully = true;
    self->look();
  };
  callbacks.readiness = [current, name](bool ready) {
    auto self = current();
    if (!self || self->record_.containers[name].ready == ready) return;
    self->record_.containers[name].ready = ready;
    self->look();
  };
  callbacks.unhealthy = [current, name](const std::string& message) {
    if (auto self = current()) self->event("Warning", "Unhealthy", message, name);
  };
  callbacks.warned = [current, name](const std::string& message) {
    if (auto self = current()) self->event("Warning", "ProbeWarning", message, name);
  };
  callbacks.failed = [current, name](const std::string& kind) {
    if (auto self = current()) self->condemn(name, kind);
  };
  Prober::Start start;
  start.container = container;
  start.container_id = id;
  start.pod_ip = record_.ip;
  start.started = r.started;
  start.startup_passed = r.running_fully;
  start.ready = r.ready && has_probe(container, "readiness");
  start.eager = context_.pod["metadata"]["annotations"][kEagerProbes].as_string() != "false";
  start.liveness = !ending_;
  live_[name].prober = std::make_unique<Prober>(runtime(), services_->probes, std::move(start), std::move(callbacks));
}

}  // namespace berth::agent
