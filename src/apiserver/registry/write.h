#pragma once
// Creates and updates, from the decoded object to the durable version. write.cc has the order of the steps, and why.
//
// On the loop's thread. `done` is called once, never from inside the call, with the durable version or with the
// refusal.

#include <string>
#include <vector>

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

// `track`: managed fields are found by comparing (not: apply, which knows them). `has_empty`: as decode_with_empty()
// says; such lists and maps are dropped after validation.
void create_object(const StatePtr& state, const Call& call, Value object, std::vector<std::string> warnings, bool track,
                   Done done, bool has_empty = false);
// Replaces `head` by what `after` makes of it through the call's subresource.
void update_object(const StatePtr& state, const Call& call, const store::RecordPtr& head, Value after,
                   std::vector<std::string> warnings, bool track, Done done, bool has_empty = false);

}  // namespace berth::apiserver::registry
