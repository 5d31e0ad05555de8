#include "agent/agent.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "agent/disk/background.h"
#include "agent/disk/disk_space.h"
#include "agent/mounts/mounts.h"
#include "agent/node/images_in_use.h"
#include "agent/node/node_object.h"
#include "agent/node/node_registration.h"
#include "agent/node/storage_keeper.h"
#include "agent/pod/object_cache.h"
#include "agent/pod/pod_fit.h"
#include "agent/pod/resize.h"
#include "agent/pod/storage_limits.h"
#include "agent/worker/pod_worker.h"
#include "api/object.h"
#include "api/status.h"
#include "base/files.h"
#include "base/fs/remove_unfinished.h"
#include "base/fs/spread_directories.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time/clock_watch.h"
#include "client/event_recorder.h"
#include "client/informer.h"

namespace berth::agent {
namespace {

// Services and what they refer to, kept alive by the workers that use them.
struct Core {
  Core(AgentConfig c, const AgentDependencies& d)
      : config(std::move(c)),
        objects(d.runtime, d.client),
        events(d.runtime, d.client, "kubelet", config.node_name),
        services{config,  d.runtime, d.client, d.containers, d.images, d.volumes, d.network,
                 objects, events,    d.probes, d.logs,       nullptr,  d.trash},
        measuring(d.measuring) {}
  AgentConfig config;
  ObjectCache objects;
  client::EventRecorder events;
  std::unique_ptr<client::Informer> cluster_services;
  Services services;
  BackgroundThread* measuring;
};

// A pod of which only the record is left: enough to end its containers and clean up.
Value pod_of_record(const PodRecord& record) {
  Value containers = Value::array();
  for (const auto& [name, c] : record.containers) containers.push(Value::object({{"name", name}}));
  Value metadata = Value::object({{"name", record.name}, {"namespace", record.ns}, {"uid", record.uid}});
  return Value::object({{"apiVersion", "v1"},
                        {"kind", "Pod"},
                        {"metadata", std::move(metadata)},
                        {"spec", Value::object({{"containers", std::move(containers)}})}});
}

Value qualified(Value pod) {
  if (pod["kind"].is_null()) pod.set("kind", "Pod");
  if (pod["apiVersion"].is_null()) pod.set("apiVersion", "v1");
  return pod;
}

}  // namespace

struct Agent::Impl : std::enable_shared_from_this<Impl> {
  std::shared_ptr<Core> core;
  Runtime& runtime;
  Function<void(Status)> ready;
  std::unique_ptr<StorageKeeper> storage;
  std::unique_ptr<NodeRegistration> registration;
  std::unique_ptr<client::Informer> pod_informer;
  std::unique_ptr<client::Subscription> subscription;
  std::unordered_map<std::string, std::shared_ptr<PodWorker>> workers;  // by uid
  std::map<api::Name, std::string> by_name;                             // the uid of the worker of that name
  std::map<api::Name, Value> waiting;        // pods whose name is still in use by an older one
  std::map<std::string, PodRecord> records;  // of an earlier agent, by uid; take_over() passes them to workers
  std::vector<ContainerStatus> recovered;    // the runtime's containers at the start, until take_over()
  bool stopped = false, taken_over = false, node_ready = false;
  TimerId garbage_timer = 0;
  std::optional<std::string> allocatable_at;  // the revision of the Node object that allocatable_now was read for
  api::ResourceList allocatable_now;
  std::unique_ptr<ClockWatch> clock;

  Impl(std::shared_ptr<Core> c, Runtime& r) : core(std::move(c)), runtime(r) {}

  Status prepare() {
    const AgentConfig& config = core->config;
    BERTH_TRY(check_mount_points_are_told());
    for (const auto& directory : {config.pods(), config.memory(), config.logs()})
      BERTH_TRY(make_directories(directory, 0711));
    for (const auto& directory : {config.pods(), config.logs()}) spread_directories(directory);
    if (!is_mount_point(config.memory())) BERTH_TRY(mount_tmpfs(config.memory(), "mode=0711"));
    BERTH_TRY(make_directories(config.records(), 0700));
    BERTH_TRY(core->services.network.prepare());
    remove_unfinished(config.records());
    BERTH_ASSIGN(auto names, list_directory(config.records()));
    for (const auto& name : names) {
      auto text = read_file(config.records() + "/" + name);
      auto value = text.ok() ? json::parse(*text) : Result<Value>(text.error());
      auto record = value.ok() ? record_from_json(*value) : Result<PodRecord>(value.error());
      if (!record.ok()) {
        log_warning("agent", "a pod record cannot be read", {{"file", name}, {"error", record.error().message}});
        (void)remove_all(config.records() + "/" + name);
        continue;
      }
      for (const auto& volume : record->claims) core->services.volumes.adopt(volume, record->uid);
      records[record->uid] = std::move(*record);
    }
    return {};
  }

  void start() {
    if (auto prepared = prepare(); !prepared.ok()) {
      auto done = std::exchange(ready, nullptr);
      runtime.post([done = std::move(done), prepared] { done(prepared); });
      return;
    }
    Services& services = core->services;
    core->cluster_services = client::make_informer(runtime, services.client, api::resources::kServices);
    services.cluster_services = core->cluster_services.get();
    services.refuse_resize = [this](const Value& pod) {
      const NodeRoom room = room_for(pod);
      return refuse_resize(pod, room.allocatable, room.used());
    };
    services.check_fit = [this](const Value& pod) { return reject_unfit(pod, room_for(pod)); };
    services.on_room_change = [this] {
      for (auto& [uid, worker] : std::unordered_map(workers)) worker->on_room_change();
    };
    pod_informer = client::make_informer(runtime, services.client, api::resources::kPods,
                                         api::ListOptions{"", "", "spec.nodeName=" + core->config.node_name});
    storage = std::make_unique<StorageKeeper>(
        services,
        [this] {
          std::vector<std::shared_ptr<PodWorker>> all;
          for (const auto& [uid, worker] : workers) all.push_back(worker);
          return all;
        },
        [this] { registration->status_changed(); }, core->measuring);
    registration = std::make_unique<NodeRegistration>(
        services,
        [self = weak_from_this()] {
          if (auto state = self.lock()) {
            state->node_ready = true;
            state->maybe_ready();
          }
        },
        [this] { storage->look(); }, [this] { return storage->disk_pressure(); });
    services.containers.on_change([self = weak_from_this()](const ContainerStatus& status) {
      auto state = self.lock();
      if (!state || state->stopped) return;
      auto worker = state->workers.find(status.pod_uid);
      if (worker != state->workers.end()) worker->second->on_container_change(status);
    });
    services.containers.recover([self = weak_from_this()](Result<std::vector<ContainerStatus>> result) {
      auto state = self.lock();
      if (!state || state->stopped) return;
      if (!result.ok()) {
        if (auto done = std::exchange(state->ready, nullptr)) done(result.error());
        return;
      }
      state->recovered = std::move(*result);
      state->registration->begin();
      state->pod_informer->when_synced([self] {
        if (auto state = self.lock(); state && !state->stopped) state->take_over();
      });
    });
  }

  // Compares the API's pods with what is on this node, once: each pod of either gets its worker.
  void take_over() {
    const std::set<std::string> uids = add_first_workers();
    adopt_containers();
    // Addresses of pods that exist are kept, also across a restart of the machine.
    if (auto freed = core->services.network.recover({uids.begin(), uids.end()}); !freed.ok()) {
      log_warning("agent", "cannot free the addresses of pods that are gone", {{"error", freed.error().message}});
    }
    core->services.volumes.release_unused();
    taken_over = true;
    for (const std::shared_ptr<PodWorker>& worker : by_age()) {
      worker->end_lost_containers();
      worker->start();
    }
    subscription = pod_informer->subscribe([self = weak_from_this()](const Value& before, const Value& after) {
      if (auto state = self.lock(); state && !state->stopped) state->pod_changed(before, after);
    });
    clock = std::make_unique<ClockWatch>(runtime, [this] {
      for (auto& [uid, worker] : std::unordered_map(workers)) worker->on_clock_change();
    });
    collect_garbage();
    maybe_ready();
  }

  // Returns the uids of all pods that have a worker, or will have one.
  std::set<std::string> add_first_workers() {
    const ContainerEnds ends = read_container_ends(core->config.ends());
    std::set<std::string> known_uids;
    std::vector<std::pair<Value, PodRecord>> present;
    for (const Value& pod : pod_informer->list()) {
      std::string uid(api::uid_of(pod));
      known_uids.insert(uid);
      auto record = records.extract(uid);
      present.emplace_back(qualified(pod), record.empty() ? PodRecord{} : std::move(record.mapped()));
    }
    // The remaining records are of pods that the API has no longer: workers clean them up like any pod.
    for (const auto& [uid, record] : records) known_uids.insert(uid);
    add_stray_records(known_uids);
    for (auto& [uid, record] : records) {
      known_uids.insert(uid);
      Value pod = pod_of_record(record);
      add_worker(std::move(pod), record, true);
    }
    for (auto& [pod, record] : present) add_present_worker(pod, std::move(record), ends);
    records.clear();
    return known_uids;
  }

  // `record`: without a uid if no agent of this node has begun the pod.
  void add_present_worker(const Value& pod, PodRecord record, const ContainerEnds& ends) {
    const api::Name name = api::name_key(pod);
    const bool begun = !record.uid.empty();
    if (!begun && by_name.contains(name)) {
      waiting[name] = pod;  // for the end of the earlier pod with this name
      return;
    }
    if (begun && !record.ip.empty() && !uses_host_network(pod)) {
      if (Status recorded = core->services.network.keep(record.uid, record.ip); !recorded.ok())
        log_warning("agent", "cannot record the address of a pod",
                    {{"pod", record.uid}, {"error", recorded.error().message}});
    }
    add_worker(pod, begun ? std::move(record) : record_from_status(pod, runtime.now(), ends), false);
  }

  void adopt_containers() {
    for (const auto& status : recovered) {
      auto worker = workers.find(status.pod_uid);
      // The container may have ended since: take its present status.
      auto now = core->services.containers.status(status.id);
      if (worker == workers.end() || !worker->second->adopt(now ? *now : status)) {
        core->services.containers.remove_container(status.id, [](Status) {});
      }
    }
    recovered.clear();
  }

  // Prepared pods first, then by age: new pods are admitted last, to the room that the others leave.
  std::vector<std::shared_ptr<PodWorker>> by_age() const {
    std::vector<std::shared_ptr<PodWorker>> all;
    for (const auto& [uid, worker] : workers) all.push_back(worker);
    auto key = [](const std::shared_ptr<PodWorker>& worker) {
      return std::make_tuple(!worker->record().prepared, worker->pod()["metadata"]["creationTimestamp"].as_string(),
                             std::string_view(worker->record().ns), std::string_view(worker->record().name),
                             std::string_view(worker->record().uid));
    };
    std::sort(all.begin(), all.end(), [&key](const auto& a, const auto& b) { return key(a) < key(b); });
    return all;
  }

  // Adds records of pods that have directories, logs or containers on this node, and are neither in the API nor in a
  // record: they were deleted while no agent ran, and their records were lost with the machine's or the node's mounts.
  void add_stray_records(const std::set<std::string>& known_uids) {
    auto stray = [&](const std::string& uid) -> PodRecord* {
      if (uid.empty() || known_uids.contains(uid)) return nullptr;
      PodRecord& record = records[uid];
      record.uid = uid;
      return &record;
    };
    const AgentConfig& config = core->config;
    for (const std::string& directory : {config.pods(), config.memory() + "/pods"}) {
      if (auto uids = list_directory(directory); uids.ok()) {
        for (const std::string& uid : *uids) stray(uid);
      }
    }
    for (const std::string& uid : core->services.containers.found_sandboxes()) stray(uid);
    for (const ContainerStatus& status : recovered) stray(status.pod_uid);
    if (auto names = list_directory(config.logs()); names.ok()) {
      for (const std::string& name : *names) {
        // namespace_name_uid
        const std::size_t first = name.find('_'), last = name.rfind('_');
        if (first == std::string::npos || first == last) continue;
        PodRecord* record = stray(name.substr(last + 1));
        if (!record) continue;
        record->ns = name.substr(0, first);
        record->name = name.substr(first + 1, last - first - 1);
      }
    }
  }

  void maybe_ready() {
    if (!node_ready || !taken_over) return;
    if (auto done = std::exchange(ready, nullptr)) done({});
  }

  // `deleted`: the API has no such pod.
  std::shared_ptr<PodWorker> add_worker(Value pod, PodRecord record, bool deleted) {
    std::string uid(api::uid_of(pod));
    api::Name name = api::name_key(pod);
    auto worker = std::make_shared<PodWorker>(std::shared_ptr<Services>(core, &core->services), std::move(pod),
                                              std::move(record), [self = weak_from_this()](const std::string& uid) {
                                                if (auto state = self.lock(); state && !state->stopped)
                                                  state->finished(uid);
                                              });
    workers[uid] = worker;
    by_name[name] = uid;
    if (deleted) worker->on_deleted();
    return worker;
  }

  void pod_changed(const Value& before, const Value& after) {
    if (after.is_null()) {
      api::Name name = api::name_key(before);
      auto successor = waiting.find(name);
      if (successor != waiting.end() && api::uid_of(successor->second) == api::uid_of(before)) waiting.erase(successor);
      auto worker = workers.find(std::string(api::uid_of(before)));
      if (worker != workers.end()) worker->second->on_deleted();
      return;
    }
    Value pod = qualified(after);
    std::string uid(api::uid_of(pod));
    if (auto worker = workers.find(uid); worker != workers.end()) return worker->second->on_update(pod);
    api::Name name = api::name_key(pod);
    // A new pod with the name of an older one waits until that is cleaned up: one identity never runs twice.
    if (auto older = by_name.find(name); older != by_name.end()) {
      if (auto worker = workers.find(older->second); worker != workers.end()) {
        worker->second->on_deleted();
        waiting[name] = pod;
        return;
      }
    }
    auto worker = add_worker(pod, record_from_status(pod, runtime.now()), false);
    if (storage->disk_pressure() && !is_critical(pod) && !api::is_pod_terminal(pod) &&
        worker->record().started == Time{})
      worker->reject("Evicted", "The node had condition: [DiskPressure]. ");
    worker->start();
  }

  void finished(const std::string& uid) {
    auto worker = workers.find(uid);
    if (worker == workers.end()) return;
    api::Name name{worker->second->record().ns, worker->second->record().name};
    runtime.post([worker = std::move(worker->second)] {});  // destroyed later: it is the caller
    workers.erase(worker);
    if (auto entry = by_name.find(name); entry != by_name.end() && entry->second == uid) by_name.erase(entry);
    const bool another = std::any_of(workers.begin(), workers.end(), [&](const auto& entry) {
      return entry.second->record().name == name.name && entry.second->record().ns == name.ns;
    });
    if (another) return;  // the waiting pod waits for this one, too
    auto next = waiting.extract(name);
    if (!next.empty()) add_worker(next.mapped(), record_from_status(next.mapped(), runtime.now()), false)->start();
  }

  // The node's allocatable resources, read again when the Node object has changed: NodeRegistration writes it when the
  // machine has changed.
  const api::ResourceList& allocatable() {
    const Value& node = registration->node();
    if (!allocatable_at || *allocatable_at != api::resource_version_of(node)) {
      allocatable_at = api::resource_version_of(node);
      allocatable_now = api::resource_list(node_allocatable(core->config, read_node_facts(core->config.data_dir)));
      // Extended resources are in the Node object only, where other clients write them.
      allocatable_now.merge(api::resource_list(node["status"]["allocatable"]));
    }
    return allocatable_now;
  }

  // The node's room as taken by all pods but `pod`.
  NodeRoom room_for(const Value& pod) {
    NodeRoom room{registration->node(), allocatable(), {}};
    for (const auto& [uid, worker] : workers) {
      if (uid != api::uid_of(pod) && worker->takes_room()) room.pods.push_back(worker->room());
    }
    return room;
  }

  // Removes unused images when the disk gets full; checks while pods are here.
  void collect_garbage() {
    garbage_timer = runtime.after(core->config.garbage_check, [self = weak_from_this()] {
      auto state = self.lock();
      if (!state || state->stopped) return;
      if (!state->workers.empty()) state->collect_images();
      state->collect_garbage();
    });
  }

  void collect_images() {
    DiskSpace space = read_disk_space(core->config.data_dir);
    if (space.free >= kept_from_volumes(space)) return;
    core->services.images.collect(images_in_use(by_age(), core->services.images),
                                  2 * kept_from_volumes(space) - space.free, [](Result<std::int64_t> freed) {
                                    if (freed.ok())
                                      log_info("agent", "unused images removed", {{"bytes", std::to_string(*freed)}});
                                  });
  }

  const PodWorker* worker_of(const std::string& ns, const std::string& pod) const {
    auto uid = by_name.find(api::Name{ns, pod});
    if (uid == by_name.end()) return nullptr;
    auto worker = workers.find(uid->second);
    return worker == workers.end() ? nullptr : worker->second.get();
  }
};

Agent::Agent(AgentConfig config, AgentDependencies dependencies)
    : impl_(std::make_shared<Impl>(std::make_shared<Core>(std::move(config), dependencies), dependencies.runtime)) {}

Agent::~Agent() {
  impl_->stopped = true;
  if (impl_->garbage_timer) impl_->runtime.cancel(impl_->garbage_timer);
  impl_->clock.reset();
  impl_->core->services.containers.on_change({});
  for (auto& [uid, worker] : impl_->workers) worker->stop();
  impl_->core->services.refuse_resize = nullptr;
  impl_->core->services.check_fit = nullptr;
  impl_->core->services.on_room_change = nullptr;
  impl_->workers.clear();
  impl_->core->objects.close();
  impl_->subscription.reset();
  impl_->registration.reset();
  impl_->storage.reset();
  impl_->pod_informer.reset();
  impl_->core->services.cluster_services = nullptr;
  impl_->core->cluster_services.reset();
}

void Agent::start(Function<void(Status)> ready) {
  impl_->ready = std::move(ready);
  impl_->start();
}

Result<ContainerPlace> Agent::find_container(const std::string& ns, const std::string& pod,
                                             const std::string& container, bool previous) const {
  const PodWorker* worker = impl_->worker_of(ns, pod);
  if (!worker) return api::not_found(api::resources::kPods, pod);
  const Value& spec = worker->pod()["spec"];
  const Value* found = nullptr;
  std::vector<std::string> names, init_names;
  for (const Value& c : spec["containers"]) {
    names.push_back(c["name"].str());
    if (c["name"].as_string() == container) found = &c;
  }
  for (const Value& c : spec["initContainers"]) {
    init_names.push_back(c["name"].str());
    if (c["name"].as_string() == container) found = &c;
  }
  for (const Value& c : spec["ephemeralContainers"]) {
    if (c["name"].as_string() == container) found = &c;
  }
  if (container.empty()) {
    if (names.size() != 1) {
      std::string choice =
          "a container name must be specified for pod " + pod + ", choose one of: [" + join(names, " ") + "]";
      if (!init_names.empty()) choice += " or one of the init containers: [" + join(init_names, " ") + "]";
      return error(Code::kBadRequest, choice);
    }
    found = &spec["containers"][0];
  }
  if (!found) return error(Code::kBadRequest, "container " + container + " is not valid for pod " + pod);
  ContainerPlace out;
  out.container = (*found)["name"].str();
  out.tty = (*found)["tty"].as_bool();
  out.stdin_open = (*found)["stdin"].as_bool();
  out.stdin_once = (*found)["stdinOnce"].as_bool();
  const ContainerRecord& r = worker->record().at(out.container);
  std::string in_pod = quoted(out.container) + " in pod " + quoted(pod);
  out.waiting_reason = r.waiting_reason.empty() ? "ContainerCreating" : r.waiting_reason;
  // While a container waits to be run again, its last attempt is both the current and the previous one.
  int attempt = r.attempt;
  if (previous && !(r.state == ContainerRecord::State::kExited && !r.waiting_reason.empty())) --attempt;
  if (attempt < 0) {
    if (previous) return error(Code::kBadRequest, "previous terminated container " + in_pod + " not found");
    return error(Code::kBadRequest, "container " + in_pod + " is waiting to start: " + out.waiting_reason);
  }
  out.log_path = worker->log_path(out.container, attempt);
  if (!previous) {
    out.id = r.id;
    out.running = r.state == ContainerRecord::State::kRunning;
  }
  return out;
}

Result<PodPlace> Agent::find_pod(const std::string& ns, const std::string& pod) const {
  const PodWorker* worker = impl_->worker_of(ns, pod);
  if (!worker) return api::not_found(api::resources::kPods, pod);
  PodPlace out{worker->record().uid, worker->record().ip, ""};
  if (!worker->pod()["spec"]["hostNetwork"].as_bool()) out.network_namespace = worker->network_namespace();
  return out;
}

// A pod's grace period may be any int64 of seconds; this many fit into a Duration.
static constexpr std::int64_t kLongestGrace = std::int64_t{100} * 365 * 24 * 3600;

std::vector<PodSummary> Agent::pods() const {
  std::vector<PodSummary> out;
  for (const auto& [name, uid] : impl_->by_name) {
    auto worker = impl_->workers.find(uid);
    if (worker == impl_->workers.end()) continue;
    PodSummary summary{
        name.ns,
        name.name,
        uid,
        {},
        std::chrono::seconds(std::clamp<std::int64_t>(grace_seconds(worker->second->pod()), 0, kLongestGrace))};
    for (const auto& [container, r] : worker->second->record().containers) {
      if (r.state == ContainerRecord::State::kRunning) summary.containers.emplace_back(container, r.id);
    }
    out.push_back(std::move(summary));
  }
  return out;
}

StorageKeeper& Agent::storage() { return *impl_->storage; }

bool Agent::idle() const {
  return impl_->taken_over &&
         std::all_of(impl_->workers.begin(), impl_->workers.end(), [](const auto& w) { return w.second->is_idle(); });
}

}  // namespace berth::agent
