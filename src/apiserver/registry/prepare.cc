#include "apiserver/registry/prepare.h"

#include "apiserver/registry/state.h"

namespace berth::apiserver::registry {
namespace {

void set_or_erase(Value& object, const char* field, Value value) {
  if (value.is_null()) {
    object.erase(field);
  } else {
    object.set(field, std::move(value));
  }
}

// `before` with the status of `sent`, and its metadata where the kind's row says so.
Value with_status(const KindStrategy& strategy, const Value& before, const Value& sent) {
  Value after = before;
  set_or_erase(after, "status", sent["status"]);
  const Value& metadata = sent["metadata"];
  if (strategy.status_takes_metadata) {
    after.set("metadata", metadata);
    const Value& owners = before["metadata"]["ownerReferences"];
    if (!owners.is_null()) after.mut("metadata").set("ownerReferences", owners);
  } else if (metadata.contains("managedFields")) {
    after.mut("metadata").set("managedFields", metadata["managedFields"]);
  }
  return after;
}

// Clients cannot change these; validation refuses the attempt where upstream does.
void retain_metadata(const Value& old, Value& metadata) {
  for (const char* field : {"uid", "creationTimestamp", "generation", "name", "namespace"})
    set_or_erase(metadata, field, old[field]);
  if (!old["deletionTimestamp"].is_null()) metadata.set("deletionTimestamp", old["deletionTimestamp"]);
  if (metadata["deletionGracePeriodSeconds"].is_null() && !old["deletionGracePeriodSeconds"].is_null()) {
    metadata.set("deletionGracePeriodSeconds", old["deletionGracePeriodSeconds"]);
  }
}

}  // namespace

bool has_status(const api::schema::Kind& kind) { return kind.has_subresource("status"); }

void prepare_create(const CreateContext& context, Value& object) {
  const api::schema::Kind& kind = *context.call.kind;
  const KindStrategy& strategy = strategy_of(kind);
  Value& metadata = object.mut("metadata");
  for (const char* field : {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"})
    metadata.erase(field);
  if (strategy.changes_generation != nullptr) metadata.set("generation", 1);
  if (has_status(kind) && !strategy.keeps_sent_status) object.erase("status");
  if (strategy.prepare_create != nullptr) strategy.prepare_create(context, object);
}

Value prepare_update(Registry::State& state, const api::schema::Kind& kind, const Value& before, Value incoming,
                     std::string_view subresource) {
  const KindStrategy& strategy = strategy_of(kind);
  Value after = std::move(incoming);
  if (subresource == "status") {
    after = with_status(strategy, before, after);
    if (strategy.prepare_status != nullptr) strategy.prepare_status(state, before, after);
  } else if (subresource.empty()) {
    if (has_status(kind)) set_or_erase(after, "status", before["status"]);
    if (strategy.prepare_update != nullptr) strategy.prepare_update(state, before, after);
  } else if (const SubresourceStrategy* part = strategy.subresource(subresource); part && part->merge != nullptr) {
    after = part->merge(before, std::move(after));
  }
  const Value& old = before["metadata"];
  Value& metadata = after.mut("metadata");
  retain_metadata(old, metadata);
  if (subresource != "status" && strategy.changes_generation != nullptr && strategy.changes_generation(before, after))
    after.mut("metadata").set("generation", static_cast<long>(old["generation"].as_int() + 1));
  return after;
}

}  // namespace berth::apiserver::registry
