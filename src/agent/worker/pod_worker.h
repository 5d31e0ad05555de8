#pragma once
// PodWorker: one pod on this node, from the first volume to the deletion of its object. sync() asks plan_pod() what is
// to be done and carries it out; each operation that ends, and each change from outside, requests the next sync.
//
// Three kinds of state machines are at work, each with a table of its own:
//   WorkerPhase (worker_phase.h), one for the pod: active, ending, cleaning up, deleting its object. It never goes back,
//     except from a failed deletion to the next attempt.
//   Surroundings and CallPhase (worker_phase.h), beside it. The surroundings are prepared while the pod is active; a hook
//     may still be preparing when the pod starts to end, and the clean-up waits for it. At most one write of the status
//     and one resize are in flight.
//   ContainerPhase (container_phase.h), one for each container, in its ContainerWorker. Containers start only while the
//     pod is active; the clean-up waits until none is in phase kStarting, and the plan asks for it when none runs.
//
// The PodRecord is the durable truth: a new agent derives all phases from the record and the runtime's containers.
//
// Owner: the Agent, on its loop, where all calls are made; operations in flight keep the worker alive.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/pod/object_cache.h"
#include "agent/pod/plan.h"
#include "agent/pod/pod_fit.h"
#include "agent/pod/pod_hook.h"
#include "agent/pod/pod_record.h"
#include "agent/pod/services.h"
#include "agent/worker/container_worker.h"
#include "agent/worker/worker_phase.h"

namespace berth::agent {

// The directories on the node's disk that a pod writes to.
struct StoragePaths {
  struct Entry {
    std::string name;  // of the volume or container
    std::vector<std::string> paths;
  };
  std::vector<Entry> empty_dirs, containers;
};

class PodWorker : private ContainerOwner, public std::enable_shared_from_this<PodWorker> {
 public:
  // `services` and what it refers to live as long as any worker. `finished` is called once, later, when nothing of the
  // pod is left on this node nor in the API.
  PodWorker(std::shared_ptr<Services> services, Value pod, PodRecord record,
            std::function<void(const std::string& uid)> finished);
  ~PodWorker();

  // After a restart of the agent, before start(): what the runtime has of this pod. False for a container that belongs
  // to no attempt of its record, or has ended: the caller removes it.
  bool adopt(const ContainerStatus& status);
  // After all adopt() calls: containers of the record that the runtime does not have have ended.
  void end_lost_containers();

  void start();
  // The agent ends: nothing more is done, containers run on.
  void stop();

  void on_update(const Value& pod);  // a newer object
  void on_deleted();                 // the API has no such pod
  void on_clock_change();            // what is due at a time of the wall clock may be due now
  void on_container_change(const ContainerStatus& status);
  void on_room_change();  // other pods of the node take less
  // Ends the pod, with phase Failed and reason Evicted. `for_the_node`: the pod has broken no limit of its own.
  void evict(const std::string& message, bool for_the_node);
  // Before start(), of a pod that is new on the node: it ends with phase Failed.
  void reject(const std::string& reason, const std::string& message);

  // The requests and host ports that the node has granted.
  std::shared_ptr<const PodRoom> room();
  // The pod has been started, and takes room until its containers have ended for good or its object is deleted.
  bool takes_room() const;
  bool may_be_evicted() const;  // does not end, and is not critical
  StoragePaths storage_paths() const;

  const Value& pod() const { return context_.pod; }
  const PodRecord& record() const { return record_; }
  const std::string& network_namespace() const { return context_.network_namespace; }
  std::string log_path(const std::string& container, int attempt) const;
  bool is_idle() const;  // nothing is under way (for tests)

 private:
  // ContainerOwner
  PodContext& context() override { return context_; }
  bool is_stopped() const override { return phase_ == WorkerPhase::kStopped; }
  bool is_ending() const override { return !may_start_containers(phase_); }
  void request_sync() override;
  void save_record() override;
  void emit_event(std::string_view type, std::string_view reason, std::string_view message,
                  std::string_view container) override;
  std::shared_ptr<void> keep_alive() override { return shared_from_this(); }

  // pod_worker.cc
  void admit();
  void sync();
  PodPlan make_plan();
  void enter_ending();
  void report_back_off(const PodPlan::BackOff& wait);
  void start_containers(const std::vector<std::string>& names);
  void restart_all_containers();
  void set_sync_timer(const std::optional<Time>& due);
  void finish();
  void delete_object();
  void forget();
  void on_images_changed(const Value& old_pod);
  void check_log_sizes();
  ContainerWorker& container(const std::string& name);
  void emit_event(std::string_view type, std::string_view reason, std::string_view message) {
    emit_event(type, reason, message, {});
  }

  // pod_worker_surroundings.cc
  void prepare();
  void prepare_from(std::size_t hook);
  void on_prepare_failed(const HookFailure& failure);
  void refresh();
  void on_refreshed();
  void follow_references();
  void clean_up();
  void clean_up_hooks(std::size_t left);
  void on_clean_up_failed(std::size_t left, const HookFailure& failure);

  // pod_worker_status.cc
  void write_status();
  void on_status_written(Result<Value> answer);
  bool shorten_status();

  // pod_worker_resize.cc
  Value granted_pod() const;
  void consider_resize();
  void grant(const Value& requested);
  void refuse(const Value& requested, const ResizeRefusal& refusal);
  void apply_resize();
  void send_resize(PodResize order, std::vector<std::pair<std::string, Value>> changes);
  void finish_resize();
  std::vector<const Value*> to_be_resized() const;
  Status check_usage(const Value& container, const Limits& limits) const;
  void on_resize_failed(const Error& why);

  Runtime& runtime() const { return services_->runtime; }

  const std::shared_ptr<Services> services_;
  PodRecord record_;
  PodContext context_;
  const std::function<void(const std::string&)> finished_;
  std::map<std::string, ContainerWorker> containers_;  // by name; see container()

  Phase<WorkerPhase, WorkerEvent> phase_{WorkerPhase::kCreated};
  // The API has no such pod. Independent of the phase: a pod may be deleted without a grace period at any time.
  bool object_deleted_ = false;
  // A sync is posted. Independent of the phase: requests are many, and one sync serves all that came before it.
  bool sync_posted_ = false;
  TimerId sync_timer_ = 0, log_timer_ = 0;
  std::string saved_record_;  // as last written
  std::int64_t newest_revision_ = 0;

  // Surroundings.
  Phase<Surroundings, SurroundingsEvent> surroundings_{Surroundings::kUnknown};
  std::vector<std::unique_ptr<PodHook>> hooks_;
  std::vector<std::shared_ptr<ObjectCache::Interest>> interests_;
  std::set<std::pair<api::Resource, api::Name>> followed_;
  int prepare_failures_ = 0;
  Duration next_prepare_{};  // monotonic

  // Status.
  Phase<CallPhase, CallEvent> status_write_{CallPhase::kIdle};
  TimerId status_timer_ = 0;
  Value sent_patch_;         // in flight or answered last
  Value ineffective_patch_;  // the API answered it with an unchanged object: not sent again before that changes
  std::size_t most_ephemeral_ = SIZE_MAX;  // ephemeral containers in the status; fewer after kTooLarge
  int last_writes_ = 0;                    // writes of the status since the pod was cleaned up

  // Resize.
  Phase<CallPhase, CallEvent> resize_{CallPhase::kIdle};
  std::shared_ptr<const PodRoom> room_;  // null: of an earlier spec or grant
  Value refused_;                        // what the spec asks for, where that has been refused
  Value widened_;                        // the grant that the pod's control group has been given room for
  Duration next_resize_{};               // monotonic
};

}  // namespace berth::agent
