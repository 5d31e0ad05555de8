#include "controllers/daemonset/nodes.h"

#include "api/object.h"
#include "base/text.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/pod_names.h"
#include "controllers/shared/taints.h"

namespace berth::controllers::daemonset {
namespace {

// Adds a toleration, or replaces one with the same key, effect and operator.
void tolerate(Value& spec, std::string_view key, std::string_view effect) {
  const Value wanted = Value::object({{"key", key}, {"operator", "Exists"}, {"effect", effect}});
  const Value& present = spec["tolerations"];
  for (std::size_t i = 0; i < present.size(); ++i) {
    const Value& one = present[i];
    const bool same = one["key"].as_string() == key && one["effect"].as_string() == effect &&
                      one["operator"].as_string() == "Exists" && one["value"].as_string().empty();
    if (!same) continue;
    if (one != wanted) spec.mut("tolerations").mut(i) = wanted;
    return;
  }
  spec.mut("tolerations").push(wanted);
}

// Daemon pods stay on nodes with problems: the node may need them, and no other node can use them.
void tolerate_node_problems(Value& spec) {
  tolerate(spec, kNotReady, kNoExecute);
  tolerate(spec, kUnreachable, kNoExecute);
  for (std::string_view key : {kDiskPressure, kMemoryPressure, kPidPressure, kUnschedulable}) {
    tolerate(spec, key, kNoSchedule);
  }
  if (spec["hostNetwork"].as_bool()) tolerate(spec, kNetworkUnavailable, kNoSchedule);
}

bool has_untolerated(const Value& spec, const Value& node, std::string_view effect) {
  for (const Value& taint : node["spec"]["taints"]) {
    if (taint["effect"].as_string() == effect && !tolerated(spec["tolerations"], taint)) return true;
  }
  return false;
}

bool is_selected(const Value& spec, const Value& node) {
  const std::string_view name = spec["nodeName"].as_string();
  if (!name.empty() && name != api::name_of(node)) return false;
  for (const auto& [key, value] : spec["nodeSelector"].entries()) {
    const Value* found = api::labels_of(node).find(key);
    if (!found || *found != value) return false;
  }
  return matches_node_selector(spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"],
                               node);
}

}  // namespace

NodeEligibility eligibility_of(const Value& set, const Value& node) {
  Value spec = set["spec"]["template"]["spec"];
  if (!is_selected(spec, node)) return {};
  tolerate_node_problems(spec);
  if (has_untolerated(spec, node, kNoExecute)) return {};
  return NodeEligibility{!has_untolerated(spec, node, kNoSchedule), true};
}

std::string target_of(const Value& pod) {
  const Value& spec = pod["spec"];
  if (!spec["nodeName"].as_string().empty()) return spec["nodeName"].str();
  const Value& required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
  for (const Value& term : required["nodeSelectorTerms"]) {
    for (const Value& field : term["matchFields"]) {
      if (field["key"].as_string() == "metadata.name" && field["operator"].as_string() == "In") {
        return field["values"].size() == 1 ? field["values"][0].str() : "";
      }
    }
  }
  return "";
}

Value make_pod(const Value& set, std::string_view node, std::string_view hash, const std::string& name) {
  Value pod_template = set["spec"]["template"];
  Value& labels = pod_template.mut("metadata").mut("labels");
  const auto generation = parse_int(api::annotation_of(set, kGenerationAnnotation));
  if (generation.ok()) labels.set(kGenerationLabel, std::to_string(generation.value()));
  labels.set(kHashLabel, hash);
  Value& spec = pod_template.mut("spec");
  tolerate_node_problems(spec);
  const Value field = Value::object({{"key", "metadata.name"}, {"operator", "In"}, {"values", Value::array({node})}});
  const Value term = Value::object({{"matchFields", Value::array({field})}});
  // The set's pods only go to nodes that satisfy the template's own terms, so those can be replaced.
  spec.mut("affinity")
      .mut("nodeAffinity")
      .mut("requiredDuringSchedulingIgnoredDuringExecution")
      .set("nodeSelectorTerms", Value::array({term}));
  return pod_of_template(set, "apps/v1", "DaemonSet", pod_template, name);
}

}  // namespace berth::controllers::daemonset
