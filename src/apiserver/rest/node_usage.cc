#include "apiserver/rest/node_usage.h"

#include "base/log.h"

namespace berth::apiserver::rest {

struct NodeUsage::Impl : std::enable_shared_from_this<NodeUsage::Impl> {
  Impl(Loop& l, Endpoint e) : loop(l), endpoint(std::move(e)) {}

  using Answered = Function<void(Result<Value>)>;
  struct Question {
    std::unique_ptr<http::Client> client;
    std::vector<Answered> waiting;
  };
  Loop& loop;
  Endpoint endpoint;
  std::map<std::string, Question> under_way;

  void ask(const std::string& node, Answered done) {
    auto [at, fresh] = under_way.try_emplace(node);
    at->second.waiting.push_back(std::move(done));
    if (!fresh) return;
    auto answer = [weak = weak_from_this(), node](Result<Value> value) {
      if (auto self = weak.lock()) self->answered(node, std::move(value));
    };
    Result<http::Endpoint> where =
        endpoint ? endpoint(node) : Result<http::Endpoint>(error(Code::kUnavailable, "no connection to node " + node));
    if (!where.ok()) {
      loop.post([answer, why = where.error()] { answer(why); });
      return;
    }
    at->second.client = http::make_client(loop, *where);
    http::ClientRequest request;
    request.target = "/usage";
    request.timeout = 10s;
    at->second.client->send(std::move(request), [answer](Result<http::Response> response) {
      if (!response.ok()) return answer(response.error());
      if (response->status != 200)
        return answer(error(Code::kUnavailable, "the agent answered " + std::to_string(response->status)));
      answer(json::parse(response->body));
    });
  }

  void answered(const std::string& node, Result<Value> value) {
    auto question = under_way.extract(node);
    if (question.empty()) return;
    if (!value.ok())
      log_warning("metrics", "a node was not measured", {{"node", node}, {"error", value.error().message}});
    for (Answered& one : question.mapped().waiting) one(value);
  }
};

NodeUsage::NodeUsage(Loop& loop, Endpoint endpoint) : impl_(std::make_shared<Impl>(loop, std::move(endpoint))) {}
NodeUsage::~NodeUsage() = default;

std::vector<Value> NodeUsage::pods_of(const Reports& reports, std::string_view ns) {
  std::vector<Value> out;
  for (const auto& [node, report] : reports) {
    for (const Value& pod : report["pods"]) {
      if (pod["namespace"].as_string() != ns) continue;
      Value metrics = pod;
      out.push_back(metrics.set(
          "metadata", Value::object({{"name", pod["name"]}, {"namespace", pod["namespace"]}, {"uid", pod["uid"]}})));
    }
  }
  return out;
}

void NodeUsage::ask(const std::vector<std::string>& nodes, Function<void(const Reports&)> done) {
  struct Gathering {
    Reports reports;
    std::size_t missing;
    Function<void(const Reports&)> done;
  };
  auto gathering = std::make_shared<Gathering>(Gathering{{}, nodes.size(), std::move(done)});
  if (nodes.empty()) return impl_->loop.post([gathering] { gathering->done(gathering->reports); });
  for (const std::string& node : nodes) {
    impl_->ask(node, [gathering, node](Result<Value> report) {
      if (report.ok()) gathering->reports[node] = std::move(*report);
      if (--gathering->missing == 0) gathering->done(gathering->reports);
    });
  }
}

}  // namespace berth::apiserver::rest
