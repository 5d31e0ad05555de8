#pragma once
// resourceVersions as clients write them. Pure; any thread.

#include <string_view>

#include "base/result.h"
#include "store/store.h"

namespace berth::apiserver::registry {

// Refused with upstream's text, which has no reason of its own.
Result<store::Revision> parse_resource_version(std::string_view text);
// kTimeout: `requested` lies in the future.
Error too_large_version(store::Revision requested, store::Revision current);

}  // namespace berth::apiserver::registry
