#include "scheduler/snapshot/terms.h"

#include <algorithm>

#include "api/object.h"
#include "base/text.h"

namespace berth::scheduler {
namespace {

constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
constexpr const char* kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";

api::LabelSelector selector_of(const Value& object) {
  auto parsed = api::LabelSelector::of_object(object);
  return parsed.ok() ? std::move(parsed).value() : api::LabelSelector::nothing();
}

AffinityTerm read_term(const Value& term, const std::string& own_namespace, std::int64_t weight) {
  AffinityTerm out;
  for (const Value& ns : term["namespaces"]) out.namespaces.push_back(ns.str());
  const Value& by_labels = term["namespaceSelector"];
  if (out.namespaces.empty() && by_labels.is_null()) out.namespaces.push_back(own_namespace);
  std::sort(out.namespaces.begin(), out.namespaces.end());
  out.namespace_selector = selector_of(by_labels);
  out.selector = selector_of(term["labelSelector"]);
  out.topology_key = term["topologyKey"].str();
  out.weight = weight;
  out.signature = out.topology_key + '|' + std::to_string(weight) + '|' + join(out.namespaces, ",") + '|' +
                  json::encode(by_labels) + '|' + json::encode(term["labelSelector"]);
  return out;
}

void read_side(const Value& side, const std::string& ns, AffinityTerms& required, AffinityTerms& preferred) {
  for (const Value& term : side[kRequired]) required.push_back(read_term(term, ns, 0));
  for (const Value& entry : side[kPreferred])
    preferred.push_back(read_term(entry["podAffinityTerm"], ns, entry["weight"].as_int()));
}

// The server merges label keys into the selectors of new pods; older pods have them only here. Merging twice is
// harmless.
Value with_label_keys(Value selector, const Value& keys, const Value& labels) {
  for (const Value& key : keys) {
    const Value* value = labels.find(key.as_string());
    if (!value || selector.is_null()) continue;
    selector.mut("matchExpressions")
        .push(Value::object({{"key", key}, {"operator", "In"}, {"values", Value::array({*value})}}));
  }
  return selector;
}

SpreadConstraint read_constraint(const Value& constraint, const Value& labels) {
  SpreadConstraint out;
  out.max_skew = constraint["maxSkew"].as_int(1);
  out.min_domains = constraint["minDomains"].as_int(1);
  out.topology_key = constraint["topologyKey"].str();
  out.selector = selector_of(with_label_keys(constraint["labelSelector"], constraint["matchLabelKeys"], labels));
  out.honour_affinity = constraint["nodeAffinityPolicy"].as_string("Honor") == "Honor";
  out.honour_taints = constraint["nodeTaintsPolicy"].as_string("Ignore") == "Honor";
  return out;
}

}  // namespace

bool AffinityTerm::covers(const std::string& ns, const Value& ns_labels, const Value& labels) const {
  const bool named = std::binary_search(namespaces.begin(), namespaces.end(), ns);
  return (named || namespace_selector.matches(ns_labels)) && selector.matches(labels);
}

std::shared_ptr<const NeighbourTerms> read_neighbour_terms(const Value& pod) {
  const Value& affinity = pod["spec"]["affinity"];
  const Value& constraints = pod["spec"]["topologySpreadConstraints"];
  if (affinity["podAffinity"].is_null() && affinity["podAntiAffinity"].is_null() && constraints.empty()) return nullptr;
  auto out = std::make_shared<NeighbourTerms>();
  const std::string ns(api::namespace_of(pod));
  read_side(affinity["podAffinity"], ns, out->affinity, out->preferred_affinity);
  read_side(affinity["podAntiAffinity"], ns, out->anti, out->preferred_anti);
  out->has_spread_constraints = !constraints.empty();
  for (const Value& constraint : constraints) {
    const bool hard = constraint["whenUnsatisfiable"].as_string() == "DoNotSchedule";
    (hard ? out->spread : out->soft_spread).push_back(read_constraint(constraint, api::labels_of(pod)));
  }
  return out;
}

}  // namespace berth::scheduler
