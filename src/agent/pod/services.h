#pragma once
// Services: interfaces that pod workers and hooks use. All outlive the workers; all are called on the agent's loop.

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

// Makes the volumes behind claims available. Several pods of this node may use one volume.
class VolumeProvider {
 public:
  virtual ~VolumeProvider() = default;
  // Makes the PersistentVolume available to the pod and returns its directory on this node. Idempotent. The text of an
  // error goes into the event FailedMount.
  virtual void acquire(const Value& volume, const std::string& pod_uid, Function<void(Result<std::string>)> done) = 0;
  // Ends the pod's use of the volume; the release by its last pod unmounts it. A volume that the pod has not acquired
  // is no error.
  virtual void release(const std::string& volume_name, const std::string& pod_uid, Function<void(Status)> done) = 0;
  // Volumes in use whose file system refuses writes until every pod has released it.
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
  // Records the use by a pod that an earlier agent prepared. Called for all such pods before any acquire() or
  // release().
  virtual void adopt(const std::string& volume_name, const std::string& pod_uid) = 0;
  // Unmounts the volumes that no pod has adopted: an earlier agent had acquired them for a pod and had not recorded
  // that. Called once, after all adopt() calls.
  virtual void release_unused() {}
};

struct ProbeTarget {
  std::string container_id;
  std::string pod_ip;
  const Value* container = nullptr;  // of the spec, for named ports; valid during the call only
  bool hook = false;                 // a lifecycle hook: an HTTP answer is good whatever its status
};
struct ProbeResult {
  bool good = false;
  std::string output;    // kubelet's words, for the event
  bool errored = false;  // the probe could not be carried out: it says nothing about the container
  bool warned = false;   // good, with `output` as a warning for the user
  bool refused = false;  // the connection was refused: the probe has cost the container nothing
};
// Runs one probe (or hook) action: exec, httpGet, tcpSocket, grpc. Faked in tests.
class ProbeRunner {
 public:
  virtual ~ProbeRunner() = default;
  virtual void run(const Value& action, const ProbeTarget& target, Duration timeout,
                   Function<void(ProbeResult)> done) = 0;
  int eager_probes = 0;  // of the node, at present; counted by Prober
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
  // Why the node has no room for what the pod's spec asks for; null: it always has.
  std::function<std::optional<ResizeRefusal>(const Value& pod)> refuse_resize{};
  // Called when a pod takes less of the node than before; may be null.
  std::function<void()> on_room_change{};
  // Why a pod that is new on the node does not fit beside the others (pod_fit.h); null: every pod fits.
  std::function<std::optional<PodRejection>(const Value& pod)> check_fit{};
};

}  // namespace berth::agent
