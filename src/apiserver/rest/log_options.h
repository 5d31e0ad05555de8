#pragma once
// PodLogOptions of a request for a pod's log, checked before the node is asked. Internal to rest/.

#include "apiserver/rest/context.h"

namespace berth::apiserver::rest {

// Source: ValidatePodLogOptions of 1.36 without the gate PodLogsQuerySplitStreams.
Status check_log_options(const Context& context);

}  // namespace berth::apiserver::rest
