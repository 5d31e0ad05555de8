#pragma once
// The garbage collector: watches every kind that it is told of, finds out who owns what, and lets plan_object() decide.
// An owner that the caches do not show is asked for at the server before it counts as gone.

#include <memory>
#include <string>
#include <vector>

#include "controllers/driver.h"
#include "controllers/shared/deletable_kind.h"

namespace berth::controllers::gc {

// Give all kinds that can be listed, watched and deleted; Events are passed over.
std::unique_ptr<Controller> make_controller(InformerSet& informers, std::vector<DeletableKind> kinds);

}  // namespace berth::controllers::gc
