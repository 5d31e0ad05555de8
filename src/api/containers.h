#pragma once
// Rules over the containers in a pod's spec that several components follow. Pure.

#include "base/json/json.h"

namespace berth::api {

// Whether an init container runs beside the main containers: it has restartPolicy Always of its own.
bool is_sidecar(const Value& init_container);

}  // namespace berth::api
