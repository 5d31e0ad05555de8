#pragma once
// core/v1 NodeSelector, matched against a Node. Pure; reads the objects directly.

#include <string_view>

#include "base/json/json.h"

namespace berth::controllers {

// One NodeSelectorTerm. A term without any expression matches nothing.
bool matches_term(const Value& term, const Value& node);
// A NodeSelector: at least one term matches. Null matches every node.
bool matches_node_selector(const Value& selector, const Value& node);
// StorageClass.allowedTopologies: a list of terms {matchLabelExpressions: [{key, values}]}. Null or empty: everywhere.
bool matches_topologies(const Value& topologies, const Value& node);

}  // namespace berth::controllers
