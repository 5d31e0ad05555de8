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

constexpr int kDecisionsPerTurn = 32;  // then other tasks of the loop run
const std::string kFieldManager = "kube-scheduler";
constexpr const char* kHandler = "scheduler";  // controller name in the HandlingRecord

bool has_node(const Value& pod) { return !pod["spec"]["nodeName"].as_string().empty(); }

// False for heartbeats: they change no field that decisions read.
bool affects_decisions(const Value& before, const Value& after) {
  return before["spec"]["unschedulable"] != after["spec"]["unschedulable"] ||
         before["spec"]["taints"] != after["spec"]["taints"] || api::labels_of(before) != api::labels_of(after) ||
         before["status"]["allocatable"] != after["status"]["allocatable"];
}

// A decided pod whose binding is not finished.
struct PendingBinding {
  PodPtr pod;
  std::string node;
  VolumeChoice volumes;
  std::map<std::string, std::int64_t> annotated;  // by name of claim: the revision that has the annotation
  std::size_t writes = 0;                         // of claims and volumes, unanswered
  bool binding = false;
  bool finished = false;
  TimerId timer = 0;
};
using PendingBindingPtr = std::shared_ptr<PendingBinding>;

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

struct Scheduler::Impl : std::enable_shared_from_this<Scheduler::Impl> {
  Impl(client::InformerSet& informers, SchedulerOptions options)
      : client(informers.client()),
        runtime(informers.runtime()),
        options(std::move(options)),
        recorder(runtime, client, this->options.name),
        preemptor(runtime, client, recorder),
        view(informers) {
    if (this->options.record) slot = this->options.record->slot_of(kHandler);
  }
  ~Impl();

  void start();
  void on_pod(const Value& before, const Value& after);
  void sync_nomination(const Value& before, const Value& after);
  void withdraw(const std::string& uid, const std::string& goes_to);
  void place_on_node(const PodPtr& pod, const std::string& node);
  void wake_neighbours(const PodInfo& changed);
  void on_node(const Value& before, const Value& after);
  void on_claim(const Value& before, const Value& after);
  void on_volume_or_class();
  void remove_from_node(const std::string& uid);
  void wake_for_node(const std::string& name);

  void pump();
  void load_quarantine();
  bool is_quarantined(const PodPtr& pod, const std::string& key);
  void schedule_one(const PodPtr& pod);
  void park(const PodPtr& pod, const SchedulingDecision& decision);
  void preempt(const PodPtr& pod, const SchedulingDecision& decision);
  void on_preempted(const PodPtr& pod, bool good);
  void set_condition(const Value& pod, std::string_view reason, const std::string& message,
                     const std::optional<std::string>& nominated = {});
  void patch_status(const Value& pod, Value status);
  void arm_parked();

  void prepare_claims(const PendingBindingPtr& pending);
  void reserve(const PendingBindingPtr& pending, const VolumeChoice::Binding& binding);
  void select_node(const PendingBindingPtr& pending, const Value& claim);
  void on_prepared(const PendingBindingPtr& pending, const Result<Value>& answer);
  void check_claims(const PendingBindingPtr& pending);
  void bind(const PendingBindingPtr& pending);
  void on_bound(const PendingBindingPtr& pending, Result<Value> answer);
  void reread_pod(const PendingBindingPtr& pending);
  void finish_binding(const PendingBindingPtr& pending);
  void fail_binding(const PendingBindingPtr& pending, const std::string& message);
  void cancel_binding(const PendingBindingPtr& pending);
  void retry_later(const PodPtr& pod);
  void reset_backoff(const std::string& uid);

  client::Client& client;
  Runtime& runtime;
  SchedulerOptions options;
  client::EventRecorder recorder;
  Preemptor preemptor;
  CachedView view;
  Counters counters;

  Snapshot snapshot;
  PodQueue queue;
  std::size_t next_node = 0;
  std::unordered_map<std::string, PendingBindingPtr> pending_bindings;  // by pod uid
  std::set<PendingBindingPtr> waiting_for_claims;                       // bindings that wait for their claims
  // By pod uid, until the victims' deletions are answered; true: the pod was woken in the meantime.
  std::unordered_map<std::string, bool> preempting;
  struct PodBackoff {
    Duration delay{};
    TimerId timer = 0;
  };
  std::unordered_map<std::string, PodBackoff> backoffs;  // by pod uid
  int unsynced = 0;
  bool pumping = false;
  int patching = 0;
  int slot = -1;                                     // of the HandlingRecord
  std::map<std::string, std::uint64_t> quarantined;  // pods in quarantine, by key: their desired_hash()
  TimerId parked_timer = 0;
  std::vector<std::unique_ptr<Subscription>> subscriptions;
};

Scheduler::Impl::~Impl() {
  subscriptions.clear();
  if (parked_timer) runtime.cancel(parked_timer);
  for (auto& [uid, backoff] : backoffs) {
    if (backoff.timer) runtime.cancel(backoff.timer);
  }
  for (auto& [uid, pending] : pending_bindings) {
    if (pending->timer) runtime.cancel(pending->timer);
  }
}

void Scheduler::Impl::start() {
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
  for (Informer* informer : all) {
    informer->when_synced([weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || --self->unsynced > 0) return;
      self->load_quarantine();
      self->pump();
    });
  }
}

// --- Informer events

void Scheduler::Impl::on_pod(const Value& before, const Value& after) {
  const Value& pod = after.is_null() ? before : after;
  const std::string uid(api::uid_of(pod));
  if (after.is_null() || api::is_pod_terminal(after)) {
    queue.remove(uid);
    withdraw(uid, {});
    auto pending = pending_bindings.find(uid);
    if (pending != pending_bindings.end() && !pending->second->binding)
      cancel_binding(PendingBindingPtr(pending->second));
    reset_backoff(uid);
    return remove_from_node(uid);
  }
  if (has_node(after)) {
    queue.remove(uid);
    withdraw(uid, after["spec"]["nodeName"].str());
    reset_backoff(uid);
    if (!snapshot.contains_unchanged(after)) place_on_node(make_pod_info(after), after["spec"]["nodeName"].str());
    return;
  }
  if (after["spec"]["schedulerName"].as_string(options.name) != options.name) return;
  sync_nomination(before, after);
  if (pending_bindings.count(uid)) {
    PendingBindingPtr pending = pending_bindings[uid];
    if (api::is_terminating(after) && !pending->binding) cancel_binding(pending);
    return;
  }
  if (api::is_terminating(after) || !after["spec"]["schedulingGates"].empty()) return queue.remove(uid);
  const bool same =
      !before.is_null() && before["spec"] == after["spec"] && api::labels_of(before) == api::labels_of(after);
  if (same || (backoffs.count(uid) && backoffs[uid].timer)) return;
  queue.add(make_pod_info(after));
  pump();
}

// Takes over status.nominatedNodeName: another client may have changed it, and after a restart of the scheduler the
// nominations are known from the pods alone.
void Scheduler::Impl::sync_nomination(const Value& before, const Value& after) {
  const Value& node = after["status"]["nominatedNodeName"];
  if (before["status"]["nominatedNodeName"] == node) return;
  withdraw(std::string(api::uid_of(after)), node.str());
  snapshot.nominate(make_pod_info(after), node.str());
}

// Releases the nominated room; wakes pods for that node unless the pod itself goes there.
void Scheduler::Impl::withdraw(const std::string& uid, const std::string& goes_to) {
  const std::string node = snapshot.nomination_of(uid);
  if (node.empty()) return;
  snapshot.withdraw(uid);
  if (node != goes_to) wake_for_node(node);
}

void Scheduler::Impl::place_on_node(const PodPtr& pod, const std::string& node) {
  if (snapshot.place(pod, node)) wake_neighbours(*pod);
}

// A pod placed or removed on any node may satisfy the affinity or spreading of parked pods.
void Scheduler::Impl::wake_neighbours(const PodInfo& changed) {
  constexpr unsigned kConcerns = kConcernAffinity | kConcernSpread;
  if (unsynced > 0 || !queue.any_parked(kConcerns)) return;
  queue.wake(kConcerns, [&](const PodInfo& parked) { return affects(parked, changed, view); });
  pump();
}

void Scheduler::Impl::on_node(const Value& before, const Value& after) {
  const bool domains_changed = before.is_null() || after.is_null() || api::labels_of(before) != api::labels_of(after);
  if (after.is_null()) {
    snapshot.remove_node(std::string(api::name_of(before)));
    const std::set<PendingBindingPtr> bindings = waiting_for_claims;
    for (const PendingBindingPtr& pending : bindings) {
      if (pending->node == api::name_of(before)) check_claims(pending);
    }
  } else {
    if (!before.is_null() && !affects_decisions(before, after)) return;
    snapshot.set_node(after);
    wake_for_node(std::string(api::name_of(after)));
  }
  // A topology domain that appears or disappears changes the skew of spread constraints.
  if (!domains_changed || unsynced > 0) return;
  queue.wake(kConcernSpread, [](const PodInfo&) { return true; });
  pump();
}

void Scheduler::Impl::on_claim(const Value& before, const Value& after) {
  const Value& claim = after.is_null() ? before : after;
  queue.wake_users_of(api::name_key(claim).to_string());
  const std::set<PendingBindingPtr> bindings = waiting_for_claims;
  for (const PendingBindingPtr& pending : bindings) {
    if (pending->pod->ns == api::namespace_of(claim)) check_claims(pending);
  }
  pump();
}

void Scheduler::Impl::on_volume_or_class() {
  queue.wake(kConcernVolumes, [](const PodInfo&) { return true; });
  const std::set<PendingBindingPtr> bindings = waiting_for_claims;
  for (const PendingBindingPtr& pending : bindings) check_claims(pending);
  pump();
}

void Scheduler::Impl::remove_from_node(const std::string& uid) {
  const PodPtr pod = snapshot.placed(uid);
  if (!pod) return;
  const std::string node = snapshot.remove(uid);
  wake_neighbours(*pod);
  wake_for_node(node);
}

// Room or labels changed on one node: wakes the parked pods that fit there now.
void Scheduler::Impl::wake_for_node(const std::string& name) {
  if (unsynced > 0 || queue.parked() == 0) return;
  const NodeInfo* node = snapshot.node(name);
  if (!node) return;
  queue.wake(~0u, [&](const PodInfo& pod) { return fits_on(pod, *node, snapshot, view); });
  pump();
}

// --- Decisions

void Scheduler::Impl::pump() {
  if (pumping || unsynced > 0 || queue.active() == 0 ||
      pending_bindings.size() - waiting_for_claims.size() >= options.bindings_in_flight)
    return;
  pumping = true;
  runtime.post([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->pumping = false;
    for (int i = 0; i < kDecisionsPerTurn; ++i) {
      if (self->pending_bindings.size() - self->waiting_for_claims.size() >= self->options.bindings_in_flight)
        return;  // the next answer posts pump() again
      PodPtr pod = self->queue.pop();
      if (!pod) return;
      self->schedule_one(pod);
    }
    self->pump();
  });
}

void Scheduler::Impl::load_quarantine() {
  if (!options.record) return;
  for (const controllers::Death& death : options.record->quarantined(kHandler)) {
    const Cut parts = cut(death.key, "/");
    const Value& pod = view.pods.get(parts.before, parts.after);
    if (pod.is_null()) {
      options.record->forget(kHandler, death.key);
      continue;
    }
    quarantined[death.key] = controllers::desired_hash(pod);
    log_warning("scheduler", "left alone: the server died on it",
                {{"pod", death.key}, {"times", std::to_string(death.times)}});
    recorder.event(pod, kWarning, "Quarantined", controllers::quarantine_message(death));
  }
}

bool Scheduler::Impl::is_quarantined(const PodPtr& pod, const std::string& key) {
  if (quarantined.empty()) return false;
  const auto found = quarantined.find(key);
  if (found == quarantined.end()) return false;
  if (controllers::desired_hash(pod->pod) == found->second) return true;
  quarantined.erase(found);
  options.record->forget(kHandler, key);
  return false;
}

void Scheduler::Impl::schedule_one(const PodPtr& pod) {
  const std::string& key = pod->key;
  if (is_quarantined(pod, key)) return queue.park(pod, 0, runtime.monotonic());
  const controllers::HandlingRecord::Mark mark(options.record, slot, key);
  if (auto preemption = preempting.find(pod->uid); preemption != preempting.end()) {
    preemption->second = true;
    return queue.park(pod, 0, runtime.monotonic());
  }
  const Duration start_time = runtime.monotonic();
  SchedulingDecision decision;
  try {
    const InvariantsThrow throwing;
    decision = decide(*pod, snapshot, view, next_node);
  } catch (const std::exception& thrown) {
    counters.failed.add();
    log_error("scheduler", "cannot decide about a pod", {{"pod", key}, {"error", thrown.what()}});
    recorder.event(pod->pod, kWarning, "FailedScheduling",
                   std::string("the scheduler cannot handle this pod: ") + thrown.what());
    queue.park(pod, 0, runtime.monotonic());
    return arm_parked();
  }
  counters.seconds.observe(std::chrono::duration<double>(runtime.monotonic() - start_time).count());
  if (decision.node.empty()) return park(pod, decision);
  auto pending = std::make_shared<PendingBinding>();
  pending->pod = pod;
  pending->node = decision.node;
  pending->volumes = std::move(decision.volumes);
  pending_bindings[pod->uid] = pending;
  place_on_node(pod, pending->node);
  withdraw(pod->uid, pending->node);
  prepare_claims(pending);
}

void Scheduler::Impl::park(const PodPtr& pod, const SchedulingDecision& decision) {
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

void Scheduler::Impl::preempt(const PodPtr& pod, const SchedulingDecision& decision) {
  // Withdraw the nominations of lower priority pods for that node: they must find another one.
  const std::vector<PodPtr> others = snapshot.nominated_for(decision.nominated);
  for (const PodPtr& other : others) {
    if (other->priority >= pod->priority) continue;
    snapshot.withdraw(other->uid);
    const Value& latest = view.pods.get(api::name_key(other->pod));
    if (api::uid_of(latest) != other->uid) continue;
    patch_status(latest, Value::object({{"nominatedNodeName", nullptr}}));
    if (queue.contains(other->uid)) queue.add(make_pod_info(latest));
  }
  counters.victims.add(decision.victims.size());
  std::vector<Value> victims;
  for (const PodPtr& victim : decision.victims) {
    const Value& latest = view.pods.get(api::name_key(victim->pod));
    victims.push_back(api::uid_of(latest) == victim->uid ? latest : victim->pod);
  }
  preempting[pod->uid] = false;
  preemptor.remove(*pod, decision.nominated, victims, [weak = weak_from_this(), pod](bool good) {
    if (auto self = weak.lock()) self->on_preempted(pod, good);
  });
}

void Scheduler::Impl::on_preempted(const PodPtr& pod, bool good) {
  const bool woken = preempting[pod->uid];
  preempting.erase(pod->uid);
  if (!queue.contains(pod->uid)) return;
  if (!good) {
    queue.remove(pod->uid);
    return retry_later(pod);
  }
  if (!woken) return;  // the deletion events of the victims wake the pod
  const Value& latest = view.pods.get(api::name_key(pod->pod));
  if (api::uid_of(latest) == pod->uid) queue.add(make_pod_info(latest));
  pump();
}

// Emits the event and writes the condition PodScheduled if they changed.
void Scheduler::Impl::set_condition(const Value& pod, std::string_view reason, const std::string& message,
                                    const std::optional<std::string>& nominated) {
  const Value& old = api::condition_of(pod, "PodScheduled");
  const bool was_false = old["status"].as_string() == "False";
  const bool same = was_false && old["reason"].as_string() == reason && old["message"].as_string() == message;
  const bool renominated = nominated && pod["status"]["nominatedNodeName"].as_string() != *nominated;
  if (same && !renominated) return;
  recorder.event(pod, kWarning, "FailedScheduling", message);
  Value condition = Value::object(
      {{"type", "PodScheduled"},
       {"status", "False"},
       {"reason", reason},
       {"message", message},
       {"lastProbeTime", nullptr},
       {"lastTransitionTime", was_false ? old["lastTransitionTime"] : Value(format_time(runtime.now()))}});
  if (!pod["metadata"]["generation"].is_null()) condition.set("observedGeneration", pod["metadata"]["generation"]);
  Value status = Value::object({{"conditions", Value::array({condition})}});
  if (renominated) status.set("nominatedNodeName", nominated->empty() ? Value() : Value(*nominated));
  patch_status(pod, std::move(status));
}

void Scheduler::Impl::patch_status(const Value& pod, Value status) {
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

// Retries parked pods after a time, in case a change that concerns them was missed.
void Scheduler::Impl::arm_parked() {
  if (parked_timer || queue.parked() == 0) return;
  parked_timer = runtime.after(options.parked_retry, [this] {
    parked_timer = 0;
    queue.wake_older(runtime.monotonic() - options.parked_retry / 2);
    arm_parked();
    pump();
  });
}

// --- Claims

void Scheduler::Impl::prepare_claims(const PendingBindingPtr& pending) {
  if (pending->volumes.empty()) return bind(pending);
  waiting_for_claims.insert(pending);
  pending->writes = pending->volumes.bindings.size() + pending->volumes.provisions.size();
  pending->timer = runtime.after(options.bind_timeout, [this, pending] {
    pending->timer = 0;
    fail_binding(pending, "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded");
  });
  const VolumeChoice volumes = pending->volumes;
  for (const VolumeChoice::Binding& binding : volumes.bindings)
    view.reserved_volumes.insert(std::string(api::name_of(binding.volume)));
  for (const VolumeChoice::Binding& binding : volumes.bindings) reserve(pending, binding);
  for (const Value& claim : volumes.provisions) select_node(pending, claim);
}

void Scheduler::Impl::reserve(const PendingBindingPtr& pending, const VolumeChoice::Binding& binding) {
  const Value& present = binding.volume["spec"]["claimRef"];
  if (present["uid"].as_string() == api::uid_of(binding.claim)) return on_prepared(pending, binding.volume);
  Value reference = Value::object({{"apiVersion", "v1"},
                                   {"kind", "PersistentVolumeClaim"},
                                   {"namespace", api::namespace_of(binding.claim)},
                                   {"name", api::name_of(binding.claim)},
                                   {"uid", api::uid_of(binding.claim)},
                                   {"resourceVersion", api::resource_version_of(binding.claim)}});
  Value metadata = Value::object(
      {{"uid", api::uid_of(binding.volume)}, {"resourceVersion", api::resource_version_of(binding.volume)}});
  if (present.is_null()) metadata.set("annotations", Value::object({{controllers::kBoundByController, "yes"}}));
  Value change = Value::object({{"metadata", metadata}, {"spec", Value::object({{"claimRef", reference}})}});
  api::WriteOptions write;
  write.field_manager = kFieldManager;
  client.patch(kPersistentVolumes, api::name_key(binding.volume), api::PatchType::kMerge, std::move(change), write,
               [weak = weak_from_this(), pending](Result<Value> answer) {
                 if (auto self = weak.lock()) self->on_prepared(pending, answer);
               });
}

void Scheduler::Impl::select_node(const PendingBindingPtr& pending, const Value& claim) {
  const std::string name(api::name_of(claim));
  if (api::annotation_of(claim, controllers::kSelectedNode) == pending->node) {
    pending->annotated[name] = api::resource_version_number(claim);
    return on_prepared(pending, claim);
  }
  Value metadata = Value::object({{"uid", api::uid_of(claim)},
                                  {"resourceVersion", api::resource_version_of(claim)},
                                  {"annotations", Value::object({{controllers::kSelectedNode, pending->node}})}});
  api::WriteOptions write;
  write.field_manager = kFieldManager;
  client.patch(kPersistentVolumeClaims, api::name_key(claim), api::PatchType::kMerge,
               Value::object({{"metadata", metadata}}), write,
               [weak = weak_from_this(), pending, name](Result<Value> answer) {
                 auto self = weak.lock();
                 if (!self) return;
                 if (answer.ok()) pending->annotated[name] = api::resource_version_number(answer.value());
                 self->on_prepared(pending, answer);
               });
}

void Scheduler::Impl::on_prepared(const PendingBindingPtr& pending, const Result<Value>& answer) {
  --pending->writes;
  if (pending->finished) return;
  if (!answer.ok()) return fail_binding(pending, "running PreBind plugin \"VolumeBinding\": " + answer.error().message);
  check_claims(pending);
}

// Binds the pod when every claim is bound; fails if a claim was bound or changed otherwise.
void Scheduler::Impl::check_claims(const PendingBindingPtr& pending) {
  if (pending->finished || pending->binding || pending->writes > 0) return;
  // If the node is gone another one must be chosen; its claims' volumes may be created there.
  const NodeInfo* node = snapshot.node(pending->node);
  if (!node)
    return fail_binding(
        pending, "running PreBind plugin \"VolumeBinding\": binding volumes: node \"" + pending->node + "\" not found");
  bool complete = true;
  auto check = [&](const Value& decided) {
    const Value& claim = view.claims.get(api::name_key(decided));
    if (api::uid_of(claim) != api::uid_of(decided)) return std::string("claim was deleted");
    if (controllers::is_fully_bound(claim)) {
      const Value& volume = view.volumes.get(api::Name{"", claim["spec"]["volumeName"].str()});
      if (volume.is_null()) {
        complete = false;
      } else if (!controllers::matches_node_selector(volume["spec"]["nodeAffinity"]["required"], node->node)) {
        return "volume \"" + std::string(api::name_of(volume)) + "\" cannot be used on node \"" + pending->node + "\"";
      }
      return std::string();
    }
    complete = false;
    auto annotated = pending->annotated.find(std::string(api::name_of(claim)));
    if (annotated != pending->annotated.end() && api::resource_version_number(claim) >= annotated->second &&
        api::annotation_of(claim, controllers::kSelectedNode) != pending->node) {
      return "selectedNode annotation reset for PVC \"" + std::string(api::name_of(claim)) + "\"";
    }
    return std::string();
  };
  std::string problem;
  for (const VolumeChoice::Binding& binding : pending->volumes.bindings)
    problem = problem.empty() ? check(binding.claim) : problem;
  for (const Value& claim : pending->volumes.provisions) problem = problem.empty() ? check(claim) : problem;
  if (!problem.empty())
    return fail_binding(pending, "running PreBind plugin \"VolumeBinding\": binding volumes: " + problem);
  if (complete) bind(pending);
}

// --- Binding

void Scheduler::Impl::bind(const PendingBindingPtr& pending) {
  waiting_for_claims.erase(pending);
  if (pending->timer) runtime.cancel(pending->timer);
  pending->timer = 0;
  pending->binding = true;
  const api::Name name = api::name_key(pending->pod->pod);
  Value binding = Value::object(
      {{"apiVersion", "v1"},
       {"kind", "Binding"},
       {"metadata", Value::object({{"name", name.name}, {"namespace", name.ns}, {"uid", pending->pod->uid}})},
       {"target", Value::object({{"apiVersion", "v1"}, {"kind", "Node"}, {"name", pending->node}})}});
  api::WriteOptions write;
  write.field_manager = kFieldManager;
  write.subresource = "binding";
  client.create_sub(kPods, name, std::move(binding), write, [weak = weak_from_this(), pending](Result<Value> answer) {
    if (auto self = weak.lock()) self->on_bound(pending, std::move(answer));
  });
}

void Scheduler::Impl::on_bound(const PendingBindingPtr& pending, Result<Value> answer) {
  if (answer.ok()) return finish_binding(pending);
  switch (answer.error().code) {
    case Code::kNotFound:  // the pod is gone, or its deletion was in progress and failed
    case Code::kUnknown:
    case Code::kTimeout:
    case Code::kConflict: return reread_pod(pending);
    default: return fail_binding(pending, "running Bind plugin \"DefaultBinder\": " + answer.error().message);
  }
}

// The binding may have been written, by this or by another scheduler.
void Scheduler::Impl::reread_pod(const PendingBindingPtr& pending) {
  client.get(kPods, api::name_key(pending->pod->pod), [weak = weak_from_this(), pending](Result<Value> pod) {
    auto self = weak.lock();
    if (!self) return;
    if (!pod.ok() && pod.error().code != Code::kNotFound) return self->fail_binding(pending, pod.error().message);
    if (!pod.ok() || api::uid_of(pod.value()) != pending->pod->uid) return self->cancel_binding(pending);
    if (pod.value()["spec"]["nodeName"].as_string() == pending->node) return self->finish_binding(pending);
    self->cancel_binding(pending);
    if (!has_node(pod.value())) self->retry_later(pending->pod);
  });
}

void Scheduler::Impl::finish_binding(const PendingBindingPtr& pending) {
  counters.scheduled.add();
  if (options.record && options.record->has_deaths()) options.record->forget(kHandler, pending->pod->key);
  pending->finished = true;
  pending_bindings.erase(pending->pod->uid);
  reset_backoff(pending->pod->uid);
  for (const VolumeChoice::Binding& binding : pending->volumes.bindings)
    view.reserved_volumes.erase(std::string(api::name_of(binding.volume)));
  recorder.event(pending->pod->pod, kNormal, "Scheduled",
                 "Successfully assigned " + pending->pod->key + " to " + pending->node);
  // The pod was deleted before the cache showed its binding, so no event will remove it from the snapshot.
  if (api::uid_of(view.pods.get(api::name_key(pending->pod->pod))) != pending->pod->uid)
    remove_from_node(pending->pod->uid);
  pump();
}

void Scheduler::Impl::fail_binding(const PendingBindingPtr& pending, const std::string& message) {
  counters.failed.add();
  cancel_binding(pending);
  const Value& latest = view.pods.get(api::name_key(pending->pod->pod));
  if (api::uid_of(latest) != pending->pod->uid || has_node(latest) || api::is_terminating(latest)) return;
  set_condition(latest, "SchedulerError", message);
  retry_later(pending->pod);
}

// Removes the pod from the node that it was assumed on.
void Scheduler::Impl::cancel_binding(const PendingBindingPtr& pending) {
  if (pending->finished) return;
  pending->finished = true;
  if (pending->timer) runtime.cancel(pending->timer);
  pending->timer = 0;
  waiting_for_claims.erase(pending);
  pending_bindings.erase(pending->pod->uid);
  for (const VolumeChoice::Binding& binding : pending->volumes.bindings)
    view.reserved_volumes.erase(std::string(api::name_of(binding.volume)));
  const Value& latest = view.pods.get(api::name_key(pending->pod->pod));
  if (api::uid_of(latest) != pending->pod->uid || !has_node(latest)) remove_from_node(pending->pod->uid);
  pump();
}

void Scheduler::Impl::retry_later(const PodPtr& pod) {
  PodBackoff& backoff = backoffs[pod->uid];
  backoff.delay =
      backoff.delay == Duration::zero() ? options.first_backoff : std::min(backoff.delay * 2, options.last_backoff);
  if (backoff.timer) runtime.cancel(backoff.timer);
  backoff.timer = runtime.after(backoff.delay, [this, uid = pod->uid, name = api::name_key(pod->pod)] {
    auto found = backoffs.find(uid);
    if (found != backoffs.end()) found->second.timer = 0;
    const Value& latest = view.pods.get(name);
    if (api::uid_of(latest) != uid || has_node(latest) || api::is_terminating(latest) || pending_bindings.count(uid))
      return;
    PodPtr again = make_pod_info(latest);
    if (snapshot.nomination_of(uid).empty()) snapshot.nominate(again, latest["status"]["nominatedNodeName"].str());
    queue.add(std::move(again));
    pump();
  });
}

void Scheduler::Impl::reset_backoff(const std::string& uid) {
  auto found = backoffs.find(uid);
  if (found == backoffs.end()) return;
  if (found->second.timer) runtime.cancel(found->second.timer);
  backoffs.erase(found);
}

Scheduler::Scheduler(client::InformerSet& informers) : Scheduler(informers, SchedulerOptions()) {}
Scheduler::Scheduler(client::InformerSet& informers, SchedulerOptions options)
    : impl_(std::make_shared<Impl>(informers, std::move(options))) {
  impl_->start();
}
Scheduler::~Scheduler() = default;

bool Scheduler::idle() const {
  return impl_->queue.active() == 0 && impl_->pending_bindings.size() == impl_->waiting_for_claims.size() &&
         impl_->patching == 0 && impl_->preempting.empty() && impl_->recorder.pending() == 0;
}
std::size_t Scheduler::parked() const { return impl_->queue.parked(); }

}  // namespace berth::scheduler
