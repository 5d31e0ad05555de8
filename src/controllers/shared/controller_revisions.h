#pragma once
// ControllerRevisions of a StatefulSet: the pod templates it had, by name and number. Pure.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"

namespace berth::controllers {

// The object of that name in the set's namespace, as cached; null where there is none.
using Lookup = std::function<const Value&(const std::string& name)>;

// What a revision's `data` says of the set: {"spec": {"template": {..., "$patch": "replace"}}}.
Value revision_data(const Value& set);
// Whether two revisions' data mean the same template: equal, or equal once today's defaults are filled in on both
// sides. So what counts is what the user wrote, and a release that knows more defaults rolls nothing.
bool same_data(const Value& a, const Value& b);
// The template of a revision, ready for make_pod().
Value template_of(const Value& revision);
// The claim templates that go with it, where they may change (berth.dev/claim-template-updates); null where not noted.
Value claim_templates_of(const Value& revision);
// "<set>-<hash>", the hash being upstream's: FNV-1 over the encoded data and the collision count.
std::string revision_hash(const Value& data, int collision_count);

struct Revisions {
  Value current, update;  // the revisions; `update` may be one to be written first
  enum class Write { kNone, kCreate, kUpdate } write = Write::kNone;  // what `update` needs before anything else
  int collision_count = 0;
};

// `known`: the set's own revisions, in any order; `by_name` sees every revision of the namespace.
Revisions choose_revisions(const Value& set, std::vector<Value> known, const Lookup& by_name);

// The oldest of `known` that nothing refers to any more, beyond `limit`. `live`: names in use.
std::vector<Value> surplus_revisions(std::vector<Value> known, const std::vector<std::string>& live, int limit);

}  // namespace berth::controllers
