#pragma once
// The part of every write that depends on the stored version and the kind's row: metadata that clients cannot set,
// status and spec by subresource, generations.

#include <string_view>

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

void prepare_create(const CreateContext& context, Value& object);
// The object that results of `incoming` written over `before` through a subresource.
Value prepare_update(Registry::State& state, const api::schema::Kind& kind, const Value& before, Value incoming,
                     std::string_view subresource);
bool has_status(const api::schema::Kind& kind);

}  // namespace berth::apiserver::registry
