#pragma once
// What a request to the API asks for besides its object; shared by clients and the server.

#include <cstdint>
#include <string>

namespace berth::api {

struct ListOptions {
  std::string ns;  // empty: all namespaces
  std::string label_selector;
  std::string field_selector;
};

enum class PatchType { kJson, kMerge, kStrategic, kApply };

struct WriteOptions {
  std::string subresource;    // "", "status", "scale", "binding", "eviction"
  std::string field_manager;  // e.g. "kubelet", "kube-controller-manager"
  bool dry_run = false;
  bool force = false;  // for kApply
};

struct DeleteOptions {
  std::int64_t grace_seconds = -1;  // -1: the kind's default
  std::string propagation;          // "", "Background", "Foreground", "Orphan"
  std::string uid;                  // precondition, where not empty
  std::string resource_version;     // precondition, where not empty
};

}  // namespace berth::api
