#pragma once
// The DaemonSet controller: watches sets, their pods and revisions, and the nodes; plans with plan_set().

#include <memory>

#include "controllers/driver.h"

namespace berth::controllers::daemonset {

std::unique_ptr<Controller> make_controller(InformerSet& informers);

}  // namespace berth::controllers::daemonset
