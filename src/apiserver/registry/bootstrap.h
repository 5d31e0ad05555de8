#pragma once
// Objects that every cluster has (Registry::bootstrap creates them).

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

// Creates the Service default/kubernetes again where `deleted` is it: pods have its address in their environment, and
// `kubectl delete services --all` must not leave them without.
void restore_kubernetes_service(const StatePtr& state, const Value& deleted);

}  // namespace berth::apiserver::registry
