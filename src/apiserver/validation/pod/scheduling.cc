// Affinity, tolerations and spreading.
#include <set>

#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

const Value& text_or_empty(const Value& value) {
  static const Value kEmpty("");
  return value.is_null() ? kEmpty : value;
}

// `checks_values`: a preference may name values that no node can have.
void check_node_requirement(Report& report, const Path& path, const Value& requirement, bool checks_values) {
  const std::string_view op = requirement["operator"].as_string();
  const Path values = path / "values";
  const std::size_t count = requirement["values"].size();
  if (op == "In" || op == "NotIn") {
    if (count == 0) report.required(values, "must be specified when `operator` is 'In' or 'NotIn'");
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (count > 0) report.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
  } else if (op == "Gt" || op == "Lt") {
    if (count != 1) report.required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
  } else {
    report.invalid(path / "operator", op, "not a valid selector operator");
  }
  const Value& key = text_or_empty(requirement["key"]);
  report.complaints(path / "key", key, is_qualified_name(key.as_string()));
  if (!checks_values) return;
  std::size_t index = 0;
  for (const Value& value : requirement["values"])
    report.complaints(values.at(index++), value, is_label_value(value.as_string()));
}

void check_node_field(Report& report, const Path& path, const Value& requirement) {
  const std::string_view op = requirement["operator"].as_string();
  const Path values = path / "values";
  if (op != "In" && op != "NotIn") {
    report.invalid(path / "operator", op, "not a valid selector operator");
  } else if (requirement["values"].size() != 1) {
    report.required(values, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
  }
  const Value& key = text_or_empty(requirement["key"]);
  if (key.as_string() != "metadata.name") return report.invalid(path / "key", key, "not a valid field selector key");
  std::size_t index = 0;
  for (const Value& value : requirement["values"])
    report.complaints(values.at(index++), value, is_dns1123_subdomain(value.as_string()));
}

void check_selector_term(Report& report, const Path& path, const Value& term, bool checks_values) {
  const Path expressions = path / "matchExpressions", fields = path / "matchFields";
  std::size_t index = 0;
  for (const Value& requirement : term["matchExpressions"])
    check_node_requirement(report, expressions.at(index++), requirement, checks_values);
  index = 0;
  for (const Value& requirement : term["matchFields"]) check_node_field(report, fields.at(index++), requirement);
}

void check_weight(Report& report, const Path& path, const Value& weight) {
  const std::int64_t number = weight.as_int();
  if (number < 1 || number > 100) report.invalid(path, static_cast<long>(number), "must be in the range 1-100");
}

void check_label_keys(Report& report, const Path& path, const Value& keys, const Value& selector) {
  if (keys.empty()) return;
  if (selector.is_null()) return report.forbidden(path, "must not be specified when labelSelector is not set");
  std::size_t index = 0;
  for (const Value& key : keys) report.complaints(path.at(index++), key, is_qualified_name(key.as_string()));
}

// The registry has added the requirements of the keys to the selector: a key that the selector had before is in it
// twice.
void check_keys_against_selector(Report& report, const Path& path, const Value& keys, const Value& selector) {
  std::set<std::string_view> seen;
  for (json::Entry label : selector["matchLabels"].entries()) seen.insert(label.key);
  for (const Value& expression : selector["matchExpressions"]) {
    const std::string_view key = expression["key"].as_string();
    for (std::size_t i = keys.size(); i-- > 0;) {
      if (keys[i].as_string() != key) continue;
      if (seen.contains(key)) report.invalid(path.at(i), key, "exists in both matchLabelKeys and labelSelector");
      break;
    }
    seen.insert(key);
  }
}

void check_affinity_term(Report& report, const Path& path, const Value& term) {
  const Value &selector = term["labelSelector"], &keys = term["matchLabelKeys"];
  validate_label_selector(report, path / "labelSelector", selector);
  validate_label_selector(report, path / "namespaceSelector", term["namespaceSelector"]);
  for (const Value& ns : term["namespaces"])
    report.complaints(path / "namespace", ns, is_dns1123_label(ns.as_string()));
  const Path here = path / "matchLabelKeys";
  check_label_keys(report, here, keys, selector);
  check_label_keys(report, path / "mismatchLabelKeys", term["mismatchLabelKeys"], selector);
  if (!selector.is_null()) check_keys_against_selector(report, path, keys, selector);
  std::size_t index = 0;
  for (const Value& key : keys) {
    const Path one = here.at(index++);
    for (const Value& other : term["mismatchLabelKeys"]) {
      if (other != key) continue;
      report.invalid(one, key, "exists in both matchLabelKeys and mismatchLabelKeys");
      break;
    }
  }
  const Value& topology = text_or_empty(term["topologyKey"]);
  if (topology.as_string().empty()) report.required(path / "topologyKey", "can not be empty");
  report.complaints(path / "topologyKey", topology, is_qualified_name(topology.as_string()));
}

void check_pod_affinity(Report& report, const Path& path, const Value& affinity) {
  const Path required = path / "requiredDuringSchedulingIgnoredDuringExecution",
             preferred = path / "preferredDuringSchedulingIgnoredDuringExecution";
  std::size_t index = 0;
  for (const Value& term : affinity["requiredDuringSchedulingIgnoredDuringExecution"])
    check_affinity_term(report, required.at(index++), term);
  index = 0;
  for (const Value& weighted : affinity["preferredDuringSchedulingIgnoredDuringExecution"]) {
    const Path here = preferred.at(index++);
    check_weight(report, here / "weight", weighted["weight"]);
    check_affinity_term(report, here / "podAffinityTerm", weighted["podAffinityTerm"]);
  }
}

void check_toleration(Report& report, const Path& path, const Value& toleration) {
  const std::string_view key = toleration["key"].as_string(), op = toleration["operator"].as_string(),
                         effect = toleration["effect"].as_string();
  const Value& value = text_or_empty(toleration["value"]);
  if (!key.empty()) report.complaints(path / "key", toleration["key"], is_qualified_name(key));
  if (key.empty() && op != "Exists") {
    report.invalid(path / "operator", op,
                   "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
  }
  if (!toleration["tolerationSeconds"].is_null() && effect != "NoExecute") {
    report.invalid(path / "effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
  }
  if (op.empty() || op == "Equal") {
    if (const std::vector<std::string> complaints = is_label_value(value.as_string()); !complaints.empty()) {
      report.invalid(path / "operator", value, join(complaints, ";"));
    }
  } else if (op == "Exists") {
    if (!value.as_string().empty())
      report.invalid(path / "operator", value, "value must be empty when `operator` is 'Exists'");
  } else if (op == "Lt" || op == "Gt") {
    // Known, and behind a feature gate that is off.
    report.not_supported(path / "operator", toleration["operator"], {"Equal", "Exists", "Lt", "Gt"});
  } else {
    report.not_supported(path / "operator", toleration["operator"], {"Equal", "Exists"});
  }
  report.one_of(path / "effect", toleration["effect"], {"NoSchedule", "PreferNoSchedule", "NoExecute"});
}

void check_spread_keys(Report& report, const Path& path, const Value& keys, const Value& selector) {
  if (keys.empty()) return;
  if (selector.is_null()) report.forbidden(path, "must not be specified when labelSelector is not set");
  std::size_t index = 0;
  for (const Value& key : keys) report.complaints(path.at(index++), key, is_qualified_name(key.as_string()));
  if (!selector.is_null()) check_keys_against_selector(report, path, keys, selector);
}

}  // namespace

void validate_node_selector(Report& report, const Path& path, const Value& selector) {
  const Path terms = path / "nodeSelectorTerms";
  if (selector["nodeSelectorTerms"].empty()) return report.required(terms, "must have at least one node selector term");
  std::size_t index = 0;
  for (const Value& term : selector["nodeSelectorTerms"]) check_selector_term(report, terms.at(index++), term, true);
}

void validate_affinity(Report& report, const Path& path, const Value& affinity) {
  if (const Value& node = affinity["nodeAffinity"]; node.is_object()) {
    const Path here = path / "nodeAffinity";
    const Value& required = node["requiredDuringSchedulingIgnoredDuringExecution"];
    if (required.is_object())
      validate_node_selector(report, here / "requiredDuringSchedulingIgnoredDuringExecution", required);
    const Path preferred = here / "preferredDuringSchedulingIgnoredDuringExecution";
    std::size_t index = 0;
    for (const Value& term : node["preferredDuringSchedulingIgnoredDuringExecution"]) {
      const Path one = preferred.at(index++);
      check_weight(report, one / "weight", term["weight"]);
      check_selector_term(report, one / "preference", term["preference"], false);
    }
  }
  check_pod_affinity(report, path / "podAffinity", affinity["podAffinity"]);
  check_pod_affinity(report, path / "podAntiAffinity", affinity["podAntiAffinity"]);
}

void validate_tolerations(Report& report, const Path& path, const Value& tolerations) {
  std::size_t index = 0;
  for (const Value& toleration : tolerations) check_toleration(report, path.at(index++), toleration);
}

void check_spread_min_domains(Report& report, const Path& path, const Value& constraint) {
  const Value& domains = constraint["minDomains"];
  const std::string_view action = constraint["whenUnsatisfiable"].as_string();
  if (domains.is_null() || action == "DoNotSchedule") return;
  report.invalid(path / "minDomains", domains,
                 "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " + std::string(action));
}

void validate_topology_spread(Report& report, const Path& path, const Value& constraints) {
  static const CheckBlock& kConstraint = checks_of("core.TopologySpreadConstraint");
  for (std::size_t i = 0; i < constraints.size(); ++i) {
    const Value& constraint = constraints[i];
    const Path here = path.at(i);
    run_checks(report, here, kConstraint, constraint);
    const std::string_view key = constraint["topologyKey"].as_string(),
                           action = constraint["whenUnsatisfiable"].as_string();
    for (std::size_t j = i + 1; j < constraints.size(); ++j) {
      if (constraints[j]["topologyKey"].as_string() != key || constraints[j]["whenUnsatisfiable"].as_string() != action)
        continue;
      report.duplicate(here / "{topologyKey, whenUnsatisfiable}",
                       "{" + std::string(key) + ", " + std::string(action) + "}");
      break;
    }
    check_spread_keys(report, here / "matchLabelKeys", constraint["matchLabelKeys"], constraint["labelSelector"]);
  }
}

namespace {

struct SystemClass {
  std::string_view name;
  std::int64_t value;
};
constexpr SystemClass kSystemClasses[] = {{"system-node-critical", 2000001000},
                                          {"system-cluster-critical", 2000000000}};
constexpr std::int64_t kHighestForUsers = 1000000000;

// The complaint about a class with a name that is reserved for the system, or "".
std::string unfit_for_system(std::string_view name, const Value& object) {
  for (const SystemClass& known : kSystemClasses) {
    if (known.name != name) continue;
    if (object["value"].as_int() != known.value)
      return "value of " + std::string(name) + " PriorityClass must be " + std::to_string(known.value);
    if (object["globalDefault"].as_bool())
      return "globalDefault of " + std::string(name) + " PriorityClass must be false";
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
      report.forbidden(
          "metadata.name",
          "priority class names with 'system-' prefix are reserved for system use only. error: " + problem);
    }
  } else if (object["value"].as_int() > kHighestForUsers) {
    report.forbidden("value",
                     "maximum allowed value of a user defined priority is " + std::to_string(kHighestForUsers));
  }
  check_preemption_policy(report, "preemptionPolicy", object["preemptionPolicy"]);
}

void validate_priority_class_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  if (before["value"].as_int() != after["value"].as_int())
    report.forbidden("value", "may not be changed in an update.");
  validate_immutable(report, "preemptionPolicy", before["preemptionPolicy"], after["preemptionPolicy"]);
}

}  // namespace berth::apiserver::validation
