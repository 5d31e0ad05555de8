#pragma once
// The garbage collector: watches every given kind, resolves owner references, and plans with plan_object(). An owner
// that the caches do not contain counts as gone only after a live read.

#include <memory>
#include <string>
#include <vector>

#include "controllers/driver.h"
#include "controllers/shared/deletable_kind.h"

namespace berth::controllers::gc {

// `kinds`: all that can be listed, watched and deleted; Events are skipped.
std::unique_ptr<Controller> make_controller(InformerSet& informers, std::vector<DeletableKind> kinds);

}  // namespace berth::controllers::gc
