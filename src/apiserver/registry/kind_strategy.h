#pragma once
// KindStrategy: what the server does to objects of one kind beyond the fields that the schema describes (upstream's
// strategies). One row a kind, in kinds/; a kind without a row has the defaults below.
//
// Rows are immutable and found by the Kind's address, so no request compares names. Their functions run on the loop's
// thread, in the turn of the write; a function that is null is not called.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/admission/request.h"
#include "apiserver/registry/indexes/service_addresses.h"
#include "apiserver/registry/registry.h"

namespace berth::apiserver::registry {

using StatePtr = std::shared_ptr<Registry::State>;

// A kind that is stored as another one. Both functions change the object alone; metadata stays.
struct KindConversion {
  std::string_view api_version, kind;  // of the stored form
  Value (*to_storage)(Value object);
  Value (*from_storage)(Value object);
};

struct CreateContext {
  Registry::State& state;
  const Call& call;
  std::vector<std::string>& warnings;  // to be appended to
  bool labelled = false;               // the client named labels of the object itself
};

struct DeletedObject {
  const std::string& key;
  store::RecordPtr head;  // the last version that was submitted before
  const Value& last;      // the last durable version
};

// A subresource that is more than a write of its parent.
struct SubresourceStrategy {
  std::string_view name;
  std::string_view former_version = {};  // an apiVersion of the body that has the same form as the present one
  // The verbs, where the subresource has a kind of its own (Scale, Binding, ...). `body` is decoded.
  void (*get)(const StatePtr& state, const Call& call, Done done) = nullptr;
  void (*create)(const StatePtr& state, const Call& call, Value body, Done done) = nullptr;
  void (*update)(const StatePtr& state, const Call& call, Value body, Done done) = nullptr;
  void (*patch)(const StatePtr& state, const Call& call, api::PatchType type, const Value& patch, bool force,
                Done done) = nullptr;
  // Of the parent's kind: `before` with the part of `sent` that the subresource is about. What may not be changed
  // through it is left as sent where validation has to refuse it.
  Value (*merge)(const Value& before, Value sent) = nullptr;
};

enum class DeleteAnswer {
  kStatus,         // a Status of success
  kLastVersion,    // the object as it was
  kMarkedVersion,  // the object with the end that the deletion gave it
};

struct KindStrategy {
  std::string_view group, kind;
  std::string_view version = {};  // empty: all versions

  std::string_view deprecation = {};  // a warning of every answer about the kind

  // --- Storage
  const KindConversion* conversion = nullptr;  // null: stored as it is
  std::string_view upstream_path = {};         // the key's first part in messages; empty: the plural
  bool expendable = false;                     // not stored where the disk is nearly full (store::Write)
  // A write that need not wake a disk: a renewed lease, a node's heartbeat.
  bool (*is_heartbeat)(const Value& before, const Value& after) = nullptr;
  // When a version is durable.
  void (*after_put)(const StatePtr& state, const std::string& key) = nullptr;

  // --- Field selectors
  std::span<const std::string_view> selectable_fields = {};  // besides metadata.name and metadata.namespace
  // Puts a requirement about a field label that is not a path of the object as one that is.
  void (*rewrite_requirement)(api::FieldSelector::Requirement& requirement) = nullptr;

  // --- Create, in this order (write.cc says what happens in between)
  bool keeps_sent_status = false;                                                 // of a new object
  void (*prepare_create)(const CreateContext& context, Value& object) = nullptr;  // before defaults
  // After defaults: fields that no field manager owns.
  void (*complete_create)(const CreateContext& context, Value& object) = nullptr;
  bool created_while_terminating = false;  // in a namespace that is being deleted
  Status (*admit_create)(const admission::Request& request, Value& object) = nullptr;
  void (*after_validation)(Value& object) = nullptr;

  // --- Update
  bool creates_on_update = false;    // PUT creates what is not there
  bool needs_version = false;        // an update must state its resourceVersion
  bool counts_gated_fields = false;  // a field that is dropped for its feature gate counts as a change
  Status (*admit_update)(const admission::Request& request, Value& after) = nullptr;
  // Through no subresource, and through "status": what is retained of `before`.
  void (*prepare_update)(Registry::State& state, const Value& before, Value& after) = nullptr;
  void (*prepare_status)(Registry::State& state, const Value& before, Value& after) = nullptr;
  bool status_takes_metadata = false;  // a write of "status" changes metadata too
  // Whether metadata.generation counts the change; null: the kind has no generation.
  bool (*changes_generation)(const Value& before, const Value& after) = nullptr;
  // After the change's managed fields are known: what the server counts itself.
  void (*complete_update)(const Value& before, Value& after) = nullptr;
  void (*after_update)(Registry::State& state, const Value& before, const Value& after) = nullptr;  // durable

  // --- Create and update
  // Allocates addresses and numbers before validation. `before`: null where new.
  Status (*allocate)(Registry::State& state, const Value& before, Value& after, bool dry_run,
                     ServiceAddresses::Allocation& allocation) = nullptr;
  std::span<const admission::Check> checks = {};  // of valid objects, in this order
  bool outside_quotas = false;

  // --- Delete
  DeleteAnswer delete_answer = DeleteAnswer::kStatus;
  bool orphans_dependents = false;       // where the client does not say what becomes of them
  const char* orphan_warning = nullptr;  // ... and what it is told then
  Status (*check_deletion)(const admission::Request& request) = nullptr;
  // Sets metadata.deletionTimestamp and what else marks the object as terminating. `grace`: in seconds, < 0: not given.
  // False: nothing changes.
  bool (*mark_deleted)(Registry::State& state, Value& object, std::int64_t grace) = nullptr;
  // Whether a terminating object without finalizers in metadata can be removed; null: when its grace is over.
  bool (*is_released)(const Value& object) = nullptr;
  // Instead of remove_object().
  void (*remove)(const StatePtr& state, const Call& call, const api::DeleteOptions& options, Done done) = nullptr;
  void (*after_delete)(const StatePtr& state, const DeletedObject& deleted) = nullptr;  // durable

  // --- Subresources
  std::span<const SubresourceStrategy> subresources = {};
  // Instead of storing the object: a kind that is a request (Binding).
  void (*create)(const StatePtr& state, const Call& call, Value object, std::string_view json_text,
                 Done done) = nullptr;

  // Derived (kind_strategy.cc).
  const api::schema::Kind* storage_kind = nullptr;  // the kind itself where there is no conversion
  std::string key_prefix = {};                      // "/registry/<group or core>/<resource>/"

  const SubresourceStrategy* subresource(std::string_view name) const;  // null: none, or "" or "status"
};

// Of a kind of api::schema::builtin().
const KindStrategy& strategy_of(const api::schema::Kind& kind);

// Every row, as written. The functions of kinds/.
std::vector<std::span<const KindStrategy>> kind_rows();
std::span<const KindStrategy> account_rows();
std::span<const KindStrategy> autoscaler_rows();
std::span<const KindStrategy> cluster_rows();
std::span<const KindStrategy> event_rows();
std::span<const KindStrategy> job_rows();
std::span<const KindStrategy> pod_rows();
std::span<const KindStrategy> policy_rows();
std::span<const KindStrategy> service_rows();
std::span<const KindStrategy> storage_rows();
std::span<const KindStrategy> workload_rows();

}  // namespace berth::apiserver::registry
