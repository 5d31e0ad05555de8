#include "sim/scenarios/history.h"

#include <set>

#include "sim/cluster.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

class History {
 public:
  explicit History(const HistoryOptions& options)
      : options_(options),
        cluster_({.seed = options.seed, .nodes = 2, .planner = options.planner}),
        world_(cluster_.world()) {}

  Outcome run() {
    people_ = world_.make_lane("people");
    cluster_.truth().set_trace(options_.trace);
    const int sets = 1 + static_cast<int>(world_.below(3));
    for (int i = 0; i < sets; ++i) create_set("set-" + std::string(1, static_cast<char>('a' + i)));
    const Duration end = world_.between(20s, 120s);
    const int deeds = 6 + static_cast<int>(world_.below(20));
    for (int i = 0; i < deeds; ++i) {
      people_->after(world_.between(1s, end), [this] { do_something(); });
    }
    if (options_.faults) {
      set_faults();
    } else {
      cluster_.truth().set_slack(200ms);
    }
    const int accidents = 2 + static_cast<int>(world_.below(12));
    for (int i = 0; i < accidents; ++i) {
      people_->after(world_.between(1s, end), [this] { let_something_happen(); });
    }
    world_.run_for(end + 11s);  // whatever people began to do is done by then
    cluster_.truth().trace("everything is healed");
    cluster_.heal();
    finish();
    people_.reset();
    Outcome out;
    out.violations = cluster_.truth().violations();
    out.steps = world_.steps();
    out.virtual_seconds = std::chrono::duration<double>(world_.elapsed()).count();
    out.changes = cluster_.truth().changes();
    return out;
  }

 private:
  void finish() {
    Truth& truth = cluster_.truth();
    if (!cluster_.settle(60s, 1800s)) {
      truth.violation("rest", "still writing half an hour after everything was healed: " + truth.last_change());
      return;
    }
    truth.at_rest();
    cluster_.compare_caches();
    const std::uint64_t changes = truth.changes();
    world_.run_for(600s);
    if (truth.changes() != changes) truth.violation("rest", "a write after convergence: " + truth.last_change());
  }

  static void ignore(Result<Value> result) { (void)result.ok(); }

  const char* any(std::initializer_list<const char*> words) { return *(words.begin() + world_.below(words.size())); }

  void create_set(const std::string& name) {
    names_.insert(name);
    Value set = json::parse(R"({"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"namespace":"default"},
      "spec":{"serviceName":"svc","template":{"spec":{"terminationGracePeriodSeconds":2,"containers":[{"name":"c","image":"i:1"}]}}}})")
                    .value();
    set.mut("metadata").set("name", name);
    Value labels = Value::object({{"app", name}});
    Value& spec = set.mut("spec");
    spec.set("selector", Value::object({{"matchLabels", labels}}));
    spec.mut("template").set("metadata", Value::object({{"labels", labels}}));
    spec.set("replicas", static_cast<int>(world_.below(5)));
    spec.set("podManagementPolicy", world_.chance(0.6) ? "OrderedReady" : "Parallel");
    Value rolling = Value::object({{"partition", world_.chance(0.2) ? static_cast<int>(world_.below(3)) : 0}});
    if (world_.chance(0.3)) rolling.set("maxUnavailable", 2);
    if (world_.chance(0.1)) {
      spec.set("updateStrategy", Value::object({{"type", "OnDelete"}}));
    } else {
      spec.set("updateStrategy", Value::object({{"type", "RollingUpdate"}, {"rollingUpdate", rolling}}));
    }
    if (world_.chance(0.2)) spec.set("minReadySeconds", 3);
    if (world_.chance(0.2)) spec.set("ordinals", Value::object({{"start", 2}}));
    spec.set("revisionHistoryLimit", 2);
    if (world_.chance(0.7)) {
      spec.set(
          "volumeClaimTemplates",
          json::parse(
              R"([{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}])")
              .value());
      spec.set("persistentVolumeClaimRetentionPolicy",
               Value::object(
                   {{"whenDeleted", any({"Retain", "Delete"})}, {"whenScaled", any({"Retain", "Retain", "Delete"})}}));
    }
    cluster_.user().create(kStatefulSets, std::move(set), {}, ignore);
  }

  std::string any_set() {
    auto at = names_.begin();
    std::advance(at, world_.below(names_.size()));
    return *at;
  }
  void change_set(const std::string& name, Value spec) {
    cluster_.user().patch(kStatefulSets, {"default", name}, api::PatchType::kMerge,
                          Value::object({{"spec", std::move(spec)}}), {}, ignore);
  }

  void do_something() {
    const std::string name = any_set();
    const auto dice = world_.below(100);
    if (dice < 35) return change_set(name, Value::object({{"replicas", static_cast<int>(world_.below(6))}}));
    if (dice < 60) return change_image(name);
    if (dice < 66) return change_retention(name);
    if (dice < 70) return orphan_pod();
    if (dice < 73) return relabel_pod();
    if (dice < 77) return cordon_node();
    if (dice < 88) return delete_pod();
    if (dice < 94) {
      return change_set(
          name,
          Value::object({{"updateStrategy",
                          Value::object({{"rollingUpdate",
                                          Value::object({{"partition", static_cast<int>(world_.below(3))}})}})}}));
    }
    // Away, and perhaps back.
    cluster_.user().remove(kStatefulSets, {"default", name}, {.propagation = "Background"}, ignore);
    if (world_.chance(0.7)) people_->after(world_.between(10ms, 5s), [this, name] { create_set(name); });
  }
  void change_image(const std::string& name) {
    const Value& set = cluster_.truth().get(kStatefulSets, {"default", name});
    if (set.is_null()) return;
    Value pod_template = set["spec"]["template"];
    pod_template.mut("spec")
        .mut("containers")
        .mut(std::size_t{0})
        .set("image", "i:" + std::to_string(1 + world_.below(4)));
    change_set(name, Value::object({{"template", std::move(pod_template)}}));
  }
  // For a while nothing new comes to a node.
  void cordon_node() {
    const std::string node = cluster_.machines()[world_.below(cluster_.machines().size())].node;
    auto set = [this, node](bool closed) {
      Value change = Value::object({{"spec", Value::object({{"unschedulable", closed}})}});
      cluster_.user().patch(kNodes, {"", node}, api::PatchType::kMerge, std::move(change), {}, ignore);
    };
    set(true);
    people_->after(world_.between(1s, 10s), [set] { set(false); });
  }
  void change_retention(const std::string& name) {
    change_set(name, Value::object({{"persistentVolumeClaimRetentionPolicy",
                                     Value::object({{"whenDeleted", any({"Retain", "Delete"})},
                                                    {"whenScaled", any({"Retain", "Delete"})}})}}));
  }
  Value any_pod() {
    const auto& pods = cluster_.truth().all(kPods);
    if (pods.empty()) return {};
    auto at = pods.begin();
    std::advance(at, world_.below(pods.size()));
    return at->second;
  }
  void delete_pod() {
    const Value pod = any_pod();
    if (pod.is_null()) return;
    const std::string uid(api::uid_of(pod));
    cluster_.truth().excuse(uid);
    cluster_.user().remove(kPods, api::name_key(pod), {.uid = uid}, ignore);
  }
  // Its set has to take it back.
  void orphan_pod() {
    const Value pod = any_pod();
    if (pod.is_null()) return;
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", Value()}})}});
    cluster_.user().patch(kPods, api::name_key(pod), api::PatchType::kMerge, std::move(change), {}, ignore);
  }
  // Its set has to let it go, and to wait until the name is free again.
  void relabel_pod() {
    const Value pod = any_pod();
    if (pod.is_null()) return;
    Value change = Value::object({{"metadata", Value::object({{"labels", Value::object({{"app", "away"}})}})}});
    const std::string uid(api::uid_of(pod));
    cluster_.truth().excuse(uid);
    cluster_.user().patch(kPods, api::name_key(pod), api::PatchType::kMerge, std::move(change), {}, ignore);
    people_->after(world_.between(1s, 10s), [this, name = api::name_key(pod), uid] {
      cluster_.user().remove(kPods, name, {.uid = uid}, ignore);
    });
  }

  void set_faults() {
    const double level = static_cast<double>(world_.below(5)) * 0.02;
    for (std::size_t i = 0; i < cluster_.processes(); ++i) {
      Faults& faults = cluster_.faults(i);
      faults.lost_request = level;
      faults.lost_reply = level;
      faults.refused = level;
      faults.cut_watch = level / 4;
      faults.repeated_event = level;
      faults.expired_watch = level * 3;
      faults.delay = world_.between(1ms, 80ms);
    }
  }
  void let_something_happen() {
    const std::size_t which = world_.below(cluster_.processes());
    switch (options_.faults ? world_.below(6) : 5) {
      case 0:
        cluster_.kill(which);
        people_->after(world_.between(10ms, 10s), [this, which] { cluster_.start(which); });
        break;
      case 1:
        cluster_.faults(which).outage = true;
        people_->after(world_.between(10ms, 5s), [this, which] { cluster_.faults(which).outage = false; });
        break;
      case 2: cluster_.faults(which).lag_until = world_.elapsed() + world_.between(100ms, 3s); break;
      case 3: cluster_.cut_watches(which); break;
      case 4:
      case 5: hurt_process(); break;
    }
  }
  // A process exits, or stops being ready for a while.
  void hurt_process() {
    Machine& machine = cluster_.machines()[world_.below(cluster_.machines().size())];
    if (machine.processes.empty()) return;
    auto at = machine.processes.begin();
    std::advance(at, world_.below(machine.processes.size()));
    if (world_.chance(0.5)) {
      at->second.fail_at = world_.now();
    } else {
      at->second.unready_until = world_.now() + world_.between(100ms, 5s);
    }
    cluster_.poke_agent(machine, at->first);
  }

  HistoryOptions options_;
  Cluster cluster_;
  World& world_;
  std::shared_ptr<Lane> people_;
  std::set<std::string> names_;
};

}  // namespace

Outcome run_history(const HistoryOptions& options) { return History(options).run(); }

}  // namespace berth::sim
