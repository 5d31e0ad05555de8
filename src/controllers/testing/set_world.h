#pragma once
// A StatefulSet and its objects as the planner sees them, to which plans can be applied. For tests.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/time/time.h"
#include "controllers/statefulset/plan.h"

namespace berth::controllers::statefulset {

using namespace api::resources;  // NOLINT

inline const Time kNow = parse_time("2026-01-02T03:04:05Z").value();

struct SetWorld {
  Value set;
  std::map<std::string, Value> pods, claims, revisions;
  std::map<std::string, Value> classes;
  std::vector<Value> orphans, orphan_revisions, budgets;
  std::map<int, StatefulSetView::Failures> failures;
  Time now = kNow;
  int uids = 0;

  explicit SetWorld(int replicas, bool parallel = false) {
    set = json::parse(R"({"apiVersion":"apps/v1","kind":"StatefulSet",
      "metadata":{"name":"web","namespace":"default","uid":"set-uid","generation":1,"resourceVersion":"1"},
      "spec":{"replicas":1,"serviceName":"svc","podManagementPolicy":"OrderedReady",
        "selector":{"matchLabels":{"app":"web"}},"revisionHistoryLimit":10,
        "updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":0}},
        "template":{"metadata":{"labels":{"app":"web","tier":"db"},"annotations":{"note":"x"}},
          "spec":{"containers":[{"name":"c","image":"i:1"}],"volumes":[{"name":"tmp","emptyDir":{}},{"name":"data","emptyDir":{}}]}},
        "volumeClaimTemplates":[{"metadata":{"name":"data","labels":{"own":"label"}},
          "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]},
      "status":{"replicas":0,"availableReplicas":0}})")
              .value();
    spec().set("replicas", replicas);
    if (parallel) spec().set("podManagementPolicy", "Parallel");
  }
  Value& spec() { return set.mut("spec"); }

  StatefulSetView view() const {
    StatefulSetView out;
    out.set = set;
    for (const auto& [name, pod] : pods) {
      if (api::is_controlled_by(pod, api::uid_of(set))) out.pods.push_back(pod);
    }
    for (const auto& [name, revision] : revisions) out.revisions.push_back(revision);
    for (const auto& [name, claim] : claims) {
      if (api::is_controlled_by(claim, api::uid_of(set))) out.claims.push_back(claim);
    }
    out.orphans = orphans;
    out.orphan_revisions = orphan_revisions;
    auto lookup = [](const std::map<std::string, Value>& all) -> Lookup {
      return [&all](const std::string& name) -> const Value& {
        static const Value none;
        auto found = all.find(name);
        return found == all.end() ? none : found->second;
      };
    };
    out.pod = lookup(pods);
    out.claim = lookup(claims);
    out.revision = lookup(revisions);
    out.storage_class = lookup(classes);
    out.budgets = budgets;
    out.failures = [this](int ordinal) {
      auto found = failures.find(ordinal);
      return found == failures.end() ? StatefulSetView::Failures{} : found->second;
    };
    return out;
  }
  Plan plan() const { return plan_set(view(), now); }
  Plan plan(Time at) const { return plan_set(view(), at); }

  static std::string text(const Action& action) {
    static const std::map<Action::Verb, std::string> verbs = {{Action::Verb::kCreate, "create"},
                                                              {Action::Verb::kUpdate, "update"},
                                                              {Action::Verb::kPatch, "patch"},
                                                              {Action::Verb::kDelete, "delete"},
                                                              {Action::Verb::kConfirm, "confirm"}};
    return verbs.at(action.verb) + (action.subresource.empty() ? "" : " " + action.subresource) + " " +
           action.name.name;
  }
  // All writes of a plan in an order in which the driver may execute them, without status.
  static std::vector<std::string> steps(const Plan& plan) {
    std::vector<std::string> out;
    for (const Action& action : plan.first) out.push_back(text(action));
    for (const auto& chain : plan.chains) {
      for (const Action& action : chain) out.push_back(text(action));
    }
    for (const Action& action : plan.then) {
      if (action.subresource != "status") out.push_back(text(action));
    }
    return out;
  }

  static void merge(Value& target, const Value& change) {
    for (const auto& member : change.entries()) {
      if (member.value.is_null()) {
        target.erase(member.key);
      } else if (member.value.is_object() && target[member.key].is_object()) {
        merge(target.mut(member.key), member.value);
      } else {
        target.set(member.key, member.value);
      }
    }
  }
  void apply(const Action& action) {
    Value object = action.object;
    if (action.subresource == "status") {
      set.set("status", object["status"]);
      return;
    }
    if (action.verb == Action::Verb::kConfirm) return;
    if (action.resource == kStatefulSets) {
      for (const auto& member : object["metadata"].entries()) set.mut("metadata").set(member.key, member.value);
      return;
    }
    auto& all = action.resource == kPods ? pods : action.resource == kPersistentVolumeClaims ? claims : revisions;
    if (action.verb == Action::Verb::kDelete && action.resource == kPods) {
      all[action.name.name].mut("metadata").set("deletionTimestamp", format_time(kNow));
    } else if (action.verb == Action::Verb::kDelete) {
      all.erase(action.name.name);
    } else if (action.verb == Action::Verb::kCreate || action.verb == Action::Verb::kUpdate) {
      EXPECT_TRUE(action.verb == Action::Verb::kUpdate || !all.count(action.name.name)) << action.name.name;
      if (action.verb == Action::Verb::kCreate) object.mut("metadata").set("uid", "uid-" + std::to_string(++uids));
      if (action.resource == kPods) object.set("status", Value::object({{"phase", "Pending"}}));
      all[action.name.name] = object;
    } else if (action.verb == Action::Verb::kPatch) {
      merge(all[action.name.name], object);
    }
  }
  // Plans and applies once; returns the writes.
  std::vector<std::string> sync() {
    Plan made = plan();
    for (const Action& action : made.first) apply(action);
    for (const auto& chain : made.chains) {
      for (const Action& action : chain) apply(action);
    }
    for (const Action& action : made.then) apply(action);
    return steps(made);
  }
  void ready(const std::string& name, bool yes = true, std::string_view since = "2026-01-01T00:00:00Z") {
    pods[name].set("status",
                   Value::object({{"phase", "Running"},
                                  {"conditions", Value::array({Value::object({{"type", "Ready"},
                                                                              {"status", yes ? "True" : "False"},
                                                                              {"lastTransitionTime", since}})})}}));
  }
  void phase(const std::string& name, std::string_view phase) {
    pods[name].set("status", Value::object({{"phase", phase}}));
  }
  // Removes pods that are being deleted, as the agent does.
  void finish_deletions() {
    std::erase_if(pods, [](const auto& entry) { return api::is_terminating(entry.second); });
  }
  // Syncs until there is no change; every new pod becomes ready, every terminating one is removed.
  void run_until_idle() {
    for (int i = 0; i < 1000; ++i) {
      const auto before = set;
      bool changed = !sync().empty() || set != before;
      for (auto& [name, pod] : pods) {
        if (api::is_terminating(pod)) changed = true;
        if (pod["status"]["phase"].as_string() == "Pending") {
          ready(name);
          changed = true;
        }
      }
      finish_deletions();
      if (!changed) return;
    }
    ADD_FAILURE() << "does not settle";
  }
  // The message of the condition Progressing.
  std::string waits() const { return api::condition_of(set, "Progressing")["message"].str(); }
  std::string wait_reason() const { return api::condition_of(set, "Progressing")["reason"].str(); }
  void ask(std::string_view annotation, std::string_view value) {
    set.mut("metadata").mut("annotations").set(annotation, value);
  }
  Value status() const { return set["status"]; }
  std::string revision_of(const std::string& pod) {
    return pods.at(pod)["metadata"]["labels"]["controller-revision-hash"].str();
  }
  void image(std::string_view image) {
    spec().mut("template").mut("spec").mut("containers").mut(std::size_t{0}).set("image", image);
    set.mut("metadata").set("generation", set["metadata"]["generation"].as_int() + 1);
  }
};

}  // namespace berth::controllers::statefulset
