// 2,000 seeded histories, and a planted bug for each checker.
//
// To repeat one seed and print all changes: BERTH_SIM_SEED=17 sim_test --gtest_filter=Simulation.OneSeed
// To run 20,000: BERTH_SIM_LONG=1 sim_test --gtest_filter=Simulation.Histories
// To run another range: BERTH_SIM_FIRST=100000 BERTH_SIM_COUNT=5000 sim_test --gtest_filter=Simulation.Histories

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>

#include "base/loop.h"
#include "controllers/shared/set_identity.h"
#include "sim/scenarios/caught.h"
#include "sim/scenarios/history.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using controllers::Plan;
using controllers::statefulset::plan_set;
using controllers::statefulset::StatefulSetView;

std::uint64_t number(const char* variable, std::uint64_t fallback) {
  const char* text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : fallback;
}

// Every fourth history has only faults of the pods themselves.
HistoryOptions history_of(std::uint64_t seed) { return {.seed = seed, .faults = seed % 4 != 0}; }

void print(std::uint64_t seed, const HistoryOutcome& outcome) {
  std::printf("seed %llu: %llu steps, %.0f virtual seconds, %llu changes\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(outcome.steps), outcome.virtual_seconds,
              static_cast<unsigned long long>(outcome.changes));
  for (const std::string& violation : outcome.violations) std::printf("  %s\n", violation.c_str());
}

TEST(Simulation, Histories) {
  const std::uint64_t first = number("BERTH_SIM_FIRST", 1);
  const std::uint64_t count = number("BERTH_SIM_COUNT", std::getenv("BERTH_SIM_LONG") ? 20'000 : 2000);
  const Loop wall;
  const Duration start = wall.monotonic();
  std::atomic<std::uint64_t> next{first}, steps{0}, changes{0};
  std::mutex mutex;
  std::vector<std::pair<std::uint64_t, HistoryOutcome>> failed;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t seed; (seed = next++) < first + count;) {
        HistoryOutcome outcome = run_history(history_of(seed));
        steps += outcome.steps;
        changes += outcome.changes;
        if (outcome.violations.empty()) continue;
        std::lock_guard lock(mutex);
        failed.emplace_back(seed, std::move(outcome));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(wall.monotonic() - start).count();
  std::printf("%llu histories, %llu steps, %llu changes in %.1f s: %.0f seeds/s on %zu threads\n",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(steps.load()),
              static_cast<unsigned long long>(changes.load()), seconds, static_cast<double>(count) / seconds,
              threads.size());
  for (const auto& [seed, outcome] : failed) {
    ADD_FAILURE() << "seed " << seed << ": " << outcome.violations.front() << "\n  again: BERTH_SIM_SEED=" << seed
                  << " sim_test --gtest_filter=Simulation.OneSeed";
  }
  EXPECT_GT(changes.load(), count * 20);  // there were changes
}

TEST(Simulation, OneSeed) {
  const std::uint64_t seed = number("BERTH_SIM_SEED", 1);
  HistoryOptions options = history_of(seed);
  options.trace = std::getenv("BERTH_SIM_SEED") != nullptr;
  const HistoryOutcome outcome = run_history(options);
  print(seed, outcome);
  EXPECT_TRUE(outcome.violations.empty());
}

TEST(Simulation, TheSameSeedIsTheSameHistory) {
  for (std::uint64_t seed : {3, 4}) {
    const HistoryOutcome a = run_history(history_of(seed)), b = run_history(history_of(seed));
    EXPECT_EQ(a.steps, b.steps);
    EXPECT_EQ(a.changes, b.changes);
    EXPECT_EQ(a.violations, b.violations);
  }
}

// --- Planted bugs

TEST(PlantedBug, AStoreThatAnswersBeforeItWritesLosesData) {
  EXPECT_TRUE(is_caught("durable", HistoryOptions{.disk_lies = true}));
}

TEST(PlantedBug, AnEventThatIsNeverDeliveredIsSeenInTheCaches) {
  EXPECT_TRUE(is_caught("cache", HistoryOptions{.faults = false, .swallowed_event = 0.02}));
}

TEST(PlantedBug, ForcedDeletionMakesTwoOfOneIdentity) {
  EXPECT_TRUE(is_caught("identity", [](const StatefulSetView& view, Time now) {
    Plan plan = plan_set(view, now);
    // Bug: terminating pods are deleted by force.
    for (const Value& pod : view.pods) {
      if (api::is_terminating(pod)) plan.add(controllers::remove(kPods, pod, 0));
    }
    return plan;
  }));
}

Plan in_parallel(const StatefulSetView& view, Time now) {
  StatefulSetView hasty = view;
  if (!view.set.is_null()) hasty.set.mut("spec").set("podManagementPolicy", "Parallel");
  return plan_set(hasty, now);
}

TEST(PlantedBug, CreatingWithoutWaitingBreaksTheOrder) {
  EXPECT_TRUE(is_caught("order", in_parallel, "was created before"));
}

TEST(PlantedBug, RemovingFromTheFrontBreaksTheOrder) {
  EXPECT_TRUE(is_caught(
      "order",
      [](const StatefulSetView& view, Time now) {
        Plan plan = plan_set(view, now);
        const auto set_spec = controllers::parse_set_spec(view.set);
        for (const Value& pod : view.pods) {
          if (!set_spec.in_range(controllers::parse_member_name(api::name_of(pod)).ordinal) &&
              !api::is_terminating(pod)) {
            plan.chains.clear();
            plan.add(controllers::remove(kPods, pod));  // the first one, not the last
            break;
          }
        }
        return plan;
      },
      "was removed before"));
}

TEST(PlantedBug, RollingEverythingAtOnceIsSeen) {
  EXPECT_TRUE(is_caught("budget", [](const StatefulSetView& view, Time now) {
    Plan plan = plan_set(view, now);
    const std::string_view update = view.set["status"]["updateRevision"].as_string();
    for (const Value& pod : view.pods) {
      if (api::label_of(pod, controllers::kRevisionLabel) != update && !api::is_terminating(pod) && !update.empty()) {
        plan.add(controllers::remove(kPods, pod));
      }
    }
    return plan;
  }));
}

// A planner that sees another rolling update than the set specifies.
controllers::statefulset::PlanFunction planner_with_field(std::string_view field, Value value) {
  return [field, value](const StatefulSetView& view, Time now) {
    StatefulSetView other = view;
    if (view.set["spec"]["updateStrategy"]["rollingUpdate"].is_object())
      other.set.mut("spec").mut("updateStrategy").mut("rollingUpdate").set(field, value);
    return plan_set(other, now);
  };
}

TEST(PlantedBug, TakingMoreDownThanAllowedIsSeen) {
  EXPECT_TRUE(is_caught("budget", planner_with_field("maxUnavailable", 9)));
}

TEST(PlantedBug, TakingMembersDownWhileOthersAreMissingBreaksTheOrder) {
  EXPECT_TRUE(is_caught(
      "order",
      [](const StatefulSetView& view, Time now) {
        Plan plan = plan_set(view, now);
        const auto ready = [](const Value& pod) { return api::is_pod_ready(pod) && !api::is_terminating(pod); };
        const bool waits =
            std::any_of(view.pods.begin(), view.pods.end(), [&](const Value& pod) { return !ready(pod); });
        for (const Value& pod : view.pods) {
          // Bug: pods are deleted because others are down.
          if (waits && ready(pod)) plan.add(controllers::remove(kPods, pod));
        }
        if (waits) plan.requeue_after(1s);
        return plan;
      },
      "was taken down"));
}

TEST(PlantedBug, IgnoringThePartitionIsSeen) {
  EXPECT_TRUE(is_caught("partition", planner_with_field("partition", 0)));
}

TEST(PlantedBug, TidyingClaimsAwayLosesData) {
  EXPECT_TRUE(is_caught("claims", [](const StatefulSetView& view, Time now) {
    Plan plan = plan_set(view, now);
    const auto set_spec = controllers::parse_set_spec(view.set);
    for (int i = set_spec.start + set_spec.replicas; i < set_spec.start + set_spec.replicas + 4; ++i) {
      const Value& claim = view.claim(controllers::claim_name(set_spec, "data", i));
      if (!claim.is_null() && !api::is_terminating(claim))
        plan.add(controllers::remove(kPersistentVolumeClaims, claim));
    }
    return plan;
  }));
}

TEST(PlantedBug, AWrongStatusIsSeenAtRest) {
  EXPECT_TRUE(is_caught("status", [](const StatefulSetView& view, Time now) {
    Plan plan = plan_set(view, now);
    const bool all_there = static_cast<std::int64_t>(view.pods.size()) == view.set["spec"]["replicas"].as_int();
    if (all_there) plan.then.clear();  // Bug: the status is not written
    return plan;
  }));
}

TEST(PlantedBug, AWaitThatIsNotExplainedIsSeen) {
  EXPECT_TRUE(is_caught("waits", [](const StatefulSetView& view, Time now) {
    Plan plan = plan_set(view, now);
    for (auto* actions : {&plan.then, &plan.otherwise}) {
      for (controllers::Action& action : *actions) {
        if (action.subresource == "status") action.object.mut("status").erase("conditions");
      }
    }
    return plan;
  }));
}

TEST(PlantedBug, ARestlessControllerIsSeen) {
  EXPECT_TRUE(is_caught("rest", [](const StatefulSetView& view, Time now) {
    Plan plan = plan_set(view, now);
    if (view.set.is_null()) return plan;
    // Bug: a heartbeat annotation is written.
    const std::string stamp =
        std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() / 20);
    if (api::annotation_of(view.set, "seen") != stamp) {
      Value change = Value::object({{"metadata", Value::object({{"annotations", Value::object({{"seen", stamp}})}})}});
      plan.add(controllers::patch(kStatefulSets, view.set, api::PatchType::kMerge, std::move(change)));
    }
    plan.requeue_after(20s);
    return plan;
  }));
}

// Bug: without a partition, as many pods are created at the current revision as the status counts. Replaced pods then
// get the old revision again.
TEST(PlantedBug, MakingAReplacedMemberOfTheOldRevisionIsSeen) {
  EXPECT_TRUE(is_caught(
      "churn",
      [](const StatefulSetView& view, Time now) {
        Plan plan = plan_set(view, now);
        const Value &strategy = view.set["spec"]["updateStrategy"], &status = view.set["status"];
        if (!strategy["rollingUpdate"].is_null() || strategy["type"] == Value("OnDelete")) return plan;
        const auto set_spec = controllers::parse_set_spec(view.set);
        for (auto& chain : plan.chains) {
          for (controllers::Action& action : chain) {
            const int ordinal = controllers::parse_member_name(action.name.name).ordinal;
            if (action.verb != controllers::Action::Verb::kCreate || action.resource != kPods) continue;
            if (ordinal < set_spec.start + status["currentReplicas"].as_int() && !status["currentRevision"].is_null())
              action.object.mut("metadata").mut("labels").set(controllers::kRevisionLabel, status["currentRevision"]);
          }
        }
        return plan;
      },
      "was replaced"));
}

// Bug: pods of a long missing node are deleted, including those that were created for it a moment ago.
class HastyCollector final : public controllers::Controller {
 public:
  explicit HastyCollector(client::InformerSet& informers)
      : runtime_(informers.runtime()), nodes_(informers.get(kNodes)), pods_(informers.get(kPods)) {}
  std::string name() const override { return "hasty"; }
  std::string component() const override { return "hasty"; }
  std::vector<controllers::WatchedCollection> watches() override {
    std::vector<controllers::WatchedCollection> out;
    out.push_back(controllers::watch_self(pods_));
    out.push_back(controllers::watch_mapped(nodes_, [this](const Value&, const Value& after, controllers::Keys&) {
      if (!after.is_null()) missing_.erase(std::string(api::name_of(after)));
    }));
    return out;
  }
  Plan plan(const std::string& key, Time) override {
    Plan plan;
    const Value& pod = pods_.get(controllers::name_of_key(key));
    const std::string node = pod["spec"]["nodeName"].str();
    if (node.empty() || !nodes_.get("", node).is_null()) return plan;
    const Duration since = missing_.try_emplace(node, runtime_.monotonic()).first->second;
    const Duration left = since + 40s - runtime_.monotonic();
    if (left > Duration::zero()) {
      plan.requeue_after(left);
    } else {
      plan.add(controllers::remove(kPods, pod, 0));
    }
    return plan;
  }

 private:
  Runtime& runtime_;
  client::Informer& nodes_;
  client::Informer& pods_;
  std::map<std::string, Duration> missing_;
};

TEST(PlantedBug, CollectingThePodsOfAMissingNodeAtOnceIsSeen) {
  HistoryOptions options{.faults = false};
  options.more_controllers = [](client::InformerSet& informers) {
    std::vector<std::unique_ptr<controllers::Controller>> out;
    out.push_back(std::make_unique<HastyCollector>(informers));
    return out;
  };
  EXPECT_TRUE(is_caught("churn", options));
}

}  // namespace
}  // namespace berth::sim
