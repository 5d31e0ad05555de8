// The complete life of one set, compared with a recording of a real Kubernetes: the same states of set and pods in the
// same order, and the same events. The recording is of Kubernetes 1.20; availableReplicas came later and is omitted.

#include <gtest/gtest.h>

#include <map>

#include "sim/cluster.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using Lines = std::vector<std::string>;

class Recorder final : public Checker {
 public:
  std::string name() const override { return "recorder"; }
  void on_change(const ObjectChange& change) override {
    if (change.resource == kStatefulSets) {
      const Value& set = change.after.is_null() ? change.before : change.after;
      const Value& status = set["status"];
      std::string line = change.after.is_null() ? "deleted" : "";
      for (const char* field : {"replicas", "readyReplicas", "currentReplicas", "updatedReplicas"}) {
        line += (line.empty() ? "" : " ") + std::to_string(status[field].as_int());
      }
      line += " g" + std::to_string(set["metadata"]["generation"].as_int());
      line += " o" + std::to_string(status["observedGeneration"].as_int());
      if (status["currentRevision"] != status["updateRevision"]) line += " rolling";
      // Other fields of the status (conditions) are not in Kubernetes 1.20.
      if (line != last_set_) sets.push_back(line);
      last_set_ = line;
    }
    if (change.resource == kPods) {
      const Value& pod = change.after.is_null() ? change.before : change.after;
      const std::string revision = pod["metadata"]["labels"]["controller-revision-hash"].str();
      auto letter = revisions_.try_emplace(revision, static_cast<char>('A' + revisions_.size())).first->second;
      std::string line = std::string(api::name_of(pod)) + " ";
      if (change.after.is_null()) {
        line += "gone";
      } else {
        line += api::is_terminating(pod) ? "terminating" : pod["status"]["phase"].str();
        if (api::is_pod_ready(pod)) line += " ready";
      }
      line += std::string(" ") + letter;
      if (pods.empty() || pods.back() != line) pods.push_back(line);
    }
  }
  Lines sets, pods;

 private:
  std::map<std::string, char> revisions_;
  std::string last_set_;
};

struct LifeTest : ::testing::Test {
  Cluster cluster{{.seed = 7, .nodes = 1}};
  Recorder* seen = nullptr;

  void SetUp() override {
    auto recorder = std::make_unique<Recorder>();
    seen = recorder.get();
    cluster.truth().add(std::move(recorder));
    cluster.kill(1);  // the second controller: its events would be duplicates
    cluster.world().run_for(1s);
  }
  void then_wait(Result<Value> answer) { EXPECT_TRUE(answer.ok()) << answer.error().message; }
  void run_until_idle() { ASSERT_TRUE(cluster.run_until_idle(30s, 300s)); }
  void patch(Value spec) {
    cluster.user().patch(kStatefulSets, {"default", "web"}, api::PatchType::kMerge,
                         Value::object({{"spec", std::move(spec)}}), {},
                         [this](Result<Value> answer) { then_wait(std::move(answer)); });
    run_until_idle();
  }
  void note(Value annotations) {
    patch(Value::object(
        {{"template", Value::object({{"metadata", Value::object({{"annotations", std::move(annotations)}})}})}}));
  }
  void scale(int replicas) { patch(Value::object({{"replicas", replicas}})); }
  Lines sets() { return std::exchange(seen->sets, {}); }
  Lines pods() { return std::exchange(seen->pods, {}); }
};

TEST_F(LifeTest, IsLikeTheRecordedOne) {
  cluster.user().create(kStatefulSets,
                        json::parse(R"({"apiVersion":"apps/v1","kind":"StatefulSet",
      "metadata":{"name":"web","namespace":"default"},
      "spec":{"replicas":2,"serviceName":"web","selector":{"matchLabels":{"app":"web"}},
        "template":{"metadata":{"labels":{"app":"web"}},
          "spec":{"terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":"i:1"}]}},
        "volumeClaimTemplates":[{"metadata":{"name":"data"},
          "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}})")
                            .value(),
                        {}, [this](Result<Value> answer) { then_wait(std::move(answer)); });
  run_until_idle();
  EXPECT_EQ(sets(), (Lines{"0 0 0 0 g1 o0", "1 0 1 1 g1 o1", "2 1 2 2 g1 o1", "2 2 2 2 g1 o1"}));
  EXPECT_EQ(pods(), (Lines{"web-0 Pending A", "web-0 Running A", "web-0 Running ready A", "web-1 Pending A",
                           "web-1 Running A", "web-1 Running ready A"}));

  cluster.user().remove(kPods, {"default", "web-1"}, {},
                        [this](Result<Value> answer) { then_wait(std::move(answer)); });
  run_until_idle();
  EXPECT_EQ(sets(), (Lines{"2 2 1 1 g1 o1", "2 1 1 1 g1 o1", "2 1 2 2 g1 o1", "2 2 2 2 g1 o1"}));
  EXPECT_EQ(pods(), (Lines{"web-1 terminating ready A", "web-1 terminating A", "web-1 gone A", "web-1 Pending A",
                           "web-1 Running A", "web-1 Running ready A"}));

  note(Value::object({{"x", "y"}}));
  EXPECT_EQ(sets(),
            (Lines{"2 2 2 2 g2 o1", "2 2 1 0 g2 o2 rolling", "2 1 1 0 g2 o2 rolling", "2 1 1 1 g2 o2 rolling",
                   "2 2 0 1 g2 o2 rolling", "2 1 0 1 g2 o2 rolling", "2 1 0 2 g2 o2 rolling", "2 2 2 2 g2 o2"}));
  EXPECT_EQ(pods(),
            (Lines{"web-1 terminating ready A", "web-1 terminating A", "web-1 gone A", "web-1 Pending B",
                   "web-1 Running B", "web-1 Running ready B", "web-0 terminating ready A", "web-0 terminating A",
                   "web-0 gone A", "web-0 Pending B", "web-0 Running B", "web-0 Running ready B"}));

  scale(3);
  EXPECT_EQ(sets(), (Lines{"2 2 2 2 g3 o2", "3 2 3 3 g3 o3", "3 3 3 3 g3 o3"}));
  EXPECT_EQ(pods(), (Lines{"web-2 Pending B", "web-2 Running B", "web-2 Running ready B"}));

  scale(1);
  EXPECT_EQ(sets(), (Lines{"3 3 3 3 g4 o3", "3 3 2 2 g4 o4", "3 2 2 2 g4 o4", "2 2 1 1 g4 o4", "2 1 1 1 g4 o4",
                           "1 1 1 1 g4 o4"}));
  EXPECT_EQ(pods(), (Lines{"web-2 terminating ready B", "web-2 terminating B", "web-2 gone B",
                           "web-1 terminating ready B", "web-1 terminating B", "web-1 gone B"}));

  note(Value());
  EXPECT_EQ(pods(), (Lines{"web-0 terminating ready B", "web-0 terminating B", "web-0 gone B", "web-0 Pending A",
                           "web-0 Running A", "web-0 Running ready A"}));
  Lines undone = sets();
  ASSERT_GE(undone.size(), 2u);
  EXPECT_EQ(undone[0], "1 1 1 1 g5 o4");
  EXPECT_EQ(undone[1], "1 1 0 0 g5 o5 rolling");
  EXPECT_EQ(undone.back(), "1 1 1 1 g5 o5");

  cluster.user().remove(kStatefulSets, {"default", "web"}, {},
                        [this](Result<Value> answer) { then_wait(std::move(answer)); });
  run_until_idle();
  EXPECT_EQ(sets(), Lines{"deleted 1 1 1 1 g5 o5"});
  EXPECT_TRUE(cluster.truth().all(kPods).empty());
  EXPECT_TRUE(cluster.truth().all(kControllerRevisions).empty());
  EXPECT_EQ(cluster.truth().all(kPersistentVolumeClaims).size(), 3u);
  EXPECT_TRUE(cluster.truth().violations().empty());
}

TEST_F(LifeTest, TellsTheSameEvents) {
  cluster.user().create(kStatefulSets,
                        json::parse(R"({"apiVersion":"apps/v1","kind":"StatefulSet",
      "metadata":{"name":"web","namespace":"default"},
      "spec":{"replicas":2,"serviceName":"web","selector":{"matchLabels":{"app":"web"}},
        "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}},
        "volumeClaimTemplates":[{"metadata":{"name":"data"},
          "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}})")
                            .value(),
                        {}, [this](Result<Value> answer) { then_wait(std::move(answer)); });
  run_until_idle();
  cluster.user().remove(kPods, {"default", "web-1"}, {},
                        [this](Result<Value> answer) { then_wait(std::move(answer)); });
  run_until_idle();
  scale(0);
  std::map<std::string, std::int64_t> told;
  for (const auto& [name, event] : cluster.truth().all(kEvents)) {
    if (event["involvedObject"]["kind"].as_string() != "StatefulSet") continue;
    EXPECT_EQ(event["source"]["component"].as_string(), "statefulset-controller");
    told[event["reason"].str() + ": " + event["message"].str()] += event["count"].as_int();
  }
  const std::map<std::string, std::int64_t> expected = {
      {"SuccessfulCreate: create Claim data-web-0 Pod web-0 in StatefulSet web success", 1},
      {"SuccessfulCreate: create Claim data-web-1 Pod web-1 in StatefulSet web success", 1},
      {"SuccessfulCreate: create Pod web-0 in StatefulSet web successful", 1},
      {"SuccessfulCreate: create Pod web-1 in StatefulSet web successful", 2},
      {"SuccessfulDelete: delete Pod web-0 in StatefulSet web successful", 1},
      {"SuccessfulDelete: delete Pod web-1 in StatefulSet web successful", 1}};
  EXPECT_EQ(told, expected);
}

}  // namespace
}  // namespace berth::sim
