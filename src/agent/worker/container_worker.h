#pragma once
// ContainerWorker: one container of a pod on this node, from its image to its exit, and again where it is restarted.
// It carries out what the plan says of the container (PodPlan): start() and stop(). Its phase and the events that
// change it are in container_phase.h; what must outlive the agent is in the ContainerRecord, which it writes.
//
// Owner: the PodWorker, on the agent's loop, until the PodWorker is destroyed. Operations in flight keep the PodWorker
// alive. Errors: a failed start is recorded as why the container waits, and reported as an event; the plan says when
// the next attempt is due.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pod/plan.h"
#include "agent/pod/pod_hook.h"
#include "agent/pod/pod_record.h"
#include "agent/pod/services.h"
#include "agent/probes/prober.h"
#include "agent/runtime/container_runtime.h"
#include "agent/spec/image_step.h"
#include "agent/spec/security.h"
#include "agent/volumes/sub_paths.h"
#include "agent/worker/container_phase.h"

namespace berth::agent {

// The pod's side of a ContainerWorker. Implemented by PodWorker.
class ContainerOwner {
 public:
  virtual PodContext& context() = 0;
  virtual bool is_stopped() const = 0;  // the agent ends: results of operations in flight are ignored
  virtual bool is_ending() const = 0;   // the pod ends: nothing is started
  virtual void request_sync() = 0;      // the record or a phase has changed: plan anew
  virtual void save_record() = 0;       // at once, before the next step
  virtual void emit_event(std::string_view type, std::string_view reason, std::string_view message,
                          std::string_view container) = 0;
  virtual std::shared_ptr<void> keep_alive() = 0;  // a reference to the owner, for operations in flight

 protected:
  ~ContainerOwner() = default;
};

class ContainerWorker {
 public:
  // The phase follows from the container's record. `owner` outlives the ContainerWorker.
  ContainerWorker(ContainerOwner& owner, std::string name);
  ContainerWorker(const ContainerWorker&) = delete;

  const std::string& name() const { return name_; }
  ContainerPhase phase() const { return phase_; }

  // After a restart of the agent, before resume(): `status` is of this container in the runtime. False where it belongs
  // to no attempt of the record, or has ended: the caller removes it from the runtime.
  bool adopt(const ContainerStatus& status);
  // After all adopt() calls: records the end of a container that was running and that the runtime does not have.
  void end_lost_container();
  // After end_lost_container(), of a running container: runs an interrupted postStart hook again, and starts the
  // probes.
  void resume();

  // Starts the next attempt. Only while the phase is kIdle and the pod's surroundings are ready.
  void start();
  // Stops the running container as `order` says. To be called again whenever the order changes.
  void stop(const PodPlan::Stop& order);

  // The container has ended.
  void on_exited(const ContainerStatus& status);
  // The spec names another image: an attempt that waits for the old one is due now.
  void on_image_changed();
  // The pod ends: only the readiness probe goes on.
  void on_pod_ending();
  // The agent ends: cancels the timer and the probes. The container runs on.
  void on_agent_stopping();

  std::string log_path(int attempt) const;

 private:
  using Self = std::shared_ptr<ContainerWorker>;

  // container_worker.cc
  void begin_attempt(const std::string& id, int attempt);
  void run_post_start_hook();
  void on_post_start_done(const std::string& id, const ProbeResult& result);
  void enter_running();
  void on_post_start_over();
  void start_prober();
  Prober::Callbacks prober_callbacks();
  void mark_for_restart(const std::string& cause);
  void run_lifecycle_handler(const Value& handler, Duration timeout, Function<void(ProbeResult)> done);
  void record_termination(const ContainerStatus& status);
  std::string termination_message(int exit_code);
  void remove_log(int attempt);

  // container_start.cc
  void on_image_outcome(ImageStep::Outcome outcome);
  void read_env_files(std::shared_ptr<const Image> image);
  void read_users(std::shared_ptr<const Image> image);
  void configure(std::shared_ptr<const Image> image, const ImageUsers& users);
  Status fill_spec(const Value& container, const Image& image, const ImageUsers& users, ContainerSpec& spec,
                   std::vector<SubPath>& sub_paths);
  Status fill_ephemeral(const Value& container, ContainerSpec& spec);
  void run(const Image& image, ContainerSpec spec);
  void set_stop_signal(const Value& image_config);
  void on_run_answer(const ContainerSpec& spec, Result<ContainerStatus> answer);
  void on_run_failed(const std::string& id, const Error& why);
  void on_config_error(const Error& why);
  void abandon_start();

  // container_stop.cc
  void begin_stop(const PodPlan::Stop& order);
  void tighten_stop(const PodPlan::Stop& order);
  void kill_at_once(const PodPlan::Stop& order);
  void run_pre_stop_hook();
  void on_pre_stop_done(const std::string& id, const ProbeResult& result);
  void advance_stop();
  void on_stop_timer();
  void apply_and_signal(ContainerEvent event);
  void send_stop_signal();
  void send_kill();
  std::string killing_text(const PodPlan::Stop& order) const;

  Self self() { return Self(owner_.keep_alive(), this); }
  Services& services() const { return owner_.context().services; }
  Runtime& runtime() const { return services().runtime; }
  const Value& pod() const { return owner_.context().pod; }
  const Value& spec() const;  // of the container; null where the pod's spec does not name it
  // The record's entry, made where there is none.
  ContainerRecord& record() const { return owner_.context().record.containers[name_]; }
  bool is_init() const;
  bool is_ephemeral() const;
  std::string termination_file(int attempt) const;
  void emit_event(std::string_view type, std::string_view reason, std::string_view message) {
    owner_.emit_event(type, reason, message, name_);
  }

  ContainerOwner& owner_;
  const std::string name_;
  Phase<ContainerPhase, ContainerEvent> phase_;

  // Of the start that is under way.
  std::string requested_image_;            // as the spec named it when the start began
  Value requested_resources_;              // that the container is configured with
  std::unique_ptr<ImageStep> image_step_;  // remembers failures between attempts, for the back-off

  // Of the running container.
  int stop_signal_ = 15;
  std::unique_ptr<Prober> prober_;
  std::string restart_cause_;  // "liveness", "startup", "postStart": why it is marked for a restart

  // Of the stop that is under way. Monotonic times.
  Duration stop_began_{}, deadline_{}, signalled_at_{}, kill_at_{};
  TimerId stop_timer_ = 0;
};

// Directories and files of a pod's logs.
std::string pod_log_directory(const AgentConfig& config, const PodRecord& record);
std::string container_log_path(const AgentConfig& config, const PodRecord& record, std::string_view container,
                               int attempt);

}  // namespace berth::agent
