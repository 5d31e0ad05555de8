#pragma once
// What a node's agent serves to the API server, over its socket: container logs (logs.cc), exec, attach and port
// forwarding (stream_session.h, which shows the way from the client to the process). Requests are refused here, in
// kubelet's words, before anything is upgraded. Paths: /<verb>/<namespace>/<pod>?container=..., with the API's own
// query parameters. Loop thread only.

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
#include "agent/streams/stream_session.h"
#include "base/lifetime.h"
#include "base/loop.h"
#include "http/server.h"

namespace berth::agent {

class StreamServer {
 public:
  // The loop, the agent and the runtime outlive this.
  StreamServer(Loop& loop, Agent& agent, ContainerRuntime& containers);
  ~StreamServer();  // closes all sessions

  // Answers requests whose path has one of the verbs; false for all others.
  bool handle(const std::shared_ptr<http::Exchange>& exchange);

 private:
  struct PodPath {
    std::string verb, ns, pod;
  };
  void serve_logs(const std::shared_ptr<http::Exchange>& exchange, const PodPath& path);
  void serve_exec(const std::shared_ptr<http::Exchange>& exchange, const PodPath& path);
  void serve_attach(const std::shared_ptr<http::Exchange>& exchange, const PodPath& path);
  void serve_port_forward(const std::shared_ptr<http::Exchange>& exchange, const PodPath& path);
  // Nothing: the exchange has been answered with the refusal.
  std::optional<PodPlace> check_pod(http::Exchange& exchange, const PodPath& path);
  std::optional<ContainerPlace> running_container(http::Exchange& exchange, const PodPath& path);
  std::optional<http::RemoteOptions> check_streams(http::Exchange& exchange);
  // The log that the one client of a container with stdinOnce has not read yet; nothing for all others.
  MissedLog take_missed_log(const http::Request& request, const ContainerPlace& container);
  void add_session(const std::function<std::unique_ptr<StreamSession>(Task done)>& start);

  Loop& loop_;
  Agent& agent_;
  ContainerRuntime& containers_;
  std::unordered_map<std::uint64_t, std::unique_ptr<StreamSession>> sessions_;
  std::uint64_t last_session_ = 0;
  std::set<std::string> attached_;  // logs of containers with stdinOnce whose client has attached
  ReadLogs logs_read_;              // of such containers, before that
  Lifetime lifetime_;
};

// The request's header that names its client: the same for requests of one user and program.
inline constexpr std::string_view kClient = "x-berth-client";

}  // namespace berth::agent
