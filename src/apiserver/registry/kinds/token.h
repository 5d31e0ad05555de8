#pragma once
// serviceaccounts/token: a signed token for a service account, bound to a pod where asked for.

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

// `request`: a TokenRequest, which is answered with its status filled in.
void request_token(const StatePtr& state, const Call& call, Value request, Done done);

}  // namespace berth::apiserver::registry
