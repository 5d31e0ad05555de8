#include "apiserver/registry/write.h"

#include <algorithm>

#include "api/patch/patch.h"
#include "api/plain_error.h"
#include "api/schema/given_empty.h"
#include "api/status.h"
#include "apiserver/admission/namespaces.h"
#include "apiserver/admission/quota.h"
#include "apiserver/registry/conversion.h"
#include "apiserver/registry/prepare.h"
#include "apiserver/registry/remove.h"
#include "apiserver/registry/state.h"
#include "apiserver/validation/validation.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

constexpr const char* kModified =
    "the object has been modified; please apply your changes to the latest version and try again";

Value without_times(Value managed_fields) {
  for (std::size_t i = 0; i < managed_fields.size(); ++i) managed_fields.mut(i).erase("time");
  return managed_fields;
}

Value without_bookkeeping(Value object) {
  object.mut("metadata").erase("managedFields");
  object.mut("metadata").erase("resourceVersion");
  return object;
}

// Whether a write would store what is there already. An ordinary write that moves the bookkeeping alone stores nothing,
// unless that is what the client asked for (`hands_over`); an apply may move ownership alone.
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

// The client owns what it sent and the defaults of that; what admission adds, and the status, are the server's.
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

// What the client gave as an empty list or map goes; the status is the server's already.
void drop_empty(const api::schema::Kind& kind, Value& object) {
  const Value status = has_status(kind) ? object["status"] : Value();
  object = api::schema::without_empty(kind, object);
  if (!status.is_null()) object.set("status", status);
}

Error store_error(const Commit& commit, const Error& error) {
  if (error.code == Code::kConflict) {
    if (commit.expected == 0) return api::already_exists(commit.call.kind->resource(), commit.call.name);
    return api::conflict(commit.call.kind->resource(), commit.call.name, kModified);
  }
  return error;
}

// The key under which upstream's storage has an object: its messages name it.
std::string upstream_key(const api::schema::Kind& kind, const Call& call) {
  const std::string_view path = strategy_of(kind).upstream_path;
  return "/" + (path.empty() ? kind.plural : std::string(path)) + "/" + (kind.namespaced ? call.ns + "/" : "") +
         call.name;
}

// A uid in what is put states which object is meant.
Status check_uid(const Call& call, const Value& before, const Value& after) {
  std::string_view wanted = api::uid_of(after), there = api::uid_of(before);
  if (wanted.empty() || wanted == there) return ok_status();
  return api::conflict(call.kind->resource(), call.name,
                       "StorageError: invalid object, Code: 4, Key: " + upstream_key(*call.kind, call) +
                           ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: " +
                           std::string(wanted) + ", UID in object meta: " + std::string(there));
}

// A resourceVersion is a number, and kinds whose updates may not be unconditional want one.
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

// Writes the quotas that a change was charged for. In the turn of the change, right after it: see QuotaCharge.
void charge_quotas(const StatePtr& state, std::vector<admission::QuotaCharge> charges) {
  for (admission::QuotaCharge& charge : charges) {
    store::Write write;
    write.key = charge.head->key;
    write.value = std::move(charge.after);
    write.expected = charge.head->mod_revision;
    state->store.write(std::move(write), [key = charge.head->key](Result<store::RecordPtr> written) {
      // The quota controller counts anew in any case.
      if (!written.ok())
        log_warning("registry", "a quota was not charged", {{"quota", key}, {"error", written.error().message}});
    });
  }
}

}  // namespace

Done with_warnings(std::vector<std::string> warnings, Done done) {
  if (warnings.empty()) return done;
  return [warnings = std::move(warnings), done = std::move(done)](Result<Answer> answer) mutable {
    if (answer.ok()) answer->warnings.insert(answer->warnings.begin(), warnings.begin(), warnings.end());
    done(std::move(answer));
  };
}

Answer created_status() {
  Answer answer;
  answer.http = 201;
  answer.object = Value::object(
      {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Value::object()}, {"status", "Success"}, {"code", 201}});
  return answer;
}

void answer_later(Registry::State& state, Done done, Result<Answer> answer) {
  state.runtime.post([done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
}

Done refuse_when_durable(const StatePtr& state, const std::string& key, Done done) {
  store::RecordPtr shown = state->store.get(key);
  if (state->store.head(key) == shown) return done;
  return [state, key, shown, done = std::move(done)](Result<Answer> answer) mutable {
    if (answer.ok()) return done(std::move(answer));
    state->store.flush([state, key, shown, answer = std::move(answer), done = std::move(done)]() mutable {
      if (state->store.get(key) != shown) return done(std::move(answer));
      done(error(Code::kUnavailable, "the version this answer was based on could not be stored; try again"));
    });
  };
}

void commit_put(const StatePtr& state, Commit commit, Value object, bool ephemeral, Done done) {
  if (commit.call.dry_run) {
    Answer answer;
    answer.http = commit.http;
    answer.object = from_storage(*commit.call.kind, std::move(object));
    answer.warnings = std::move(commit.warnings);
    return answer_later(*state, std::move(done), std::move(answer));
  }
  store::Write write;
  write.key = commit.key;
  write.value = std::move(object);
  write.expected = commit.expected;
  write.ephemeral = ephemeral;
  write.keep_json = commit.call.answered_in_json;
  const KindStrategy& strategy = strategy_of(*commit.call.kind);
  write.expendable = strategy.expendable;
  state->store.write(std::move(write), [state, &strategy, commit = std::move(commit),
                                        done = std::move(done)](Result<store::RecordPtr> record) {
    if (!record.ok()) return done(store_error(commit, record.error()));
    if (strategy.after_put != nullptr) strategy.after_put(state, commit.key);
    Answer answer;
    answer.http = commit.http;
    answer.record = view_of(*commit.call.kind, *record);
    answer.warnings = commit.warnings;
    done(std::move(answer));
  });
}

void commit_delete(const StatePtr& state, Commit commit, DeletedForm form, Done done) {
  store::RecordPtr head = state->store.head(commit.key);
  auto finish = [kind = commit.call.kind, form = std::move(form), http = commit.http](const store::RecordPtr& record) {
    Answer answer;
    answer.http = http;
    if (form.with_object) {
      if (form.object.is_null()) answer.record = view_of(*kind, record);
      answer.object = form.object;
      return answer;
    }
    Value details = Value::object(
        {{"name", api::name_of(record->value)}, {"kind", kind->plural}, {"uid", api::uid_of(record->value)}});
    if (!kind->group.empty()) details.set("group", kind->group);
    answer.object = Value::object({{"kind", "Status"},
                                   {"apiVersion", "v1"},
                                   {"metadata", Value::object()},
                                   {"status", "Success"},
                                   {"details", details}});
    return answer;
  };
  if (commit.call.dry_run) return answer_later(*state, std::move(done), finish(head));
  store::Write write;
  write.kind = store::Write::Kind::kDelete;
  write.key = commit.key;
  write.expected = commit.expected;
  state->store.write(std::move(write), [state, head, commit = std::move(commit), finish,
                                        done = std::move(done)](Result<store::RecordPtr> record) {
    if (!record.ok()) {
      return done(record.failed_with(Code::kNotFound) ? api::not_found(commit.call.kind->resource(), commit.call.name)
                                                      : store_error(commit, record.error()));
    }
    const KindStrategy& strategy = strategy_of(*commit.call.kind);
    if (strategy.after_delete != nullptr) strategy.after_delete(state, {commit.key, head, (*record)->value});
    done(finish(*record));
  });
}

namespace {

// Makes the name of an object that has only metadata.generateName; names in use are not chosen. False: the object has a
// name, or neither.
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
  ServiceAddresses::Taken taken = {};
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
  // Managed fields before admission: the client owns what it sent and the defaults of that, nothing else.
  if (creation.track) track_created(kind, call, object, creation.has_empty, state.runtime.now());
  if (strategy.complete_create != nullptr) strategy.complete_create(context, object);
  const admission::Request request = admission_request(state, call);
  BERTH_TRY(admission::check_namespace(request, strategy.created_while_terminating));
  if (strategy.admit_create != nullptr) BERTH_TRY(strategy.admit_create(request, object));
  // A Service is validated with its addresses.
  if (strategy.allocate != nullptr) return strategy.allocate(state, Value(), object, call.dry_run, creation.taken);
  return ok_status();
}

// Validation, and the checks that read other objects. They see valid objects only.
Status check(Registry::State& state, const Call& call, Creation& creation) {
  const api::schema::Kind& kind = *call.kind;
  const KindStrategy& strategy = strategy_of(kind);
  Value& object = creation.object;
  BERTH_TRY(validated(kind, validation::validate_create(kind, object), object));
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
    state->addresses.give_back(creation.taken);
    return answer_later(*state, std::move(done), accepted.error());
  }
  const std::string name(api::name_of(creation.object));
  Commit commit{call, store_key(kind, call.ns, name), 0, 201, std::move(creation.warnings)};
  commit.call.name = name;
  commit_put(state, std::move(commit), to_storage(kind, std::move(creation.object)), false,
             [state, taken = std::move(creation.taken), done = std::move(done)](Result<Answer> answer) {
               if (!answer.ok()) state->addresses.give_back(taken);
               done(std::move(answer));
             });
  if (!call.dry_run) charge_quotas(state, std::move(creation.charges));
}

namespace {

// An update on its way to the store.
struct Update {
  store::RecordPtr head;  // what it replaces
  Value before, after;
  std::vector<std::string> warnings;
  bool track;                   // who owns which field is found by comparing
  bool has_empty;               // as decode_with_empty() says
  Value before_as_stored = {};  // without the empty lists and maps that `before` shares with `after`
  ServiceAddresses::Taken taken = {};
  std::vector<admission::QuotaCharge> charges = {};
};

// Makes `after` what would be stored: preconditions, defaults, admission, the kind's strategy and a Service's
// addresses.
Status prepare(Registry::State& state, const Call& call, Update& update) {
  const api::schema::Kind& kind = *call.kind;
  const KindStrategy& strategy = strategy_of(kind);
  Value& before = update.before;
  Value& after = update.after;
  // What an earlier release stored without a default has it all the same: filling it in is no change of a field that
  // may not change.
  api::schema::apply_defaults(kind, before);
  BERTH_TRY(check_uid(call, before, after));
  BERTH_TRY(check_version_is_stated(call, after));
  std::string_view version = api::resource_version_of(after);
  if (!version.empty() && version != "0" && version != std::to_string(update.head->mod_revision))
    return api::conflict(kind.resource(), call.name, kModified);
  // Defaults first: what a client left out and the server fills in is no change.
  api::schema::apply_defaults(kind, after);
  if (!strategy.counts_gated_fields) api::schema::drop_disabled(kind, state.config.gates, before, after);
  update.before_as_stored = before;
  if (update.has_empty) before = api::schema::with_same_empty(kind, std::move(before), after);
  if (strategy.admit_update != nullptr) BERTH_TRY(strategy.admit_update(admission_request(state, call), after));
  after = prepare_update(state, kind, before, std::move(after), call.subresource);
  if (strategy.counts_gated_fields) api::schema::drop_disabled(kind, state.config.gates, before, after);
  // A Service is validated with its addresses.
  if (strategy.allocate != nullptr && call.subresource.empty())
    return strategy.allocate(state, before, after, call.dry_run, update.taken);
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

// Answers with the version that is there, which an update would repeat.
void answer_unchanged(const StatePtr& state, const api::schema::Kind& kind, Update update, Done done) {
  Answer answer;
  answer.record = view_of(kind, update.head);
  answer.warnings = std::move(update.warnings);
  if (state->store.get(update.head->key) == update.head)
    return answer_later(*state, std::move(done), std::move(answer));
  // It is still on its way to the disk: shown only when it is there.
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
  // Nobody owns what the server counts itself: it comes after the managed fields.
  if (strategy.complete_update != nullptr) strategy.complete_update(before, after);
  after.mut("metadata").set("resourceVersion", api::resource_version_of(before));
  const bool removable = is_removable(kind, after);
  if (removable || is_same(before, after, update.track, hands_over)) {
    state->addresses.give_back(update.taken);
    if (!removable) return answer_unchanged(state, kind, std::move(update), std::move(done));
    Commit deletion{call, update.head->key, update.head->mod_revision, 200, std::move(update.warnings)};
    return commit_delete(state, std::move(deletion), {true, std::move(after)}, std::move(done));
  }
  const bool ephemeral = strategy.is_heartbeat != nullptr && strategy.is_heartbeat(before, after);
  if (strategy.after_update != nullptr && !call.dry_run) {
    done = [state, &strategy, former = update.head, taken = std::move(update.taken),
            done = std::move(done)](Result<Answer> answer) mutable {
      if (answer.ok()) {
        strategy.after_update(*state, former->value, answer->value());
      } else {
        state->addresses.give_back(taken);
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
  state->addresses.give_back(update.taken);
  answer_later(*state, std::move(done), accepted.error());
}

}  // namespace berth::apiserver::registry
