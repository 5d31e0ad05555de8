#pragma once
// What a node's agent serves to the API server, over its socket: container logs, and (remote_streams.cc) exec, attach
// and port forwarding. Paths: /<verb>/<namespace>/<pod>?container=..., with the API's own query parameters.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/agent.h"
#include "agent/logs/read_logs.h"
#include "agent/runtime/container_runtime.h"
#include "agent/socket/answer_error.h"
#include "agent/streams/remote_work.h"
#include "base/lifetime.h"
#include "base/loop.h"
#include "http/server.h"

namespace berth::agent {

class StreamServer {
 public:
  // The loop, the agent and the runtime outlive this.
  StreamServer(Loop& loop, Agent& agent, ContainerRuntime& containers);
  ~StreamServer();  // ends everything that is under way

  // Answers where the path is one of ours; false: it is somebody else's.
  bool handle(const std::shared_ptr<http::Exchange>& exchange);

 private:
  struct Place {
    std::string verb, ns, pod;
  };
  void serve_logs(const std::shared_ptr<http::Exchange>& exchange, const Place& place);
  void serve_process(const std::shared_ptr<http::Exchange>& exchange, const Place& place);
  void serve_ports(const std::shared_ptr<http::Exchange>& exchange, const Place& place);
  std::optional<PodPlace> check_pod(http::Exchange& exchange, const Place& place);
  std::optional<ContainerPlace> running_container(http::Exchange& exchange, const Place& place);
  // What the one client of a container with stdinOnce has missed of its log; for all others nothing.
  MissedLog take_missed(const http::Request& request, const ContainerPlace& container);
  void begin(const std::function<std::unique_ptr<RemoteWork>(Task over)>& make);

  Loop& loop_;
  Agent& agent_;
  ContainerRuntime& containers_;
  std::unordered_map<std::uint64_t, std::unique_ptr<RemoteWork>> works_;
  std::uint64_t last_work_ = 0;
  std::set<std::string> attached_;  // logs of containers with stdinOnce that had their client
  ReadLogs read_;                   // before that
  Lifetime lifetime_;
};

// The request's header that names its client: the same for requests of one user and program.
inline constexpr std::string_view kClient = "x-berth-client";

}  // namespace berth::agent
