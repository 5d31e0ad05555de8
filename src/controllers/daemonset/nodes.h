#pragma once
// Which nodes run a daemon set's pods, and the pod for a node. Pure.

#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::controllers::daemonset {

inline constexpr std::string_view kHashLabel = "controller-revision-hash";
inline constexpr std::string_view kGenerationLabel = "pod-template-generation";
inline constexpr std::string_view kGenerationAnnotation = "deprecated.daemonset.template.generation";

struct NodeEligibility {
  bool run = false;   // a pod should run there
  bool stay = false;  // an existing pod may stay
  bool operator==(const NodeEligibility&) const = default;
};
// Follows from the template's node name, selector and required affinity, and from the node's taints.
NodeEligibility eligibility_of(const Value& set, const Value& node);

// The node that a pod runs on or was created for; empty if it names none.
std::string target_of(const Value& pod);

// The pod for `node`: from the template, with tolerations of node problems, and affinity to that node only.
Value make_pod(const Value& set, std::string_view node, std::string_view hash, const std::string& name);

}  // namespace berth::controllers::daemonset
