#include "controllers/replicaset/controller.h"

#include "api/selector.h"
#include "controllers/shared/losses.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::replicaset {
namespace {

using namespace api::resources;  // NOLINT

bool affects_plan(const Value& before, const Value& after) {
  if (before.is_null() || after.is_null()) return true;
  return before["status"]["phase"] != after["status"]["phase"] ||
         api::condition_of(before, "Ready") != api::condition_of(after, "Ready") ||
         before["metadata"]["deletionTimestamp"] != after["metadata"]["deletionTimestamp"] ||
         before["metadata"]["labels"] != after["metadata"]["labels"] ||
         before["metadata"]["ownerReferences"] != after["metadata"]["ownerReferences"];
}

class ReplicaSetController final : public Controller {
 public:
  ReplicaSetController(InformerSet& informers, OwnerKind owner_kind)
      : owner_kind_(owner_kind),
        ownership_(ownership_of(owner_kind)),
        runtime_(informers.runtime()),
        sets_(informers.get(ownership_.owner_resource)),
        pods_(informers.get(kPods)) {
    pods_.add_index(index::kOwner, index::by_owner);
    pods_.add_index(index::kOrphans, index::by_orphan_namespace);
    sets_.add_index(index::kOwner, index::by_owner);
  }
  std::string name() const override { return is_replication_controller() ? "replicationcontroller" : "replicaset"; }
  std::string component() const override {
    return is_replication_controller() ? "replication-controller" : "replicaset-controller";
  }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(sets_, [this](const Value& before, const Value& after, Keys& keys) {
      const Value& set = after.is_null() ? before : after;
      // The losses of an earlier template say nothing about the next pods.
      if (after.is_null() || before["spec"]["template"] != after["spec"]["template"])
        losses_.forget(std::string(api::uid_of(set)));
      keys.push_back(key_of(set));
    }));
    WatchedCollection owners = watch_owner(pods_, ownership_.owner_resource.group, ownership_.kind);
    out.push_back(watch_mapped(
        pods_, [this, by_owner = std::move(owners.mapping)](const Value& before, const Value& after, Keys& keys) {
          record_loss(before, after);
          if (!affects_plan(before, after)) return;
          by_owner(before, after, keys);
          if (after.is_null() || !api::controller_of(after).is_null()) return;
          // An orphan: enqueue the sets that would adopt it.
          for (const Value& set : sets_.list(api::namespace_of(after))) {
            const auto selector = selector_of(owner_kind_, set);
            if (selector.ok() && selector->matches(api::labels_of(after))) keys.push_back(key_of(set));
          }
        }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    ReplicaSetView view;
    view.owner_kind = owner_kind_;
    view.set = sets_.get(name);
    if (view.set.is_null()) return {};
    view.pods = pods_.by_index(index::kOwner, std::string(api::uid_of(view.set)));
    view.orphans = pods_.by_index(index::kOrphans, name.ns);
    const std::string uid(api::uid_of(view.set));
    view.held_until = losses_.held_until(uid, now);
    view.losses = losses_.count(uid);
    view.report_delay = view.held_until > now && losses_.should_report(uid);
    const Value& parent = api::controller_of(view.set);
    if (!parent.is_null()) view.related = [this, uid = parent["uid"].str()] { return pods_below(uid); };
    return plan_set(view, now);
  }

 private:
  void record_loss(const Value& before, const Value& after) {
    const Time now = runtime_.now();
    if (!is_lost_young(before, after, now)) return;
    const Value& owner = api::controller_of(after);
    const Value& set = sets_.get(api::namespace_of(after), owner["name"].as_string());
    if (owner["kind"].as_string() == ownership_.kind && owner["uid"].as_string() == api::uid_of(set) && !set.is_null())
      losses_.record_loss(std::string(api::uid_of(set)), count_in(set["spec"]["replicas"], 1), now);
  }
  bool is_replication_controller() const { return owner_kind_ == OwnerKind::kReplicationController; }
  std::vector<Value> pods_below(const std::string& uid) const {
    std::vector<Value> out;
    for (const Value& set : sets_.by_index(index::kOwner, uid)) {
      for (Value& pod : pods_.by_index(index::kOwner, std::string(api::uid_of(set)))) out.push_back(std::move(pod));
    }
    return out;
  }

  OwnerKind owner_kind_;
  Ownership ownership_;
  Runtime& runtime_;
  Losses losses_;  // by the set's uid
  Informer& sets_;
  Informer& pods_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, OwnerKind owner_kind) {
  return std::make_unique<ReplicaSetController>(informers, owner_kind);
}

}  // namespace berth::controllers::replicaset
