#pragma once
// What the files of the registry share. Internal to registry/.

#include <map>
#include <set>
#include <string>

#include "apiserver/registry/registry.h"
#include "apiserver/registry/service_addresses.h"
#include "apiserver/registry/stored_events.h"
#include "base/lifetime.h"

namespace berth::apiserver::registry {

struct Registry::State {
  State(Runtime& r, store::Store& s, const api::schema::Schema& sc, Config c);

  Runtime& runtime;
  store::Store& store;
  const api::schema::Schema& schema;
  Config config;
  ServiceAddresses addresses;
  Lifetime lifetime;
  TimerId event_timer = 0;
  StoredEvents events;

  const api::schema::Kind& kind(const api::Resource& resource) const;
  store::RecordPtr find(const api::Resource& resource, std::string_view ns,
                        std::string_view name) const;  // newest submitted
};

// --- events.cc: events.k8s.io/v1 Events are stored as core/v1 ones and shown in both forms
const api::schema::Kind& storage_kind(const Registry::State& state, const api::schema::Kind& kind);
Value to_storage(const api::schema::Kind& kind, Value object);
Value from_storage(const api::schema::Kind& kind, Value object);
store::RecordPtr view_of(const api::schema::Kind& kind, const store::RecordPtr& record);
// Deletes events past their lifetime, and looks again when the next one is due.
void schedule_event_expiry(const std::shared_ptr<Registry::State>& state);
// To be called when the Event at `key` has been stored: notes the time, and deletes the oldest beyond
// Config::most_events.
void note_event(const std::shared_ptr<Registry::State>& state, const std::string& key);

// --- read.cc
// A resourceVersion as a client writes it; refused with upstream's text, which has no reason of its own.
Result<store::Revision> parse_resource_version(std::string_view text);
// `wanted` lies in the future.
Error too_large_version(store::Revision wanted, store::Revision current);

// --- selectors.cc
struct Selection {
  api::LabelSelector labels;
  api::FieldSelector fields;
  bool matches(const Value& object) const {
    return labels.matches(object["metadata"]["labels"]) && fields.matches(object);
  }
};
Result<Selection> parse_selection(const api::schema::Kind& kind, const std::string& label_text,
                                  const std::string& field_text);

// --- incoming.cc: an object as a client sent it, made into one that can be worked on
// Checks kind and version, decodes strictly or not (warnings are collected), fits name and namespace to the path.
Result<Value> take_in(const Call& call, Value object, std::vector<std::string>& warnings);
// The same for create_object() and write_update(), with the empty lists and maps that the client gave kept; `empty`:
// whether there are any. `json_text`: as in Registry::create().
Result<Value> take_in_new(const Call& call, Value object, std::vector<std::string>& warnings, bool& empty,
                          std::string_view json_text = {});
// The same without the path, for any kind: an object given to something else than its own collection.
Result<Value> decode_as(const api::schema::Kind& kind, const Call& call, Value object,
                        std::vector<std::string>& warnings, std::string_view json_text = {});
// The body of a subresource with a kind of its own (Scale, Binding, Eviction, TokenRequest).
Result<Value> take_in_body(const Registry::State& state, const Call& call, Value object,
                           std::vector<std::string>& warnings, std::string_view json_text = {});
// registry.cc. What cannot be decoded after a patch is told with the whole patched text, as upstream does, unless the
// patch was a strategic one, which is merged as a typed object. Other problems stay as they are.
Error refused_patch(api::PatchType type, const Value& patch, const Value& patched, const Error& problem);
// The same for what is applied: who applies owns exactly the fields it sent, so nothing is decoded or filled in yet.
Result<Value> take_in_applied(const Call& call, Value object);

// --- strategy.cc: what a kind does to its objects
void prepare_create(Registry::State& state, const api::schema::Kind& kind, Value& object);
// A new namespace is given this one, so that its content goes before it.
void add_namespace_finalizer(Value& spec);
// The object that results of `incoming` written over `before` through a subresource.
Value prepare_update(Registry::State& state, const api::schema::Kind& kind, const Value& before, Value incoming,
                     std::string_view subresource);
// The server's own count of template changes. Called when it is settled who owns which field: nobody owns this one's
// changes.
void count_template(const api::schema::Kind& kind, const Value& before, Value& after);
bool has_status(const api::schema::Kind& kind);
bool returns_deleted_object(const api::schema::Kind& kind);
bool creates_on_update(const api::schema::Kind& kind);
// A write that need not wake a disk: a lease renewed, a node's heartbeat.
bool is_heartbeat(const api::schema::Kind& kind, const Value& before, const Value& after);

// --- admit.cc
Status admit_create(Registry::State& state, const Call& call, const api::schema::Kind& kind, Value& object);
// What an update is given: pods that lost the tolerations they all have get them back.
void admit_update(const api::schema::Kind& kind, const Call& call, Value& after);
// A claim may only grow where its class says so. Asked when the claim is found valid.
Status check_growth(const Registry::State& state, const Call& call, const Value& before, const Value& after);

// --- runtime_class.cc
// Gives a new pod its class's overhead and scheduling.
Status admit_runtime_class(const Registry::State& state, Value& pod);
// Overhead comes from a class, and only from there. Asked when the pod is found valid; `own`: what it was given, empty
// or not.
Status check_overhead(const Registry::State& state, const Value& pod, const Value& own);

// --- pod_security.cc
// By the labels of the namespace (or of this object, where it is one): refuses pods that violate its enforced level,
// warns of pods and templates that violate its warned one. Asked of what is valid; `before` is null where new.
Status check_pod_security(const Registry::State& state, const Call& call, const Value& before, const Value& object,
                          std::vector<std::string>& warnings);

// --- priority.cc
// Resolves the pod's class into its priority and preemption policy.
Status admit_priority(const Registry::State& state, Value& pod);
// Only one class may be for everyone.
Status admit_priority_class(const Registry::State& state, const Value& object);
bool is_system_priority(std::string_view name);  // the two classes every cluster has

// --- limits.cc
void apply_limit_defaults(const Registry::State& state, const std::string& ns, Value& pod);
// Refuses a new pod, or a new or changed claim, that is outside of the bounds of its namespace. `before`: null where
// new.
Status check_limits(const Registry::State& state, const Call& call, const Value& before, const Value& object);

// --- quota.cc
// A quota's new status. To be written in the same turn as, and after, the object it is charged for: whoever sees a
// charge sees the object too, and nothing comes in between.
struct QuotaCharge {
  store::RecordPtr head;
  Value after;
};
Result<std::vector<QuotaCharge>> check_quota(const Registry::State& state, const Call& call, const Value& before,
                                             const Value& object);
void charge_quota(const std::shared_ptr<Registry::State>& state, std::vector<QuotaCharge> charges);

// --- jobs.cc
// Gives a new job (with name and uid) the labels and the selector by which it knows its pods. `had_labels`: the client
// named labels of the job itself.
void identify_job(Value& job, bool had_labels);
// A job without labels has those of its pods; after validation, which names a label's fault once.
void label_job(Value& job);
void warn_of_job(const api::schema::Kind& kind, const Value& object, std::vector<std::string>& warnings);

// --- services.cc
// Gives a new Service its families, addresses and node ports (a dry run: what they could be). Refused, or a dry run:
// `taken` is empty.
Status settle_new_service(Registry::State& state, Value& service, bool dry_run, ServiceAddresses::Taken& taken);
// The same for one that changes: what it had is kept where the client does not name it, what its former type had goes.
Status settle_updated_service(Registry::State& state, const Value& before, Value& after, bool dry_run,
                              ServiceAddresses::Taken& taken);

// --- pod_parts.cc
// `before` with the part of `after` that the subresource is about ("ephemeralcontainers", "resize"). Containers that
// were added, removed or renamed are left as sent, for validation to refuse.
Value with_pod_part(const Value& before, Value after, std::string_view subresource);
// Refuses a resize that the pod's node can never hold, or does not know how to do.
Status check_resize(const Registry::State& state, const Call& call, const Value& before, const Value& after);

// --- pods.cc
// What a new pod is given besides defaults: the condition that names its gates, and the label keys of its affinity
// terms and spread constraints as requirements of their selectors.
void prepare_pod(Value& pod, Time now);
// AppArmor profiles that a new pod names in annotations, as clients did before there were fields.
void adopt_annotated_profiles(Value& pod, std::vector<std::string>& warnings);

// --- write.cc
// Hands a write to the store; the answer carries the record in the caller's form.
struct Commit {
  Call call;
  std::string key;
  store::Revision expected = 0;
  int http = 200;
  std::vector<std::string> warnings;
};
// For calls that look at the newest version of an object, which may still be on its way to the disk: a refusal that
// rests on such a version is given when it is there, and is no refusal where it never came about.
Done settled(const std::shared_ptr<Registry::State>& state, const std::string& key, Done done);
void commit_put(const std::shared_ptr<Registry::State>& state, Commit commit, Value object, bool ephemeral, Done done);
// The answer of a deletion: the object as given, the last stored one, or a Status.
struct Departed {
  bool with_object = false;
  Value object;  // null: the stored one
};
void commit_delete(const std::shared_ptr<Registry::State>& state, Commit commit, Departed departed, Done done);
// The whole path of an update once the resulting object is known; also used by patches and subresources.
// `empty`: as take_in_new() says; such lists and maps are gone after validation.
void write_update(const std::shared_ptr<Registry::State>& state, const Call& call, const store::RecordPtr& head,
                  Value after, std::vector<std::string> warnings, bool track, Done done, bool empty = false);
void create_object(const std::shared_ptr<Registry::State>& state, const Call& call, Value object,
                   std::vector<std::string> warnings, bool track, Done done, bool empty = false);
bool may_vanish(const api::schema::Kind& kind, const Value& object);  // terminating, and nothing holds it any more
void answer_later(Registry::State& state, Done done, Result<Answer> answer);

// --- bootstrap.cc
// Pods know the Service default/kubernetes by its address: `kubectl delete services --all` does not leave them without.
void restore_built_in(const std::shared_ptr<Registry::State>& state, const api::schema::Kind& kind,
                      const Value& deleted);

// --- subresources
Done as_scale(Done done);  // answers with the Scale of the object that a write answers with; scale.cc
void get_scale(const std::shared_ptr<Registry::State>& state, const Call& call, Done done);  // scale.cc
void update_scale(const std::shared_ptr<Registry::State>& state, const Call& call, const Value& scale, Done done);
void patch_scale(const std::shared_ptr<Registry::State>& state, const Call& call, api::PatchType type,
                 const Value& patch, Done done);
void bind_pod(const std::shared_ptr<Registry::State>& state, const Call& call, const Value& binding,
              Done done);  // pods.cc
void evict_pod(const std::shared_ptr<Registry::State>& state, const Call& call, const Value& eviction,
               Done done);  // evict.cc
// remove_object() with a condition that a pod gets with its deletion, or null. In remove.cc.
void remove_object_because(const std::shared_ptr<Registry::State>& state, const Call& call,
                           const api::DeleteOptions& options, const Value& why, Done done);
void request_token(const std::shared_ptr<Registry::State>& state, const Call& call, Value request,
                   Done done);  // token.cc

// --- remove.cc
void remove_object(const std::shared_ptr<Registry::State>& state, const Call& call, const api::DeleteOptions& options,
                   Done done);
// The same, for pods after every budget that counts deletions has agreed and paid.
void remove_within_budget(const std::shared_ptr<Registry::State>& state, const Call& call,
                          const api::DeleteOptions& options, Done done);  // budget.cc

}  // namespace berth::apiserver::registry
