#include "controllers/statefulset/controller.h"

#include <algorithm>
#include <map>

#include "controllers/shared/blocked_reason.h"
#include "controllers/shared/set_identity.h"
#include "controllers/statefulset/plan.h"

namespace berth::controllers::statefulset {
namespace {

using namespace api::resources;  // NOLINT

bool blocking_differs(const Value& before, const Value& after) {
  if (before["status"].same_node(after["status"]) || api::is_pod_ready(after)) return false;
  const BlockedReason a = blocked_reason_of(before), b = blocked_reason_of(after);
  return a.reason != b.reason || a.text != b.text;
}

// Ignore pod updates that change none of: ready, phase, owner, labels, deletion, blocking reason.
bool affects_plan(const Value& before, const Value& after) {
  if (before.is_null() || after.is_null()) return true;
  return before["status"]["phase"] != after["status"]["phase"] ||
         api::condition_of(before, "Ready") != api::condition_of(after, "Ready") ||
         before["metadata"]["deletionTimestamp"] != after["metadata"]["deletionTimestamp"] ||
         before["metadata"]["labels"] != after["metadata"]["labels"] ||
         before["metadata"]["ownerReferences"] != after["metadata"]["ownerReferences"] ||
         blocking_differs(before, after);
}

bool claim_affects_plan(const Value& before, const Value& after) {
  if (before.is_null() || after.is_null()) return true;
  return before["metadata"]["deletionTimestamp"] != after["metadata"]["deletionTimestamp"] ||
         before["metadata"]["ownerReferences"] != after["metadata"]["ownerReferences"] ||
         before["status"]["capacity"] != after["status"]["capacity"] ||
         before["status"]["conditions"] != after["status"]["conditions"];
}

bool counts_everything(const Value& budget) { return api::annotation_of(budget, api::kBudgetEverything) == "true"; }

bool has_ended(const Value& pod) {
  const std::string_view phase = pod["status"]["phase"].as_string();
  return phase == "Failed" || phase == "Succeeded";
}

void add_key(Keys& keys, std::string_view ns, std::string_view name) {
  std::string key = std::string(ns) + "/" + std::string(name);
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(std::move(key));
}

class StatefulSetController final : public Controller {
 public:
  StatefulSetController(InformerSet& informers, PlanFunction planner)
      : planner_(std::move(planner)),
        runtime_(informers.runtime()),
        sets_(informers.get(kStatefulSets)),
        pods_(informers.get(kPods)),
        claims_(informers.get(kPersistentVolumeClaims)),
        revisions_(informers.get(kControllerRevisions)),
        classes_(informers.get(kStorageClasses)),
        budgets_(informers.get(kPodDisruptionBudgets)) {
    pods_.add_index(index::kOwner, index::by_owner);
    pods_.add_index(index::kOrphans, index::by_orphan_namespace);
    claims_.add_index(index::kOwner, index::by_owner);
    revisions_.add_index(index::kOwner, index::by_owner);
    revisions_.add_index(index::kOrphans, index::by_orphan_namespace);
  }

  std::string name() const override { return "statefulset"; }
  std::string component() const override { return "statefulset-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(sets_));
    out.push_back(watch_mapped(pods_, [this](const Value& before, const Value& after, Keys& keys) {
      record_failure(before, after);
      if (affects_plan(before, after)) by_member(before, after, keys);
    }));
    out.push_back(watch_mapped(claims_, [this](const Value& before, const Value& after, Keys& keys) {
      if (claim_affects_plan(before, after)) by_claim(after.is_null() ? before : after, keys);
    }));
    out.push_back(watch_mapped(
        revisions_, [](const Value& before, const Value& after, Keys& keys) { by_owner(before, after, keys); }));
    out.push_back(watch_mapped(budgets_, [this](const Value& before, const Value& after, Keys& keys) {
      if (!counts_everything(before) && !counts_everything(after)) return;
      const std::string_view ns = api::namespace_of(after.is_null() ? before : after);
      for (const Value& set : sets_.list(std::string(ns))) add_key(keys, ns, api::name_of(set));
    }));
    // Read by plan(), but enqueues no keys: a class that starts to allow growth takes effect with the set's next plan.
    out.push_back(watch_mapped(classes_, [](const Value&, const Value&, Keys&) {}));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    StatefulSetView view;
    view.set = sets_.get(name);
    if (view.set.is_null()) {
      failures_.erase(key);
      return {};
    }
    const std::string uid(api::uid_of(view.set));
    view.pods = pods_.by_index(index::kOwner, uid);
    for (Value& pod : pods_.by_index(index::kOrphans, name.ns)) {
      if (parse_member_name(api::name_of(pod)).parent == name.name) view.orphans.push_back(std::move(pod));
    }
    view.revisions = revisions_.by_index(index::kOwner, uid);
    view.orphan_revisions = revisions_.by_index(index::kOrphans, name.ns);
    view.claims = claims_.by_index(index::kOwner, uid);
    auto lookup = [&](Informer& informer) -> Lookup {
      return [&informer, ns = name.ns](const std::string& object_name) -> const Value& {
        return informer.get(api::Name{ns, object_name});
      };
    };
    view.pod = lookup(pods_);
    view.claim = lookup(claims_);
    view.revision = lookup(revisions_);
    view.storage_class = [this](const std::string& class_name) -> const Value& {
      return classes_.get(api::Name{"", class_name});
    };
    for (Value& budget : budgets_.list(name.ns)) {
      if (counts_everything(budget)) view.budgets.push_back(std::move(budget));
    }
    view.failures = [this, &key, now](int ordinal) -> StatefulSetView::Failures {
      const auto set = failures_.find(key);
      if (set == failures_.end()) return {};
      const auto found = set->second.find(ordinal);
      if (found == set->second.end() || found->second.last + kLossesForgotten < now) return {};
      return found->second;
    };
    return planner_(view, now);
  }

 private:
  // Counts a pod that has just failed or been disrupted. Kept in memory only: after a restart the first replacement of
  // each pod is immediate.
  void record_failure(const Value& before, const Value& after) {
    if (after.is_null()) return;
    const Time now = runtime_.now();
    const bool disrupted = is_disrupted_young(before, after, now);
    const bool ended = has_ended(after) && !(has_ended(before) && api::uid_of(before) == api::uid_of(after)) &&
                       !api::is_terminating(after);
    if (!disrupted && !ended) return;
    const Value& owner = api::controller_of(after);
    if (owner["kind"].as_string() != "StatefulSet") return;
    const MemberName member = parse_member_name(api::name_of(after));
    StatefulSetView::Failures& failures =
        failures_[std::string(api::namespace_of(after)) + "/" + owner["name"].str()][member.ordinal];
    // A pod that ended and is then deleted by a controller counts once.
    if (!(disrupted && has_ended(before)))
      failures.count = failures.last + kLossesForgotten < now ? 1 : failures.count + 1;
    failures.last = now;
    failures.disrupted = disrupted;
    failures.revision = api::label_of(after, kRevisionLabel);
  }

  static void by_owner(const Value& before, const Value& after, Keys& keys) {
    for (const Value* object : {&before, &after}) {
      const Value& owner = api::controller_of(*object);
      if (owner["kind"].as_string() == "StatefulSet" && owner["apiVersion"].as_string().starts_with("apps/")) {
        add_key(keys, api::namespace_of(*object), owner["name"].as_string());
      }
    }
  }

  // Keys: the set that owns the pod, and the set whose replica has the pod's name.
  void by_member(const Value& before, const Value& after, Keys& keys) const {
    by_owner(before, after, keys);
    const Value& pod = after.is_null() ? before : after;
    const std::string_view parent = parse_member_name(api::name_of(pod)).parent;
    if (!parent.empty() && !sets_.get(api::namespace_of(pod), parent).is_null())
      add_key(keys, api::namespace_of(pod), parent);
  }

  // "<template>-<set>-<ordinal>": template and set may contain dashes; enqueue each existing set that the name could
  // belong to.
  void by_claim(const Value& claim, Keys& keys) const {
    const std::string_view rest = parse_member_name(api::name_of(claim)).parent;
    for (std::size_t dash = rest.find('-'); dash != std::string_view::npos; dash = rest.find('-', dash + 1)) {
      const std::string_view set = rest.substr(dash + 1);
      if (!sets_.get(api::namespace_of(claim), set).is_null()) add_key(keys, api::namespace_of(claim), set);
    }
  }

  PlanFunction planner_;
  Runtime& runtime_;
  Informer& sets_;
  Informer& pods_;
  Informer& claims_;
  Informer& revisions_;
  Informer& classes_;
  Informer& budgets_;
  std::map<std::string, std::map<int, StatefulSetView::Failures>> failures_;  // by key of the set, then by ordinal
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, PlanFunction planner) {
  return std::make_unique<StatefulSetController>(informers, std::move(planner));
}

}  // namespace berth::controllers::statefulset
