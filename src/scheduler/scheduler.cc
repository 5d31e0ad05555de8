#include "scheduler/scheduler.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "api/metadata.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/time/time.h"
#include "client/client.h"
#include "client/event_recorder.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/volume_match.h"
#include "scheduler/plan.h"
#include "scheduler/preemptor.h"
#include "scheduler/queue.h"
#include "scheduler/view.h"

namespace berth::scheduler {
namespace {

using namespace api::resources;  // NOLINT
using client::Informer;
using client::kNormal;
using client::kWarning;
using client::Subscription;

constexpr int kDecisionsPerTurn = 32;  // then the loop gets to do something else
const std::string kFieldManager = "kube-scheduler";
constexpr const char* kHandler = "scheduler";  // in the record of what is being handled

bool has_node(const Value& pod) { return !pod["spec"]["nodeName"].as_string().empty(); }

// Heartbeats change nothing that decisions look at.
bool node_matters(const Value& before, const Value& after) {
  return before["spec"]["unschedulable"] != after["spec"]["unschedulable"] ||
         before["spec"]["taints"] != after["spec"]["taints"] || api::labels_of(before) != api::labels_of(after) ||
         before["status"]["allocatable"] != after["status"]["allocatable"];
}

// A pod on its way to a node.
struct Flight {
  PodPtr pod;
  std::string node;
  VolumeChoice volumes;
  std::map<std::string, std::int64_t> annotated;  // claims by name: the revision that carries the node's name
  std::size_t writes = 0;                         // of claims and volumes, not yet answered
  bool binding = false;
  bool over = false;
  TimerId timer = 0;
};
using FlightPtr = std::shared_ptr<Flight>;

struct Counters {
  metrics::Counter& scheduled =
      metrics::counter("berth_scheduler_attempts_total", "Pods looked at.", "result=\"scheduled\"");
  metrics::Counter& unschedulable =
      metrics::counter("berth_scheduler_attempts_total", "Pods looked at.", "result=\"unschedulable\"");
  metrics::Counter& failed = metrics::counter("berth_scheduler_attempts_total", "Pods looked at.", "result=\"error\"");
  metrics::Counter& victims =
      metrics::counter("berth_scheduler_preemption_victims_total", "Pods that had to make room.", "");
  metrics::Histogram& seconds = metrics::histogram("berth_scheduler_decision_seconds", "Time of one decision.",
                                                   {0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.01, 0.1});
};

}  // namespace

struct Scheduler::State : std::enable_shared_from_this<Scheduler::State> {
  State(client::InformerSet& informers, Options options)
      : client(informers.client()),
        runtime(informers.runtime()),
        options(std::move(options)),
        recorder(runtime, client, this->options.name),
        preemptor(runtime, client, recorder),
        view(informers) {
    if (this->options.record) slot = this->options.record->slot_of(kHandler);
  }
  ~State();

  void start();
  void on_pod(const Value& before, const Value& after);
  void note_nomination(const Value& before, const Value& after);
  void withdraw(const std::string& uid, const std::string& goes_to);
  void put_on_node(const PodPtr& pod, const std::string& node);
  void neighbour_changed(const PodInfo& changed);
  void on_node(const Value& before, const Value& after);
  void on_claim(const Value& before, const Value& after);
  void on_volume_or_class();
  void leave_node(const std::string& uid);
  void wake_for_node(const std::string& name);

  void pump();
  void quarantine();
  bool is_quarantined(const PodPtr& pod, const std::string& key);
  void schedule_one(const PodPtr& pod);
  void park(const PodPtr& pod, const Decision& decision);
  void preempt(const PodPtr& pod, const Decision& decision);
  void preempted(const PodPtr& pod, bool good);
  void set_condition(const Value& pod, std::string_view reason, const std::string& message,
                     const std::optional<std::string>& nominated = {});
  void patch_status(const Value& pod, Value status);
  void arm_parked();

  void prepare(const FlightPtr& flight);
  void reserve(const FlightPtr& flight, const VolumeChoice::Binding& binding);
  void select_node(const FlightPtr& flight, const Value& claim);
  void prepared(const FlightPtr& flight, const Result<Value>& answer);
  void check_claims(const FlightPtr& flight);
  void bind(const FlightPtr& flight);
  void bound(const FlightPtr& flight, Result<Value> answer);
  void find_out(const FlightPtr& flight);
  void succeed(const FlightPtr& flight);
  void fail(const FlightPtr& flight, const std::string& message);
  void abandon(const FlightPtr& flight);
  void try_later(const PodPtr& pod);
  void drop_backoff(const std::string& uid);

  client::Client& client;
  Runtime& runtime;
  Options options;
  client::EventRecorder recorder;
  Preemptor preemptor;
  CachedView view;
  Counters counters;

  Snapshot snapshot;
  PodQueue queue;
  std::size_t turn = 0;
  std::unordered_map<std::string, FlightPtr> flights;  // by pod uid
  std::set<FlightPtr> waiting;                         // for their claims
  std::unordered_map<std::string, bool>
      preempting;  // by pod uid, until the victims are told; true: something woke the pod meanwhile
  struct Backoff {
    Duration delay{};
    TimerId timer = 0;
  };
  std::unordered_map<std::string, Backoff> backoffs;  // by pod uid
  int unsynced = 0;
  bool pumping = false;
  int patching = 0;
  int slot = -1;  // of the record
  std::map<std::string, std::uint64_t>
      left_alone;  // pods in quarantine, by name: what they asked for when that was found
  TimerId parked_timer = 0;
  std::vector<std::unique_ptr<Subscription>> subscriptions;
};

Scheduler::State::~State() {
  subscriptions.clear();
  if (parked_timer) runtime.cancel(parked_timer);
  for (auto& [uid, backoff] : backoffs) {
    if (backoff.timer) runtime.cancel(backoff.timer);
  }
  for (auto& [uid, flight] : flights) {
    if (flight->timer) runtime.cancel(flight->timer);
  }
}

void Scheduler::State::start() {
  auto changes = [this](const Value&, const Value&) { on_volume_or_class(); };
  subscriptions.push_back(
      view.nodes.subscribe([this](const Value& before, const Value& after) { on_node(before, after); }));
  subscriptions.push_back(
      view.pods.subscribe([this](const Value& before, const Value& after) { on_pod(before, after); }));
  subscriptions.push_back(
      view.claims.subscribe([this](const Value& before, const Value& after) { on_claim(before, after); }));
  subscriptions.push_back(view.volumes.subscribe(changes));
  subscriptions.push_back(view.classes.subscribe(changes));
  const std::vector<Informer*> all = view.informers();
  unsynced = static_cast<int>(all.size());
  for (Informer* one : all) {
    one->when_synced([weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || --self->unsynced > 0) return;
      self->quarantine();
      self->pump();
    });
  }
}

// --- What changes

void Scheduler::State::on_pod(const Value& before, const Value& after) {
  const Value& pod = after.is_null() ? before : after;
  const std::string uid(api::uid_of(pod));
  if (after.is_null() || api::is_pod_terminal(after)) {
    queue.remove(uid);
    withdraw(uid, {});
    auto flight = flights.find(uid);
    if (flight != flights.end() && !flight->second->binding) abandon(FlightPtr(flight->second));
    drop_backoff(uid);
    return leave_node(uid);
  }
  if (has_node(after)) {
    queue.remove(uid);
    withdraw(uid, after["spec"]["nodeName"].str());
    drop_backoff(uid);
    if (!snapshot.holds(after)) put_on_node(make_pod_info(after), after["spec"]["nodeName"].str());
    return;
  }
  if (after["spec"]["schedulerName"].as_string(options.name) != options.name) return;
  note_nomination(before, after);
  if (flights.count(uid)) {
    FlightPtr flight = flights[uid];
    if (api::is_terminating(after) && !flight->binding) abandon(flight);
    return;
  }
  if (api::is_terminating(after) || !after["spec"]["schedulingGates"].empty()) return queue.remove(uid);
  const bool same =
      !before.is_null() && before["spec"] == after["spec"] && api::labels_of(before) == api::labels_of(after);
  if (same || (backoffs.count(uid) && backoffs[uid].timer)) return;
  queue.add(make_pod_info(after));
  pump();
}

// Somebody else may have written or cleared it, and after a restart it is all that is known.
void Scheduler::State::note_nomination(const Value& before, const Value& after) {
  const Value& node = after["status"]["nominatedNodeName"];
  if (before["status"]["nominatedNodeName"] == node) return;
  withdraw(std::string(api::uid_of(after)), node.str());
  snapshot.nominate(make_pod_info(after), node.str());
}

// The room that was kept for the pod is free again, unless that is where it goes.
void Scheduler::State::withdraw(const std::string& uid, const std::string& goes_to) {
  const std::string node = snapshot.nomination_of(uid);
  if (node.empty()) return;
  snapshot.withdraw(uid);
  if (node != goes_to) wake_for_node(node);
}

void Scheduler::State::put_on_node(const PodPtr& pod, const std::string& node) {
  if (snapshot.place(pod, node)) neighbour_changed(*pod);
}

// Pods that are kept by affinity or spreading may be free to go, wherever the one that came or went is.
void Scheduler::State::neighbour_changed(const PodInfo& changed) {
  constexpr unsigned kAround = kConcernAffinity | kConcernSpread;
  if (unsynced > 0 || !queue.any_parked(kAround)) return;
  queue.wake(kAround, [&](const PodInfo& waiting) { return matters_to(waiting, changed, view); });
  pump();
}

void Scheduler::State::on_node(const Value& before, const Value& after) {
  const bool moved = before.is_null() || after.is_null() || api::labels_of(before) != api::labels_of(after);
  if (after.is_null()) {
    snapshot.remove_node(std::string(api::name_of(before)));
    const std::set<FlightPtr> looking = waiting;
    for (const FlightPtr& flight : looking) {
      if (flight->node == api::name_of(before)) check_claims(flight);
    }
  } else {
    if (!before.is_null() && !node_matters(before, after)) return;
    snapshot.set_node(after);
    wake_for_node(std::string(api::name_of(after)));
  }
  // Domains come and go with nodes, and what is even changes with them.
  if (!moved || unsynced > 0) return;
  queue.wake(kConcernSpread, [](const PodInfo&) { return true; });
  pump();
}

void Scheduler::State::on_claim(const Value& before, const Value& after) {
  const Value& claim = after.is_null() ? before : after;
  queue.wake_users_of(api::name_key(claim).to_string());
  const std::set<FlightPtr> looking = waiting;
  for (const FlightPtr& flight : looking) {
    if (flight->pod->ns == api::namespace_of(claim)) check_claims(flight);
  }
  pump();
}

void Scheduler::State::on_volume_or_class() {
  queue.wake(kConcernVolumes, [](const PodInfo&) { return true; });
  const std::set<FlightPtr> looking = waiting;
  for (const FlightPtr& flight : looking) check_claims(flight);
  pump();
}

void Scheduler::State::leave_node(const std::string& uid) {
  const PodPtr pod = snapshot.placed(uid);
  if (!pod) return;
  const std::string node = snapshot.remove(uid);
  neighbour_changed(*pod);
  wake_for_node(node);
}

// Something became free or different on one node: those that fit there now are looked at again.
void Scheduler::State::wake_for_node(const std::string& name) {
  if (unsynced > 0 || queue.parked() == 0) return;
  const NodeInfo* node = snapshot.node(name);
  if (!node) return;
  queue.wake(~0u, [&](const PodInfo& pod) { return fits_on(pod, *node, snapshot, view); });
  pump();
}

// --- Decisions

void Scheduler::State::pump() {
  if (pumping || unsynced > 0 || queue.active() == 0 || flights.size() - waiting.size() >= options.bindings_in_flight)
    return;
  pumping = true;
  runtime.post([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->pumping = false;
    for (int i = 0; i < kDecisionsPerTurn; ++i) {
      if (self->flights.size() - self->waiting.size() >= self->options.bindings_in_flight)
        return;  // an answer pumps again
      PodPtr pod = self->queue.pop();
      if (!pod) return;
      self->schedule_one(pod);
    }
    self->pump();
  });
}

void Scheduler::State::quarantine() {
  if (!options.record) return;
  for (const controllers::Death& one : options.record->quarantined(kHandler)) {
    const Cut parts = cut(one.key, "/");
    const Value& pod = view.pods.get(parts.before, parts.after);
    if (pod.is_null()) {
      options.record->forget(kHandler, one.key);
      continue;
    }
    left_alone[one.key] = controllers::version_of(pod);
    log_warning("scheduler", "left alone: the server died on it",
                {{"pod", one.key}, {"times", std::to_string(one.times)}});
    recorder.event(pod, kWarning, "Quarantined", controllers::quarantine_message(one));
  }
}

bool Scheduler::State::is_quarantined(const PodPtr& pod, const std::string& key) {
  if (left_alone.empty()) return false;
  const auto found = left_alone.find(key);
  if (found == left_alone.end()) return false;
  if (controllers::version_of(pod->pod) == found->second) return true;
  left_alone.erase(found);
  options.record->forget(kHandler, key);
  return false;
}

void Scheduler::State::schedule_one(const PodPtr& pod) {
  const std::string& key = pod->key;
  if (is_quarantined(pod, key)) return queue.park(pod, 0, runtime.monotonic());
  const controllers::HandlingRecord::Note note(options.record, slot, key);
  if (auto busy = preempting.find(pod->uid); busy != preempting.end()) {
    busy->second = true;
    return queue.park(pod, 0, runtime.monotonic());
  }
  const Duration started = runtime.monotonic();
  Decision decision;
  try {
    const InvariantsThrow throwing;
    decision = decide(*pod, snapshot, view, turn);
  } catch (const std::exception& thrown) {
    counters.failed.add();
    log_error("scheduler", "cannot decide about a pod", {{"pod", key}, {"error", thrown.what()}});
    recorder.event(pod->pod, kWarning, "FailedScheduling",
                   std::string("the scheduler cannot handle this pod: ") + thrown.what());
    queue.park(pod, 0, runtime.monotonic());
    return arm_parked();
  }
  counters.seconds.observe(std::chrono::duration<double>(runtime.monotonic() - started).count());
  if (decision.node.empty()) return park(pod, decision);
  auto flight = std::make_shared<Flight>();
  flight->pod = pod;
  flight->node = decision.node;
  flight->volumes = std::move(decision.volumes);
  flights[pod->uid] = flight;
  put_on_node(pod, flight->node);
  withdraw(pod->uid, flight->node);
  prepare(flight);
}

void Scheduler::State::park(const PodPtr& pod, const Decision& decision) {
  counters.unschedulable.add();
  queue.park(pod, decision.concerns, runtime.monotonic());
  arm_parked();
  const Value& latest = view.pods.get(api::name_key(pod->pod));
  if (api::uid_of(latest) != pod->uid) return;
  std::optional<std::string> nominated;
  if (!decision.nominated.empty()) nominated = decision.nominated;
  if (decision.withdraw) nominated = "";
  set_condition(latest, "Unschedulable", decision.message, nominated);
  if (nominated) {
    withdraw(pod->uid, *nominated);
    snapshot.nominate(pod, *nominated);
  }
  if (!decision.victims.empty()) preempt(pod, decision);
}

void Scheduler::State::preempt(const PodPtr& pod, const Decision& decision) {
  // Pods for which less room was promised on that node look for another place.
  const std::vector<PodPtr> others = snapshot.nominated_for(decision.nominated);
  for (const PodPtr& other : others) {
    if (other->priority >= pod->priority) continue;
    snapshot.withdraw(other->uid);
    const Value& latest = view.pods.get(api::name_key(other->pod));
    if (api::uid_of(latest) != other->uid) continue;
    patch_status(latest, Value::object({{"nominatedNodeName", nullptr}}));
    if (queue.knows(other->uid)) queue.add(make_pod_info(latest));
  }
  counters.victims.add(decision.victims.size());
  std::vector<Value> victims;
  for (const PodPtr& victim : decision.victims) {
    const Value& latest = view.pods.get(api::name_key(victim->pod));
    victims.push_back(api::uid_of(latest) == victim->uid ? latest : victim->pod);
  }
  preempting[pod->uid] = false;
  preemptor.remove(*pod, decision.nominated, victims, [weak = weak_from_this(), pod](bool good) {
    if (auto self = weak.lock()) self->preempted(pod, good);
  });
}

void Scheduler::State::preempted(const PodPtr& pod, bool good) {
  const bool woken = preempting[pod->uid];
  preempting.erase(pod->uid);
  if (!queue.knows(pod->uid)) return;
  if (!good) {
    queue.remove(pod->uid);
    return try_later(pod);
  }
  if (!woken) return;  // the end of the victims wakes it
  const Value& latest = view.pods.get(api::name_key(pod->pod));
  if (api::uid_of(latest) == pod->uid) queue.add(make_pod_info(latest));
  pump();
}

// Tells why, where that is news: events and the condition PodScheduled.
void Scheduler::State::set_condition(const Value& pod, std::string_view reason, const std::string& message,
                                     const std::optional<std::string>& nominated) {
  const Value& known = api::condition_of(pod, "PodScheduled");
  const bool was_false = known["status"].as_string() == "False";
  const bool same = was_false && known["reason"].as_string() == reason && known["message"].as_string() == message;
  const bool moved = nominated && pod["status"]["nominatedNodeName"].as_string() != *nominated;
  if (same && !moved) return;
  recorder.event(pod, kWarning, "FailedScheduling", message);
  Value condition = Value::object(
      {{"type", "PodScheduled"},
       {"status", "False"},
       {"reason", reason},
       {"message", message},
       {"lastProbeTime", nullptr},
       {"lastTransitionTime", was_false ? known["lastTransitionTime"] : Value(format_time(runtime.now()))}});
  if (!pod["metadata"]["generation"].is_null()) condition.set("observedGeneration", pod["metadata"]["generation"]);
  Value status = Value::object({{"conditions", Value::array({condition})}});
  if (moved) status.set("nominatedNodeName", nominated->empty() ? Value() : Value(*nominated));
  patch_status(pod, std::move(status));
}

void Scheduler::State::patch_status(const Value& pod, Value status) {
  Value change =
      Value::object({{"metadata", Value::object({{"uid", api::uid_of(pod)}})}, {"status", std::move(status)}});
  api::WriteOptions write;
  write.subresource = "status";
  write.field_manager = kFieldManager;
  ++patching;
  client.patch(kPods, api::name_key(pod), api::PatchType::kStrategic, std::move(change), write,
               [weak = weak_from_this()](Result<Value>) {
                 if (auto self = weak.lock()) --self->patching;
               });
}

// Nothing is forgotten for good, whatever was thought to concern a pod.
void Scheduler::State::arm_parked() {
  if (parked_timer || queue.parked() == 0) return;
  parked_timer = runtime.after(options.parked_retry, [this] {
    parked_timer = 0;
    queue.wake_older(runtime.monotonic() - options.parked_retry / 2);
    arm_parked();
    pump();
  });
}

// --- Claims

void Scheduler::State::prepare(const FlightPtr& flight) {
  if (flight->volumes.empty()) return bind(flight);
  waiting.insert(flight);
  flight->writes = flight->volumes.bindings.size() + flight->volumes.provisions.size();
  flight->timer = runtime.after(options.bind_timeout, [this, flight] {
    flight->timer = 0;
    fail(flight, "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded");
  });
  const VolumeChoice volumes = flight->volumes;
  for (const VolumeChoice::Binding& one : volumes.bindings)
    view.taken_volumes.insert(std::string(api::name_of(one.volume)));
  for (const VolumeChoice::Binding& one : volumes.bindings) reserve(flight, one);
  for (const Value& one : volumes.provisions) select_node(flight, one);
}

void Scheduler::State::reserve(const FlightPtr& flight, const VolumeChoice::Binding& binding) {
  const Value& known = binding.volume["spec"]["claimRef"];
  if (known["uid"].as_string() == api::uid_of(binding.claim)) return prepared(flight, binding.volume);
  Value reference = Value::object({{"apiVersion", "v1"},
                                   {"kind", "PersistentVolumeClaim"},
                                   {"namespace", api::namespace_of(binding.claim)},
                                   {"name", api::name_of(binding.claim)},
                                   {"uid", api::uid_of(binding.claim)},
                                   {"resourceVersion", api::resource_version_of(binding.claim)}});
  Value metadata = Value::object(
      {{"uid", api::uid_of(binding.volume)}, {"resourceVersion", api::resource_version_of(binding.volume)}});
  if (known.is_null()) metadata.set("annotations", Value::object({{controllers::kBoundByController, "yes"}}));
  Value change = Value::object({{"metadata", metadata}, {"spec", Value::object({{"claimRef", reference}})}});
  api::WriteOptions write;
  write.field_manager = kFieldManager;
  client.patch(kPersistentVolumes, api::name_key(binding.volume), api::PatchType::kMerge, std::move(change), write,
               [weak = weak_from_this(), flight](Result<Value> answer) {
                 if (auto self = weak.lock()) self->prepared(flight, answer);
               });
}

void Scheduler::State::select_node(const FlightPtr& flight, const Value& claim) {
  const std::string name(api::name_of(claim));
  if (api::annotation_of(claim, controllers::kSelectedNode) == flight->node) {
    flight->annotated[name] = api::resource_version_number(claim);
    return prepared(flight, claim);
  }
  Value metadata = Value::object({{"uid", api::uid_of(claim)},
                                  {"resourceVersion", api::resource_version_of(claim)},
                                  {"annotations", Value::object({{controllers::kSelectedNode, flight->node}})}});
  api::WriteOptions write;
  write.field_manager = kFieldManager;
  client.patch(kPersistentVolumeClaims, api::name_key(claim), api::PatchType::kMerge,
               Value::object({{"metadata", metadata}}), write,
               [weak = weak_from_this(), flight, name](Result<Value> answer) {
                 auto self = weak.lock();
                 if (!self) return;
                 if (answer.ok()) flight->annotated[name] = api::resource_version_number(answer.value());
                 self->prepared(flight, answer);
               });
}

void Scheduler::State::prepared(const FlightPtr& flight, const Result<Value>& answer) {
  --flight->writes;
  if (flight->over) return;
  if (!answer.ok()) return fail(flight, "running PreBind plugin \"VolumeBinding\": " + answer.error().message);
  check_claims(flight);
}

// Binds the pod once every claim is bound; gives up where one turns out differently.
void Scheduler::State::check_claims(const FlightPtr& flight) {
  if (flight->over || flight->binding || flight->writes > 0) return;
  // Another node has to be chosen now; its claims' volumes may be made there.
  const NodeInfo* node = snapshot.node(flight->node);
  if (!node)
    return fail(flight,
                "running PreBind plugin \"VolumeBinding\": binding volumes: node \"" + flight->node + "\" not found");
  bool complete = true;
  auto check = [&](const Value& decided) {
    const Value& claim = view.claims.get(api::name_key(decided));
    if (api::uid_of(claim) != api::uid_of(decided)) return std::string("claim was deleted");
    if (controllers::is_fully_bound(claim)) {
      const Value& volume = view.volumes.get(api::Name{"", claim["spec"]["volumeName"].str()});
      if (volume.is_null()) {
        complete = false;
      } else if (!controllers::matches_node_selector(volume["spec"]["nodeAffinity"]["required"], node->node)) {
        return "volume \"" + std::string(api::name_of(volume)) + "\" cannot be used on node \"" + flight->node + "\"";
      }
      return std::string();
    }
    complete = false;
    auto annotated = flight->annotated.find(std::string(api::name_of(claim)));
    if (annotated != flight->annotated.end() && api::resource_version_number(claim) >= annotated->second &&
        api::annotation_of(claim, controllers::kSelectedNode) != flight->node) {
      return "selectedNode annotation reset for PVC \"" + std::string(api::name_of(claim)) + "\"";
    }
    return std::string();
  };
  std::string problem;
  for (const VolumeChoice::Binding& one : flight->volumes.bindings)
    problem = problem.empty() ? check(one.claim) : problem;
  for (const Value& one : flight->volumes.provisions) problem = problem.empty() ? check(one) : problem;
  if (!problem.empty()) return fail(flight, "running PreBind plugin \"VolumeBinding\": binding volumes: " + problem);
  if (complete) bind(flight);
}

// --- Binding

void Scheduler::State::bind(const FlightPtr& flight) {
  waiting.erase(flight);
  if (flight->timer) runtime.cancel(flight->timer);
  flight->timer = 0;
  flight->binding = true;
  const api::Name name = api::name_key(flight->pod->pod);
  Value binding = Value::object(
      {{"apiVersion", "v1"},
       {"kind", "Binding"},
       {"metadata", Value::object({{"name", name.name}, {"namespace", name.ns}, {"uid", flight->pod->uid}})},
       {"target", Value::object({{"apiVersion", "v1"}, {"kind", "Node"}, {"name", flight->node}})}});
  api::WriteOptions write;
  write.field_manager = kFieldManager;
  write.subresource = "binding";
  client.create_sub(kPods, name, std::move(binding), write, [weak = weak_from_this(), flight](Result<Value> answer) {
    if (auto self = weak.lock()) self->bound(flight, std::move(answer));
  });
}

void Scheduler::State::bound(const FlightPtr& flight, Result<Value> answer) {
  if (answer.ok()) return succeed(flight);
  switch (answer.error().code) {
    case Code::kNotFound:  // deleted meanwhile, or about to be and then not
    case Code::kUnknown:
    case Code::kTimeout:
    case Code::kConflict: return find_out(flight);
    default: return fail(flight, "running Bind plugin \"DefaultBinder\": " + answer.error().message);
  }
}

// The binding may have been written, by us or by another scheduler.
void Scheduler::State::find_out(const FlightPtr& flight) {
  client.get(kPods, api::name_key(flight->pod->pod), [weak = weak_from_this(), flight](Result<Value> pod) {
    auto self = weak.lock();
    if (!self) return;
    if (!pod.ok() && pod.error().code != Code::kNotFound) return self->fail(flight, pod.error().message);
    if (!pod.ok() || api::uid_of(pod.value()) != flight->pod->uid) return self->abandon(flight);
    if (pod.value()["spec"]["nodeName"].as_string() == flight->node) return self->succeed(flight);
    self->abandon(flight);
    if (!has_node(pod.value())) self->try_later(flight->pod);
  });
}

void Scheduler::State::succeed(const FlightPtr& flight) {
  counters.scheduled.add();
  if (options.record && options.record->has_deaths()) options.record->forget(kHandler, flight->pod->key);
  flight->over = true;
  flights.erase(flight->pod->uid);
  drop_backoff(flight->pod->uid);
  for (const VolumeChoice::Binding& one : flight->volumes.bindings)
    view.taken_volumes.erase(std::string(api::name_of(one.volume)));
  recorder.event(flight->pod->pod, kNormal, "Scheduled",
                 "Successfully assigned " + flight->pod->key + " to " + flight->node);
  // The pod was deleted before the cache showed it bound: nobody else takes it off the node.
  if (api::uid_of(view.pods.get(api::name_key(flight->pod->pod))) != flight->pod->uid) leave_node(flight->pod->uid);
  pump();
}

void Scheduler::State::fail(const FlightPtr& flight, const std::string& message) {
  counters.failed.add();
  abandon(flight);
  const Value& latest = view.pods.get(api::name_key(flight->pod->pod));
  if (api::uid_of(latest) != flight->pod->uid || has_node(latest) || api::is_terminating(latest)) return;
  set_condition(latest, "SchedulerError", message);
  try_later(flight->pod);
}

// Takes the pod off the node it was assumed on.
void Scheduler::State::abandon(const FlightPtr& flight) {
  if (flight->over) return;
  flight->over = true;
  if (flight->timer) runtime.cancel(flight->timer);
  flight->timer = 0;
  waiting.erase(flight);
  flights.erase(flight->pod->uid);
  for (const VolumeChoice::Binding& one : flight->volumes.bindings)
    view.taken_volumes.erase(std::string(api::name_of(one.volume)));
  const Value& latest = view.pods.get(api::name_key(flight->pod->pod));
  if (api::uid_of(latest) != flight->pod->uid || !has_node(latest)) leave_node(flight->pod->uid);
  pump();
}

void Scheduler::State::try_later(const PodPtr& pod) {
  Backoff& backoff = backoffs[pod->uid];
  backoff.delay =
      backoff.delay == Duration::zero() ? options.first_backoff : std::min(backoff.delay * 2, options.last_backoff);
  if (backoff.timer) runtime.cancel(backoff.timer);
  backoff.timer = runtime.after(backoff.delay, [this, uid = pod->uid, name = api::name_key(pod->pod)] {
    auto found = backoffs.find(uid);
    if (found != backoffs.end()) found->second.timer = 0;
    const Value& latest = view.pods.get(name);
    if (api::uid_of(latest) != uid || has_node(latest) || api::is_terminating(latest) || flights.count(uid)) return;
    PodPtr again = make_pod_info(latest);
    if (snapshot.nomination_of(uid).empty()) snapshot.nominate(again, latest["status"]["nominatedNodeName"].str());
    queue.add(std::move(again));
    pump();
  });
}

void Scheduler::State::drop_backoff(const std::string& uid) {
  auto found = backoffs.find(uid);
  if (found == backoffs.end()) return;
  if (found->second.timer) runtime.cancel(found->second.timer);
  backoffs.erase(found);
}

Scheduler::Scheduler(client::InformerSet& informers) : Scheduler(informers, Options()) {}
Scheduler::Scheduler(client::InformerSet& informers, Options options)
    : state_(std::make_shared<State>(informers, std::move(options))) {
  state_->start();
}
Scheduler::~Scheduler() = default;

bool Scheduler::idle() const {
  return state_->queue.active() == 0 && state_->flights.size() == state_->waiting.size() && state_->patching == 0 &&
         state_->preempting.empty() && state_->recorder.pending() == 0;
}
std::size_t Scheduler::parked() const { return state_->queue.parked(); }

}  // namespace berth::scheduler
