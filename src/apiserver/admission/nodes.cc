#include "apiserver/admission/nodes.h"

namespace berth::apiserver::admission {

Status admit_node(const Request&, Value& node) {
  constexpr const char* kNotReady = "node.kubernetes.io/not-ready";
  for (const Value& taint : node["spec"]["taints"]) {
    if (taint["key"].as_string() == kNotReady && taint["effect"].as_string() == "NoSchedule") return ok_status();
  }
  node.mut("spec").mut("taints").push(Value::object({{"key", kNotReady}, {"effect", "NoSchedule"}}));
  return ok_status();
}

}  // namespace berth::apiserver::admission
