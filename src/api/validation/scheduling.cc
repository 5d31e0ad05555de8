// Affinity, tolerations and spreading.
#include <set>

#include "api/validation/report.h"
#include "api/validation/validation.h"
#include "base/text.h"

namespace berth::validation {
namespace {

void validate_node_requirements(Report& report, const std::string& path, const Value& requirements, bool fields) {
  std::size_t index = 0;
  for (const Value& requirement : requirements) {
    std::string here = at(path, index++);
    std::string_view op = requirement["operator"].as_string();
    std::size_t values = requirement["values"].size();
    if (op == "In" || op == "NotIn") {
      if (values == 0) report.required(here + ".values", "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (values > 0) report.forbidden(here + ".values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (op == "Gt" || op == "Lt") {
      if (values != 1) report.required(here + ".values", "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else {
      report.invalid(here + ".operator", op, "not a valid selector operator");
    }
    if (fields) {
      if (requirement["key"].as_string() != "metadata.name") report.invalid(here + ".key", requirement["key"], "not a valid field selector key");
    } else {
      report.complaints(here + ".key", requirement["key"], is_qualified_name(requirement["key"].as_string()));
    }
  }
}

void validate_selector_term(Report& report, const std::string& path, const Value& term) {
  validate_node_requirements(report, path + ".matchExpressions", term["matchExpressions"], false);
  validate_node_requirements(report, path + ".matchFields", term["matchFields"], true);
}

void validate_label_keys(Report& report, const std::string& path, const Value& keys, const Value& selector) {
  if (keys.empty()) return;
  if (selector.is_null()) return report.forbidden(path, "must not be specified when labelSelector is not set");
  std::size_t index = 0;
  for (const Value& key : keys) report.complaints(at(path, index++), key, is_qualified_name(key.as_string()));
}

void validate_pod_affinity_term(Report& report, const std::string& path, const Value& term) {
  validate_label_selector(report, path + ".labelSelector", term["labelSelector"]);
  validate_label_selector(report, path + ".namespaceSelector", term["namespaceSelector"]);
  for (const Value& ns : term["namespaces"]) report.complaints(path + ".namespaces", ns, is_dns1123_label(ns.as_string()));
  std::string_view key = term["topologyKey"].as_string();
  if (key.empty()) report.required(path + ".topologyKey", "can not be empty");
  report.complaints(path + ".topologyKey", key, is_qualified_name(key));
  validate_label_keys(report, path + ".matchLabelKeys", term["matchLabelKeys"], term["labelSelector"]);
  validate_label_keys(report, path + ".mismatchLabelKeys", term["mismatchLabelKeys"], term["labelSelector"]);
  std::size_t index = 0;
  for (const Value& wanted : term["mismatchLabelKeys"]) {
    const std::string here = at(path + ".mismatchLabelKeys", index++);
    for (const Value& other : term["matchLabelKeys"]) {
      if (other == wanted) report.invalid(here, wanted, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
  }
}

void validate_pod_affinity(Report& report, const std::string& path, const Value& affinity) {
  std::size_t index = 0;
  for (const Value& term : affinity["requiredDuringSchedulingIgnoredDuringExecution"]) {
    validate_pod_affinity_term(report, at(path + ".requiredDuringSchedulingIgnoredDuringExecution", index++), term);
  }
  index = 0;
  for (const Value& weighted : affinity["preferredDuringSchedulingIgnoredDuringExecution"]) {
    std::string here = at(path + ".preferredDuringSchedulingIgnoredDuringExecution", index++);
    report.in_range(here + ".weight", weighted["weight"], 1, 100);
    validate_pod_affinity_term(report, here + ".podAffinityTerm", weighted["podAffinityTerm"]);
  }
}

}  // namespace

void validate_node_selector(Report& report, const Path& place, const Value& selector) {
  const std::string path = place.text();
  if (selector["nodeSelectorTerms"].empty()) return report.required(path + ".nodeSelectorTerms", "must have at least one node selector term");
  std::size_t index = 0;
  for (const Value& term : selector["nodeSelectorTerms"]) validate_selector_term(report, at(path + ".nodeSelectorTerms", index++), term);
}

void validate_affinity(Report& report, const Path& place, const Value& affinity) {
  const std::string path = place.text();
  if (const Value& node = affinity["nodeAffinity"]; node.is_object()) {
    const Value& required = node["requiredDuringSchedulingIgnoredDuringExecution"];
    if (required.is_object()) validate_node_selector(report, path + ".nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", required);
    std::size_t index = 0;
    for (const Value& preferred : node["preferredDuringSchedulingIgnoredDuringExecution"]) {
      std::string here = at(path + ".nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", index++);
      report.in_range(here + ".weight", preferred["weight"], 1, 100);
      validate_selector_term(report, here + ".preference", preferred["preference"]);
    }
  }
  validate_pod_affinity(report, path + ".podAffinity", affinity["podAffinity"]);
  validate_pod_affinity(report, path + ".podAntiAffinity", affinity["podAntiAffinity"]);
}

void validate_tolerations(Report& report, const Path& place, const Value& tolerations) {
  const std::string path = place.text();
  std::size_t index = 0;
  for (const Value& toleration : tolerations) {
    std::string here = at(path, index++);
    std::string_view key = toleration["key"].as_string(), op = toleration["operator"].as_string(), effect = toleration["effect"].as_string();
    if (!key.empty()) report.complaints(here + ".key", key, is_qualified_name(key));
    if (key.empty() && op != "Exists") {
      report.invalid(here + ".operator", op, "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    }
    if (toleration["tolerationSeconds"].is_int() && effect != "NoExecute") {
      report.invalid(here + ".effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    if (op == "Exists") {
      if (!toleration["value"].as_string().empty()) {
        std::string shown = "core.Toleration{Key:" + quoted(key) + ", Operator:\"Exists\", Value:" + quoted(toleration["value"].as_string()) +
                            ", Effect:" + quoted(effect) + ", TolerationSeconds:(*int64)(nil)}";
        report.invalid_shown(here + ".operator", shown, "value must be empty when `operator` is 'Exists'");
      }
    } else if (op == "Equal" || op.empty()) {
      report.complaints(here + ".operator", toleration["value"].as_string(), is_label_value(toleration["value"].as_string()));
    } else if (op != "Lt" && op != "Gt") {
      report.add(api::not_supported(here + ".operator", op, {"Equal", "Exists"}));
    }
    report.one_of(here + ".effect", toleration["effect"], {"NoSchedule", "PreferNoSchedule", "NoExecute"});
  }
}

void validate_topology_spread(Report& report, const Path& place, const Value& constraints) {
  const std::string path = place.text();
  std::set<std::string> pairs;
  std::size_t index = 0;
  for (const Value& constraint : constraints) {
    std::string here = at(path, index++);
    if (constraint["maxSkew"].as_int() <= 0) report.invalid(here + ".maxSkew", static_cast<long>(constraint["maxSkew"].as_int()), "must be greater than zero");
    if (constraint["topologyKey"].as_string().empty()) {
      report.required(here + ".topologyKey", "can not be empty");
    } else {
      report.complaints(here + ".topologyKey", constraint["topologyKey"], is_qualified_name(constraint["topologyKey"].as_string()));
    }
    report.one_of(here + ".whenUnsatisfiable", constraint["whenUnsatisfiable"], {"DoNotSchedule", "ScheduleAnyway"}, true);
    std::string pair = "{" + constraint["topologyKey"].str() + ", " + constraint["whenUnsatisfiable"].str() + "}";
    if (!pairs.insert(pair).second) report.duplicate(here + ".{topologyKey, whenUnsatisfiable}", pair);
    validate_label_selector(report, here + ".labelSelector", constraint["labelSelector"]);
    if (constraint["minDomains"].is_int() && constraint["minDomains"].as_int() <= 0) {
      report.invalid(here + ".minDomains", constraint["minDomains"], "must be greater than zero");
    }
    if (constraint["minDomains"].is_int() && constraint["whenUnsatisfiable"].as_string() != "DoNotSchedule") {
      report.invalid(here + ".minDomains", constraint["minDomains"],
                     "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " + constraint["whenUnsatisfiable"].str());
    }
    report.one_of(here + ".nodeAffinityPolicy", constraint["nodeAffinityPolicy"], {"Honor", "Ignore"});
    report.one_of(here + ".nodeTaintsPolicy", constraint["nodeTaintsPolicy"], {"Honor", "Ignore"});
    validate_label_keys(report, here + ".matchLabelKeys", constraint["matchLabelKeys"], constraint["labelSelector"]);
  }
}

namespace {

struct SystemClass {
  std::string_view name;
  std::int64_t value;
};
constexpr SystemClass kSystemClasses[] = {{"system-node-critical", 2000001000}, {"system-cluster-critical", 2000000000}};
constexpr std::int64_t kHighestForUsers = 1000000000;

// Why a class may not bear a name of the system's, or "".
std::string unfit_for_system(std::string_view name, const Value& object) {
  for (const SystemClass& known : kSystemClasses) {
    if (known.name != name) continue;
    if (object["value"].as_int() != known.value) return "value of " + std::string(name) + " PriorityClass must be " + std::to_string(known.value);
    if (object["globalDefault"].as_bool()) return "globalDefault of " + std::string(name) + " PriorityClass must be false";
    return {};
  }
  return std::string(name) + " is not a known system priority class";
}

}  // namespace

void validate_priority_class(Report& report, const Value& object) {
  const std::string_view name = object["metadata"]["name"].as_string();
  if (name.starts_with("system-")) {
    const std::string problem = unfit_for_system(name, object);
    if (!problem.empty()) {
      report.forbidden("metadata.name", "priority class names with 'system-' prefix are reserved for system use only. error: " + problem);
    }
  } else if (object["value"].as_int() > kHighestForUsers) {
    report.forbidden("value", "maximum allowed value of a user defined priority is " + std::to_string(kHighestForUsers));
  }
  const Value& policy = object["preemptionPolicy"];
  report.one_of("preemptionPolicy", policy, {"Never", "PreemptLowerPriority"}, !policy.is_null());
}

void validate_priority_class_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  if (before["value"].as_int() != after["value"].as_int()) report.forbidden("value", "may not be changed in an update.");
  validate_immutable(report, "preemptionPolicy", before["preemptionPolicy"], after["preemptionPolicy"]);
}

}  // namespace berth::validation
