#include "controllers/daemonset/controller.h"

#include <map>

#include "api/selector.h"
#include "controllers/daemonset/nodes.h"
#include "controllers/daemonset/plan.h"

namespace berth::controllers::daemonset {
namespace {

using namespace api::resources;  // NOLINT

bool affects_plan(const Value& before, const Value& after) {
  if (before.is_null() || after.is_null()) return true;
  return before["status"]["phase"] != after["status"]["phase"] ||
         api::condition_of(before, "Ready") != api::condition_of(after, "Ready") ||
         before["spec"]["nodeName"] != after["spec"]["nodeName"] ||
         before["metadata"]["deletionTimestamp"] != after["metadata"]["deletionTimestamp"] ||
         before["metadata"]["labels"] != after["metadata"]["labels"] ||
         before["metadata"]["ownerReferences"] != after["metadata"]["ownerReferences"];
}

class DaemonSetController final : public Controller {
 public:
  explicit DaemonSetController(InformerSet& informers)
      : sets_(informers.get(kDaemonSets)),
        pods_(informers.get(kPods)),
        revisions_(informers.get(kControllerRevisions)),
        nodes_(informers.get(kNodes)) {
    for (Informer* informer : {&pods_, &revisions_}) {
      informer->add_index(index::kOwner, index::by_owner);
      informer->add_index(index::kOrphans, index::by_orphan_namespace);
    }
  }
  std::string name() const override { return "daemonset"; }
  std::string component() const override { return "daemonset-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(sets_, [this](const Value& before, const Value& after, Keys& keys) {
      const Value& set = after.is_null() ? before : after;
      if (after.is_null()) memory_.erase(std::string(api::uid_of(set)));
      keys.push_back(key_of(set));
    }));
    for (Informer* informer : {&pods_, &revisions_}) {
      WatchedCollection owners = watch_owner(*informer, "apps", "DaemonSet");
      const bool pods = informer == &pods_;
      out.push_back(watch_mapped(*informer, [this, pods, by_owner = std::move(owners.mapping)](
                                                const Value& before, const Value& after, Keys& keys) {
        if (pods && !affects_plan(before, after)) return;
        if (pods && after.is_null()) count_deleted(before);
        by_owner(before, after, keys);
        if (!after.is_null() && api::controller_of(after).is_null()) add_adopters(after, keys);
      }));
    }
    out.push_back(watch_mapped(nodes_, [this](const Value& before, const Value& after, Keys& keys) {
      if (same_node(before, after)) return;
      for (const Value& set : sets_.list()) {
        const bool there = !before.is_null() && !after.is_null();
        if (!there || eligibility_of(set, before) != eligibility_of(set, after)) keys.push_back(key_of(set));
      }
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    DaemonSetView view;
    view.set = sets_.get(name);
    if (view.set.is_null()) return {};
    const std::string uid(api::uid_of(view.set));
    view.pods = pods_.by_index(index::kOwner, uid);
    view.orphans = pods_.by_index(index::kOrphans, name.ns);
    view.revisions = revisions_.by_index(index::kOwner, uid);
    view.orphan_revisions = revisions_.by_index(index::kOrphans, name.ns);
    view.revision = [&](const std::string& wanted) -> const Value& {
      return revisions_.get(api::Name{name.ns, wanted});
    };
    view.nodes = nodes_.list();
    SetState& set_state = memory_[uid];
    const std::int64_t generation = view.set["status"]["observedGeneration"].as_int();
    if (set_state.generation != generation) set_state.backoffs.clear();
    set_state.generation = generation;
    view.backoffs = set_state.backoffs;
    view.deleted_pods = set_state.deleted_pods;
    PlanResult decision = plan_set(view, now);
    set_state.backoffs = std::move(decision.backoffs);
    return std::move(decision.plan);
  }

 private:
  struct SetState {
    std::int64_t generation = 0;  // of the back-offs
    NodeBackoffs backoffs;
    std::int64_t deleted_pods = 0;
  };

  // True if no field changed that decides about nodes for pods.
  static bool same_node(const Value& before, const Value& after) {
    return !before.is_null() && !after.is_null() && before["spec"] == after["spec"] &&
           api::labels_of(before) == api::labels_of(after);
  }
  void count_deleted(const Value& pod) {
    auto found = memory_.find(api::controller_of(pod)["uid"].str());
    if (found != memory_.end()) ++found->second.deleted_pods;
  }
  void add_adopters(const Value& orphan, Keys& keys) const {
    for (const Value& set : sets_.list(api::namespace_of(orphan))) {
      const auto selector = api::LabelSelector::of_object(set["spec"]["selector"]);
      if (selector.ok() && selector->matches(api::labels_of(orphan))) keys.push_back(key_of(set));
    }
  }

  Informer& sets_;
  Informer& pods_;
  Informer& revisions_;
  Informer& nodes_;
  std::map<std::string, SetState> memory_;  // by the set's uid
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers) {
  return std::make_unique<DaemonSetController>(informers);
}

}  // namespace berth::controllers::daemonset
