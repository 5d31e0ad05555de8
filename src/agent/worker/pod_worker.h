#pragma once
// The worker of one pod on this node: carries out what plan_pod() says, one step at a time, from the first volume to
// the deletion of the pod's object. Everything it needs after a restart of the agent is in its record.
//
// Owner: the Agent, on its loop. Kept alive by its own operations in flight.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/pod/image_step.h"
#include "agent/pod/object_cache.h"
#include "agent/pod/plan.h"
#include "agent/pod/pod_fit.h"
#include "agent/pod/pod_hook.h"
#include "agent/pod/pod_record.h"
#include "agent/pod/security.h"
#include "agent/pod/services.h"
#include "agent/probes/prober.h"
#include "agent/volumes/sub_paths.h"

namespace berth::agent {

// Where a pod writes to the node's disk.
struct StoragePlaces {
  struct Place {
    std::string name;  // of the volume or container
    std::vector<std::string> paths;
  };
  std::vector<Place> empty_dirs, containers;
};

class PodWorker : public std::enable_shared_from_this<PodWorker> {
 public:
  // `services` and what it refers to live as long as any worker. `finished` is called once, later, when nothing of the
  // pod is left on this node nor in the API.
  PodWorker(std::shared_ptr<Services> services, Value pod, PodRecord record,
            std::function<void(const std::string& uid)> finished);
  ~PodWorker();

  void begin();
  // What the runtime found of this pod after a restart of the agent; before begin(). Answers false for a container that
  // belongs to no attempt of its record: the caller removes it.
  bool adopt(const ContainerStatus& status);
  // To be called after all adopt() calls: containers of the record that the runtime no longer has are over.
  void adopted();

  void update(const Value& pod);  // a newer object
  void vanish();                  // the API has no such pod any more
  void clock_moved();             // what is due at a time of the wall clock may be due now
  void container_changed(const ContainerStatus& status);
  // Ends the pod for good, with phase Failed and reason Evicted. `for_the_node`: it has broken no limit of its own.
  void evict(const std::string& message, bool for_the_node);
  // A pod of which nothing has begun is turned away: phase Failed.
  void reject(const std::string& reason, const std::string& message);
  void room_changed();  // the node's other pods take less
  // What it has been granted of the node.
  std::shared_ptr<const PodRoom> room();
  // It has begun, and takes room until its containers have ended for good or the API has forgotten it.
  bool takes_room() const;
  bool may_be_evicted() const;  // it has begun, does not end, and is not critical
  StoragePlaces storage_places() const;
  // The agent ends: nothing more is done, containers run on.
  void stop();

  const Value& pod() const { return context_.pod; }
  const PodRecord& record() const { return record_; }
  const std::string& network_namespace() const { return context_.network_namespace; }
  std::string log_path(const std::string& container, int attempt) const;
  bool idle() const;  // nothing under way (for tests)

 private:
  // What is under way for one container.
  struct Live {
    bool starting = false;     // up to the runtime's answer
    bool in_runtime = false;   // the runtime has been asked to run it
    std::string wanted_image;  // that the image step is looking for
    Value resources;           // that it is being started with
    std::string condemned_by;  // "liveness", "startup", "postStart"
    // While it is being stopped. Monotonic times.
    bool stopping = false;
    bool hook_running = false;  // preStop
    bool turn = false;          // nothing else is to end before it
    bool signalled = false;     // with the stop signal
    bool killed = false;        // at once, for a restart of all containers
    Duration stop_began{}, deadline{}, signalled_at{}, kill_at{};
    TimerId stop_timer = 0;
    bool post_start_running = false;
    std::unique_ptr<Prober> prober;
    std::unique_ptr<ImageStep> image;
    int stop_signal = 15;
    bool rotating = false;
  };

  // pod_worker.cc
  void admit();
  void look();
  void sync();
  void prepare();
  void run_hook(std::size_t at);
  void hook_failed(const HookFailure& failure);
  void refresh();
  void images_changed(const Value& before);
  void reset_containers();
  void tear_down();
  void remove_containers(std::vector<std::string> ids);
  void clean_up(std::size_t left);
  void follow_references();
  void finish();
  void back_off(const PodPlan::Wait& wait);
  void save();
  void write_status();
  bool shorten_status();
  void status_written(Result<Value> answer);
  void event(std::string_view type, std::string_view reason, std::string_view message, std::string_view container = {});

  // pod_worker_resize.cc
  // The pod with what it has been granted in place of what its spec asks for.
  Value granted_pod() const;
  void consider_resize();
  void apply_resize();
  void finish_resize();
  std::vector<const Value*> to_be_resized() const;
  Status check_usage(const Value& container, const Limits& limits) const;
  void resize_failed(const Error& why);

  // pod_worker_start.cc
  void start_containers(const std::vector<std::string>& names);
  void start_container(const std::string& name);
  void image_ready(const std::string& name, ImageStep::Outcome outcome);
  void read_env_files(const std::string& name, std::shared_ptr<const Image> image);
  void run_with_image(const std::string& name, std::shared_ptr<const Image> image);
  Status fill_ephemeral(const Value& container, ContainerSpec& spec) const;
  void configure(const std::string& name, std::shared_ptr<const Image> image, const ImageUsers& users);
  Status fill_spec(const Value& container, const Image& image, const ImageUsers& users, ContainerSpec& spec,
                   std::vector<SubPath>& sub_paths);
  void run_configured(const std::string& name, const Image& image, ContainerSpec spec);
  void config_error(const std::string& name, const Error& why);
  void started(const std::string& name, const ContainerSpec& spec, Result<ContainerStatus> result);
  void begin_attempt(ContainerRecord& r, const std::string& id, int attempt);
  void now_running(const std::string& name);
  void go_on(const std::string& name);
  void post_start(const std::string& name);
  void post_started(const std::string& name);
  void watch_health(const std::string& name);

  // pod_worker_stop.cc
  void stop_container(const PodPlan::Stop& stop);
  void stop_at_once(const PodPlan::Stop& stop);
  void pre_stop(const std::string& name);
  void advance_stop(const std::string& name);
  void signal_container(const std::string& name);
  void kill_container(const std::string& name);
  std::string killing_text(const PodPlan::Stop& stop) const;
  void condemn(const std::string& name, const std::string& by);
  void exited(const std::string& name, const ContainerStatus& status);
  std::string termination_message(const Value& container, const ContainerRecord& r, int exit_code) const;
  void run_lifecycle(const Value& handler, const std::string& name, Duration timeout, Function<void(ProbeResult)> done);
  void rotate_logs();

  const Value& spec_of(std::string_view container) const;
  std::string_view list_of(std::string_view container) const;  // "containers", "initContainers", "ephemeralContainers"
  bool is_init(std::string_view container) const { return list_of(container) == "initContainers"; }
  bool is_ephemeral(std::string_view container) const { return list_of(container) == "ephemeralContainers"; }
  Runtime& runtime() const { return services_->runtime; }
  std::string termination_file(const std::string& container, int attempt) const;

  std::shared_ptr<Services> services_;
  PodRecord record_;
  bool admitted_ = false;
  PodContext context_;
  std::function<void(const std::string&)> finished_;
  std::vector<std::unique_ptr<PodHook>> hooks_;
  std::vector<std::shared_ptr<ObjectCache::Interest>> interests_;
  std::set<std::pair<api::Resource, api::Name>> followed_;
  std::map<std::string, Live> live_;
  bool stopped_ = false, gone_ = false, look_posted_ = false;
  bool preparing_ = false, surroundings_known_ = false, tearing_down_ = false, refreshing_ = false,
       refresh_again_ = false;
  bool deleting_ = false, done_ = false, ending_ = false;
  int hook_failures_ = 0;
  Duration next_prepare_{};  // monotonic
  bool status_in_flight_ = false, status_again_ = false;
  Value sent_patch_;                       // of the status, in flight or answered last
  Value idle_patch_;                       // changed nothing: not sent again before the object has moved
  std::size_t most_ephemeral_ = SIZE_MAX;  // of them a status is told: fewer where the pod would be too large
  int last_writes_ = 0;                    // of the status, since the pod was torn down
  std::int64_t seen_revision_ = 0;
  std::shared_ptr<const PodRoom> room_;  // null: of an earlier spec or grant
  Value considered_;                     // what the spec asks for, where that has been refused
  Value widened_;                        // the grant that the pod's control group has been given room for
  bool resize_under_way_ = false;
  Duration next_resize_{};  // monotonic
  TimerId timer_ = 0, status_timer_ = 0, log_timer_ = 0;
  std::string saved_;
};

}  // namespace berth::agent
