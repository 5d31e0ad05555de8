#include "controllers/node/controller.h"

#include <map>
#include <set>

#include "controllers/shared/taints.h"

namespace berth::controllers::node {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::string_view kLeaseNamespace = "kube-node-lease";

// --- Health

class HealthController final : public Controller {
 public:
  HealthController(InformerSet& informers, NodeHealthConfig config)
      : config_(config),
        runtime_(informers.runtime()),
        nodes_(informers.get(kNodes)),
        leases_(informers.get(kLeases, api::ListOptions{std::string(kLeaseNamespace), "", ""})),
        pods_(informers.get(kPods)) {
    pods_.add_index(index::kNode, index::by_node);
  }
  std::string name() const override { return "node-health"; }
  std::string component() const override { return "node-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(nodes_, [this](const Value& before, const Value& after, Keys& keys) {
      if (after.is_null()) {
        heartbeats_.erase(std::string(api::name_of(before)));
        planned_.erase(std::string(api::name_of(before)));
        return;
      }
      const Value& beat = api::condition_of(after, "Ready")["lastHeartbeatTime"];
      if (before.is_null() || beat != api::condition_of(before, "Ready")["lastHeartbeatTime"])
        record_heartbeat(api::name_of(after));
      if (before.is_null() || before["spec"] != after["spec"] || statuses(before) != statuses(after))
        keys.emplace_back(api::name_of(after));
    }));
    out.push_back(watch_mapped(leases_, [this](const Value& before, const Value& after, Keys& keys) {
      if (after.is_null() || api::namespace_of(after) != kLeaseNamespace) return;
      if (!before.is_null() && before["spec"]["renewTime"] == after["spec"]["renewTime"]) return;
      // Ignore a mere renewal: the armed timer reads the time of the last one when it fires.
      if (record_heartbeat(api::name_of(after))) keys.emplace_back(api::name_of(after));
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    HealthView view;
    view.node = nodes_.get("", key);
    if (view.node.is_null()) return {};
    auto [at, fresh] = heartbeats_.try_emplace(key, runtime_.monotonic());
    view.silent = runtime_.monotonic() - at->second;
    view.unknown = planned_.insert(key).second;
    if (view.silent >= config_.grace) view.pods = pods_.by_index(index::kNode, key);
    Plan plan = plan_health(view, config_, now);
    plan.members = view.pods.size();
    return plan;
  }

 private:
  // Records a heartbeat. Returns true if the node had been silent for the grace period.
  bool record_heartbeat(std::string_view node) {
    auto [at, fresh] = heartbeats_.try_emplace(std::string(node), runtime_.monotonic());
    const bool late = runtime_.monotonic() - at->second >= config_.grace;
    at->second = runtime_.monotonic();
    return late;
  }
  static Value statuses(const Value& node) {
    Value out = Value::object();
    for (const Value& one : node["status"]["conditions"]) out.set(one["type"].as_string(), one["status"]);
    return out;
  }

  NodeHealthConfig config_;
  Runtime& runtime_;
  Informer& nodes_;
  Informer& leases_;
  Informer& pods_;
  std::map<std::string, Duration> heartbeats_;  // monotonic time of each node's last heartbeat
  std::set<std::string> planned_;               // nodes that were planned before
};

// --- Eviction

bool has_no_execute(const Value& node) {
  for (const Value& taint : node["spec"]["taints"]) {
    if (taint["effect"].as_string() == "NoExecute") return true;
  }
  return false;
}

class EvictionController final : public Controller {
 public:
  explicit EvictionController(InformerSet& informers)
      : runtime_(informers.runtime()), nodes_(informers.get(kNodes)), pods_(informers.get(kPods)) {
    pods_.add_index(index::kNode, index::by_node);
  }
  std::string name() const override { return "taint-eviction"; }
  std::string component() const override { return "taint-eviction-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(nodes_, [this](const Value& before, const Value& after, Keys& keys) {
      record_taints(after.is_null() ? before : after, after["spec"]["taints"]);
      if (!has_no_execute(after)) return;
      if (before.is_null() || before["spec"]["taints"] != after["spec"]["taints"])
        keys.emplace_back(api::name_of(after));
    }));
    out.push_back(watch_mapped(pods_, [this](const Value& before, const Value& after, Keys& keys) {
      const std::string_view node = after["spec"]["nodeName"].as_string();
      if (node.empty() || (!before.is_null() && before["spec"] == after["spec"])) return;
      if (has_no_execute(nodes_.get("", node))) keys.emplace_back(node);
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    EvictionView view;
    view.node = nodes_.get("", key);
    if (!has_no_execute(view.node)) return {};
    view.pods = pods_.by_index(index::kNode, key);
    view.seen = seen_[key];
    Plan plan = plan_eviction(view, now);
    plan.members = view.pods.size();
    return plan;
  }

 private:
  // Retains the first-seen times of taints that are still present.
  void record_taints(const Value& node, const Value& taints) {
    const std::string name(api::name_of(node));
    std::map<std::string, Time> old_times = std::move(seen_[name]), new_times;
    for (const Value& taint : taints) {
      if (taint["effect"].as_string() != kNoExecute) continue;
      const std::string key = taint_key(taint);
      const auto known = old_times.find(key);
      new_times[key] = known == old_times.end() ? runtime_.now() : known->second;
    }
    if (new_times.empty()) {
      seen_.erase(name);
    } else {
      seen_[name] = std::move(new_times);
    }
  }

  Runtime& runtime_;
  Informer& nodes_;
  Informer& pods_;
  std::map<std::string, std::map<std::string, Time>> seen_;  // by node and taint_key()
};

}  // namespace

std::unique_ptr<Controller> make_health_controller(InformerSet& informers, NodeHealthConfig config) {
  return std::make_unique<HealthController>(informers, config);
}
std::unique_ptr<Controller> make_eviction_controller(InformerSet& informers) {
  return std::make_unique<EvictionController>(informers);
}

std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers, NodeHealthConfig config) {
  std::vector<std::unique_ptr<Controller>> out;
  out.push_back(make_health_controller(informers, config));
  out.push_back(make_eviction_controller(informers));
  return out;
}

}  // namespace berth::controllers::node
