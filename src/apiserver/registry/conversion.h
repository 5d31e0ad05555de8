#pragma once
// Kinds that are stored as another one: events.k8s.io/v1 Events as core/v1 Events, autoscaling/v1 autoscalers as v2.
// Pure, by the conversions of the kinds' rows; other kinds pass unchanged.

#include "apiserver/registry/kind_strategy.h"
#include "store/store.h"

namespace berth::apiserver::registry {

const api::schema::Kind& storage_kind(const api::schema::Kind& kind);
Value to_storage(const api::schema::Kind& kind, Value object);
Value from_storage(const api::schema::Kind& kind, Value object);
// The record in the form of `kind`: itself where that is the stored form.
store::RecordPtr view_of(const api::schema::Kind& kind, const store::RecordPtr& record);

}  // namespace berth::apiserver::registry
