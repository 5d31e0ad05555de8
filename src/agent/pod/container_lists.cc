#include "agent/pod/container_lists.h"

namespace berth::agent {

const Value& container_spec(const Value& pod, std::string_view container) {
  static const Value none;
  for (const char* list : kContainerLists) {
    for (const Value& c : pod["spec"][list]) {
      if (c["name"].as_string() == container) return c;
    }
  }
  return none;
}

std::string_view container_list(const Value& pod, std::string_view container) {
  for (const char* list : kContainerLists) {
    for (const Value& c : pod["spec"][list]) {
      if (c["name"].as_string() == container) return list;
    }
  }
  return "containers";
}

}  // namespace berth::agent
