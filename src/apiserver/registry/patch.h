#pragma once
// Patches and server-side apply. On the loop's thread; answers like write.h.

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

// Server-side apply. `head`: the newest version, or null: the object is created.
void apply_object(const StatePtr& state, const Call& call, const store::RecordPtr& head, const Value& patch, bool force,
                  Done done);
// The error for a patched object that cannot be decoded: it quotes the whole patched text, as upstream does, unless the
// patch was a strategic one, which is merged as a typed object. Other problems are returned as they are.
Error patch_decode_error(api::PatchType type, const Value& patch, const Value& patched, const Error& problem);

}  // namespace berth::apiserver::registry
