#pragma once
// A row of the list of kinds that the garbage collector and the namespace controller receive at their start.

#include <string>

#include "api/object.h"

namespace berth::controllers {

// A kind whose objects can be listed, watched and deleted. Used by the garbage collector and the namespace controller.
struct DeletableKind {
  api::Resource resource;
  std::string kind;
  bool namespaced = true;
};

}  // namespace berth::controllers
