#include "controllers/replicaset/controller.h"

#include "api/selector.h"
#include "controllers/replicaset/plan.h"

namespace berth::controllers::replicaset {
namespace {

using namespace api::resources;  // NOLINT

bool matters(const Value& before, const Value& after) {
  if (before.is_null() || after.is_null()) return true;
  return before["status"]["phase"] != after["status"]["phase"] ||
         api::condition_of(before, "Ready") != api::condition_of(after, "Ready") ||
         before["metadata"]["deletionTimestamp"] != after["metadata"]["deletionTimestamp"] ||
         before["metadata"]["labels"] != after["metadata"]["labels"] ||
         before["metadata"]["ownerReferences"] != after["metadata"]["ownerReferences"];
}

class ReplicaSetController final : public Controller {
 public:
  explicit ReplicaSetController(InformerSet& informers) : sets_(informers.get(kReplicaSets)), pods_(informers.get(kPods)) {
    pods_.add_index(index::kOwner, index::by_owner);
    pods_.add_index(index::kOrphans, index::by_orphan_namespace);
  }
  std::string name() const override { return "replicaset"; }
  std::string component() const override { return "replicaset-controller"; }

  std::vector<Watching> watches() override {
    std::vector<Watching> out;
    out.push_back(watch_self(sets_));
    Watching owners = watch_owner(pods_, "apps", "ReplicaSet");
    out.push_back(watch_mapped(pods_, [this, by_owner = std::move(owners.mapping)](const Value& before, const Value& after, Keys& keys) {
      if (!matters(before, after)) return;
      by_owner(before, after, keys);
      if (after.is_null() || !api::controller_of(after).is_null()) return;
      // An orphan: whoever would adopt it.
      for (const Value& set : sets_.list(api::namespace_of(after))) {
        const auto selector = api::LabelSelector::of_object(set["spec"]["selector"]);
        if (selector.ok() && selector->matches(api::labels_of(after))) keys.push_back(key_of(set));
      }
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    View view;
    view.set = sets_.get(name);
    if (view.set.is_null()) return {};
    view.pods = pods_.by_index(index::kOwner, std::string(api::uid_of(view.set)));
    view.orphans = pods_.by_index(index::kOrphans, name.ns);
    return plan_set(view, now);
  }

 private:
  Informer& sets_;
  Informer& pods_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers) { return std::make_unique<ReplicaSetController>(informers); }

}  // namespace berth::controllers::replicaset
