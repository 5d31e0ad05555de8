#pragma once
// What a namespace that is being deleted needs next: its contents deleted, pods before everything else (those of a set
// with ordered teardown by deleting the set), its conditions, and, once the server itself says that nothing is left,
// its finalizer taken. Pure.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::namespaces {

struct Contents {
  api::Resource resource;
  std::vector<Value> items;
};

struct View {
  Value object;                    // the Namespace, or null
  std::vector<Contents> contents;  // of every namespaced kind
  bool live = false;               // `contents` was read past the caches
};

// The namespace is leaving and still ours to empty.
bool needs_emptying(const Value& object);
bool is_empty(const std::vector<Contents>& contents);

Plan plan_namespace(const View& view, Time now);

}  // namespace berth::controllers::namespaces
