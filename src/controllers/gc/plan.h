#pragma once
// The garbage collector's plan for one object. Pure. The rules are Kubernetes':
//   * An object all of whose owners are gone is deleted; if some are left, the references to those that are gone are
//     removed.
//   * An owner deleted in the foreground (finalizer foregroundDeletion) waits until its blocking dependents are
//     deleted; an owner deleted with finalizer orphan is removed from its dependents' references before it is deleted.
//   * A reference to an owner in another namespace is invalid: that owner counts as gone, and an event reports it.
//   * If the state of one owner cannot be determined, the object is left alone.
//   * Dependents that would wait for each other in a circle stop blocking.

#include <string_view>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::gc {

inline constexpr std::string_view kForeground = "foregroundDeletion";
inline constexpr std::string_view kOrphan = "orphan";
inline constexpr std::string_view kOrderedTeardown =
    "berth.dev/ordered-teardown";  // a StatefulSet's controller holds it

enum class OwnerState {
  kExists,   // the owner exists
  kUnknown,  // of an unknown kind, or a namespaced owner of a cluster-scoped object: nothing may be concluded
  kGone,     // confirmed by a live read
  kWaiting,  // the owner waits until its dependents are deleted
};

struct Dependent {
  api::Resource resource;
  Value object;
};

struct ObjectView {
  api::Resource resource;
  Value object;                       // null: the object does not exist
  std::vector<OwnerState> owners;     // one per metadata.ownerReferences
  std::vector<Dependent> dependents;  // objects that name this one as owner
  // one per owner: gone, and an object with its uid exists in another namespace; may be empty
  std::vector<bool> misplaced = {};
};

// True if the object is being deleted and waits for its dependents.
bool is_waiting(const Value& object);

Plan plan_object(const ObjectView& view);

}  // namespace berth::controllers::gc
