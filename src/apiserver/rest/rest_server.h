#pragma once
// RestServer: HTTP in front of the registry. Routes, authenticates, authorises, decodes bodies, negotiates answers,
// streams watches, and passes log, exec, attach and portforward through to the node's agent.
//
// Lives on the server's Loop; its handler is what http::Server calls there.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "apiserver/registry/registry.h"
#include "base/loop.h"
#include "http/client.h"
#include "http/server.h"

namespace berth::apiserver::rest {

class NodeUsage;

struct TokenHolder {
  registry::User user;                 // without system:authenticated
  std::vector<std::string> audiences;  // those of the requested ones that the token is for
};

struct RestConfig {
  std::string git_version = "v1.36.0+berth";
  // The user of a bearer token that is for one of `audiences` (never empty); kUnauthorized where the token is unknown,
  // or for other audiences. Null: no tokens are known.
  std::function<Result<TokenHolder>(std::string_view token, const std::vector<std::string>& audiences)>
      authenticate_token;
  // The API server's own audiences in tokens.
  std::vector<std::string> audiences = {"https://kubernetes.default.svc.cluster.local"};
  // Requests in flight, without watches and streams: of all, and of one user. Beyond, 429. Those from the Unix socket,
  // which is root's, are not counted.
  int max_in_flight = 600, max_in_flight_of_user = 400;
  // How to reach the agent of a node. Null: no nodes.
  std::function<Result<http::Endpoint>(std::string_view node)> node_endpoint;
  // Measures nodes and pods, for metrics.k8s.io. Null: metrics are not available. Outlives the server.
  NodeUsage* usage = nullptr;
  // Whether the store and the informers are ready, for /readyz and ComponentStatus; null: always.
  std::function<bool()> ready;
  // /.well-known/openid-configuration and /openid/v1/jwks, where set. `address`: where pods find the latter, as
  // "10.0.0.1:6443".
  std::string issuer, jwks, address;
};

// For the http::Server in front: its own refusals (413, 431, ...) become Kubernetes' Status objects, and its limit of a
// body is upstream's 3 MiB.
http::ServerConfig server_config();

class RestServer {
 public:
  RestServer(Loop& loop, registry::Registry& registry, RestConfig config);
  ~RestServer();
  RestServer(const RestServer&) = delete;

  http::Handler handler();
  // For http::ServerConfig::screen: refuses unauthorized requests before their body is read.
  std::function<bool(http::Exchange&)> screen();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::apiserver::rest
