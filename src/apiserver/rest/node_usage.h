#pragma once
// NodeUsage: fetches from the agents what their nodes and pods use (src/agent/node/usage_service.h has the form of the
// answer), for the metrics API and for autoscalers. Nothing is fetched by itself; concurrent requests about one node
// share an answer.
//
// Lives on the server's Loop.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/loop.h"
#include "http/client.h"

namespace berth::apiserver::rest {

class NodeUsage {
 public:
  using Endpoint = std::function<Result<http::Endpoint>(std::string_view node)>;

  NodeUsage(Loop& loop, Endpoint endpoint);
  ~NodeUsage();  // requests under way are not answered
  NodeUsage(const NodeUsage&) = delete;

  // `done` gets the reports of the nodes that answered, by name; later, never from inside the call.
  using Reports = std::map<std::string, Value>;
  void ask(const std::vector<std::string>& nodes, Function<void(const Reports&)> done);
  // The pods of a namespace in the reports, as PodMetrics objects.
  static std::vector<Value> pods_of(const Reports& reports, std::string_view ns);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::apiserver::rest
