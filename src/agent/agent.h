#pragma once
// The node agent: makes this machine a Node, and runs the pods that are bound to it.
//
// One Agent a process, inside the node's network and mount namespaces, on one Loop. After a restart it takes over the
// running pods: no container restarts, and no status is written without a change. While nothing changes it renews its
// lease, measures logs of running containers and runs probes, nothing else. A pod's errors become its events and status
// (PodWorker); an error that keeps the agent from working is passed to start()'s `ready`.

#include <memory>
#include <string>
#include <vector>

#include "agent/pod/agent_config.h"
#include "agent/pod/pod_summary.h"
#include "agent/pod/services.h"
#include "base/function.h"
#include "base/result.h"

namespace berth::agent {

class BackgroundThread;
class LogFiles;
class StorageKeeper;

// All outlive the agent.
struct AgentDependencies {
  Runtime& runtime;
  client::Client& client;
  ContainerRuntime& containers;
  ImageStore& images;
  VolumeProvider& volumes;
  net::PodNetwork& network;
  ProbeRunner& probes;
  Trash* trash = nullptr;                 // null: what pods leave behind is removed at once
  BackgroundThread* measuring = nullptr;  // null: what pods write is measured on the runtime's pool
  LogFiles* logs = nullptr;               // null: the logs of containers are not followed
};

// A container, for streams and logs.
struct ContainerPlace {
  std::string container;  // its name
  std::string id;         // for ContainerRuntime; empty where it never ran
  bool running = false;
  bool tty = false, stdin_open = false;
  bool stdin_once = false;     // made for one client, as `kubectl run -i` does
  std::string log_path;        // of the current attempt, or of the one before
  std::string waiting_reason;  // why no attempt runs, for messages
};
struct PodPlace {
  std::string uid, ip;
  std::string network_namespace;  // empty: the node's own
};

class Agent {
 public:
  Agent(AgentConfig config, AgentDependencies dependencies);
  ~Agent();  // containers run on
  Agent(const Agent&) = delete;

  // Takes over the pods of an earlier agent and registers the node. `ready` is called once: when the Node is Ready in
  // the API and every pod has its worker, or with the reason why the agent cannot work here. While the API cannot be
  // reached it keeps trying.
  void start(Function<void(Status)> ready);

  // For the streaming server. `container` may be empty where the pod has one container only (kubectl's default
  // otherwise is the first). `previous`: the attempt before. Errors are worded as the API shows them:
  //   pods "x" not found · container y is not valid for pod x · a container name must be specified for pod x, choose
  //   one of: [a b]
  //   previous terminated container "y" in pod "x" not found · container "y" in pod "x" is waiting to start:
  //   ContainerCreating
  Result<ContainerPlace> find_container(const std::string& ns, const std::string& pod, const std::string& container,
                                        bool previous = false) const;
  Result<PodPlace> find_pod(const std::string& ns, const std::string& pod) const;

  std::vector<PodSummary> pods() const;  // for metrics, and to end them

  // No pod has anything under way; for tests.
  bool idle() const;
  StorageKeeper& storage();  // for tests

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::agent
