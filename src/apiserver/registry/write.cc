// The steps of a write, in one turn of the loop:
//
//   create: prepare (metadata, name, the kind's fields, defaults, gates, managed fields, admission, addresses)
//   update: prepare (preconditions, defaults, gates, admission, the kind's fields by subresource, addresses)
//   both:   check (validation, warnings, checks that read other objects, quotas), then commit
//
// Why in this order:
//   * Defaults come before all that compares or refuses: a field that the client left out and the server fills in is
//     no change, and validation words its causes for the complete object.
//   * Admission comes before validation, as upstream: what it adds (a class, tolerations, a token's volume) is
//     validated with the rest.
//   * Checks that read other objects come after validation, so that they may rely on well-formed fields; quotas are
//     last, because only an accepted change is charged.
//
// Why there is no retry: the newest submitted version is read, and the write submitted, in the same turn, and the store
// compares Write::expected during the call. No other write comes in between. An answer is based on a version that may
// not be durable yet; what becomes of it then is in commit.h (refuse_when_durable). Only a deletion that first writes a
// budget takes two turns, and retries (kinds/pod_deletion.cc, kinds/pod_eviction.cc).
#include "apiserver/registry/write.h"

#include <algorithm>

#include "api/patch/patch.h"
#include "api/plain_error.h"
#include "api/schema/given_empty.h"
#include "api/status.h"
#include "apiserver/admission/namespaces.h"
#include "apiserver/admission/quota.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/conversion.h"
#include "apiserver/registry/prepare.h"
#include "apiserver/registry/remove.h"
#include "apiserver/registry/state.h"
#include "apiserver/validation/validation.h"
#include "base/ids.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

Value without_times(Value managed_fields) {
  for (std::size_t i = 0; i < managed_fields.size(); ++i) managed_fields.mut(i).erase("time");
  return managed_fields;
}

Value without_bookkeeping(Value object) {
  object.mut("metadata").erase("managedFields");
  object.mut("metadata").erase("resourceVersion");
  return object;
}

// Whether a write would store an equal object. An ordinary write that changes nothing but managedFields stores nothing,
// unless the client sent managedFields itself (`hands_over`); an apply may change the ownership of fields alone.
bool is_same(const Value& before, const Value& after, bool ordinary, bool hands_over) {
  if (without_bookkeeping(before) != without_bookkeeping(after)) return false;
  if (ordinary && !hands_over) return true;
  return without_times(before["metadata"]["managedFields"]) == without_times(after["metadata"]["managedFields"]);
}

Status validated(const api::schema::Kind& kind, std::vector<Cause> causes, const Value& object) {
  if (causes.empty()) return ok_status();
  // Events of either group are refused as the kind that is stored.
  return api::invalid(storage_kind(kind).group, kind.kind, api::name_of(object), std::move(causes));
}

// The client owns the fields that it sent and their defaults; the server those of admission, and the status.
// `has_empty`: as decode_with_empty() says; such lists and maps have no owner.
void track_created(const api::schema::Kind& kind, const Call& call, Value& object, bool has_empty, Time now) {
  Value owned = has_empty ? api::schema::without_empty(kind, object) : object;
  if (has_status(kind)) owned.erase("status");
  owned = api::patch::track_update(kind, Value(), std::move(owned),
                                   call.field_manager.empty() ? "unknown" : call.field_manager, "", now);
  Value& metadata = object.mut("metadata");
  const Value& fields = owned["metadata"]["managedFields"];
  if (fields.is_null()) {
    metadata.erase("managedFields");
  } else {
    metadata.set("managedFields", fields);
  }
}

// Drops the empty lists and maps that the client sent; the status has none, it is the server's.
void drop_empty(const api::schema::Kind& kind, Value& object) {
  const Value status = has_status(kind) ? object["status"] : Value();
  object = api::schema::without_empty(kind, object);
  if (!status.is_null()) object.set("status", status);
}

// The key under which upstream's storage has an object: its messages name it.
std::string upstream_key(const api::schema::Kind& kind, const Call& call) {
  const std::string_view path = strategy_of(kind).upstream_path;
  return "/" + (path.empty() ? kind.plural : std::string(path)) + "/" + (kind.namespaced ? call.ns + "/" : "") +
         call.name;
}

// A uid in the body of a PUT is a precondition.
Status check_uid(const Call& call, const Value& before, const Value& after) {
  std::string_view expected = api::uid_of(after), current = api::uid_of(before);
  if (expected.empty() || expected == current) return ok_status();
  return api::conflict(call.kind->resource(), call.name,
                       "StorageError: invalid object, Code: 4, Key: " + upstream_key(*call.kind, call) +
                           ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: " +
                           std::string(expected) + ", UID in object meta: " + std::string(current));
}

// A resourceVersion is a number; kinds with needs_version are not updated without one.
Status check_version_is_stated(const Call& call, const Value& after) {
  std::string_view version = api::resource_version_of(after);
  if (!version.empty() && !parse_int(version).ok()) {
    return api::plain_error("strconv.ParseUint: parsing " + quoted(version) + ": invalid syntax");
  }
  if (!strategy_of(*call.kind).needs_version || (!version.empty() && version != "0")) return ok_status();
  return api::invalid(call.kind->group, call.kind->plural, call.name,
                      {api::invalid_value("metadata.resourceVersion", 0, "must be specified for an update")});
}

struct Versions {
  const Value &before, &after, &sent;  // as in admission::Change
};

// The checks of the kind's row, in its order, then quotas: nothing is charged for what is refused.
Status run_checks(Registry::State& state, const Call& call, const Versions& versions,
                  std::vector<std::string>& warnings, std::vector<admission::QuotaCharge>& charges) {
  const KindStrategy& strategy = strategy_of(*call.kind);
  const admission::Request request = admission_request(state, call);
  const admission::Change change{request, versions.before, versions.after, versions.sent, warnings};
  for (admission::Check check : strategy.checks) BERTH_TRY(check(change));
  if (strategy.outside_quotas) return ok_status();
  BERTH_ASSIGN(charges, admission::check_quota(change));
  return ok_status();
}

// Makes the name of an object that has only metadata.generateName. A name in use would be a conflict that the client
// has no part in, so another one is chosen. False: the object has a name, or neither.
bool generate_name(Registry::State& state, const Call& call, Value& object) {
  std::string prefix = object["metadata"]["generateName"].str();
  if (!api::name_of(object).empty() || prefix.empty()) return false;
  constexpr std::size_t kSuffix = 5, kMostPrefix = 63 - kSuffix;
  prefix.resize(std::min(prefix.size(), kMostPrefix));
  do {
    object.mut("metadata").set("name", prefix + random_suffix(state.runtime, kSuffix));
  } while (state.store.head(store_key(*call.kind, call.ns, api::name_of(object))));
  return true;
}

// A new object on its way to the store.
struct Creation {
  Value object;
  std::vector<std::string> warnings;
  bool track;      // as create_object() says
  bool has_empty;  // as decode_with_empty() says
  ServiceAddresses::Allocation allocation = {};
  std::vector<admission::QuotaCharge> charges = {};
};

// Makes the object what would be stored: metadata, defaults, the kind's own fields, admission, a Service's addresses.
Status prepare(Registry::State& state, const Call& call, Creation& creation) {
  const api::schema::Kind& kind = *call.kind;
  const KindStrategy& strategy = strategy_of(kind);
  Value& object = creation.object;
  CreateContext context{state, call, creation.warnings};
  prepare_create(context, object);
  if (!generate_name(state, call, object) && !api::name_of(object).empty()) {
    if (state.store.head(store_key(kind, call.ns, api::name_of(object))))
      return api::already_exists(kind.resource(), api::name_of(object));
  }
  object.mut("metadata").set("uid", new_uid(state.runtime));
  object.mut("metadata").set("creationTimestamp", format_time(state.runtime.now()));
  context.labelled = !object["metadata"]["labels"].empty();
  api::schema::apply_defaults(kind, object);
  api::schema::drop_disabled(kind, state.config.gates, Value(), object);
  // Before admission: the client owns what it sent and the defaults of that, nothing else. A later apply of the same
  // manifest must not take away what admission added.
  if (creation.track) track_created(kind, call, object, creation.has_empty, state.runtime.now());
  if (strategy.complete_create != nullptr) strategy.complete_create(context, object);
  // After the name is known: a namespace's label and a pod's messages have it.
  const admission::Request request = admission_request(state, call);
  BERTH_TRY(admission::check_namespace(request, strategy.created_while_terminating));
  if (strategy.admit_create != nullptr) BERTH_TRY(strategy.admit_create(request, object));
  // Last, and before validation: a Service is validated with its addresses. A refusal from here on releases them.
  if (strategy.allocate != nullptr) return strategy.allocate(state, Value(), object, call.dry_run, creation.allocation);
  return ok_status();
}

// Validation, and the checks that read other objects. They see valid objects only.
Status check(Registry::State& state, const Call& call, Creation& creation) {
  const api::schema::Kind& kind = *call.kind;
  const KindStrategy& strategy = strategy_of(kind);
  Value& object = creation.object;
  BERTH_TRY(validated(kind, validation::validate_create(kind, object), object));
  // Validation refuses empty lists where fields may not be set at all; only then are they dropped, as Go's encoder
  // drops them on the way to the storage.
  const Value sent = object;
  if (creation.has_empty) drop_empty(kind, object);
  if (strategy.after_validation != nullptr) strategy.after_validation(object);
  for (std::string& warning : validation::warnings_on_create(kind, object))
    creation.warnings.push_back(std::move(warning));
  return run_checks(state, call, {Value(), object, sent}, creation.warnings, creation.charges);
}

}  // namespace

void create_object(const StatePtr& state, const Call& call, Value object, std::vector<std::string> warnings, bool track,
                   Done done, bool has_empty) {
  const api::schema::Kind& kind = *call.kind;
  // A dry run does not get as far as the storage that refuses this.
  if (!call.dry_run && !api::resource_version_of(object).empty()) {
    return answer_later(*state, std::move(done),
                        api::plain_error("resourceVersion should not be set on objects to be created"));
  }
  Creation creation{std::move(object), std::move(warnings), track, has_empty};
  Status accepted = prepare(*state, call, creation);
  if (accepted.ok()) accepted = check(*state, call, creation);
  if (!accepted.ok()) {
    state->addresses.release_allocation(creation.allocation);
    return answer_later(*state, std::move(done), accepted.error());
  }
  const std::string name(api::name_of(creation.object));
  Commit commit{call, store_key(kind, call.ns, name), 0, 201, std::move(creation.warnings)};
  commit.call.name = name;
  commit_put(state, std::move(commit), to_storage(kind, std::move(creation.object)), false,
             [state, allocation = std::move(creation.allocation), done = std::move(done)](Result<Answer> answer) {
               if (!answer.ok()) state->addresses.release_allocation(allocation);
               done(std::move(answer));
             });
  // In the same turn: the next create reads the charged quota (ObjectReader::list_newest).
  if (!call.dry_run) charge_quotas(state, std::move(creation.charges));
}

namespace {

// An update on its way to the store.
struct Update {
  store::RecordPtr head;  // what it replaces
  Value before, after;
  std::vector<std::string> warnings;
  bool track;                   // as update_object() says
  bool has_empty;               // as decode_with_empty() says
  Value before_as_stored = {};  // without the empty lists and maps that `before` shares with `after`
  ServiceAddresses::Allocation allocation = {};
  std::vector<admission::QuotaCharge> charges = {};
};

// Makes `after` what would be stored: preconditions, defaults, admission, the kind's strategy and a Service's
// addresses.
Status prepare(Registry::State& state, const Call& call, Update& update) {
  const api::schema::Kind& kind = *call.kind;
  const KindStrategy& strategy = strategy_of(kind);
  Value& before = update.before;
  Value& after = update.after;
  // An object that an earlier release stored without a default has the default: filling it in is no change of an
  // immutable field.
  api::schema::apply_defaults(kind, before);
  BERTH_TRY(check_uid(call, before, after));
  BERTH_TRY(check_version_is_stated(call, after));
  std::string_view version = api::resource_version_of(after);
  if (!version.empty() && version != "0" && version != std::to_string(update.head->mod_revision))
    return api::conflict(kind.resource(), call.name, kModified);
  // Defaults before the comparison: a field that the client left out and the server fills in is no change.
  api::schema::apply_defaults(kind, after);
  if (!strategy.counts_gated_fields) api::schema::drop_disabled(kind, state.config.gates, before, after);
  update.before_as_stored = before;
  if (update.has_empty) before = api::schema::with_same_empty(kind, std::move(before), after);
  if (strategy.admit_update != nullptr) BERTH_TRY(strategy.admit_update(admission_request(state, call), after));
  after = prepare_update(state, kind, before, std::move(after), call.subresource);
  if (strategy.counts_gated_fields) api::schema::drop_disabled(kind, state.config.gates, before, after);
  // A Service is validated with its addresses.
  if (strategy.allocate != nullptr && call.subresource.empty())
    return strategy.allocate(state, before, after, call.dry_run, update.allocation);
  return ok_status();
}

// Validation, and the checks that read other objects. They see valid objects only.
Status check(Registry::State& state, const Call& call, Update& update) {
  const api::schema::Kind& kind = *call.kind;
  Value& before = update.before;
  Value& after = update.after;
  BERTH_TRY(validated(kind, validation::validate_update(kind, before, after, call.subresource), after));
  const Value sent = after;
  if (update.has_empty) {
    before = update.before_as_stored;
    after = api::schema::without_empty(kind, after);
  }
  if (call.subresource.empty()) {
    for (std::string& warning : validation::warnings_on_update(kind, before, after))
      update.warnings.push_back(std::move(warning));
  }
  return run_checks(state, call, {before, after, sent}, update.warnings, update.charges);
}

// Answers with `head`, which the update would repeat.
void answer_unchanged(const StatePtr& state, const api::schema::Kind& kind, Update update, Done done) {
  Answer answer;
  answer.record = view_of(kind, update.head);
  answer.warnings = std::move(update.warnings);
  if (state->store.get(update.head->key) == update.head)
    return answer_later(*state, std::move(done), std::move(answer));
  // Answer only when the version is durable.
  state->store.flush([state, head = update.head, answer = std::move(answer), done = std::move(done)]() mutable {
    store::RecordPtr now = state->store.get(head->key);
    if (!now || now->mod_revision < head->mod_revision) {
      return done(error(Code::kUnavailable, "the version this request was based on could not be stored; try again"));
    }
    done(std::move(answer));
  });
}

void commit(const StatePtr& state, const Call& call, Update update, Done done) {
  const api::schema::Kind& kind = *call.kind;
  const KindStrategy& strategy = strategy_of(kind);
  const Value& before = update.before;
  Value& after = update.after;
  const Value& owners = after["metadata"]["managedFields"];
  const bool hands_over =
      call.subresource.empty() && !owners.is_null() && owners != before["metadata"]["managedFields"];
  if (update.track) {
    std::string manager = call.field_manager.empty() ? "unknown" : call.field_manager;
    after = api::patch::track_update(kind, before, std::move(after), manager, call.subresource, state->runtime.now());
  }
  // After the managed fields: what the server counts itself has no owner.
  if (strategy.complete_update != nullptr) strategy.complete_update(before, after);
  after.mut("metadata").set("resourceVersion", api::resource_version_of(before));
  const bool removable = is_removable(kind, after);
  if (removable || is_same(before, after, update.track, hands_over)) {
    state->addresses.release_allocation(update.allocation);
    if (!removable) return answer_unchanged(state, kind, std::move(update), std::move(done));
    Commit deletion{call, update.head->key, update.head->mod_revision, 200, std::move(update.warnings)};
    return commit_delete(state, std::move(deletion), {true, std::move(after)}, std::move(done));
  }
  const bool ephemeral = strategy.is_heartbeat != nullptr && strategy.is_heartbeat(before, after);
  if (strategy.after_update != nullptr && !call.dry_run) {
    done = [state, &strategy, former = update.head, allocation = std::move(update.allocation),
            done = std::move(done)](Result<Answer> answer) mutable {
      if (answer.ok()) {
        strategy.after_update(*state, former->value, answer->value());
      } else {
        state->addresses.release_allocation(allocation);
      }
      done(std::move(answer));
    };
  }
  Commit put{call, update.head->key, update.head->mod_revision, 200, std::move(update.warnings)};
  commit_put(state, std::move(put), to_storage(kind, std::move(after)), ephemeral, std::move(done));
  if (!call.dry_run) charge_quotas(state, std::move(update.charges));
}

}  // namespace

void update_object(const StatePtr& state, const Call& call, const store::RecordPtr& head, Value after,
                   std::vector<std::string> warnings, bool track, Done done, bool has_empty) {
  Update update{head, from_storage(*call.kind, head->value), std::move(after), std::move(warnings), track, has_empty};
  Status accepted = prepare(*state, call, update);
  if (accepted.ok()) accepted = check(*state, call, update);
  if (accepted.ok()) return commit(state, call, std::move(update), std::move(done));
  state->addresses.release_allocation(update.allocation);
  answer_later(*state, std::move(done), accepted.error());
}

}  // namespace berth::apiserver::registry
