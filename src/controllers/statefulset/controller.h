#pragma once
// The StatefulSet controller: watches sets, their pods, claims and revisions, and lets plan_set() decide.

#include <memory>

#include "controllers/driver.h"
#include "controllers/statefulset/plan.h"

namespace berth::controllers::statefulset {

using Planner = std::function<Plan(const View& view, Time now)>;

// Uses the informers of statefulsets, pods, persistentvolumeclaims, controllerrevisions, storageclasses and
// poddisruptionbudgets. `planner` is replaced only
// by the simulator, to see its checkers catch a wrong one.
std::unique_ptr<Controller> make_controller(InformerSet& informers, Planner planner = plan_set);

}  // namespace berth::controllers::statefulset
