#pragma once
// The plan of a terminating namespace: deletes its contents, pods before everything else (those of a set with ordered
// teardown by deleting the set), writes its conditions, and removes its finalizer once a live read found no contents.
// Pure.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::namespaces {

struct NamespaceCollection {
  api::Resource resource;
  std::vector<Value> items;
};

struct NamespaceView {
  Value object;                               // the Namespace, or null
  std::vector<NamespaceCollection> contents;  // of every namespaced kind
  bool live = false;                          // `contents` comes from live reads
};

// True if the namespace is terminating and still has this controller's finalizer.
bool needs_emptying(const Value& object);
bool is_empty(const std::vector<NamespaceCollection>& contents);

Plan plan_namespace(const NamespaceView& view, Time now);

}  // namespace berth::controllers::namespaces
