// Ownership of fields (metadata.managedFields) after a write, and server-side apply.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "api/patch/change_memo.h"
#include "api/patch/managers.h"
#include "api/patch/patch.h"
#include "api/patch/typed_value.h"
#include "api/plain_error.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::api::patch {

namespace {

constexpr const char* kBeforeFirstApply = "before-first-apply";
constexpr const char* kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";
constexpr std::size_t kFewEntries = 10;  // upstream merges more than these
constexpr std::size_t kMaxAnnotations = 256 * 1024;

Value without_managed_fields(Value object) {
  if (object["metadata"].contains("managedFields")) object.mut("metadata").erase("managedFields");
  return object;
}

Value with_managed_fields(Value object, const Managers& managers) {
  Value encoded = managers.encode();
  if (!encoded.is_null()) {
    object.mut("metadata").set("managedFields", std::move(encoded));
  } else if (object["metadata"].contains("managedFields")) {
    object.mut("metadata").erase("managedFields");
  }
  return object;
}

// A client that sends [] or [{}] resets the managed fields.
bool asks_for_reset(const Value& managed_fields) {
  return managed_fields.is_array() &&
         (managed_fields.empty() || (managed_fields.size() == 1 && managed_fields[0] == Value::object()));
}

Managers decode_or_empty(const Value& managed_fields) {
  auto managers = Managers::decode(managed_fields);
  return managers.ok() ? std::move(managers).value() : Managers();
}

// Removes the changed fields from the sets of all managers but `self` (may be null).
void remove_from_others(Managers& managers, const Manager* self, const Comparison& change) {
  const FieldSet gone = change.changed().united(change.removed);
  for (Manager& manager : managers.entries()) {
    if (self && manager.same_entry(*self)) continue;
    if (manager.set.intersects(gone)) manager.set = manager.set.without(gone);
  }
}

// Records an update by `self`.
void record_update(const Comparison& change, Manager self, Managers& managers) {
  remove_from_others(managers, nullptr, change);
  self.set = change.changed().without(change.removed).without(unowned_fields());
  if (!self.set.empty()) {
    if (Manager* previous = managers.find(self)) self.set = self.set.united(previous->set);
    managers.put(std::move(self));
  }
  managers.erase_empty();
  managers.cap_updates();
}

// --- The usual update changes no field of another manager. It is recorded without decoding the other managers' sets.

bool is_member(const Value& fields) { return fields.empty() || fields.contains("."); }

// Whether what `fields` (FieldsV1) record and `set` have a path in common.
bool touches(const Value& fields, const FieldSet& set) {
  for (const auto& [element, node] : set.nodes()) {
    const Value* at = fields.find(element);
    if (at && ((node.member && is_member(*at)) || touches(*at, node.below))) return true;
  }
  return false;
}

// Whether every path of `set` is in `fields`.
bool covers(const Value& fields, const FieldSet& set) {
  for (const auto& [element, node] : set.nodes()) {
    const Value* at = fields.find(element);
    if (!at && (node.member || !node.below.empty())) return false;
    if (at && ((node.member && !is_member(*at)) || !covers(*at, node.below))) return false;
  }
  return true;
}

bool is_entry_of(const Value& entry, const Manager& manager) {
  return entry["operation"].as_string() == "Update" && entry["manager"].as_string() == manager.name &&
         entry["apiVersion"].as_string() == manager.api_version &&
         entry["subresource"].as_string() == manager.subresource;
}

// What `self` owns (FieldsV1) of an object whose owners are `stored` after that change: null where it changed no
// owned field; nullopt where the update is no usual one.
std::optional<Value> owned_after(const Value& stored, const Comparison& change, const Manager& self) {
  if (!change.removed.empty() || stored.size() >= kFewEntries) return std::nullopt;
  const FieldSet changed = change.changed();
  Value had;
  for (const Value& entry : stored) {
    if (is_entry_of(entry, self)) {
      had = entry["fieldsV1"];
    } else if (touches(entry["fieldsV1"], changed)) {
      return std::nullopt;
    }
  }
  const FieldSet own = changed.without(unowned_fields());
  if (own.empty()) return Value();
  if (had.is_null()) return own.to_fields_v1();
  if (covers(had, own)) return had;
  auto set = FieldSet::from_fields_v1(had);
  if (!set.ok()) return std::nullopt;
  return set->united(own).to_fields_v1();
}

// `stored` (as encoded here) where `self` owns `fields` since self.time.
Value with_owner(const Value& stored, Value fields, const Manager& self) {
  std::vector<Value> entries;
  Value mine;
  for (const Value& entry : stored) {
    if (is_entry_of(entry, self)) {
      mine = entry;
    } else {
      entries.push_back(entry);
    }
  }
  if (mine.is_null()) mine = Managers::encode(self);
  mine.set("time", self.time).set("fieldsV1", std::move(fields));
  entries.push_back(std::move(mine));
  // One entry is new or later than it was: the order is Managers::encode's.
  auto rank = [](const Value& entry) {
    return std::tuple(entry["operation"].as_string(), entry["time"].as_string(), entry["manager"].as_string(),
                      entry["apiVersion"].as_string(), entry["subresource"].as_string());
  };
  std::sort(entries.begin(), entries.end(), [&](const Value& a, const Value& b) { return rank(a) < rank(b); });
  return Value::array(std::move(entries));
}

// owned_after() through the memo: computed once for equal changes.
std::optional<Value> owned(const schema::Kind& kind, const Change& change, const Value& stored, const Manager& self) {
  ChangeMemo& memo = ChangeMemo::of_this_thread();
  if (const Value* known = memo.find(*kind.type, self, change, stored)) return *known;
  std::optional<Value> fields =
      owned_after(stored, compare(SchemaPosition::root(*kind.type), change.before, change.after), self);
  if (fields) memo.store({kind.type, self, change, stored, *fields});
  return fields;
}

std::string printed(const Manager& manager) {
  std::string out = quoted(manager.name);
  if (!manager.subresource.empty()) out += " with subresource " + quoted(manager.subresource);
  if (!manager.applies) out += " using " + manager.api_version;
  return out;
}

struct FieldConflict {
  Conflict conflict;
  FieldPath path;
};

std::vector<FieldConflict> conflicts_of(const Managers& managers, const Manager& self, const Comparison& change) {
  const FieldSet changed = change.changed();
  std::vector<FieldConflict> out;
  for (const Manager& manager : managers.entries()) {
    if (manager.same_entry(self)) continue;
    manager.set.common(changed).for_each([&](const FieldPath& path) {
      out.push_back({{printed(manager), to_string(path)}, path});
    });
  }
  std::stable_sort(out.begin(), out.end(), [](const FieldConflict& a, const FieldConflict& b) {
    return a.conflict.manager < b.conflict.manager;
  });
  return out;
}

// Removes from `object` the fields that the applier owned after its last apply and that no manager owns now.
Value pruned(const SchemaPosition& root, const Value& object, const FieldSet& last, const Managers& managers) {
  if (last.empty()) return object;
  const FieldSet last_named = with_named_fields(root, last);
  Value rest = without_items(root, object, last_named);
  FieldSet owned;
  for (const Manager& manager : managers.entries()) owned = owned.united(manager.set);
  const FieldSet all = with_named_fields(root, field_set_of(root, object));
  FieldSet kept = with_named_fields(root, field_set_of(root, rest)).united(with_named_fields(root, owned));
  rest = without_items(root, object, all.without(kept));
  kept = with_named_fields(root, field_set_of(root, rest));
  return without_items(root, object, all.without(kept).common(last_named));
}

// Fields that `kubectl apply` without --server-side set and that are unchanged since: a server-side apply by kubectl
// may take them over without a conflict.
FieldSet client_side_applied(const schema::Kind& kind, const SchemaPosition& root, const Value& live) {
  const std::string_view text = live["metadata"]["annotations"][kLastApplied].as_string();
  auto last = json::parse(text);
  if (text.empty() || !last.ok() || (*last)["apiVersion"].as_string() != kind.api_version()) return {};
  if (!check_typed(root, *last).ok()) return {};
  const Comparison change = compare(root, *last, live);
  return field_set_of(root, *last).without(change.modified).without(change.added).without(change.removed);
}

// Keeps kubectl's annotation in step where the object has one, so that a later client-side apply starts from the truth.
void renew_last_applied(const Value& live, const Value& applied, Value& object) {
  if (live["metadata"]["annotations"][kLastApplied].is_null()) return;
  std::string text = json::encode(without_managed_fields(applied)) + "\n";
  if (text.size() > kMaxAnnotations) text.clear();
  object.mut("metadata").mut("annotations").set(kLastApplied, text);
}

}  // namespace

Status check_applied(const schema::Kind& kind, const Value& applied) {
  const std::string_view version = applied["apiVersion"].as_string();
  if (version != kind.api_version()) {
    return error(Code::kBadRequest, "Incorrect version specified in apply patch. Specified patch version: " +
                                        std::string(version) + ", expected: " + kind.api_version());
  }
  if (!applied["metadata"]["managedFields"].is_null()) {
    return error(Code::kBadRequest, "metadata.managedFields must be nil");
  }
  if (Status status = check_typed(SchemaPosition::root(*kind.type), applied); !status.ok()) {
    return api::plain_error("failed to create typed patch object (" + applied["metadata"]["namespace"].str() + "/" +
                            applied["metadata"]["name"].str() + "; " + kind.group + "/" + kind.version +
                            ", Kind=" + kind.kind + "): " + status.error().message);
  }
  return ok_status();
}

Value track_update(const schema::Kind& kind, const Value& before, Value after, std::string_view manager,
                   std::string_view subresource, Time now) {
  const bool creates = before.is_null();
  const Value stored = before["metadata"]["managedFields"];
  const Value sent = subresource.empty() ? after["metadata"]["managedFields"] : stored;
  Change change{creates ? Value::object() : without_managed_fields(before), without_managed_fields(std::move(after))};
  const bool changes = creates || change.after != change.before;
  Manager self{std::string(manager), false, kind.api_version(), std::string(subresource), format_time(now), {}};
  if (creates ? sent.empty() : !stored.empty() && sent == stored) {
    std::optional<Value> fields = changes ? owned(kind, change, stored, self) : Value();
    if (fields) {
      Value owners = fields->is_null() ? stored : with_owner(stored, std::move(*fields), self);
      if (!owners.is_null()) change.after.mut("metadata").set("managedFields", std::move(owners));
      return std::move(change.after);
    }
  }
  Managers managers;
  if (!subresource.empty()) {
    managers = decode_or_empty(stored);
  } else if (!asks_for_reset(sent)) {
    managers = decode_or_empty(sent);
    if (managers.empty()) managers = decode_or_empty(stored);  // of clients that do not know about them
  }
  if (creates || (!managers.empty() && changes)) {
    record_update(compare(SchemaPosition::root(*kind.type), change.before, change.after), std::move(self), managers);
  }
  return with_managed_fields(std::move(change.after), managers);
}

Result<Applied> apply(const schema::Kind& kind, const Value& live, const Value& applied, std::string_view manager,
                      bool force, std::string_view subresource, Time now) {
  BERTH_TRY(check_applied(kind, applied));
  const SchemaPosition root = SchemaPosition::root(*kind.type);
  const std::string time = format_time(now);
  Managers managers;
  if (!live.is_null()) {
    BERTH_ASSIGN(managers, Managers::decode(live["metadata"]["managedFields"]));
  }
  const Value base = live.is_null() ? Value::object() : without_managed_fields(live);
  if (!live.is_null() && managers.empty()) {
    Manager before{kBeforeFirstApply, false, kind.api_version(), std::string(subresource), time, {}};
    record_update(compare(root, Value::object(), base), std::move(before), managers);
  }

  Manager self{std::string(manager),     true, kind.api_version(),
               std::string(subresource), time, field_set_of(root, applied)};
  Manager last;
  if (const Manager* found = managers.find(self)) last = *found;
  managers.put(self);

  Value object = pruned(root, merged(root, base, applied), last.set, managers);
  const Comparison change = compare(root, base, object);
  std::vector<FieldConflict> conflicting = conflicts_of(managers, self, change);
  if (manager == "kubectl" && !force && !conflicting.empty()) {
    const FieldSet allowed = client_side_applied(kind, root, base);
    std::erase_if(conflicting, [&](const FieldConflict& each) {
      FieldSet one;
      one.insert(each.path);
      return !one.common(allowed).empty();
    });
  }
  Applied out;
  if (!force) {
    for (FieldConflict& each : conflicting) out.conflicts.push_back(std::move(each.conflict));
  }
  if (!out.conflicts.empty()) {
    out.object = live;
    return out;
  }

  remove_from_others(managers, &self, change);
  self.set = self.set.without(unowned_fields());
  if (object == base) self.time = last.time;  // only a change of the object has a time
  managers.put(self);
  managers.erase_empty();
  if (manager == "kubectl") renew_last_applied(base, applied, object);
  out.object = with_managed_fields(std::move(object), managers);
  return out;
}

Error conflict_error(const std::vector<Conflict>& conflicts) {
  auto details = std::make_shared<ErrorDetails>();
  std::map<std::string, std::vector<std::string>> by_manager;
  for (const Conflict& conflict : conflicts) {
    details->causes.push_back({"FieldManagerConflict", "conflict with " + conflict.manager, conflict.field});
    by_manager[conflict.manager].push_back(conflict.field);
  }
  std::string message;
  if (conflicts.size() == 1) {
    message = "Apply failed with 1 conflict: conflict with " + conflicts[0].manager + ": " + conflicts[0].field;
  } else {
    std::vector<std::string> lines;
    for (const auto& [manager, fields] : by_manager) {
      lines.push_back("conflicts with " + manager + ":");
      for (const std::string& field : fields) lines.push_back("- " + field);
    }
    message = "Apply failed with " + std::to_string(conflicts.size()) + " conflicts: " + join(lines, "\n");
  }
  return Error{Code::kConflict, std::move(message), std::move(details)};
}

}  // namespace berth::api::patch
