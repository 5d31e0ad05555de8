#pragma once
// The namespace controller: deletes the contents of terminating namespaces, then their finalizer. Keys: names.

#include <memory>
#include <vector>

#include "controllers/driver.h"
#include "controllers/shared/deletable_kind.h"

namespace berth::controllers::namespaces {

// `kinds`: all that can be listed and deleted; cluster-scoped ones are skipped. Events are deleted, but not watched.
std::unique_ptr<Controller> make_controller(InformerSet& informers, std::vector<DeletableKind> kinds);

}  // namespace berth::controllers::namespaces
