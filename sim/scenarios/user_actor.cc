#include "sim/scenarios/user_actor.h"

#include <iterator>

#include "api/set_options.h"
#include "controllers/shared/set_identity.h"
#include "sim/scenarios/forms.h"
#include "sim/scenarios/options.h"

namespace berth::sim {

using namespace api::resources;  // NOLINT

namespace {

void ignore(Result<Value> result) { (void)result.ok(); }

Value count(std::uint64_t number) { return Value(static_cast<int>(number)); }

constexpr const char* kClaimTemplates =
    R"([{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}])";
}  // namespace

UserActor::UserActor(Cluster& cluster, int most, bool all_options)
    : cluster_(cluster),
      world_(cluster.world()),
      most_(most),
      all_options_(all_options),
      lane_(world_.make_lane("people")) {}

void UserActor::create_sets(int count) {
  for (int i = 0; i < count; ++i) {
    const std::string name = "set-" + std::string(1, static_cast<char>('a' + i));
    sets_[name] = {world_.chance(0.6), world_.chance(0.7) || all_options_, world_.chance(0.5) || all_options_};
    create_set(name);
  }
  // The name is too long for its pods' labels: the set must be refused.
  if (world_.chance(0.05)) create_set("set-" + std::string(50, 'z'));
  if (!world_.chance(0.3) && !all_options_) return;
  // For one set, or for all sets.
  create_budget(world_.chance(0.5) ? "set-a" : "");
}

int UserActor::any_replicas() { return static_cast<int>(world_.below(static_cast<std::uint64_t>(most_) + 1)); }

void UserActor::create_set(const std::string& name) {
  const auto known = sets_.find(name);
  const FixedTraits character = known == sets_.end() ? FixedTraits{} : known->second;
  Value set = Value::object({{"apiVersion", "apps/v1"},
                             {"kind", "StatefulSet"},
                             {"metadata", Value::object({{"namespace", "default"}, {"name", name}})}});
  Value labels = Value::object({{"app", name}});
  Value& spec = set.mut("spec");
  spec.set("selector", Value::object({{"matchLabels", labels}}));
  spec.mut("template").set("metadata", Value::object({{"labels", labels}})).set("spec", any_template_spec(world_));
  if (world_.chance(0.9)) spec.set("replicas", any_replicas());
  spell_out(world_, spec, character.ordered);
  if (character.claims) {
    spec.set("volumeClaimTemplates", json::parse(kClaimTemplates).value());
  } else if (world_.chance(0.2)) {
    spec.mut("template").mut("spec").set("nodeName", any_node());
  }
  if (character.options) set.mut("metadata").set("annotations", any_options(world_, character.claims));
  cluster_.user().create(kStatefulSets, std::move(set), {}, ignore);
}

void UserActor::do_random_action() {
  auto at = sets_.begin();
  std::advance(at, world_.below(sets_.size()));
  const std::string name = at->first;
  if (sets_[name].options && world_.chance(all_options_ ? 0.6 : 0.4)) {
    if (sets_[name].claims && world_.chance(0.5)) return change_claim_templates(name);
    return change_option(name);
  }
  if (!cluster_.truth().all(kPodDisruptionBudgets).empty() && world_.chance(0.1)) return change_budget();
  const auto dice = world_.below(100);
  if (dice < 26) return change_set(name, Value::object({{"replicas", any_replicas()}}));
  if (dice < 43) return change_image(name);
  if (dice < 46) return restart(name);
  if (dice < 54) return change_set(name, Value::object({{"updateStrategy", any_strategy(world_, true)}}));
  if (dice < 60)
    return change_set(name, Value::object({{"persistentVolumeClaimRetentionPolicy", any_retention(world_)}}));
  if (dice < 63) return change_set(name, Value::object({{"minReadySeconds", count(world_.below(3) * 2)}}));
  if (dice < 67) return change_set(name, Value::object({{"ordinals", any_ordinals(world_)}}));
  if (dice < 69) return orphan_pod();
  if (dice < 71) return relabel_pod();
  if (dice < 74) return cordon(false);
  if (dice < 76) return taint();
  if (dice < 78 && !sets_[name].claims) return pin(name);
  if (dice < 82) return delete_pod();
  if (dice < 85) return evict_pod();
  if (dice < 91) return delete_claim();
  if (dice < 95) return delete_claims_of_pending_pods();
  remove_set(name);
}

void UserActor::change_set(const std::string& name, Value spec) {
  cluster_.user().patch(kStatefulSets, {"default", name}, api::PatchType::kMerge,
                        Value::object({{"spec", std::move(spec)}}), {}, ignore);
}

// Deletes a set, and sometimes creates it again.
void UserActor::remove_set(const std::string& name) {
  const char* how = any({"Background", "Background", "Foreground", "Orphan"});
  cluster_.user().remove(kStatefulSets, {"default", name}, {.propagation = how}, ignore);
  if (world_.chance(0.7)) later(world_.between(10ms, 5s), [this, name] { create_set(name); });
}

void UserActor::change_image(const std::string& name) {
  const Value& set = cluster_.truth().get(kStatefulSets, {"default", name});
  if (set.is_null()) return;
  Value pod_template = set["spec"]["template"];
  pod_template.mut("spec")
      .mut("containers")
      .mut(std::size_t{0})
      .set("image", any({"i:1", "i:2", "i:3", "i:4", "i:never", "i:loop"}));
  change_set(name, Value::object({{"template", std::move(pod_template)}}));
}

// As `kubectl rollout restart`.
void UserActor::restart(const std::string& name) {
  Value stamp = Value::object({{"kubectl.kubernetes.io/restartedAt", std::to_string(world_.steps())}});
  change_set(
      name,
      Value::object({{"template", Value::object({{"metadata", Value::object({{"annotations", std::move(stamp)}})}})}}));
}

void UserActor::change_option(const std::string& name) {
  Value change =
      Value::object({{"metadata", Value::object({{"annotations", changed_option(world_, sets_[name].claims)}})}});
  cluster_.user().patch(kStatefulSets, {"default", name}, api::PatchType::kMerge, std::move(change), {}, ignore);
}

void UserActor::change_claim_templates(const std::string& name) {
  const Value& set = cluster_.truth().get(kStatefulSets, {"default", name});
  if (set.is_null()) return;
  change_set(
      name,
      Value::object({{"volumeClaimTemplates", changed_claim_templates(world_, set["spec"]["volumeClaimTemplates"])}}));
}

void UserActor::create_budget(const std::string& set) {
  Value spec = any_budget_spec(world_);
  Value names = Value::array();
  for (const auto& [name, character] : sets_) {
    if (set.empty() || name == set) names.push(name);
  }
  spec.set("selector",
           Value::object({{"matchExpressions",
                           Value::array({Value::object({{"key", "app"}, {"operator", "In"}, {"values", names}})})}}));
  Value metadata = Value::object({{"name", set.empty() ? "budget" : set}, {"namespace", "default"}});
  metadata.set("annotations", any_budget_annotations(world_));
  cluster_.user().create(
      kPodDisruptionBudgets,
      Value::object(
          {{"apiVersion", "policy/v1"}, {"kind", "PodDisruptionBudget"}, {"metadata", metadata}, {"spec", spec}}),
      {}, ignore);
}

void UserActor::change_budget() {
  const Value budget = any_object(kPodDisruptionBudgets);
  Value change = world_.chance(0.6)
                     ? Value::object({{"spec", any_budget_spec(world_)}})
                     : Value::object({{"metadata", Value::object({{"annotations", any_budget_annotations(world_)}})}});
  cluster_.user().patch(kPodDisruptionBudgets, api::name_key(budget), api::PatchType::kMerge, std::move(change), {},
                        ignore);
}

// Allows one disruption, or all if some pods are never ready or all must be replaced at once.
void UserActor::relax_budgets(bool pods_never_ready) {
  bool all = pods_never_ready;
  for (const auto& [name, set] : cluster_.truth().all(kStatefulSets))
    all |= !api::annotation_of(set, api::kUpdateStrategy).empty();
  for (const auto& [name, budget] : cluster_.truth().all(kPodDisruptionBudgets)) {
    Value spec = Value::object({{"maxUnavailable", all ? Value("100%") : Value(1)}, {"minAvailable", Value()}});
    cluster_.user().patch(kPodDisruptionBudgets, name, api::PatchType::kMerge,
                          Value::object({{"spec", std::move(spec)}}), {}, ignore);
  }
}

Value UserActor::any_object(const api::Resource& resource) {
  const auto& objects = cluster_.truth().all(resource);
  if (objects.empty()) return {};
  auto at = objects.begin();
  std::advance(at, world_.below(objects.size()));
  return at->second;
}

void UserActor::delete_pod() {
  const Value pod = any_object(kPods);
  if (pod.is_null()) return;
  const std::string uid(api::uid_of(pod));
  cluster_.truth().excuse_disruption(uid);
  cluster_.user().remove(kPods, api::name_key(pod), {.uid = uid}, ignore);
}

void UserActor::evict_pod() {
  const Value pod = any_object(kPods);
  if (pod.is_null()) return;
  cluster_.truth().excuse_disruption(std::string(api::uid_of(pod)));
  Value eviction = Value::object(
      {{"apiVersion", "policy/v1"},
       {"kind", "Eviction"},
       {"metadata", Value::object({{"namespace", api::namespace_of(pod)}, {"name", api::name_of(pod)}})},
       {"deleteOptions", Value::object({{"preconditions", Value::object({{"uid", api::uid_of(pod)}})}})}});
  cluster_.user().create_sub(kPods, api::name_key(pod), std::move(eviction), {.subresource = "eviction"}, ignore);
}

// The set must adopt the pod again.
void UserActor::orphan_pod() {
  const Value pod = any_object(kPods);
  if (pod.is_null()) return;
  Value change = Value::object({{"metadata", Value::object({{"ownerReferences", Value()}})}});
  cluster_.user().patch(kPods, api::name_key(pod), api::PatchType::kMerge, std::move(change), {}, ignore);
}

// The set must release the pod, and wait until the name is free.
void UserActor::relabel_pod() {
  const Value pod = any_object(kPods);
  if (pod.is_null()) return;
  Value change = Value::object({{"metadata", Value::object({{"labels", Value::object({{"app", "away"}})}})}});
  const std::string uid(api::uid_of(pod));
  cluster_.truth().excuse_disruption(uid);
  cluster_.user().patch(kPods, api::name_key(pod), api::PatchType::kMerge, std::move(change), {}, ignore);
  later(world_.between(1s, 10s),
        [this, name = api::name_key(pod), uid] { cluster_.user().remove(kPods, name, {.uid = uid}, ignore); });
}

void UserActor::delete_claim() {
  const Value claim = any_object(kPersistentVolumeClaims);
  if (claim.is_null()) return;
  const std::string uid(api::uid_of(claim));
  cluster_.truth().excuse_disruption(uid);
  cluster_.user().remove(kPersistentVolumeClaims, api::name_key(claim), {.uid = uid}, ignore);
  // A claim in use remains, terminating, as long as its pod exists: sometimes the pod is deleted, too.
  if (!world_.chance(0.5)) return;
  later(world_.between(10ms, 5s),
        [this, ns = std::string(api::namespace_of(claim)), name = std::string(api::name_of(claim))] {
          const std::size_t dash = name.find('-');
          if (dash == std::string::npos) return;
          const api::Name pod_name{ns, name.substr(dash + 1)};
          const Value& pod = cluster_.truth().get(kPods, pod_name);
          if (pod.is_null()) return;
          cluster_.truth().excuse_disruption(std::string(api::uid_of(pod)));
          cluster_.user().remove(kPods, pod_name, {.uid = std::string(api::uid_of(pod))}, ignore);
        });
}

// Cordons all nodes, so that new pods stay Pending, and deletes their claims.
void UserActor::delete_claims_of_pending_pods() {
  cordon(true);
  delete_pod();
  for (int i = 0; i < 3; ++i) {
    later(world_.between(3s, 9s), [this] {
      for (const auto& [name, pod] : cluster_.truth().all(kPods)) {
        if (pod["status"]["phase"].as_string() != "Pending") continue;
        const api::Name claim_name{name.ns, "data-" + name.name};
        const Value& claim = cluster_.truth().get(kPersistentVolumeClaims, claim_name);
        if (claim.is_null()) continue;
        const std::string uid(api::uid_of(claim));
        cluster_.truth().excuse_disruption(uid);
        cluster_.user().remove(kPersistentVolumeClaims, claim_name, {.uid = uid}, ignore);
      }
    });
  }
}

// Cordons a node, or all nodes, for a while.
void UserActor::cordon(bool all) {
  for (const Machine& machine : cluster_.machines()) {
    if (!all && world_.chance(0.5)) continue;
    auto set = [this, node = machine.node](bool closed) {
      Value change = Value::object({{"spec", Value::object({{"unschedulable", closed}})}});
      cluster_.user().patch(kNodes, {"", node}, api::PatchType::kMerge, std::move(change), {}, ignore);
    };
    set(true);
    later(world_.between(1s, 10s), [set] { set(false); });
  }
}

const std::string& UserActor::any_node() { return cluster_.machines()[world_.below(cluster_.machines().size())].node; }

// Sets or removes the template's nodeName, which bypasses the scheduler.
void UserActor::pin(const std::string& name) {
  const Value node = world_.chance(0.6) ? Value(any_node()) : Value();
  change_set(name, Value::object({{"template", Value::object({{"spec", Value::object({{"nodeName", node}})}})}}));
}

// Taints a node with NoExecute for a while.
void UserActor::taint() {
  const std::string node = any_node();
  auto set = [this, node](Value taints) {
    Value change = Value::object({{"spec", Value::object({{"taints", std::move(taints)}})}});
    cluster_.user().patch(kNodes, {"", node}, api::PatchType::kMerge, std::move(change), {}, ignore);
  };
  set(json::parse(R"([{"key":"sim","effect":"NoExecute"}])").value());
  later(world_.between(1s, 10s), [set] { set(Value()); });
}

// Deleting a claim that a pod uses leaves some pods that only their deletion helps, as in Kubernetes: a surplus pod,
// for which no claim is created; or a pod with a node, where it cannot start with a claim that is being deleted, or
// with a new claim for which no scheduler chooses a node.
bool UserActor::needs_user_action(const Value& pod) const {
  // A deletion with orphaning was followed by one in the foreground: the set waits for claims that this pod uses.
  const auto set = controllers::parse_member_name(api::name_of(pod)).parent;
  if (api::controller_of(pod).is_null() &&
      api::is_terminating(cluster_.truth().get(kStatefulSets, {std::string(api::namespace_of(pod)), std::string(set)})))
    return true;
  if (pod["status"]["phase"].as_string() != "Pending") return false;
  for (const Value& volume : pod["spec"]["volumes"]) {
    const Value& name = volume["persistentVolumeClaim"]["claimName"];
    if (name.is_null()) continue;
    const Value& claim =
        cluster_.truth().get(kPersistentVolumeClaims, {std::string(api::namespace_of(pod)), name.str()});
    if (claim.is_null() || api::is_terminating(claim)) return true;
    if (!pod["spec"]["nodeName"].is_null() && claim["status"]["phase"].as_string() != "Bound") return true;
  }
  return false;
}

void UserActor::tidy_up(bool pods_never_ready) {
  relax_budgets(pods_never_ready);
  for (const Machine& machine : cluster_.machines()) {
    Value change = Value::object({{"spec", Value::object({{"unschedulable", false}, {"taints", Value()}})}});
    cluster_.user().patch(kNodes, {"", machine.node}, api::PatchType::kMerge, std::move(change), {}, ignore);
  }
  for (const auto& [name, pod] : cluster_.truth().all(kPods)) {
    if (!needs_user_action(pod) && api::label_of(pod, "app") != "away") continue;
    cluster_.truth().excuse_disruption(std::string(api::uid_of(pod)));
    cluster_.user().remove(kPods, name, {.uid = std::string(api::uid_of(pod))}, ignore);
  }
}

}  // namespace berth::sim
