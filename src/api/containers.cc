#include "api/containers.h"

namespace berth::api {

bool is_sidecar(const Value& init_container) { return init_container["restartPolicy"].as_string() == "Always"; }

}  // namespace berth::api
