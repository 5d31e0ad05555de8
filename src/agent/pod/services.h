#pragma once
// What pod workers and hooks work with. Everything outlives them; all on the agent's loop.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/images/image_store.h"
#include "agent/pod/agent_config.h"
#include "agent/pod/pod_admission.h"
#include "agent/runtime/container_runtime.h"
#include "base/function.h"
#include "base/json/json.h"
#include "base/result.h"
#include "base/runtime.h"
#include "client/client.h"
#include "net/pod_network.h"

namespace berth::client {
class EventRecorder;
class Informer;
}  // namespace berth::client

namespace berth::agent {

class ObjectCache;
class LogFiles;
class Trash;

// Where the volumes behind claims come from. A volume may be used by several pods of this node.
class VolumeProvider {
 public:
  virtual ~VolumeProvider() = default;
  // Makes the PersistentVolume available to the pod and answers with its directory on this node. Idempotent.
  // Error texts end up in the event FailedMount.
  virtual void acquire(const Value& volume, const std::string& pod_uid, Function<void(Result<std::string>)> done) = 0;
  // The pod uses it no more; the last pod's release unmounts it. Nothing acquired is fine.
  virtual void release(const std::string& volume_name, const std::string& pod_uid, Function<void(Status)> done) = 0;
  // Volumes in use whose file system takes no more writes until all pods have let go of it.
  struct Stopped {
    std::string volume;
    std::vector<std::string> pod_uids;
  };
  virtual void find_stopped(Function<void(std::vector<Stopped>)> done) { done({}); }
  // The files on the node's disk that grow as the pod writes to its volumes.
  virtual std::vector<std::string> growing_files(const std::string& pod_uid) const {
    (void)pod_uid;
    return {};
  }
  // A pod uses it that an earlier agent prepared. Called for all such pods before anything is acquired or released.
  virtual void adopt(const std::string& volume_name, const std::string& pod_uid) = 0;
  // Unmounts what is mounted and used by nobody: acquired for a pod that was not written down any more. Called once,
  // after all adopt() calls.
  virtual void release_unused() {}
};

struct ProbeTarget {
  std::string container_id;
  std::string pod_ip;
  const Value* container = nullptr;  // for named ports; only during the call
  bool hook = false;                 // a lifecycle hook: an HTTP answer is good whatever its status
};
struct ProbeResult {
  bool good = false;
  std::string output;    // kubelet's words, for the event
  bool errored = false;  // it could not be carried out: says nothing about the container
  bool warned = false;   // good, but the user should know `output`
  bool refused = false;  // nobody listened: the try has cost the container nothing
};
// Runs one probe (or hook) action: exec, httpGet, tcpSocket, grpc. Faked in tests.
class ProbeRunner {
 public:
  virtual ~ProbeRunner() = default;
  virtual void run(const Value& action, const ProbeTarget& target, Duration timeout,
                   Function<void(ProbeResult)> done) = 0;
  int eager_probes = 0;  // probes of the node that are tried frequently now; counted by Prober
};

struct ResizeRefusal {
  std::string reason;  // "Deferred", "Infeasible"
  std::string message;
};

struct Services {
  const AgentConfig& config;
  Runtime& runtime;
  client::Client& client;
  ContainerRuntime& containers;
  ImageStore& images;
  VolumeProvider& volumes;
  net::PodNetwork& network;
  ObjectCache& objects;
  client::EventRecorder& events;
  ProbeRunner& probes;
  LogFiles* logs = nullptr;                      // may be null: logs are not followed
  client::Informer* cluster_services = nullptr;  // for service links; may be null
  Trash* trash = nullptr;                        // null: trees are removed at once
  // Whether the node has room for what the pod's spec asks for; null: always. And to be told where a pod takes less.
  std::function<std::optional<ResizeRefusal>(const Value& pod)> refuse_resize{};
  std::function<void()> room_changed{};
  // Why a pod that is new here does not fit on the node beside the others; null: every pod does.
  std::function<std::optional<PodRejection>(const Value& pod)> unfit{};
};

}  // namespace berth::agent
