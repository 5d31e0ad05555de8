#pragma once
// Where a daemon set's pods belong, and what one looks like. Pure.

#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::controllers::daemonset {

inline constexpr std::string_view kHashLabel = "controller-revision-hash";
inline constexpr std::string_view kGenerationLabel = "pod-template-generation";
inline constexpr std::string_view kGenerationAnnotation = "deprecated.daemonset.template.generation";

struct Fitness {
  bool run = false;   // a pod should be there
  bool stay = false;  // one that is there may stay
  bool operator==(const Fitness&) const = default;
};
// By the template's node name, selector and required affinity, and by the node's taints.
Fitness fitness_of(const Value& set, const Value& node);

// The node a pod runs on or was made for; empty where it does not say.
std::string target_of(const Value& pod);

// The pod of `node`: of the template, tolerating what befalls nodes, and for that node only.
Value make_pod(const Value& set, std::string_view node, std::string_view hash, const std::string& name);

}  // namespace berth::controllers::daemonset
