#include "controllers/deployment/controller.h"

#include "api/selector.h"
#include "controllers/deployment/plan.h"
#include "controllers/deployment/revisions.h"

namespace berth::controllers::deployment {
namespace {

using namespace api::resources;  // NOLINT

class DeploymentController final : public Controller {
 public:
  explicit DeploymentController(InformerSet& informers)
      : deployments_(informers.get(kDeployments)), sets_(informers.get(kReplicaSets)), pods_(informers.get(kPods)) {
    sets_.add_index(index::kOwner, index::by_owner);
    sets_.add_index(index::kOrphans, index::by_orphan_namespace);
    pods_.add_index(index::kOwner, index::by_owner);
  }
  std::string name() const override { return "deployment"; }
  std::string component() const override { return "deployment-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(deployments_));
    WatchedCollection owners = watch_owner(sets_, "apps", "Deployment");
    out.push_back(watch_mapped(
        sets_, [this, by_owner = std::move(owners.mapping)](const Value& before, const Value& after, Keys& keys) {
          by_owner(before, after, keys);
          if (after.is_null() || !api::controller_of(after).is_null()) return;
          for (const Value& one : deployments_.list(api::namespace_of(after))) {
            const auto selector = api::LabelSelector::of_object(one["spec"]["selector"]);
            if (selector.ok() && selector->matches(api::labels_of(after))) keys.push_back(key_of(one));
          }
        }));
    // Strategy Recreate waits until the last old pod is gone.
    out.push_back(watch_mapped(pods_, [this](const Value& before, const Value& after, Keys& keys) {
      if (before.is_null()) return;
      if (!after.is_null() && api::is_pod_terminal(after) == api::is_pod_terminal(before)) return;
      const Value& owner = api::controller_of(before);
      if (owner["kind"].as_string() != "ReplicaSet") return;
      const Value& set = sets_.get(api::namespace_of(before), owner["name"].as_string());
      const Value& set_owner = api::controller_of(set);
      if (set_owner["kind"].as_string() != "Deployment") return;
      const Value& one = deployments_.get(api::namespace_of(before), set_owner["name"].as_string());
      if (!one.is_null() && !is_rolling(one)) keys.push_back(key_of(one));
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    DeploymentView view;
    view.deployment = deployments_.get(name);
    if (view.deployment.is_null()) return {};
    view.sets = sets_.by_index(index::kOwner, std::string(api::uid_of(view.deployment)));
    view.orphans = sets_.by_index(index::kOrphans, name.ns);
    view.named = sets_.get(api::Name{name.ns, next_set_name(view.deployment)});
    if (!is_rolling(view.deployment)) {
      for (const Value& set : view.sets) {
        for (Value& pod : pods_.by_index(index::kOwner, std::string(api::uid_of(set))))
          view.pods.push_back(std::move(pod));
      }
    }
    return plan_deployment(view, now);
  }

 private:
  Informer& deployments_;
  Informer& sets_;
  Informer& pods_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers) {
  return std::make_unique<DeploymentController>(informers);
}

}  // namespace berth::controllers::deployment
