#pragma once
// Kinds that are answered and not stored: reviews, metrics, component statuses. Immutable; any thread.

#include "apiserver/rest/context.h"

namespace berth::apiserver::rest {

// Answers the request; on the loop's thread.
using KindHandler = void (*)(const ContextPtr& context);
// Null: objects of the kind are stored.
KindHandler handler_of(const api::schema::Kind& kind);

}  // namespace berth::apiserver::rest
