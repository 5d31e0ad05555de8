#pragma once
// What every part of the agent's socket answers requests that fail with.

#include "base/result.h"
#include "http/server.h"

namespace berth::agent {

// A Status body with this error's code.
void answer_error(http::Exchange& exchange, const Error& error);

}  // namespace berth::agent
