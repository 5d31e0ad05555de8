// The last part of every write: validated objects go to the store, answers come back when they are durable.
#include <algorithm>
#include <set>

#include "api/patch/patch.h"
#include "api/plain_error.h"
#include "api/schema/given_empty.h"
#include "api/status.h"
#include "apiserver/registry/state.h"
#include "apiserver/validation/validation.h"
#include "apiserver/validation/workload_warnings.h"
#include "base/ids.h"
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

bool is_service(const api::schema::Kind& kind) { return kind.kind == "Service" && kind.group.empty(); }

// Whether a write would store what is there already. An ordinary write that moves the bookkeeping alone stores nothing,
// unless that is what the client asked for (`hands_over`); an apply may move ownership alone.
bool is_same(const Value& before, const Value& after, bool ordinary, bool hands_over) {
  if (without_bookkeeping(before) != without_bookkeeping(after)) return false;
  if (ordinary && !hands_over) return true;
  return without_times(before["metadata"]["managedFields"]) == without_times(after["metadata"]["managedFields"]);
}

Status validated(const api::schema::Kind& kind, std::vector<Cause> causes, const Value& object) {
  if (causes.empty()) return ok_status();
  // Events of either group are refused as the one kind that they are.
  return api::invalid(kind.kind == "Event" ? std::string_view() : std::string_view(kind.group), kind.kind,
                      api::name_of(object), std::move(causes));
}

// The client owns what it sent and the defaults of that; what admission adds, and the status, are the server's.
// `empty`: as take_in_new() says; nobody owns such lists and maps.
void track_created(const api::schema::Kind& kind, const Call& call, Value& object, bool empty, Time now) {
  Value owned = empty ? api::schema::without_empty(kind, object) : object;
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
  std::string plural = kind.plural;
  if (kind.group.empty()) {
    if (plural == "services") plural = "services/specs";
    if (plural == "endpoints") plural = "services/endpoints";
    if (plural == "nodes") plural = "minions";
    if (plural == "replicationcontrollers") plural = "controllers";
  }
  return "/" + plural + "/" + (kind.namespaced ? call.ns + "/" : "") + call.name;
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
  static const std::set<std::string_view> kConditional = {"PodDisruptionBudget",      "RuntimeClass",    "Lease",
                                                          "CustomResourceDefinition", "CSIDriver",       "CSINode",
                                                          "CSIStorageCapacity",       "VolumeAttachment"};
  const bool conditional = kConditional.contains(call.kind->kind) || call.kind->group == "admissionregistration.k8s.io";
  if (!conditional || (!version.empty() && version != "0")) return ok_status();
  return api::invalid(call.kind->group, call.kind->plural, call.name,
                      {api::invalid_value("metadata.resourceVersion", 0, "must be specified for an update")});
}

}  // namespace

void answer_later(Registry::State& state, Done done, Result<Answer> answer) {
  state.runtime.post([done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
}

Done settled(const std::shared_ptr<Registry::State>& state, const std::string& key, Done done) {
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

void commit_put(const std::shared_ptr<Registry::State>& state, Commit commit, Value object, bool ephemeral, Done done) {
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
  write.expendable = commit.call.kind->kind == "Event";
  state->store.write(std::move(write),
                     [state, commit = std::move(commit), done = std::move(done)](Result<store::RecordPtr> record) {
                       if (!record.ok()) return done(store_error(commit, record.error()));
                       if (commit.call.kind->kind == "Event") note_event(state, commit.key);
                       Answer answer;
                       answer.http = commit.http;
                       answer.record = view_of(*commit.call.kind, *record);
                       answer.warnings = commit.warnings;
                       done(std::move(answer));
                     });
}

void commit_delete(const std::shared_ptr<Registry::State>& state, Commit commit, Departed departed, Done done) {
  store::RecordPtr head = state->store.head(commit.key);
  auto finish = [kind = commit.call.kind, departed = std::move(departed),
                 http = commit.http](const store::RecordPtr& record) {
    Answer answer;
    answer.http = http;
    if (departed.with_object) {
      if (departed.object.is_null()) answer.record = view_of(*kind, record);
      answer.object = departed.object;
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
    if (is_service(*commit.call.kind) && head) state->addresses.release(head->value);
    if (commit.call.kind->kind == "Event") state->events.removed(commit.key);
    restore_built_in(state, *commit.call.kind, (*record)->value);
    done(finish(*record));
  });
}

bool may_vanish(const api::schema::Kind& kind, const Value& object) {
  const Value& metadata = object["metadata"];
  if (metadata["deletionTimestamp"].is_null() || !metadata["finalizers"].empty()) return false;
  if (kind.group.empty() && kind.kind == "Namespace") return object["spec"]["finalizers"].empty();
  return metadata["deletionGracePeriodSeconds"].as_int() == 0;
}

void create_object(const std::shared_ptr<Registry::State>& state, const Call& call, Value object,
                   std::vector<std::string> warnings, bool track, Done done, bool empty) {
  const api::schema::Kind& kind = *call.kind;
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  // A dry run does not get as far as the storage that refuses this.
  if (!call.dry_run && !api::resource_version_of(object).empty()) {
    return refuse(api::plain_error("resourceVersion should not be set on objects to be created"));
  }
  Value& metadata = object.mut("metadata");
  std::string generate = metadata["generateName"].str();
  const bool generated = metadata["name"].as_string().empty() && !generate.empty();
  prepare_create(*state, kind, object);
  if (kind.kind == "Pod" && kind.group.empty()) adopt_annotated_profiles(object, warnings);
  if (!generated && !api::name_of(object).empty()) {
    if (state->store.head(store_key(kind, call.ns, api::name_of(object)))) {
      return refuse(api::already_exists(kind.resource(), api::name_of(object)));
    }
  }
  if (generated) {
    constexpr std::size_t kMaxPrefix = 63 - 5;
    generate.resize(std::min(generate.size(), kMaxPrefix));
    do {
      object.mut("metadata").set("name", generate + random_suffix(state->runtime, 5));
    } while (state->store.head(store_key(kind, call.ns, api::name_of(object))));
  }
  object.mut("metadata").set("uid", new_uid(state->runtime));
  object.mut("metadata").set("creationTimestamp", format_time(state->runtime.now()));
  const bool had_labels = !object["metadata"]["labels"].empty();
  api::schema::apply_defaults(kind, object);
  api::schema::drop_disabled(kind, state->config.gates, Value(), object);
  if (track) track_created(kind, call, object, empty, state->runtime.now());
  if (kind.group.empty() && kind.kind == "Namespace") add_namespace_finalizer(object.mut("spec"));  // nobody's
  if (kind.group == "batch") warn_of_job(kind, object, warnings);
  if (kind.group == "batch" && kind.kind == "Job") identify_job(object, had_labels);
  if (Status admitted = admit_create(*state, call, kind, object); !admitted.ok()) return refuse(admitted.error());
  // A Service is validated with its addresses.
  ServiceAddresses::Taken taken;
  if (is_service(kind)) {
    if (Status settled = settle_new_service(*state, object, call.dry_run, taken); !settled.ok())
      return refuse(settled.error());
  }
  auto refuse_and_give_back = [&](const Error& e) {
    state->addresses.give_back(taken);
    refuse(e);
  };
  if (Status valid = validated(kind, validation::validate_create(kind, object), object); !valid.ok())
    return refuse_and_give_back(valid.error());
  const Value overhead = object["spec"]["overhead"];
  if (empty) drop_empty(kind, object);
  if (kind.group == "batch" && kind.kind == "Job") label_job(object);
  for (std::string& warning : validation::warnings_on_create(kind, object)) warnings.push_back(std::move(warning));
  validation::warn(kind, object, true, warnings);
  if (kind.kind == "Pod" && kind.group.empty()) {
    if (Status fits = check_overhead(*state, object, overhead); !fits.ok()) return refuse_and_give_back(fits.error());
  }
  if (Status safe = check_pod_security(*state, call, Value(), object, warnings); !safe.ok())
    return refuse_and_give_back(safe.error());
  if (Status allowed = check_limits(*state, call, Value(), object); !allowed.ok())
    return refuse_and_give_back(allowed.error());
  Result<std::vector<QuotaCharge>> charges = check_quota(*state, call, Value(), object);
  if (!charges.ok()) return refuse_and_give_back(charges.error());
  Commit commit{call, store_key(kind, call.ns, api::name_of(object)), 0, 201, std::move(warnings)};
  commit.call.name = api::name_of(object);
  commit_put(state, std::move(commit), to_storage(kind, std::move(object)), false,
             [state, taken = std::move(taken), done = std::move(done)](Result<Answer> answer) {
               if (!answer.ok()) state->addresses.give_back(taken);
               done(std::move(answer));
             });
  if (!call.dry_run) charge_quota(state, std::move(*charges));
}

namespace {

// An update on its way to the store.
struct Update {
  store::RecordPtr head;  // what it replaces
  Value before, after;
  std::vector<std::string> warnings;
  bool track;                   // who owns which field is found by comparing
  bool empty;                   // as take_in_new() says
  Value before_as_stored = {};  // without the empty lists and maps that `before` shares with `after`
  ServiceAddresses::Taken taken = {};
  std::vector<QuotaCharge> charges = {};
};

// Makes `after` what would be stored: preconditions, defaults, admission, the kind's strategy and a Service's
// addresses.
Status prepare(Registry::State& state, const Call& call, Update& update) {
  const api::schema::Kind& kind = *call.kind;
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
  // An EndpointSlice counts a change of what is dropped as one.
  const bool dropped_late = kind.kind == "EndpointSlice";
  if (!dropped_late) api::schema::drop_disabled(kind, state.config.gates, before, after);
  update.before_as_stored = before;
  if (update.empty) before = api::schema::with_same_empty(kind, std::move(before), after);
  admit_update(kind, call, after);
  after = prepare_update(state, kind, before, std::move(after), call.subresource);
  if (dropped_late) api::schema::drop_disabled(kind, state.config.gates, before, after);
  if (kind.kind == "PriorityClass") BERTH_TRY(admit_priority_class(state, after));
  // A Service is validated with its addresses.
  if (is_service(kind) && call.subresource.empty())
    return settle_updated_service(state, before, after, call.dry_run, update.taken);
  return ok_status();
}

// Validation, and the checks that read other objects: pod security, storage classes, limits, nodes and quotas.
Status check(Registry::State& state, const Call& call, Update& update) {
  const api::schema::Kind& kind = *call.kind;
  Value& before = update.before;
  Value& after = update.after;
  BERTH_TRY(validated(kind, validation::validate_update(kind, before, after, call.subresource), after));
  if (update.empty) {
    before = update.before_as_stored;
    after = api::schema::without_empty(kind, after);
  }
  if (call.subresource.empty()) {
    for (std::string& warning : validation::warnings_on_update(kind, before, after))
      update.warnings.push_back(std::move(warning));
    validation::warn(kind, after, false, update.warnings);
  }
  BERTH_TRY(check_pod_security(state, call, before, after, update.warnings));
  BERTH_TRY(check_growth(state, call, before, after));
  BERTH_TRY(check_limits(state, call, before, after));
  BERTH_TRY(check_resize(state, call, before, after));
  Result<std::vector<QuotaCharge>> charges = check_quota(state, call, before, after);
  if (!charges.ok()) return charges.error();
  update.charges = std::move(*charges);
  return ok_status();
}

// Answers with the version that is there, which an update would repeat.
void answer_unchanged(const std::shared_ptr<Registry::State>& state, const api::schema::Kind& kind, Update update,
                      Done done) {
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

void commit(const std::shared_ptr<Registry::State>& state, const Call& call, Update update, Done done) {
  const api::schema::Kind& kind = *call.kind;
  const Value& before = update.before;
  Value& after = update.after;
  const Value& owners = after["metadata"]["managedFields"];
  const bool hands_over =
      call.subresource.empty() && !owners.is_null() && owners != before["metadata"]["managedFields"];
  if (update.track) {
    std::string manager = call.field_manager.empty() ? "unknown" : call.field_manager;
    after = api::patch::track_update(kind, before, std::move(after), manager, call.subresource, state->runtime.now());
  }
  count_template(kind, before, after);
  after.mut("metadata").set("resourceVersion", api::resource_version_of(before));
  const bool vanishes = may_vanish(kind, after);
  if (vanishes || is_same(before, after, update.track, hands_over)) {
    state->addresses.give_back(update.taken);
    if (!vanishes) return answer_unchanged(state, kind, std::move(update), std::move(done));
    Commit deletion{call, update.head->key, update.head->mod_revision, 200, std::move(update.warnings)};
    return commit_delete(state, std::move(deletion), {true, std::move(after)}, std::move(done));
  }
  const bool ephemeral = is_heartbeat(kind, before, after);
  if (is_service(kind) && !call.dry_run) {
    done = [state, former = update.head, taken = std::move(update.taken),
            done = std::move(done)](Result<Answer> answer) mutable {
      if (answer.ok()) {
        state->addresses.release_former(former->value, answer->value());
      } else {
        state->addresses.give_back(taken);
      }
      done(std::move(answer));
    };
  }
  Commit put{call, update.head->key, update.head->mod_revision, 200, std::move(update.warnings)};
  commit_put(state, std::move(put), to_storage(kind, std::move(after)), ephemeral, std::move(done));
  if (!call.dry_run) charge_quota(state, std::move(update.charges));
}

}  // namespace

void write_update(const std::shared_ptr<Registry::State>& state, const Call& call, const store::RecordPtr& head,
                  Value after, std::vector<std::string> warnings, bool track, Done done, bool empty) {
  Update update{head, from_storage(*call.kind, head->value), std::move(after), std::move(warnings), track, empty};
  Status accepted = prepare(*state, call, update);
  if (accepted.ok()) accepted = check(*state, call, update);
  if (accepted.ok()) return commit(state, call, std::move(update), std::move(done));
  state->addresses.give_back(update.taken);
  answer_later(*state, std::move(done), accepted.error());
}

}  // namespace berth::apiserver::registry
