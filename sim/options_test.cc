// A planted bug for each checker of options of sets and budgets.

#include <gtest/gtest.h>

#include "api/set_options.h"
#include "controllers/shared/set_identity.h"
#include "sim/scenarios/caught.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using controllers::Action;
using controllers::parse_set_spec;
using controllers::Plan;
using controllers::SetSpec;
using controllers::statefulset::plan_set;
using controllers::statefulset::PlanFunction;
using controllers::statefulset::StatefulSetView;

// A planner that does not see one of the set's annotations.
PlanFunction blind_to(std::string_view annotation, bool only_at_its_end = false) {
  return [annotation, only_at_its_end](const StatefulSetView& view, Time now) {
    StatefulSetView other = view;
    if (!api::annotation_of(view.set, annotation).empty() && (!only_at_its_end || api::is_terminating(view.set)))
      other.set.mut("metadata").mut("annotations").erase(annotation);
    Plan plan = plan_set(other, now);
    // Restores the annotation in written objects: a status update carries the metadata.
    auto restore = [&](std::vector<Action>& actions) {
      for (Action& action : actions) {
        if (action.object["kind"] == view.set["kind"]) action.object.set("metadata", view.set["metadata"]);
      }
    };
    restore(plan.first);
    for (std::vector<Action>& chain : plan.chains) restore(chain);
    restore(plan.then);
    restore(plan.otherwise);
    return plan;
  };
}

int ordinal_of(const Value& object) { return controllers::parse_member_name(api::name_of(object)).ordinal; }

TEST(PlantedBugInOptions, MakingSkippedMembersIsSeen) {
  EXPECT_TRUE(is_caught_in_options("places", blind_to(api::kSkipOrdinals), "which is not wanted"));
}

TEST(PlantedBugInOptions, LeavingSkippedMembersIsSeenAtRest) {
  EXPECT_TRUE(is_caught_in_options(
      "places",
      [](const StatefulSetView& view, Time now) {
        const SetSpec set_spec = parse_set_spec(view.set);
        StatefulSetView other = view;
        // Bug: skipped members that run are retained.
        std::erase_if(other.pods, [&](const Value& pod) { return set_spec.options.skips(ordinal_of(pod)); });
        return plan_set(other, now);
      },
      "has no place"));
}

TEST(PlantedBugInOptions, EndingAllMembersAtOnceIsSeen) {
  EXPECT_TRUE(is_caught_in_options(
      "teardown",
      [](const StatefulSetView& view, Time now) {
        Plan plan = plan_set(view, now);
        if (!api::is_terminating(view.set)) return plan;
        for (const Value& pod : view.pods) {
          if (!api::is_terminating(pod)) plan.add(controllers::remove(kPods, pod));
        }
        return plan;
      },
      "was ended before"));
}

TEST(PlantedBugInOptions, LettingTheSetGoFirstIsSeen) {
  EXPECT_TRUE(is_caught_in_options("teardown", blind_to(api::kOrderedTeardown, true), "after its set was gone"));
}

TEST(PlantedBugInOptions, ForgettingOverridesIsSeen) {
  EXPECT_TRUE(is_caught_in_options("overrides", blind_to(api::kOrdinalOverrides), "was not made as"));
}

TEST(PlantedBugInOptions, MembersWithoutTheirOverridesAreSeenAtRest) {
  EXPECT_TRUE(is_caught_in_options("overrides", blind_to(api::kOrdinalOverrides), "is not as its ordinal"));
}

TEST(PlantedBugInOptions, MixingRevisionsIsSeen) {
  EXPECT_TRUE(is_caught_in_options("recreate", blind_to(api::kUpdateStrategy), "was made before"));
}

bool changes_claims(const StatefulSetView& view) {
  return api::annotation_of(view.set, api::kClaimTemplateUpdates) == "true";
}

TEST(PlantedBugInOptions, GrowingFromTheFrontIsSeen) {
  EXPECT_TRUE(is_caught_in_options(
      "growth",
      [](const StatefulSetView& view, Time now) {
        Plan plan = plan_set(view, now);
        const SetSpec set_spec = parse_set_spec(view.set);
        const std::vector<int> ordinals = set_spec.ordinals();
        if (!changes_claims(view) || set_spec.terminating || ordinals.empty()) return plan;
        for (const Value& one : view.set["spec"]["volumeClaimTemplates"]) {
          const Value& claim = view.claim(controllers::claim_name(set_spec, api::name_of(one), ordinals.front()));
          const Value& size = one["spec"]["resources"];
          if (claim["status"]["phase"].as_string() != "Bound" || claim["spec"]["resources"] == size) continue;
          plan.add(controllers::patch(kPersistentVolumeClaims, claim, api::PatchType::kMerge,
                                      Value::object({{"spec", Value::object({{"resources", size}})}})));
        }
        return plan;
      },
      "had grown"));
}

TEST(PlantedBugInOptions, ForgettingToGrowIsSeenAtRest) {
  EXPECT_TRUE(is_caught_in_options("growth", blind_to(api::kClaimTemplateUpdates), "and its template asks for"));
}

TEST(PlantedBugInOptions, OldMountsAreSeenAtRest) {
  EXPECT_TRUE(is_caught_in_options("growth", blind_to(api::kClaimTemplateUpdates), "does not mount"));
}

TEST(PlantedBugInOptions, TidyingRemovedTemplatesAwayLosesData) {
  EXPECT_TRUE(is_caught_in_options(
      "growth",
      [](const StatefulSetView& view, Time now) {
        Plan plan = plan_set(view, now);
        const SetSpec set_spec = parse_set_spec(view.set);
        if (!changes_claims(view) || set_spec.terminating) return plan;
        for (const Value& pod : view.pods) {
          // Bug: claims without a template are deleted.
          for (const Value& volume : pod["spec"]["volumes"]) {
            bool wanted = false;
            for (const Value& one : view.set["spec"]["volumeClaimTemplates"])
              wanted |= api::name_of(one) == volume["name"].as_string();
            const Value& claim = view.claim(volume["persistentVolumeClaim"]["claimName"].str());
            if (!wanted && !claim.is_null() && !api::is_terminating(claim))
              plan.add(controllers::remove(kPersistentVolumeClaims, claim));
          }
        }
        plan.requeue_after(1s);
        return plan;
      },
      "though its template was removed"));
}

TEST(PlantedBugInOptions, ABudgetThatAllowsTooMuchIsSeen) {
  HistoryOptions options{.faults = false, .all_options = true};
  options.tamper_budgets = [](Plan& plan) {
    for (std::vector<Action>& chain : plan.chains) {
      for (Action& action : chain) {
        if (action.object["status"]["disruptionsAllowed"].is_int())
          action.object.mut("status").set("disruptionsAllowed", 9);
      }
    }
  };
  EXPECT_TRUE(is_caught("disruption", options));
}

TEST(PlantedBugInOptions, NotTellingOfAReusedClaimIsSeen) {
  HistoryOptions options{.faults = false, .alone = true};
  options.planner = [](const StatefulSetView& view, Time now) {
    Plan plan = plan_set(view, now);
    for (std::vector<Action>& chain : plan.chains) {
      for (Action& action : chain) {
        std::erase_if(action.on_success,
                      [](const controllers::EventSpec& event) { return event.reason == "ReusedClaim"; });
      }
    }
    return plan;
  };
  EXPECT_TRUE(is_caught("reuse", options, "was reused"));
}

TEST(PlantedBugInOptions, NotNotingWhoUsesAClaimIsSeenAtRest) {
  EXPECT_TRUE(is_caught(
      "reuse",
      [](const StatefulSetView& view, Time now) {
        Plan plan = plan_set(view, now);
        for (std::vector<Action>& chain : plan.chains) {
          std::erase_if(chain, [](const Action& action) {
            return action.resource == kPersistentVolumeClaims && !action.object["metadata"]["annotations"].empty() &&
                   action.verb == Action::Verb::kPatch;
          });
        }
        return plan;
      },
      "says it is used by"));
}

// Bug: revisions are compared as stored, not after filling in defaults.
TEST(PlantedBugInOptions, RollingAfterAnUpgradeIsSeen) {
  HistoryOptions options{.faults = false, .upgrade = true};
  options.planner = [](const StatefulSetView& view, Time now) {
    StatefulSetView other = view;
    for (const Value& revision : view.revisions) {
      const bool old = revision["data"]["spec"]["template"]["spec"]["dnsPolicy"].is_null();
      if (old) other.set.mut("spec").mut("template").mut("metadata").mut("annotations").set("release", "next");
    }
    return plan_set(other, now);
  };
  EXPECT_TRUE(is_caught("upgrade", options));
}

}  // namespace
}  // namespace berth::sim
