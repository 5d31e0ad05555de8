// How a ContainerWorker starts its container: image, configuration, the runtime.

#include <signal.h>

#include <algorithm>

#include "agent/mounts/mounts.h"
#include "agent/pod/container_lists.h"
#include "agent/pod/pod_admission.h"
#include "agent/pod/resize.h"
#include "agent/spec/env_files.h"
#include "agent/spec/environment.h"
#include "agent/spec/resources.h"
#include "agent/worker/container_worker.h"
#include "agent/worker/mounts_of_container.h"
#include "base/fault.h"
#include "base/fs/rooted_dir.h"
#include "base/text.h"
#include "client/informer.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;

constexpr Duration kConfigRetry = 10s;
constexpr Duration kUnknownObjectRetry = 1s;

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
  struct Signal {
    std::string_view name;
    int number;
  };
  static constexpr Signal kSignals[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"ABRT", SIGABRT},
                                        {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},   {"TERM", SIGTERM},
                                        {"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"WINCH", SIGWINCH}, {"ALRM", SIGALRM},
                                        {"PWR", SIGPWR}};
  for (const auto& signal : kSignals) {
    if (signal.name == name) return signal.number;
  }
  if (name.starts_with("RTMIN+")) {
    auto offset = parse_int(name.substr(6));
    if (offset.ok() && *offset >= 0 && *offset <= SIGRTMAX - SIGRTMIN) return SIGRTMIN + static_cast<int>(*offset);
  }
  return SIGTERM;
}

// The image's name for the status: the requested one if the image has it, otherwise its first.
std::string image_in_status(const Image& image, const std::string& requested) {
  if (image.tags.empty()) return requested;
  auto normal = normalize_reference(requested);
  bool tagged = normal.ok() && std::find(image.tags.begin(), image.tags.end(), *normal) != image.tags.end();
  return tagged ? *normal : image.tags.front();
}

std::string overlay_layers(const Image& image) {
  std::string out;
  for (auto layer = image.layers.rbegin(); layer != image.layers.rend(); ++layer) {
    if (!out.empty()) out += ":";
    out += overlay_option(*layer);
  }
  return out;
}

// The services that the container's environment names: those of the pod's namespace, and the API's own.
std::vector<Value> services_in_environment(const Services& services, const std::string& ns) {
  if (!services.cluster_services) return {};
  std::vector<Value> out = services.cluster_services->list(ns);
  if (ns != "default") {
    const Value& api_server = services.cluster_services->get("default", "kubernetes");
    if (!api_server.is_null()) out.push_back(api_server);
  }
  return out;
}

}  // namespace

void ContainerWorker::start() {
  phase_.apply(ContainerEvent::kStart);
  if (!image_step_) image_step_ = std::make_unique<ImageStep>();
  requested_image_ = spec()["image"].str();
  auto emit = [self = self()](std::string_view type, std::string_view reason, std::string_view message) {
    if (!self->owner_.is_stopped()) self->emit_event(type, reason, message);
  };
  image_step_->run(owner_.context(), spec(), emit, [self = self()](ImageStep::Outcome outcome) {
    if (!self->owner_.is_stopped()) self->on_image_outcome(std::move(outcome));
  });
}

void ContainerWorker::abandon_start() {
  phase_.apply(ContainerEvent::kStartAbandoned);
  owner_.request_sync();
}

void ContainerWorker::on_image_outcome(ImageStep::Outcome outcome) {
  if (owner_.is_ending()) return abandon_start();
  if (requested_image_ != spec()["image"].as_string()) {
    // The spec names another image by now, whose failures are counted from zero. The step is in its own callback:
    // destroy it later.
    runtime().post([step = std::move(image_step_)] {});
    return abandon_start();
  }
  if (outcome.image) {
    phase_.apply(ContainerEvent::kImageReady);
    return read_env_files(outcome.image);
  }
  phase_.apply(ContainerEvent::kStartFailed);
  ContainerRecord& r = record();
  r.waiting_reason = outcome.reason;
  r.waiting_message = outcome.message;
  r.retry_at = outcome.retry_at;
  owner_.request_sync();
}

// Files that variables come from. A container may have put anything there: they are read on the pool, in bounds, and
// from inside the volume only.
void ContainerWorker::read_env_files(std::shared_ptr<const Image> image) {
  using Texts = std::vector<std::pair<std::string, Result<std::string>>>;
  std::vector<std::pair<EnvFile, std::string>> files;  // with the root of the volume
  for (const EnvFile& file : env_files_of(spec())) {
    const auto& volumes = owner_.context().volumes;
    if (auto volume = volumes.find(file.volume); volume != volumes.end()) files.emplace_back(file, volume->second.path);
  }
  if (files.empty()) return read_users(std::move(image));
  auto texts = std::make_shared<Texts>();
  auto work = [files, texts] {
    for (const auto& [file, root] : files) {
      auto directory = RootedDir::open(root);
      texts->emplace_back(file.key(), directory.ok() ? directory->read_file(file.path, kMostEnvFile)
                                                     : Result<std::string>(directory.error()));
    }
  };
  runtime().offload(work, [self = self(), image, texts] {
    if (self->owner_.is_stopped()) return;
    if (self->owner_.is_ending()) return self->abandon_start();
    for (auto& [key, text] : *texts) self->owner_.context().env_files.insert_or_assign(key, std::move(text));
    self->read_users(image);
  });
}

// The image's /etc/passwd and /etc/group, where the container's user is given by name.
void ContainerWorker::read_users(std::shared_ptr<const Image> image) {
  if (!needs_image_users(pod(), spec(), image->config)) return configure(image, {});
  auto users = std::make_shared<Result<ImageUsers>>(error(Code::kInternal, "not run"));
  runtime().offload([users, layers = image->layers] { *users = read_image_users(layers); },
                    [self = self(), image, users] {
                      if (self->owner_.is_stopped()) return;
                      if (self->owner_.is_ending()) return self->abandon_start();
                      if (!users->ok()) return self->on_config_error(users->error());
                      self->configure(image, **users);
                    });
}

void ContainerWorker::configure(std::shared_ptr<const Image> image, const ImageUsers& users) {
  const PodRecord& pod_record = owner_.context().record;
  Value container = spec();
  requested_resources_ = granted_to(pod_record, container);
  if (requested_resources_.is_object()) container.set("resources", requested_resources_);
  ContainerSpec spec;
  spec.id = new_container_id(runtime());
  spec.pod_uid = pod_record.uid;
  spec.pod_ns = pod_record.ns;
  spec.pod_name = pod_record.name;
  spec.name = name_;
  spec.attempt = record().attempt + 1;
  spec.log_path = log_path(spec.attempt);
  spec.log_limit = services().config.log_max_bytes;
  std::vector<SubPath> sub_paths;
  if (auto filled = fill_spec(container, *image, users, spec, sub_paths); !filled.ok())
    return on_config_error(filled.error());
  phase_.apply(ContainerEvent::kConfigured);
  if (sub_paths.empty()) return run(*image, std::move(spec));
  blocking(
      runtime(), [sub_paths = std::move(sub_paths)] { return bind_sub_paths(sub_paths); },
      [self = self(), image, spec = std::move(spec)](Status bound) mutable {
        if (self->owner_.is_stopped()) return;
        if (self->owner_.is_ending()) return self->abandon_start();
        if (!bound.ok()) return self->on_config_error(bound.error());
        self->run(*image, std::move(spec));
      });
}

Status ContainerWorker::fill_spec(const Value& container, const Image& image, const ImageUsers& users,
                                  ContainerSpec& spec, std::vector<SubPath>& sub_paths) {
  const PodContext& context = owner_.context();
  BERTH_ASSIGN(Variables variables,
               container_variables(context, container, services_in_environment(services(), context.record.ns)));
  CommandLine line = command_line(container, image.config, variables, context.hostname);
  if (line.args.empty()) return error(Code::kInvalid, "no command specified");
  spec.args = std::move(line.args);
  spec.env = std::move(line.env);
  spec.working_directory = std::move(line.working_directory);
  BERTH_TRY(resolve_security(pod(), container, image.config, users, pod_in_messages(context.record), spec));
  BERTH_ASSIGN(ContainerMounts mounts, container_mounts(context, container, variables, termination_file(spec.attempt)));
  spec.mounts = std::move(mounts.mounts);
  sub_paths = std::move(mounts.sub_paths);
  if (is_ephemeral()) BERTH_TRY(fill_ephemeral(container, spec));
  spec.limits = container_limits(container);
  spec.oom_score_adj = oom_score(with_grant(pod(), context.record.granted), container, node_memory_bytes());
  spec.tty = container["tty"].as_bool();
  spec.stdin_open = container["stdin"].as_bool();
  spec.stdin_once = container["stdinOnce"].as_bool();
  spec.rootfs_layers = overlay_layers(image);
  return {};
}

// An ephemeral container may have a target, in whose process namespace it runs. What pods are rejected for is checked
// again: the pod was admitted without this container.
Status ContainerWorker::fill_ephemeral(const Value& container, ContainerSpec& spec) {
  if (auto rejection = reject_pod(pod(), services().config.allowed_unsafe_sysctls, read_security_modules()))
    return error(Code::kInvalid, rejection->message);
  if (!container["volumeDevices"].empty())
    return error(Code::kInvalid, "this node does not support raw block devices (volumeDevices)");
  const std::string target = container["targetContainerName"].str();
  if (target.empty()) return {};
  const ContainerRecord& r = owner_.context().record.at(target);
  if (r.state != State::kRunning) return error(Code::kInvalid, "unable to find target container " + quoted(target));
  spec.processes_of = r.id;
  return {};
}

void ContainerWorker::run(const Image& image, ContainerSpec spec) {
  set_stop_signal(image.config);
  ContainerRecord& r = record();
  r.image = image_in_status(image, requested_image_);
  r.image_id = image.digests.empty() ? image.id : image.digests.front();
  r.spec_image = requested_image_;
  if (r.state == State::kExited) raise_back_off(r, runtime().now());
  fault::step("pod.container_run");
  services().containers.run_container(spec, [self = self(), spec](Result<ContainerStatus> answer) {
    if (!self->owner_.is_stopped()) self->on_run_answer(spec, std::move(answer));
  });
}

// The spec's signal goes before the image's.
void ContainerWorker::set_stop_signal(const Value& image_config) {
  const std::string name = spec()["lifecycle"]["stopSignal"].str(image_config["StopSignal"].as_string());
  stop_signal_ = name.empty() ? SIGTERM : signal_number(name);
}

void ContainerWorker::on_run_answer(const ContainerSpec& spec, Result<ContainerStatus> answer) {
  fault::step("pod.container_started");
  begin_attempt(spec.id, spec.attempt);
  if (!answer.ok()) return on_run_failed(spec.id, answer.error());
  phase_.apply(ContainerEvent::kStarted);
  ContainerRecord& r = record();
  r.state = State::kRunning;
  r.started = answer->started;
  r.in_force = requested_resources_;
  r.uid = spec.uid;
  r.gid = spec.gid;
  r.groups = spec.groups;
  emit_event("Normal", "Created", "Container created");
  emit_event("Normal", "Started", "Container started");
  enter_running();
  // Changes of a container are ignored until its id is recorded, so that a short-lived one may have ended already.
  if (answer->state == ContainerState::kExited) on_exited(*answer);
  owner_.request_sync();
}

void ContainerWorker::on_run_failed(const std::string& id, const Error& why) {
  phase_.apply(ContainerEvent::kStartFailed);
  ContainerRecord& r = record();
  r.state = State::kExited;
  r.ended = Termination{128, 0, "StartError", why.message, id, Time{}, runtime().now()};
  if (!is_ephemeral()) {
    r.waiting_reason = "RunContainerError";
    r.waiting_message = why.message;
  }
  emit_event("Normal", "Created", "Container created");
  emit_event("Warning", "Failed", "Error: " + why.message);
  owner_.request_sync();
}

void ContainerWorker::on_config_error(const Error& why) {
  phase_.apply(ContainerEvent::kStartFailed);
  ContainerRecord& r = record();
  if (why.code == Code::kUnavailable) {
    // An object that the cache does not know yet is no error. Its arrival makes the worker sync.
    r.waiting_reason.clear();
    r.retry_at = runtime().now() + kUnknownObjectRetry;
    return owner_.request_sync();
  }
  r.waiting_reason = why.code == Code::kInternal ? "CreateContainerError" : "CreateContainerConfigError";
  r.waiting_message = why.message;
  r.retry_at = runtime().now() + kConfigRetry;
  emit_event("Warning", "Failed", "Error: " + why.message);
  owner_.request_sync();
}

}  // namespace berth::agent
