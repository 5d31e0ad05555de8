#pragma once
// ControllerRevisions of a StatefulSet: the pod templates it had, by name and number. Pure.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"

namespace berth::controllers {

// Returns the cached object of that name in the set's namespace; null if there is none.
using Lookup = std::function<const Value&(const std::string& name)>;

// The `data` of a revision of this set: {"spec": {"template": {..., "$patch": "replace"}}}.
Value revision_data(const Value& set);
// True if two revisions' data mean the same template: equal, or equal after today's defaults are filled in on both
// sides. A release with more defaults therefore rolls out nothing.
bool same_data(const Value& a, const Value& b);
// The template of a revision, ready for make_pod().
Value template_of(const Value& revision);
// The claim templates stored with a revision, if they may change (berth.dev/claim-template-updates); else null.
Value claim_templates_of(const Value& revision);
// "<set>-<hash>", the hash being upstream's: FNV-1 over the encoded data and the collision count.
std::string revision_hash(const Value& data, int collision_count);

struct Revisions {
  Value current, update;  // the revisions; `update` may have to be written first
  // the write of `update` that must precede all others
  enum class Write { kNone, kCreate, kUpdate } write = Write::kNone;
  int collision_count = 0;
};

// `known`: the set's own revisions, in any order; `by_name` finds every revision of the namespace.
Revisions choose_revisions(const Value& set, std::vector<Value> known, const Lookup& by_name);

// The oldest of `known` beyond `limit` whose names are not in `live`, the names in use.
std::vector<Value> surplus_revisions(std::vector<Value> known, const std::vector<std::string>& live, int limit);

}  // namespace berth::controllers
