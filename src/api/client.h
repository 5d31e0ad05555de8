#pragma once
// Client: how controllers, the scheduler and the agent see the API. They never see the store or a socket.
//
// Implementations: DirectClient (in the server's process, over the registry), HttpClient (everywhere else),
// sim's FaultyClient (loses, delays, repeats). Callbacks run on the caller's loop, later, never from inside the call.
// Code::kUnknown means that a write may have been applied: read again before the next try.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/object.h"
#include "base/function.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::api {

struct ListOptions {
  std::string ns;              // empty: all namespaces
  std::string label_selector;
  std::string field_selector;
};

struct List {
  std::vector<Value> items;    // each with apiVersion and kind
  std::string resource_version;
};

enum class PatchType { kJson, kMerge, kStrategic, kApply };

struct WriteOptions {
  std::string subresource;     // "", "status", "scale", "binding", "eviction"
  std::string field_manager;   // e.g. "kubelet", "kube-controller-manager"
  bool dry_run = false;
  bool force = false;          // for kApply
};

struct DeleteOptions {
  std::int64_t grace_seconds = -1;      // -1: the kind's default
  std::string propagation;              // "", "Background", "Foreground", "Orphan"
  std::string uid;                      // precondition, where not empty
  std::string resource_version;         // precondition, where not empty
};

class WatchHandler {
 public:
  virtual ~WatchHandler() = default;
  // `type`: "ADDED", "MODIFIED", "DELETED", "BOOKMARK".
  virtual void on_event(std::string_view type, const Value& object) = 0;
  // The stream is over. kExpired: list again. Anything else: watch again from the last resourceVersion seen.
  virtual void on_end(const Error& error) = 0;
};

class WatchHandle {  // destroying it ends the watch; no callback follows
 public:
  virtual ~WatchHandle() = default;
};

class Client {
 public:
  using Done = Function<void(Result<Value>)>;
  using ListDone = Function<void(Result<List>)>;

  virtual ~Client() = default;

  virtual void get(const Resource& resource, const Name& name, Done done) = 0;
  virtual void list(const Resource& resource, const ListOptions& options, ListDone done) = 0;
  // Events after `resource_version`. Errors of the start arrive by on_end.
  virtual std::unique_ptr<WatchHandle> watch(const Resource& resource, const ListOptions& options,
                                             std::string resource_version, WatchHandler* handler) = 0;
  // The namespace is the object's own metadata.namespace.
  virtual void create(const Resource& resource, Value object, const WriteOptions& options, Done done) = 0;
  // Subresources that are created on an object: "binding", "eviction", "token".
  virtual void create_sub(const Resource& resource, const Name& name, Value object, const WriteOptions& options, Done done) = 0;
  // metadata.resourceVersion in the object, where set, is a precondition.
  virtual void update(const Resource& resource, Value object, const WriteOptions& options, Done done) = 0;
  virtual void patch(const Resource& resource, const Name& name, PatchType type, Value patch, const WriteOptions& options, Done done) = 0;
  // Answers with the object (still there, terminating) or a Status.
  virtual void remove(const Resource& resource, const Name& name, const DeleteOptions& options, Done done) = 0;
};

// The collections Berth itself works with.
namespace resources {
inline const Resource kPods{"", "v1", "pods"};
inline const Resource kNodes{"", "v1", "nodes"};
inline const Resource kNamespaces{"", "v1", "namespaces"};
inline const Resource kServices{"", "v1", "services"};
inline const Resource kEndpoints{"", "v1", "endpoints"};
inline const Resource kConfigMaps{"", "v1", "configmaps"};
inline const Resource kSecrets{"", "v1", "secrets"};
inline const Resource kServiceAccounts{"", "v1", "serviceaccounts"};
inline const Resource kPersistentVolumes{"", "v1", "persistentvolumes"};
inline const Resource kPersistentVolumeClaims{"", "v1", "persistentvolumeclaims"};
inline const Resource kEvents{"", "v1", "events"};
inline const Resource kLimitRanges{"", "v1", "limitranges"};
inline const Resource kResourceQuotas{"", "v1", "resourcequotas"};
inline const Resource kReplicationControllers{"", "v1", "replicationcontrollers"};
inline const Resource kStatefulSets{"apps", "v1", "statefulsets"};
inline const Resource kDeployments{"apps", "v1", "deployments"};
inline const Resource kDaemonSets{"apps", "v1", "daemonsets"};
inline const Resource kReplicaSets{"apps", "v1", "replicasets"};
inline const Resource kControllerRevisions{"apps", "v1", "controllerrevisions"};
inline const Resource kJobs{"batch", "v1", "jobs"};
inline const Resource kCronJobs{"batch", "v1", "cronjobs"};
inline const Resource kEndpointSlices{"discovery.k8s.io", "v1", "endpointslices"};
inline const Resource kStorageClasses{"storage.k8s.io", "v1", "storageclasses"};
inline const Resource kLeases{"coordination.k8s.io", "v1", "leases"};
inline const Resource kHorizontalPodAutoscalers{"autoscaling", "v2", "horizontalpodautoscalers"};
inline const Resource kPodDisruptionBudgets{"policy", "v1", "poddisruptionbudgets"};
inline const Resource kPriorityClasses{"scheduling.k8s.io", "v1", "priorityclasses"};
}  // namespace resources

}  // namespace berth::api
