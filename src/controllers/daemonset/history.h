#pragma once
// The ControllerRevisions of a daemon set: every template it had, numbered, for undoing. Pure.

#include <functional>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::daemonset {

// The ControllerRevision of that name in the set's namespace, whoever owns it; null where there is none.
using Lookup = std::function<const Value&(const std::string& name)>;

struct History {
  std::string hash;        // of today's template, as pods carry it; empty: something has to be written and seen first
  std::vector<Value> old;  // revisions of other templates
};

// Finds today's revision, or adds to plan.first what makes, renumbers or tidies it. `pods`: the set's.
History settle_history(const Value& set, const std::vector<Value>& revisions, const std::vector<Value>& pods,
                       const Lookup& by_name, Plan& plan);

// The oldest of `old` that no pod is of, beyond the limit.
std::vector<Value> surplus(const Value& set, std::vector<Value> old, const std::vector<Value>& pods);

}  // namespace berth::controllers::daemonset
