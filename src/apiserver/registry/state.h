#pragma once
// Registry::State: what the registry owns, and what outlives it in callbacks of the store. Internal to registry/.
//
// Everything here is touched on the Runtime's thread only. Functions that write take a shared_ptr (StatePtr): the store
// calls them back when a write is durable, maybe after the Registry is gone.

#include <string_view>
#include <vector>

#include "apiserver/admission/request.h"
#include "apiserver/registry/indexes/service_addresses.h"
#include "apiserver/registry/indexes/stored_events.h"
#include "apiserver/registry/registry.h"
#include "base/lifetime.h"

namespace berth::apiserver::registry {

struct Registry::State final : admission::ObjectReader {
  State(Runtime& r, store::Store& s, const api::schema::Schema& sc, RegistryConfig c);

  Runtime& runtime;
  store::Store& store;
  const api::schema::Schema& schema;
  RegistryConfig config;
  ServiceAddresses addresses;
  Lifetime lifetime;
  TimerId event_timer = 0;
  StoredEvents events;

  // Of a built-in resource; ends the process where the schema lacks it.
  const api::schema::Kind& kind(const api::Resource& resource) const;

  store::RecordPtr find(const api::Resource& resource, std::string_view ns, std::string_view name) const override;
  std::vector<store::RecordPtr> list(const api::Resource& resource, std::string_view ns) const override;
  std::vector<store::RecordPtr> list_newest(const api::Resource& resource, std::string_view ns) const override;
};

// What admission sees of the call. Valid as long as both arguments.
inline admission::Request admission_request(Registry::State& state, const Call& call) {
  return {state, state.runtime, *call.kind, call.subresource, call.ns, call.name};
}

}  // namespace berth::apiserver::registry
