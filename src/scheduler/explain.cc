#include "scheduler/explain.h"

#include "api/object.h"
#include "base/text.h"
#include "controllers/shared/node_selector.h"

namespace berth::scheduler {
namespace {

constexpr std::size_t kNodesShown = 3;

struct VolumeLocation {
  std::string text;  // `zone "a"`, `node "n1"`, `nodes with disk in (ssd)`
  std::string kind;  // "zone", "node", ...: the kind of thing to add
};

std::string list_of(const Value& values) {
  std::vector<std::string> parts;
  for (const Value& value : values) parts.push_back("\"" + value.str() + "\"");
  return join(parts, " or ");
}

// Describes the nodes that can use a volume, by the best known label of the first term.
VolumeLocation locate(const Value& volume) {
  const Value& expressions = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"];
  struct TopologyLabel {
    std::string_view key, kind;
  };
  static constexpr TopologyLabel kLabels[] = {{"topology.kubernetes.io/zone", "zone"},
                                              {"failure-domain.beta.kubernetes.io/zone", "zone"},
                                              {"topology.kubernetes.io/region", "region"},
                                              {"kubernetes.io/hostname", "node"}};
  for (const TopologyLabel& label : kLabels) {
    for (const Value& expression : expressions) {
      if (expression["key"].as_string() != label.key || expression["operator"].as_string() != "In") continue;
      return {std::string(label.kind) + " " + list_of(expression["values"]), std::string(label.kind)};
    }
  }
  if (expressions.empty()) return {"the nodes its node affinity names", "node"};
  return {"nodes whose label " + expressions[0]["key"].str() + " is " + list_of(expressions[0]["values"]), "label"};
}

// Why a node that could use the volume rejects the pod.
std::string rejection_text(const FilterInput& input, const NodeInfo& node) {
  if (node.unschedulable) return "is cordoned";
  const FilterResult result = filter(input, node);
  std::vector<std::string> reasons;
  result.each_reason([&](std::string_view reason) { reasons.emplace_back(reason); });
  return reasons.empty() ? "" : "refused it (" + join(reasons, ", ") + ")";
}

std::string advice(const VolumeLocation& location, bool cordoned, bool present) {
  std::string add;
  if (location.kind == "zone" || location.kind == "region") {
    add = "add a node to that " + location.kind;
  } else if (location.kind == "node") {
    add = present ? "make room on it" : "bring that node back";
  } else {
    add = "add a node with that label";
  }
  if (!cordoned) return add;
  return location.kind == "node" ? "uncordon it" : "uncordon it or " + add;
}

}  // namespace

std::string explain_volumes(const FilterInput& input, const Snapshot& snapshot) {
  std::vector<std::string> sentences;
  for (const VolumeNeeds::BoundClaim& one : input.volumes.bound) {
    const Value& required = one.volume["spec"]["nodeAffinity"]["required"];
    if (required.is_null()) continue;
    std::vector<std::string> there;
    std::size_t nodes = 0;
    bool cordoned = false;
    for (const NodeInfo* node : snapshot.nodes()) {
      if (!controllers::matches_node_selector(required, node->node)) continue;
      cordoned = cordoned || node->unschedulable;
      if (++nodes <= kNodesShown) there.push_back("node " + node->name + " " + rejection_text(input, *node));
    }
    if (nodes == snapshot.nodes().size()) continue;  // every node can use the volume
    const VolumeLocation location = locate(one.volume);
    std::string present = nodes == 0 ? "no such node is in the cluster" : join(there, ", ");
    if (nodes > kNodesShown) present += " and " + std::to_string(nodes - kNodesShown) + " more";
    if (nodes == 0 && location.kind != "node") present = "no node is there";
    sentences.push_back("Claim \"" + one.claim + "\" has its data on volume \"" +
                        std::string(api::name_of(one.volume)) + "\", which can only be used " +
                        (location.kind == "zone" || location.kind == "region" ? "in " : "on ") + location.text + ": " +
                        present + "; " + advice(location, cordoned, nodes > 0) + ".");
  }
  return join(sentences, " ");
}

}  // namespace berth::scheduler
