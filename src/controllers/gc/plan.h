#pragma once
// What the garbage collector does with one object. Pure. The rules are Kubernetes':
//   * an object all of whose owners are gone is deleted; owners that are gone are struck from one that has others left;
//   * an owner deleted in the foreground (finalizer foregroundDeletion) waits for its dependents, which are deleted, as
//     long as they block it; an owner deleted with finalizer orphan is struck from its dependents before it goes;
//   * a reference to an owner in another namespace holds nothing: that owner counts as gone, and an event says so;
//   * where the state of one owner cannot be found out, the object is left alone;
//   * dependents that would wait for each other in a circle stop blocking.

#include <string_view>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::gc {

inline constexpr std::string_view kForeground = "foregroundDeletion";
inline constexpr std::string_view kOrphan = "orphan";
inline constexpr std::string_view kOrderedTeardown =
    "berth.dev/ordered-teardown";  // a StatefulSet's controller holds it

enum class OwnerState {
  kSolid,    // it exists
  kUnknown,  // of a kind that nobody knows, or a namespaced one of a cluster-wide object: nothing may be concluded
  kGone,     // certainly
  kWaiting,  // it waits for its dependents to go
};

struct Dependent {
  api::Resource resource;
  Value object;
};

struct View {
  api::Resource resource;
  Value object;                       // null: there is none
  std::vector<OwnerState> owners;     // of each of metadata.ownerReferences
  std::vector<Dependent> dependents;  // objects that name this one as owner
  std::vector<bool> misplaced = {};   // of each that is gone: its uid lives in another namespace; may be empty
};

// Being deleted, and waiting for its dependents.
bool is_waiting(const Value& object);

Plan plan_object(const View& view);

}  // namespace berth::controllers::gc
