// Time until a StatefulSet's pods are ready if only the control plane takes time: the registry over the memory store,
// all controllers and the scheduler in this process, and simulated nodes on which a pod is Ready as soon as it is
// bound.
//   statefulset_bench [PARALLEL [ORDERED]]    number of replicas (default 5000 and 500; 0 skips that set)
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "api/schema/schema.h"
#include "apiserver/registry/registry.h"
#include "base/loop.h"
#include "base/time/time.h"
#include "main/control_plane.h"
#include "store/store.h"

namespace berth {
namespace {

using namespace api::resources;  // NOLINT

constexpr int kPodsPerNode = 110;
// Published figures for Kubernetes: from measurements of a set on a small cluster to the maximum that the default
// client rate limits of its controllers and scheduler allow.
constexpr const char* kPublished = "6 to 120";

void must(const Result<Value>& answer) {
  if (answer.ok()) return;
  std::fprintf(stderr, "refused: %s\n", answer.error().message.c_str());
  std::exit(1);
}

// Calls back with every changed object of a collection.
class Follower final : public client::WatchHandler {
 public:
  Follower(client::Client& client, api::Resource resource, Function<void(const Value&)> seen)
      : client_(client), resource_(std::move(resource)), seen_(std::move(seen)) {
    client_.list(resource_, {}, [this](Result<client::List> list) {
      for (const Value& item : list->items) seen_(item);
      handle_ = client_.watch(resource_, {}, list->resource_version, this);
    });
  }
  void on_event(std::string_view type, const Value& object) override {
    if (type == "ADDED" || type == "MODIFIED") seen_(object);
  }
  void on_end(const Error& error) override {
    std::fprintf(stderr, "a watch ended: %s\n", error.message.c_str());
    std::exit(1);
  }

 private:
  client::Client& client_;
  api::Resource resource_;
  Function<void(const Value&)> seen_;
  std::unique_ptr<client::WatchHandle> handle_;
};

class Bench {
 public:
  explicit Bench(int replicas)
      : replicas_(replicas),
        store_(store::open_memory_store(loop_)),
        registry_(loop_, *store_, api::schema::builtin()),
        client_(apiserver::registry::make_direct_client(registry_, {"system:bench", {"system:masters"}})) {}

  double seconds(bool parallel) {
    registry_.bootstrap([this] { make_nodes(); });
    until(made_nodes_);
    agents_ = std::make_unique<Follower>(*client_, kPods, [this](const Value& pod) { run_pod(pod); });
    accounts_ = std::make_unique<Follower>(*client_, kServiceAccounts, [this](const Value& account) {
      has_account_ |= api::namespace_of(account) == "default";
    });
    sets_ = std::make_unique<Follower>(*client_, kStatefulSets, [this](const Value& set) {
      ready_ |= set["status"]["readyReplicas"].as_int() == replicas_;
    });
    control_plane_ = std::make_unique<ControlPlane>(loop_, *client_, ControlPlaneConfig{});
    until(has_account_);
    const Duration start = loop_.monotonic();
    client_->create(kStatefulSets, make_set(parallel), {}, must);
    until(ready_);
    return std::chrono::duration<double>(loop_.monotonic() - start).count();
  }

 private:
  void until(const bool& done) {
    while (!done) loop_.run_once(1s);
  }

  void make_nodes() {
    waiting_ = replicas_ / kPodsPerNode + 1;
    for (int i = waiting_; i > 0; --i) {
      Value node = json::parse(R"({"apiVersion":"v1","kind":"Node","metadata":{},"status":{
          "capacity":{"cpu":"64","memory":"256Gi"},"allocatable":{"cpu":"64","memory":"256Gi"},
          "conditions":[{"type":"Ready","status":"True"}]}})")
                       .value();
      for (const char* field : {"capacity", "allocatable"})
        node.mut("status").mut(field).set("pods", std::to_string(kPodsPerNode));
      node.mut("metadata").set("name", "node-" + std::to_string(i));
      client_->create(kNodes, node, {}, [this, status = node["status"]](Result<Value> answer) {
        must(answer);
        Value full = answer.value();
        full.set("status", status);
        client_->update(kNodes, full, {.subresource = "status"}, [this](Result<Value> updated) {
          must(updated);
          made_nodes_ = --waiting_ == 0;
        });
      });
    }
  }

  static Value make_set(int replicas, bool parallel) {
    Value set = json::parse(R"({"apiVersion":"apps/v1","kind":"StatefulSet",
        "metadata":{"name":"web","namespace":"default"},
        "spec":{"serviceName":"web","selector":{"matchLabels":{"app":"web"}},
          "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}})")
                    .value();
    set.mut("spec").set("replicas", replicas).set("podManagementPolicy", parallel ? "Parallel" : "OrderedReady");
    return set;
  }
  Value make_set(bool parallel) const { return make_set(replicas_, parallel); }

  // The status that an agent writes while a pod runs, in one write.
  void run_pod(const Value& pod) {
    if (pod["spec"]["nodeName"].as_string().empty() || pod["status"]["phase"].as_string() != "Pending") return;
    const std::string now = format_time(loop_.now());
    Value conditions = Value::array({});
    for (const char* type : {"Initialized", "Ready", "ContainersReady"}) {
      conditions.push(Value::object({{"type", type}, {"status", "True"}, {"lastTransitionTime", now}}));
    }
    Value container = Value::object({{"name", "c"},
                                     {"image", "i:1"},
                                     {"imageID", "i"},
                                     {"ready", true},
                                     {"restartCount", 0},
                                     {"state", Value::object({{"running", Value::object({{"startedAt", now}})}})}});
    Value status = Value::object({{"phase", "Running"},
                                  {"startTime", now},
                                  {"podIP", "10.1.0.1"},
                                  {"conditions", std::move(conditions)},
                                  {"containerStatuses", Value::array({std::move(container)})}});
    Value change =
        Value::object({{"metadata", Value::object({{"uid", api::uid_of(pod)}})}, {"status", std::move(status)}});
    client_->patch(kPods, api::name_key(pod), api::PatchType::kStrategic, std::move(change),
                   {.subresource = "status", .field_manager = "kubelet"}, must);
  }

  Loop loop_;
  int replicas_;
  std::unique_ptr<store::Store> store_;
  apiserver::registry::Registry registry_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<ControlPlane> control_plane_;
  std::unique_ptr<Follower> agents_, accounts_, sets_;
  int waiting_ = 0;
  bool made_nodes_ = false, has_account_ = false, ready_ = false;
};

// CPU time of this process: the time on an otherwise idle machine.
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

bool measure(const char* name, int replicas, bool parallel, double aim) {
  if (replicas <= 0) return true;
  const double cpu = cpu_seconds();
  const double seconds = Bench(replicas).seconds(parallel);
  const double rate = replicas / seconds;
  std::printf("%-32s %8d %9.2f %9.2f %9.0f %14s %8.0f%s\n", name, replicas, seconds, cpu_seconds() - cpu, rate,
              kPublished, aim, rate < aim ? "  missed" : "");
  std::fflush(stdout);
  return rate >= aim;
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  const int parallel = argc > 1 ? std::atoi(argv[1]) : 5000, ordered = argc > 2 ? std::atoi(argv[2]) : 500;
  std::printf("%-32s %8s %9s %9s %9s %14s %8s\n", "from create to all Ready", "replicas", "seconds", "cpu s", "pods/s",
              "Kubernetes/s", "aim");
  bool well = berth::measure("Parallel", parallel, true, 5000);
  well &= berth::measure("OrderedReady", ordered, false, 300);
  return well ? 0 : 1;
}
