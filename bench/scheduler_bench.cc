// Pods scheduled per second, from creation to binding, if only the server takes time: the registry over the memory
// store and the scheduler in this process; nodes are only objects. Events are written too.
//   scheduler_bench [NODES [PODS [NEIGHBOURS]]]    default 5000, 20000, 1000 (pods with anti-affinity, and with spreading)
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "api/schema/schema.h"
#include "apiserver/registry/registry.h"
#include "base/loop.h"
#include "client/informer.h"
#include "scheduler/plan.h"
#include "scheduler/scheduler.h"
#include "store/store.h"

namespace berth {
namespace {

using namespace api::resources;  // NOLINT

constexpr int kZones = 10;
constexpr int kInFlight = 500;
constexpr Duration kLongest = 120s;
// Published figures for the Kubernetes scheduler with 5,000 nodes, without and with an API server and etcd.
constexpr const char* kPublished = "680-810";

Value parsed(const std::string& text) { return json::parse(text).value(); }

Value make_node(int number) {
  const std::string name = "node-" + std::to_string(number), zone = "zone-" + std::to_string(number % kZones);
  return parsed(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":")" + name +
                R"(","labels":{"kubernetes.io/hostname":")" + name + R"(","topology.kubernetes.io/zone":")" + zone +
                R"("}}})");
}

Value node_status() {
  return parsed(
      R"({"metadata":{},"status":{"allocatable":{"cpu":"4","memory":"32Gi","pods":"110"},"capacity":{"cpu":"4","memory":"32Gi","pods":"110"}}})");
}

Value make_pod(int number, const std::string& more) {
  return parsed(
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","name":"pod-)" + std::to_string(number) +
      R"(","labels":{"app":"bench"}},"spec":{"containers":[{"name":"pause","image":"pause","resources":{"requests":{"cpu":"100m","memory":"500Mi"}}}])" +
      more + "}}");
}

class Cluster {
 public:
  explicit Cluster(int nodes)
      : loop_(2),
        store_(store::open_memory_store(loop_, {.history_events = 1000000})),
        registry_(loop_, *store_, api::schema::builtin()) {
    bool ready = false;
    registry_.bootstrap([&] { ready = true; });
    run_until([&] { return ready; });
    client_ = apiserver::registry::make_direct_client(registry_, {"system:bench", {"system:masters"}});
    create_all(kNodes, nodes, make_node);
    each(nodes, [this](int number, client::Client::Done done) {
      client_->patch(kNodes, {"", "node-" + std::to_string(number)}, api::PatchType::kMerge, node_status(),
                     {.subresource = "status"}, std::move(done));
    });
    // Remove the not-ready taint that the API server adds to new nodes: no node controller runs here that would remove
    // it.
    each(nodes, [this](int number, client::Client::Done done) {
      client_->patch(kNodes, {"", "node-" + std::to_string(number)}, api::PatchType::kMerge,
                     parsed(R"({"spec":{"taints":null}})"), {}, std::move(done));
    });
    create_all(kServiceAccounts, 1, [](int) {
      return parsed(
          R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"namespace":"default","name":"default"}})");
    });
    informers_ = std::make_unique<client::InformerSet>(loop_, *client_);
    scheduler_ = std::make_unique<scheduler::Scheduler>(*informers_);
    watching_ = informers_->get(kPods).subscribe([this](const Value& before, const Value& after) {
      bound_ += before["spec"]["nodeName"].is_null() && !after["spec"]["nodeName"].is_null() ? 1 : 0;
    });
    run_until([&] { return informers_->synced() && scheduler_->idle(); });
  }

  // Returns the seconds until all pods are bound.
  double run(int pods, const std::string& more) {
    bound_ = 0;
    const Duration from = loop_.monotonic();
    create_all(kPods, pods, [&](int number) { return make_pod(number, more); });
    created_ = seconds_since(from);
    run_until([&] { return bound_ == pods; });
    return seconds_since(from);
  }
  double created() const { return created_; }

 private:
  double seconds_since(Duration from) const { return std::chrono::duration<double>(loop_.monotonic() - from).count(); }
  template <class Done>
  void run_until(Done done) {
    const Duration from = loop_.monotonic();
    while (!done()) {
      loop_.run_once(1s);
      if (loop_.monotonic() - from < kLongest) continue;
      std::fprintf(stderr, "nothing comes of it: %d pods are bound after %.0f s\n", bound_, seconds_since(from));
      std::exit(1);
    }
  }
  void create_all(const api::Resource& resource, int count, const std::function<Value(int)>& make) {
    each(count,
         [&](int number, client::Client::Done done) { client_->create(resource, make(number), {}, std::move(done)); });
  }
  // Sends many requests at once, like the clients of a busy cluster, and waits for all responses.
  void each(int count, const std::function<void(int, client::Client::Done)>& start) {
    int started = 0, finished = 0;
    while (finished < count) {
      for (; started < count && started - finished < kInFlight; ++started) {
        start(started, [&finished](Result<Value> answer) {
          if (!answer.ok()) {
            std::fprintf(stderr, "refused: %s\n", answer.error().message.c_str());
            std::exit(1);
          }
          ++finished;
        });
      }
      loop_.run_once(1s);
    }
  }

  Loop loop_;
  std::unique_ptr<store::Store> store_;
  apiserver::registry::Registry registry_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<client::InformerSet> informers_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  std::unique_ptr<client::Subscription> watching_;
  int bound_ = 0;
  double created_ = 0;
};

// A cluster of only nodes and pods.
struct BareView final : scheduler::ClusterView {
  const Value& claim(const std::string&, const std::string&) const override { return none; }
  const Value& volume(const std::string&) const override { return none; }
  const Value& storage_class(const std::string&) const override { return none; }
  std::vector<Value> candidates(const Value&) const override { return {}; }
  bool is_volume_used(const Value&) const override { return false; }
  const Value& pod(const std::string&, const std::string&) const override { return none; }
  const Value& ns(const std::string&) const override { return none; }
  std::vector<Value> namespaces() const override { return {}; }
  std::vector<Value> services(const std::string&) const override { return {}; }
  const Value& owner_selector(const scheduler::PodInfo&) const override { return none; }
  std::vector<Value> budgets() const override { return {}; }
  Time now() const override { return {}; }
  Value none;
};

// CPU time of this process: the time on an otherwise idle machine.
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

bool measure(const char* what, int nodes, int pods, const std::string& more, const char* published, double aim) {
  if (pods <= 0) return true;
  Cluster cluster(nodes);
  const double cpu = cpu_seconds();
  const double seconds = cluster.run(pods, more);
  const double rate = pods / seconds;
  std::printf("%-24s %6d %6d %9.3f %9.3f %9.3f %9.0f %13s %7.0f%s\n", what, nodes, pods, cluster.created(), seconds,
              cpu_seconds() - cpu, rate, published, aim, rate < aim ? "  missed" : "");
  std::fflush(stdout);
  return rate >= aim;
}

// Measures only scheduling decisions: no API, no events, no writes.
bool measure_decisions(const char* what, int nodes, int pods, const std::string& more, double aim) {
  if (pods <= 0) return true;
  Loop clock;
  BareView view;
  scheduler::Snapshot snapshot;
  for (int i = 0; i < nodes; ++i) {
    Value node = make_node(i);
    node.set("status", node_status()["status"]);
    snapshot.set_node(node);
  }
  std::size_t turn = 0;
  const double cpu = cpu_seconds();
  const Duration from = clock.monotonic();
  for (int i = 0; i < pods; ++i) {
    Value object = make_pod(i, more);
    object.mut("metadata").set("uid", std::to_string(i));
    const scheduler::PodPtr pod = scheduler::make_pod_info(object);
    const scheduler::SchedulingDecision decision = scheduler::decide(*pod, snapshot, view, turn);
    if (decision.node.empty()) {
      std::fprintf(stderr, "%s\n", decision.message.c_str());
      std::exit(1);
    }
    snapshot.place(pod, decision.node);
  }
  const double seconds = std::chrono::duration<double>(clock.monotonic() - from).count(), rate = pods / seconds;
  std::printf("%-24s %6d %6d %9s %9.3f %9.3f %9.0f %13s %7.0f%s\n", what, nodes, pods, "", seconds, cpu_seconds() - cpu,
              rate, "", aim, rate < aim ? "  missed" : "");
  std::fflush(stdout);
  return rate >= aim;
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  auto number = [&](int at, int fallback) { return argc > at ? std::atoi(argv[at]) : fallback; };
  const int nodes = number(1, 5000), pods = number(2, 20000), neighbours = number(3, 1000);
  const std::string selector = R"("labelSelector":{"matchLabels":{"app":"bench"}})";
  std::printf("%-24s %6s %6s %9s %9s %9s %9s %13s %7s\n", "from create to bound", "nodes", "pods", "created s",
              "bound s", "cpu s", "pods/s", "Kubernetes/s", "aim");
  const std::string apart =
      R"(,"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname",)" +
      selector + "}]}}";
  const std::string even =
      R"(,"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule",)" +
      selector + "}]";
  bool well = berth::measure("plain", nodes, pods, "", berth::kPublished, 5000);
  well &= berth::measure("anti-affinity by node", nodes, neighbours, apart, "-", 1000);
  well &= berth::measure("even spread over zones", nodes, neighbours, even, "-", 1000);
  well &= berth::measure_decisions("decisions alone, plain", nodes, pods, "", 10000);
  well &= berth::measure_decisions("... anti-affinity", nodes, neighbours, apart, 5000);
  well &= berth::measure_decisions("... even spread", nodes, neighbours, even, 5000);
  return well ? 0 : 1;
}
