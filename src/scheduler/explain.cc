#include "scheduler/explain.h"

#include "api/object.h"
#include "base/text.h"
#include "controllers/shared/node_selector.h"

namespace berth::scheduler {
namespace {

constexpr std::size_t kNodesShown = 3;

struct Where {
  std::string text;  // `zone "a"`, `node "n1"`, `nodes with disk in (ssd)`
  std::string kind;  // "zone", "node", ...: what to add
};

std::string list_of(const Value& values) {
  std::vector<std::string> parts;
  for (const Value& value : values) parts.push_back("\"" + value.str() + "\"");
  return join(parts, " or ");
}

// Where a volume can be used, in words. The most telling requirement of the first term is enough to go and look.
Where where_is(const Value& volume) {
  const Value& expressions = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"];
  struct Known {
    std::string_view key, kind;
  };
  static constexpr Known kKnown[] = {{"topology.kubernetes.io/zone", "zone"},
                                     {"failure-domain.beta.kubernetes.io/zone", "zone"},
                                     {"topology.kubernetes.io/region", "region"},
                                     {"kubernetes.io/hostname", "node"}};
  for (const Known& known : kKnown) {
    for (const Value& expression : expressions) {
      if (expression["key"].as_string() != known.key || expression["operator"].as_string() != "In") continue;
      return {std::string(known.kind) + " " + list_of(expression["values"]), std::string(known.kind)};
    }
  }
  if (expressions.empty()) return {"the nodes its node affinity names", "node"};
  return {"nodes whose label " + expressions[0]["key"].str() + " is " + list_of(expressions[0]["values"]), "label"};
}

// What keeps the pod from a node where its volume could be used.
std::string obstacle(const Question& question, const NodeInfo& node) {
  if (node.unschedulable) return "is cordoned";
  const Verdict verdict = filter(question, node);
  std::vector<std::string> reasons;
  verdict.each_reason([&](std::string_view reason) { reasons.emplace_back(reason); });
  return reasons.empty() ? "" : "refused it (" + join(reasons, ", ") + ")";
}

std::string advice(const Where& where, bool cordoned, bool present) {
  std::string add;
  if (where.kind == "zone" || where.kind == "region") {
    add = "add a node to that " + where.kind;
  } else if (where.kind == "node") {
    add = present ? "make room on it" : "bring that node back";
  } else {
    add = "add a node with that label";
  }
  if (!cordoned) return add;
  return where.kind == "node" ? "uncordon it" : "uncordon it or " + add;
}

}  // namespace

std::string explain_volumes(const Question& question, const Snapshot& snapshot) {
  std::vector<std::string> sentences;
  for (const VolumeNeeds::Bound& one : question.volumes.bound) {
    const Value& required = one.volume["spec"]["nodeAffinity"]["required"];
    if (required.is_null()) continue;
    std::vector<std::string> there;
    std::size_t nodes = 0;
    bool cordoned = false;
    for (const NodeInfo* node : snapshot.nodes()) {
      if (!controllers::matches_node_selector(required, node->node)) continue;
      cordoned = cordoned || node->unschedulable;
      if (++nodes <= kNodesShown) there.push_back("node " + node->name + " " + obstacle(question, *node));
    }
    if (nodes == snapshot.nodes().size()) continue;  // it is not the volume
    const Where where = where_is(one.volume);
    std::string present = nodes == 0 ? "no such node is in the cluster" : join(there, ", ");
    if (nodes > kNodesShown) present += " and " + std::to_string(nodes - kNodesShown) + " more";
    if (nodes == 0 && where.kind != "node") present = "no node is there";
    sentences.push_back("Claim \"" + one.claim + "\" has its data on volume \"" +
                        std::string(api::name_of(one.volume)) + "\", which can only be used " +
                        (where.kind == "zone" || where.kind == "region" ? "in " : "on ") + where.text + ": " + present +
                        "; " + advice(where, cordoned, nodes > 0) + ".");
  }
  return join(sentences, " ");
}

}  // namespace berth::scheduler
