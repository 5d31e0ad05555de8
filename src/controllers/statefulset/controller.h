#pragma once
// The StatefulSet controller: watches sets, their pods, claims and revisions, and plans with plan_set().

#include <memory>

#include "controllers/driver.h"
#include "controllers/statefulset/plan.h"

namespace berth::controllers::statefulset {

using PlanFunction = std::function<Plan(const StatefulSetView& view, Time now)>;

// Uses the informers of statefulsets, pods, persistentvolumeclaims, controllerrevisions, storageclasses and
// poddisruptionbudgets. Only the simulator replaces `planner`, with faulty ones that its checkers must detect.
std::unique_ptr<Controller> make_controller(InformerSet& informers, PlanFunction planner = plan_set);

}  // namespace berth::controllers::statefulset
