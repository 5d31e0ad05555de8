#include "controllers/disruption/controller.h"

#include "api/selector.h"
#include "controllers/disruption/plan.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::disruption {
namespace {

using namespace api::resources;  // NOLINT

class DisruptionController final : public Controller {
 public:
  explicit DisruptionController(InformerSet& informers)
      : budgets_(informers.get(kPodDisruptionBudgets)),
        pods_(informers.get(kPods)),
        sets_(informers.get(kReplicaSets)),
        deployments_(informers.get(kDeployments)),
        stateful_sets_(informers.get(kStatefulSets)),
        replication_controllers_(informers.get(kReplicationControllers)) {}
  std::string name() const override { return "disruption"; }
  std::string component() const override { return "controllermanager"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(budgets_));
    out.push_back(watch_mapped(pods_, [this](const Value& before, const Value& after, Keys& keys) {
      if (!before.is_null() && !after.is_null() && api::is_pod_ready(before) == api::is_pod_ready(after) &&
          api::labels_of(before) == api::labels_of(after) &&
          api::is_terminating(before) == api::is_terminating(after)) {
        return;
      }
      const Value& pod = after.is_null() ? before : after;
      for (const Value& budget : budgets_.list(api::namespace_of(pod))) {
        const auto selector = api::LabelSelector::of_object(budget["spec"]["selector"]);
        if (!selector.ok()) continue;
        const bool touched = (!before.is_null() && selector->matches(api::labels_of(before))) ||
                             (!after.is_null() && selector->matches(api::labels_of(after)));
        if (touched) keys.push_back(key_of(budget));
      }
    }));
    // Percentages are of the controllers' sizes.
    for (Informer* informer : {&sets_, &deployments_, &stateful_sets_, &replication_controllers_}) {
      out.push_back(watch_mapped(*informer, [this](const Value& before, const Value& after, Keys& keys) {
        const bool same_size = !before.is_null() && !after.is_null() &&
                               before["spec"]["replicas"] == after["spec"]["replicas"] &&
                               api::is_terminating(before) == api::is_terminating(after);
        if (same_size || before.is_null()) return;
        for (const Value& budget : budgets_.list(api::namespace_of(before))) keys.push_back(key_of(budget));
      }));
    }
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    BudgetView view;
    const api::Name name = name_of_key(key);
    view.budget = budgets_.get(name);
    if (view.budget.is_null()) return {};
    const auto selector = api::LabelSelector::of_object(view.budget["spec"]["selector"]);
    if (selector.ok()) {
      for (Value& pod : pods_.list(name.ns)) {
        if (selector->matches(api::labels_of(pod))) view.pods.push_back(std::move(pod));
      }
    }
    view.scale_of = [this](const Value& pod) { return scale_of(pod); };
    view.unscalable = unscalable;
    Plan plan = plan_budget(view, now);
    plan.members = view.pods.size();
    return plan;
  }

 private:
  static std::optional<BudgetView::Scale> scale_from(const Value& object, const Value& reference) {
    if (object.is_null() || api::uid_of(object) != reference["uid"].as_string()) return std::nullopt;
    return BudgetView::Scale{reference["uid"].str(), count_in(object["spec"]["replicas"], 1),
                             api::is_terminating(object)};
  }
  std::optional<BudgetView::Scale> scale_of(const Value& pod) const {
    const Value& owner = api::controller_of(pod);
    const std::string_view ns = api::namespace_of(pod), kind = owner["kind"].as_string();
    if (kind == "StatefulSet") return scale_from(stateful_sets_.get(ns, owner["name"].as_string()), owner);
    if (kind == "ReplicationController")
      return scale_from(replication_controllers_.get(ns, owner["name"].as_string()), owner);
    if (kind != "ReplicaSet") return std::nullopt;
    const Value& set = sets_.get(ns, owner["name"].as_string());
    const Value& above = api::controller_of(set);
    if (above["kind"].as_string() == "Deployment" && api::uid_of(set) == owner["uid"].as_string()) {
      return scale_from(deployments_.get(ns, above["name"].as_string()), above);
    }
    return scale_from(set, owner);
  }
  static std::string unscalable(const Value& pod) {
    const std::string_view kind = api::controller_of(pod)["kind"].as_string();
    const char* resource = kind == "DaemonSet" ? "daemonsets.apps" : kind == "Job" ? "jobs.batch" : nullptr;
    return resource ? std::string(resource) + " does not implement the scale subresource" : "";
  }
  Informer& budgets_;
  Informer& pods_;
  Informer& sets_;
  Informer& deployments_;
  Informer& stateful_sets_;
  Informer& replication_controllers_;
};

class StaleDisruptionController final : public Controller {
 public:
  explicit StaleDisruptionController(InformerSet& informers) : pods_(informers.get(kPods)) {}
  std::string name() const override { return "stale-disruption"; }
  std::string component() const override { return "controllermanager"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(pods_, [](const Value& before, const Value& after, Keys& keys) {
      const Value& target = api::condition_of(after, "DisruptionTarget");
      if (target["status"].as_string() == "True" && target != api::condition_of(before, "DisruptionTarget"))
        keys.push_back(key_of(after));
    }));
    return out;
  }
  Plan plan(const std::string& key, Time now) override { return plan_stale(pods_.get(name_of_key(key)), now); }

 private:
  Informer& pods_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers) {
  return std::make_unique<DisruptionController>(informers);
}

std::unique_ptr<Controller> make_stale_controller(InformerSet& informers) {
  return std::make_unique<StaleDisruptionController>(informers);
}

std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers) {
  std::vector<std::unique_ptr<Controller>> out;
  out.push_back(make_controller(informers));
  out.push_back(make_stale_controller(informers));
  return out;
}

}  // namespace berth::controllers::disruption
