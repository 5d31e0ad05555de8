#pragma once
// The namespace controller: empties namespaces that are being deleted and lets them go. Keys: names.

#include <memory>
#include <vector>

#include "controllers/driver.h"
#include "controllers/gc/controller.h"

namespace berth::controllers::namespaces {

// Give all kinds that can be listed and deleted; cluster-wide ones are passed over. Events are not watched, but deleted.
std::unique_ptr<Controller> make_controller(InformerSet& informers, std::vector<gc::Kind> kinds);

}  // namespace berth::controllers::namespaces
