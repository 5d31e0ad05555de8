#pragma once
// The ControllerRevisions of a daemon set: every template it had, numbered, for rollbacks. Pure.

#include <functional>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::daemonset {

// The ControllerRevision of that name in the set's namespace, whatever its owner; null if there is none.
using RevisionLookup = std::function<const Value&(const std::string& name)>;

struct RevisionHistory {
  std::string hash;  // of the present template, as its pods carry it; empty: a write must be seen in the cache first
  std::vector<Value> old;  // revisions of other templates
};

// Finds the present template's revision, or adds the writes to plan.first that create, renumber or merge it. `pods`:
// the set's.
RevisionHistory sync_revisions(const Value& set, const std::vector<Value>& revisions, const std::vector<Value>& pods,
                               const RevisionLookup& by_name, Plan& plan);

// The oldest of `old` beyond the history limit that no pod uses.
std::vector<Value> unused_revisions(const Value& set, std::vector<Value> old, const std::vector<Value>& pods);

}  // namespace berth::controllers::daemonset
