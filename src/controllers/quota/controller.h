#pragma once
// The quota controller: keeps the status of ResourceQuotas up to date. Keys: "namespace/name".

#include <memory>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::quota {

// Give all namespaced kinds that can be listed and watched (but Events): each can be counted.
std::unique_ptr<Controller> make_controller(InformerSet& informers, const std::vector<api::Resource>& kinds);

}  // namespace berth::controllers::quota
