#include "controllers/replicaset/controller.h"

#include "api/selector.h"

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
  ReplicaSetController(InformerSet& informers, Form form)
      : form_(form), family_(family_of(form)), sets_(informers.get(family_.owner_resource)), pods_(informers.get(kPods)) {
    pods_.add_index(index::kOwner, index::by_owner);
    pods_.add_index(index::kOrphans, index::by_orphan_namespace);
    sets_.add_index(index::kOwner, index::by_owner);
  }
  std::string name() const override { return is_old() ? "replicationcontroller" : "replicaset"; }
  std::string component() const override { return is_old() ? "replication-controller" : "replicaset-controller"; }

  std::vector<Watching> watches() override {
    std::vector<Watching> out;
    out.push_back(watch_self(sets_));
    Watching owners = watch_owner(pods_, family_.owner_resource.group, family_.kind);
    out.push_back(watch_mapped(pods_, [this, by_owner = std::move(owners.mapping)](const Value& before, const Value& after, Keys& keys) {
      if (!matters(before, after)) return;
      by_owner(before, after, keys);
      if (after.is_null() || !api::controller_of(after).is_null()) return;
      // An orphan: whoever would adopt it.
      for (const Value& set : sets_.list(api::namespace_of(after))) {
        const auto selector = selector_of(form_, set);
        if (selector.ok() && selector->matches(api::labels_of(after))) keys.push_back(key_of(set));
      }
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    View view;
    view.form = form_;
    view.set = sets_.get(name);
    if (view.set.is_null()) return {};
    view.pods = pods_.by_index(index::kOwner, std::string(api::uid_of(view.set)));
    view.orphans = pods_.by_index(index::kOrphans, name.ns);
    const Value& above = api::controller_of(view.set);
    if (!above.is_null()) view.related = [this, uid = above["uid"].str()] { return pods_below(uid); };
    return plan_set(view, now);
  }

 private:
  bool is_old() const { return form_ == Form::kReplicationController; }
  std::vector<Value> pods_below(const std::string& uid) const {
    std::vector<Value> out;
    for (const Value& set : sets_.by_index(index::kOwner, uid)) {
      for (Value& pod : pods_.by_index(index::kOwner, std::string(api::uid_of(set)))) out.push_back(std::move(pod));
    }
    return out;
  }

  Form form_;
  Family family_;
  Informer& sets_;
  Informer& pods_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, Form form) { return std::make_unique<ReplicaSetController>(informers, form); }

}  // namespace berth::controllers::replicaset
