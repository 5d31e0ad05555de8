#include "scheduler/view.h"

#include "controllers/shared/volume_match.h"

namespace berth::scheduler {
namespace {

using namespace api::resources;  // NOLINT

// Index: services with a selector, by namespace.
const std::string kSelecting = "selecting-pods";
void by_namespace_if_selecting(const Value& service, std::vector<std::string>& keys) {
  if (!service["spec"]["selector"].empty()) keys.emplace_back(api::namespace_of(service));
}

}  // namespace

CachedView::CachedView(client::InformerSet& informers)
    : pods(informers.get(kPods)),
      nodes(informers.get(kNodes)),
      claims(informers.get(kPersistentVolumeClaims)),
      volumes(informers.get(kPersistentVolumes)),
      classes(informers.get(kStorageClasses)),
      runtime_(informers.runtime()),
      namespaces_(informers.get(kNamespaces)),
      services_(informers.get(kServices)),
      replica_sets_(informers.get(kReplicaSets)),
      stateful_sets_(informers.get(kStatefulSets)),
      budgets_(informers.get(kPodDisruptionBudgets)) {
  volumes.add_index(controllers::kCandidates, controllers::by_candidate);
  services_.add_index(kSelecting, by_namespace_if_selecting);
}

std::vector<client::Informer*> CachedView::informers() const {
  return {&pods,        &nodes,     &claims,        &volumes,        &classes,
          &namespaces_, &services_, &replica_sets_, &stateful_sets_, &budgets_};
}

std::vector<Value> CachedView::candidates(const Value& claim) const {
  std::vector<Value> out;
  for (const std::string& key : controllers::candidate_keys(claim)) {
    for (Value& one : volumes.by_index(controllers::kCandidates, key)) out.push_back(std::move(one));
  }
  return out;
}

std::vector<Value> CachedView::services(const std::string& ns) const { return services_.by_index(kSelecting, ns); }

const Value& CachedView::owner_selector(const PodInfo& pod) const {
  static const Value kNone;
  const Value& owner = api::controller_of(pod.pod);
  if (owner.is_null()) return kNone;
  const std::string_view kind = owner["kind"].as_string();
  const api::GroupVersion version = api::GroupVersion::parse(owner["apiVersion"].as_string());
  if (version.group != "apps" || (kind != "ReplicaSet" && kind != "StatefulSet")) return kNone;
  const client::Informer& owners = kind == "ReplicaSet" ? replica_sets_ : stateful_sets_;
  return owners.get(api::Name{pod.ns, owner["name"].str()})["spec"]["selector"];
}

}  // namespace berth::scheduler
