#pragma once
// The namespace controller: empties namespaces that are being deleted and lets them go. Keys: names.

#include <memory>
#include <vector>

#include "controllers/driver.h"
#include "controllers/shared/deletable_kind.h"

namespace berth::controllers::namespaces {

// Give all kinds that can be listed and deleted; cluster-wide ones are passed over. Events are not watched, but
// deleted.
std::unique_ptr<Controller> make_controller(InformerSet& informers, std::vector<DeletableKind> kinds);

}  // namespace berth::controllers::namespaces
