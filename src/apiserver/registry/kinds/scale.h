#pragma once
// The scale subresource: one small form for every kind with replicas.

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

void get_scale(const StatePtr& state, const Call& call, Done done);
void update_scale(const StatePtr& state, const Call& call, Value scale, Done done);
// A server-side apply of a Scale is one of the number of replicas to the object itself, so that the field manager that
// owns the number there has a conflict.
void patch_scale(const StatePtr& state, const Call& call, api::PatchType type, const Value& patch, bool force,
                 Done done);

inline constexpr SubresourceStrategy kScaleSubresource{
    .name = "scale", .get = get_scale, .update = update_scale, .patch = patch_scale};

}  // namespace berth::apiserver::registry
