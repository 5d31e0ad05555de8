#pragma once
// The quota controller: updates the status of ResourceQuotas. Keys: "namespace/name".

#include <memory>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::quota {

// `kinds`: all namespaced kinds that can be listed and watched, without Events; each can be counted.
std::unique_ptr<Controller> make_controller(InformerSet& informers, const std::vector<api::Resource>& kinds);

}  // namespace berth::controllers::quota
