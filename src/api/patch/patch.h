#pragma once
// The four kinds of patch, and ownership of fields. Pure functions over values.

#include <string>
#include <string_view>
#include <vector>

#include "api/schema/schema.h"
#include "base/json/json.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::api::patch {

// RFC 6902, with the errors upstream's library gives (a failed `test` is kInvalid).
Result<Value> apply_json_patch(const Value& object, const Value& patch);
// RFC 7386.
Value apply_merge_patch(const Value& object, const Value& patch);
// Kubernetes' strategic merge: $patch, $deleteFromPrimitiveList, $setElementOrder, $retainKeys, merge keys by schema.
Result<Value> apply_strategic_patch(const schema::Type& type, const Value& object, const Value& patch);

// --- Managed fields (metadata.managedFields) and server-side apply

// After an ordinary write (create, update, patch) by `manager`: records the ownership of fields. `before` is null on
// create. Only a change moves ownership; time moves only with a change. `subresource`: "" or "status", ... Returns
// `after` with its metadata.managedFields set.
Value track_update(const schema::Kind& kind, const Value& before, Value after, std::string_view manager,
                   std::string_view subresource, Time now);

struct Conflict {
  std::string manager;  // as in the message: `conflict with "kubectl" using apps/v1`
  std::string field;    // ".spec.replicas"
};
struct Applied {
  Value object;                     // merged, managedFields set
  std::vector<Conflict> conflicts;  // not empty and not forced: nothing may be stored
};
// Whether `applied` can be applied at all: its version, its types by schema, no managed fields of its own. A client's
// 400, or upstream's 500 where it does not fit the schema.
Status check_applied(const schema::Kind& kind, const Value& applied);
// `applied` is what the user sent; `live` is null where the object is new.
Result<Applied> apply(const schema::Kind& kind, const Value& live, const Value& applied, std::string_view manager,
                      bool force, std::string_view subresource, Time now);
// The 409 of conflicts, worded and with causes as upstream does.
Error conflict_error(const std::vector<Conflict>& conflicts);

}  // namespace berth::api::patch
