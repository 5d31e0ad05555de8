#include "controllers/replicaset/controller.h"

#include "api/selector.h"
#include "controllers/shared/losses.h"
#include "controllers/shared/numbers.h"

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
      : form_(form),
        family_(family_of(form)),
        runtime_(informers.runtime()),
        sets_(informers.get(family_.owner_resource)),
        pods_(informers.get(kPods)) {
    pods_.add_index(index::kOwner, index::by_owner);
    pods_.add_index(index::kOrphans, index::by_orphan_namespace);
    sets_.add_index(index::kOwner, index::by_owner);
  }
  std::string name() const override { return is_old() ? "replicationcontroller" : "replicaset"; }
  std::string component() const override { return is_old() ? "replication-controller" : "replicaset-controller"; }

  std::vector<Watching> watches() override {
    std::vector<Watching> out;
    out.push_back(watch_mapped(sets_, [this](const Value& before, const Value& after, Keys& keys) {
      const Value& set = after.is_null() ? before : after;
      // With another template, or gone, what befell the pods says nothing of the next ones.
      if (after.is_null() || before["spec"]["template"] != after["spec"]["template"])
        losses_.forget(std::string(api::uid_of(set)));
      keys.push_back(key_of(set));
    }));
    Watching owners = watch_owner(pods_, family_.owner_resource.group, family_.kind);
    out.push_back(watch_mapped(
        pods_, [this, by_owner = std::move(owners.mapping)](const Value& before, const Value& after, Keys& keys) {
          note_loss(before, after);
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
    const std::string uid(api::uid_of(view.set));
    view.held_until = losses_.held_until(uid, now);
    view.losses = losses_.count(uid);
    view.tell_hold = view.held_until > now && losses_.tell(uid);
    const Value& above = api::controller_of(view.set);
    if (!above.is_null()) view.related = [this, uid = above["uid"].str()] { return pods_below(uid); };
    return plan_set(view, now);
  }

 private:
  void note_loss(const Value& before, const Value& after) {
    const Time now = runtime_.now();
    if (!is_lost_young(before, after, now)) return;
    const Value& owner = api::controller_of(after);
    const Value& set = sets_.get(api::namespace_of(after), owner["name"].as_string());
    if (owner["kind"].as_string() == family_.kind && owner["uid"].as_string() == api::uid_of(set) && !set.is_null())
      losses_.note(std::string(api::uid_of(set)), count_in(set["spec"]["replicas"], 1), now);
  }
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
  Runtime& runtime_;
  Losses losses_;  // by the set's uid
  Informer& sets_;
  Informer& pods_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, Form form) {
  return std::make_unique<ReplicaSetController>(informers, form);
}

}  // namespace berth::controllers::replicaset
