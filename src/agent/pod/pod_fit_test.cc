#include "agent/pod/pod_fit.h"

#include <gtest/gtest.h>

#include "agent/testing/test_values.h"

namespace berth::agent {
namespace {

using testing::parsed;

Value pod(const std::string& spec) { return Value::object({{"spec", parsed(spec)}}); }
Value asking(const std::string& requests) {
  return pod(R"({"containers":[{"name":"c","resources":{"requests":)" + requests + "}}]}");
}

class PodFit : public ::testing::Test {
 protected:
  void set_pods(const std::vector<Value>& pods) {
    room_.pods.clear();
    for (const Value& one : pods) room_.pods.push_back(std::make_shared<const PodRoom>(room_of(one)));
  }
  std::string refusal(const Value& one) {
    auto no = reject_unfit(one, room_);
    return no ? no->reason + ": " + no->message : "";
  }
  NodeRoom room_{parsed(R"({"metadata":{"name":"n","labels":{"disk":"ssd"}},"spec":{}})"),
                 api::resource_list(parsed(
                     R"({"cpu":"2","memory":"1Gi","ephemeral-storage":"10Gi","pods":"3","example.com/card":"1"})")),
                 {}};
};

TEST_F(PodFit, TheSumOfWhatIsAskedForCounts) {
  set_pods({asking(R"({"cpu":"1500m","memory":"512Mi"})")});
  EXPECT_EQ(refusal(asking(R"({"cpu":"500m","memory":"512Mi"})")), "");
  EXPECT_EQ(refusal(asking(R"({"cpu":"501m","memory":"2Gi"})")),
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000");
  EXPECT_EQ(
      refusal(asking(R"({"memory":"513Mi"})")),
      "OutOfmemory: Node didn't have enough resource: memory, requested: 537919488, used: 536870912, capacity: 1073741824");
  EXPECT_EQ(
      refusal(asking(R"({"ephemeral-storage":"11Gi"})")),
      "OutOfephemeral-storage: Node didn't have enough resource: ephemeral-storage, requested: 11811160064, used: 0, capacity: 10737418240");
  EXPECT_EQ(
      refusal(asking(R"({"example.com/card":"2"})")),
      "OutOfexample.com/card: Node didn't have enough resource: example.com/card, requested: 2, used: 0, capacity: 1");
  EXPECT_EQ(refusal(asking(R"({"example.com/nobodys":"2"})")), "");
}

TEST_F(PodFit, WhoAsksForNothingFitsWhereEverythingIsTaken) {
  set_pods({asking(R"({"cpu":"3"})")});
  EXPECT_EQ(refusal(asking("{}")), "");
  set_pods({asking("{}"), asking("{}"), asking("{}")});
  EXPECT_EQ(refusal(asking("{}")),
            "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3");
}

TEST_F(PodFit, ByLabelsAndName) {
  EXPECT_EQ(refusal(pod(R"({"nodeSelector":{"disk":"ssd"}})")), "");
  const std::string no =
      "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
  EXPECT_EQ(refusal(pod(R"({"nodeSelector":{"disk":"tape"}})")), no);
  auto affinity = [](const std::string& term) {
    return pod(
        R"({"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[)" +
        term + "]}}}}");
  };
  EXPECT_EQ(refusal(affinity(R"({"matchExpressions":[{"key":"disk","operator":"NotIn","values":["ssd"]}]})")), no);
  EXPECT_EQ(refusal(affinity(R"({"matchFields":[{"key":"metadata.name","operator":"In","values":["n"]}]})")), "");
  room_.node = Value();  // not known yet
  EXPECT_EQ(refusal(pod(R"({"nodeSelector":{"disk":"tape"}})")), "");
}

TEST_F(PodFit, PortsOfTheNode) {
  auto with_port = [](const std::string& port) {
    return pod(R"({"containers":[{"name":"c","ports":[)" + port + "]}]}");
  };
  const std::string no =
      "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
  set_pods({with_port(R"({"hostPort":80,"hostIP":"10.0.0.1","protocol":"TCP"})")});
  EXPECT_EQ(refusal(with_port(R"({"hostPort":80,"protocol":"TCP"})")), no);
  EXPECT_EQ(refusal(with_port(R"({"hostPort":80,"hostIP":"10.0.0.2","protocol":"TCP"})")), "");
  EXPECT_EQ(refusal(with_port(R"({"hostPort":80,"protocol":"UDP"})")), "");
  EXPECT_EQ(refusal(with_port(R"({"containerPort":80,"protocol":"TCP"})")), "");
  const std::string init = R"({"initContainers":[{"name":"i","ports":[{"hostPort":80,"protocol":"TCP"}])";
  EXPECT_EQ(refusal(pod(init + "}]}")), "");
  EXPECT_EQ(refusal(pod(init + R"(,"restartPolicy":"Always"}]})")), no);
}

TEST_F(PodFit, TaintsThatDriveOut) {
  room_.node.mut("spec").set(
      "taints", parsed(R"([{"key":"a","effect":"NoSchedule"},{"key":"b","value":"1","effect":"NoExecute"}])"));
  EXPECT_EQ(refusal(pod("{}")),
            "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate");
  EXPECT_EQ(refusal(pod(R"({"tolerations":[{"key":"b","operator":"Exists","effect":"NoExecute"}]})")), "");
}

}  // namespace
}  // namespace berth::agent
