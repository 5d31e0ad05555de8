// Affinity between pods and topology spreading: filters, scores and messages.
#include <gtest/gtest.h>

#include "scheduler/plan.h"
#include "scheduler/score/score.h"
#include "scheduler/test_objects.h"

namespace berth::scheduler {
namespace {

using namespace testing;  // NOLINT

const std::string kZone = "topology.kubernetes.io/zone";
const std::string kHost = "kubernetes.io/hostname";

std::string term(const std::string& app, const std::string& key, const std::string& more = "") {
  return R"({"topologyKey":")" + key + R"(","labelSelector":{"matchLabels":{"app":")" + app + "\"}}" + more + "}";
}
std::string constraint(const std::string& key, int skew, const std::string& mode, const std::string& more = "") {
  return R"({"topologyKey":")" + key + R"(","maxSkew":)" + std::to_string(skew) + R"(,"whenUnsatisfiable":")" + mode +
         R"(","labelSelector":{"matchLabels":{"app":"a"}})" + more + "}";
}

struct NeighboursTest : ::testing::Test {
  void SetUp() override {
    // Two zones; the last node has no zone.
    add_node("a1", "a");
    add_node("a2", "a");
    add_node("b1", "b");
    view.known_namespaces["default"] = from(R"({"metadata":{"name":"default","labels":{"team":"one"}}})");
    view.known_namespaces["other"] = from(R"({"metadata":{"name":"other","labels":{"team":"two"}}})");
  }
  void add_node(const std::string& name, const std::string& zone) {
    snapshot.set_node(zone.empty() ? make_node(name) : labelled(make_node(name), kZone, zone));
  }
  static Value app(const std::string& name, const std::string& app) { return labelled(make_pod(name), "app", app); }
  void place(const Value& pod, const std::string& node) { snapshot.place(make_pod_info(pod), node); }
  // "a1 b1": the nodes that fit the pod; or the reasons if there are none.
  std::string nodes_for(const Value& pod) {
    const PodPtr info = make_pod_info(pod);
    std::string out;
    for (const NodeInfo* node : snapshot.nodes()) {
      if (fits_on(*info, *node, snapshot, view)) out += (out.empty() ? "" : " ") + node->name;
    }
    return out;
  }
  std::string refusal(const Value& pod) {
    const SchedulingDecision decision = decide(*make_pod_info(pod), snapshot, view, next_node);
    EXPECT_EQ(decision.node, "");
    return decision.message.substr(0, decision.message.find(". no new claims"));
  }
  Scores neighbours_score(const Value& pod) {
    const PodPtr info = make_pod_info(pod);
    return score_neighbours(FilterInput{*info, {}, view, {}}, snapshot.nodes(), snapshot);
  }
  Scores spread_score(const Value& pod) {
    const PodPtr info = make_pod_info(pod);
    return score_spread(FilterInput{*info, {}, view, {}}, snapshot.nodes(), snapshot);
  }
  Snapshot snapshot;
  FakeView view;
  std::size_t next_node = 0;
};

TEST_F(NeighboursTest, RequiredAffinityWantsTheDomainOfThePodsItNames) {
  const Value wants = requires_pods(app("p", "b"), "podAffinity", term("a", kZone));
  EXPECT_EQ(nodes_for(wants), "");
  EXPECT_EQ(refusal(wants), "0/3 nodes are available: 3 node(s) didn't match pod affinity rules");
  place(app("x", "a"), "a1");
  EXPECT_EQ(nodes_for(wants), "a1 a2");
  snapshot.remove("pod-x");
  EXPECT_EQ(nodes_for(wants), "");
}

TEST_F(NeighboursTest, TheFirstOfPodsThatWantEachOtherMayGoAnywhereWithTheLabel) {
  add_node("c", "");
  const Value wants = requires_pods(app("p", "a"), "podAffinity", term("a", kZone));
  EXPECT_EQ(nodes_for(wants), "a1 a2 b1");
  place(wants, "b1");
  EXPECT_EQ(nodes_for(requires_pods(app("q", "a"), "podAffinity", term("a", kZone))), "b1");
}

TEST_F(NeighboursTest, AllRequiredTermsHaveToBeMetByTheSamePods) {
  Value both = requires_pods(app("p", "c"), "podAffinity", term("a", kZone));
  both = requires_pods(both, "podAffinity",
                       R"({"topologyKey":")" + kHost + R"(","labelSelector":{"matchLabels":{"tier":"web"}}})");
  place(app("x", "a"), "a1");
  EXPECT_EQ(nodes_for(both), "");
  place(labelled(app("y", "a"), "tier", "web"), "a2");
  EXPECT_EQ(nodes_for(both), "a2");
}

TEST_F(NeighboursTest, RequiredAntiAffinityAndItsSymmetry) {
  const Value alone = requires_pods(app("p", "a"), "podAntiAffinity", term("a", kZone));
  EXPECT_EQ(nodes_for(alone), "a1 a2 b1");
  place(alone, "a2");
  EXPECT_EQ(nodes_for(requires_pods(app("q", "a"), "podAntiAffinity", term("a", kZone))), "b1");
  // Anti-affinity of a placed pod excludes pods without terms of their own.
  EXPECT_EQ(nodes_for(app("q", "a")), "b1");
  EXPECT_EQ(nodes_for(app("q", "b")), "a1 a2 b1");
  place(requires_pods(app("r", "a"), "podAntiAffinity", term("a", kZone)), "b1");
  EXPECT_EQ(refusal(app("q", "a")),
            "0/3 nodes are available: 3 node(s) didn't satisfy existing pods anti-affinity rules");
  EXPECT_EQ(refusal(requires_pods(app("q", "a"), "podAntiAffinity", term("a", kZone))),
            "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules");
}

TEST_F(NeighboursTest, AnotherZoneOfANodeMovesItsPodsWithIt) {
  place(requires_pods(app("p", "a"), "podAntiAffinity", term("a", kZone)), "a2");
  EXPECT_EQ(nodes_for(app("q", "a")), "b1");
  add_node("a2", "b");
  EXPECT_EQ(nodes_for(app("q", "a")), "a1");
  snapshot.remove_node("a2");
  EXPECT_EQ(nodes_for(app("q", "a")), "a1 b1");
  add_node("a2", "b");
  EXPECT_EQ(nodes_for(app("q", "a")), "a1");
}

TEST_F(NeighboursTest, NamespacesByNameByLabelsAndByDefault) {
  Value elsewhere = app("x", "a");
  elsewhere.mut("metadata").set("namespace", "other");
  place(elsewhere, "a1");
  auto wants = [&](const std::string& more) {
    return nodes_for(requires_pods(app("p", "b"), "podAffinity", term("a", kHost, more)));
  };
  EXPECT_EQ(wants(""), "");
  EXPECT_EQ(wants(R"(,"namespaces":["other"])"), "a1");
  EXPECT_EQ(wants(R"(,"namespaceSelector":{"matchLabels":{"team":"two"}})"), "a1");
  EXPECT_EQ(wants(R"(,"namespaceSelector":{"matchLabels":{"team":"one"}})"), "");
  EXPECT_EQ(wants(R"(,"namespaceSelector":{})"), "a1");
  // Also towards new pods.
  Value guard = requires_pods(app("g", "g"), "podAntiAffinity",
                              term("b", kHost, R"(,"namespaceSelector":{"matchLabels":{"team":"two"}})"));
  place(guard, "b1");
  EXPECT_EQ(nodes_for(app("p", "b")), "a1 a2 b1");
  Value newcomer = app("p", "b");
  newcomer.mut("metadata").set("namespace", "other");
  EXPECT_EQ(nodes_for(newcomer), "a1 a2");
}

TEST_F(NeighboursTest, PreferredAffinityBothWays) {
  EXPECT_TRUE(neighbours_score(app("p", "b")).empty());
  place(app("x", "a"), "a1");
  EXPECT_EQ(neighbours_score(prefers_pods(app("p", "b"), "podAffinity", 10, term("a", kZone))), (Scores{100, 100, 0}));
  EXPECT_EQ(neighbours_score(prefers_pods(app("p", "b"), "podAntiAffinity", 10, term("a", kHost))),
            (Scores{0, 100, 100}));
  // Placed pods prefer, too: the new pod's own 3 against their 4.
  place(prefers_pods(app("y", "c"), "podAffinity", 4, term("b", kHost)), "b1");
  EXPECT_EQ(neighbours_score(app("p", "b")), (Scores{0, 0, 100}));
  EXPECT_EQ(neighbours_score(prefers_pods(app("p", "b"), "podAffinity", 3, term("a", kHost))), (Scores{75, 0, 100}));
  place(prefers_pods(app("z", "c"), "podAntiAffinity", 8, term("b", kHost)), "b1");
  EXPECT_EQ(neighbours_score(app("p", "b")), (Scores{100, 100, 0}));
  // Required affinity of placed pods counts with a small weight.
  Snapshot fresh;
  std::swap(snapshot, fresh);
  SetUp();
  place(requires_pods(app("w", "b"), "podAffinity", term("b", kHost)), "a2");
  EXPECT_EQ(neighbours_score(app("p", "b")), (Scores{0, 100, 0}));
}

TEST_F(NeighboursTest, SpreadKeepsTheSkewSmall) {
  const Value even = spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule"));
  EXPECT_EQ(nodes_for(even), "a1 a2 b1");
  place(app("x", "a"), "a1");
  EXPECT_EQ(nodes_for(even), "b1");
  EXPECT_EQ(nodes_for(spreads(app("p", "a"), constraint(kZone, 2, "DoNotSchedule"))), "a1 a2 b1");
  // A pod that its own constraint does not match adds nothing.
  EXPECT_EQ(nodes_for(spreads(app("p", "b"), constraint(kZone, 1, "DoNotSchedule"))), "a1 a2 b1");
  place(app("y", "a"), "b1");
  EXPECT_EQ(nodes_for(even), "a1 a2 b1");
  // Terminating pods do not count.
  Value leaving = app("y", "a");
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  place(leaving, "b1");
  EXPECT_EQ(nodes_for(even), "b1");
}

TEST_F(NeighboursTest, SpreadSaysWhy) {
  add_node("c", "");
  place(app("x", "a"), "a1");
  Value elsewhere = spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule"));
  elsewhere.mut("spec").mut("containers").mut(0).set("resources", from(R"({"requests":{"cpu":"3"}})"));
  place(make_pod("big", "3"), "b1");
  EXPECT_EQ(
      refusal(elsewhere),
      "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints (missing required label), "
      "2 node(s) didn't match pod topology spread constraints");
}

TEST_F(NeighboursTest, MinDomainsCountMissingOnesAsEmpty) {
  place(app("x", "a"), "a1");
  place(app("y", "a"), "b1");
  EXPECT_EQ(nodes_for(spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule", R"(,"minDomains":2)"))), "a1 a2 b1");
  EXPECT_EQ(nodes_for(spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule", R"(,"minDomains":3)"))), "");
  add_node("c1", "c");
  EXPECT_EQ(nodes_for(spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule", R"(,"minDomains":3)"))), "c1");
}

TEST_F(NeighboursTest, WhichNodesAreCounted) {
  place(app("x", "a"), "a1");
  // Zone b is excluded by the pod's node affinity: by default it is not counted, so zone a may go on growing.
  Value bound = spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule"));
  bound.mut("spec").set("nodeSelector", Value::object({{kZone, "a"}}));
  EXPECT_EQ(nodes_for(bound), "a1 a2");
  Value ignoring = spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule", R"(,"nodeAffinityPolicy":"Ignore")"));
  ignoring.mut("spec").set("nodeSelector", Value::object({{kZone, "a"}}));
  EXPECT_EQ(nodes_for(ignoring), "");
  // A tainted node counts, unless its taints are honoured.
  Value tainted = labelled(make_node("b1"), kZone, "b");
  tainted.mut("spec").set("taints", from(R"([{"key":"k","effect":"NoSchedule"}])"));
  snapshot.set_node(tainted);
  EXPECT_EQ(nodes_for(spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule"))), "");
  EXPECT_EQ(nodes_for(spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule", R"(,"nodeTaintsPolicy":"Honor")"))),
            "a1 a2");
}

TEST_F(NeighboursTest, MatchLabelKeysCountOnePartOnly) {
  place(labelled(app("x", "a"), "rev", "1"), "a1");
  const Value next = labelled(
      spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule", R"(,"matchLabelKeys":["rev"])")), "rev", "2");
  EXPECT_EQ(nodes_for(next), "a1 a2 b1");
  EXPECT_EQ(nodes_for(spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule", R"(,"matchLabelKeys":["rev"])"))),
            "b1");
}

TEST_F(NeighboursTest, SoftSpreadPrefersTheEmptierDomain) {
  place(app("x", "a"), "a1");
  place(app("y", "a"), "a2");
  EXPECT_EQ(spread_score(spreads(app("p", "a"), constraint(kZone, 1, "ScheduleAnyway"))), (Scores{0, 0, 100}));
  place(app("z", "a"), "b1");
  // 2 pods against 1: 100 * (2 + 1 - 2) / 2, both weights equal.
  EXPECT_EQ(spread_score(spreads(app("p", "a"), constraint(kZone, 1, "ScheduleAnyway"))), (Scores{33, 33, 100}));
  add_node("c", "");
  EXPECT_EQ(spread_score(spreads(app("p", "a"), constraint(kZone, 1, "ScheduleAnyway")))[3], 0);
}

TEST_F(NeighboursTest, TheClustersDefaultsSpreadPodsOfOneServiceOrOwner) {
  place(app("x", "a"), "a1");
  EXPECT_TRUE(spread_score(app("p", "a")).empty());
  view.known_services = {from(R"({"spec":{"selector":{"app":"a"}}})")};
  const Scores by_service = spread_score(app("p", "a"));
  ASSERT_EQ(by_service.size(), 3u);
  EXPECT_LT(by_service[0], by_service[1]);  // the same node is worse than the same zone ...
  EXPECT_LT(by_service[1], by_service[2]);  // ... and that than another one
  EXPECT_EQ(by_service[2], 100);
  EXPECT_TRUE(spread_score(app("p", "b")).empty());
  view.known_services.clear();
  view.owner = from(R"({"matchLabels":{"app":"a"}})");
  EXPECT_EQ(spread_score(app("p", "a")), by_service);
  // The defaults do not apply to a pod with constraints of its own, even hard ones.
  EXPECT_TRUE(spread_score(spreads(app("p", "a"), constraint(kZone, 1, "DoNotSchedule"))).empty());
}

TEST_F(NeighboursTest, CountsFollowPodsThatChangeTheirLabels) {
  const Value wants = requires_pods(app("p", "b"), "podAffinity", term("a", kHost));
  place(app("x", "a"), "a1");
  EXPECT_EQ(nodes_for(wants), "a1");
  place(app("x", "c"), "a1");
  EXPECT_EQ(nodes_for(wants), "");
  place(app("x", "a"), "b1");
  EXPECT_EQ(nodes_for(wants), "b1");
}

TEST_F(NeighboursTest, WhoMattersToWhom) {
  auto matters = [&](const Value& waiting, const Value& changed) {
    return affects(*make_pod_info(waiting), *make_pod_info(changed), view);
  };
  EXPECT_FALSE(matters(app("p", "a"), app("x", "a")));
  EXPECT_TRUE(matters(requires_pods(app("p", "b"), "podAffinity", term("a", kZone)), app("x", "a")));
  EXPECT_TRUE(matters(requires_pods(app("p", "b"), "podAntiAffinity", term("a", kZone)), app("x", "a")));
  EXPECT_TRUE(matters(app("p", "a"), requires_pods(app("x", "b"), "podAntiAffinity", term("a", kZone))));
  EXPECT_TRUE(matters(spreads(app("p", "b"), constraint(kZone, 1, "DoNotSchedule")), app("x", "a")));
  EXPECT_FALSE(matters(spreads(app("p", "b"), constraint(kZone, 1, "DoNotSchedule")), app("x", "b")));
}

}  // namespace
}  // namespace berth::scheduler
