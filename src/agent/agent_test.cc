#include "agent/agent.h"

#include <gtest/gtest.h>

#include "agent/testing/test_agent.h"
#include "api/object.h"
#include "api/quantity.h"
#include "base/files.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

using api::resources::kLeases;
using api::resources::kNodes;
using api::resources::kPods;

TEST_F(AgentTest, RegistersANodeAndKeepsItsLease) {
  Value node = api_.object(kNodes, api::Name{"", "node1"});
  ASSERT_FALSE(node.is_null());
  EXPECT_EQ(node["metadata"]["labels"]["kubernetes.io/hostname"].as_string(), "node1");
  EXPECT_EQ(node["status"]["capacity"]["pods"].as_string(), "110");
  EXPECT_EQ(api::condition_of(node, "Ready")["reason"].as_string(), "KubeletReady");
  EXPECT_EQ(api::condition_of(node, "DiskPressure")["message"].as_string(), "kubelet has no disk pressure");
  api::Name lease{"kube-node-lease", "node1"};
  std::string first = api_.object(kLeases, lease)["spec"]["renewTime"].str();
  ASSERT_FALSE(first.empty());
  int writes = api_.writes;
  runtime_.advance(100s);
  EXPECT_NE(api_.object(kLeases, lease)["spec"]["renewTime"].str(), first);
  EXPECT_EQ(api_.writes - writes, 10) << "a renewal each 10 s and nothing else";
  runtime_.advance(250s);
  EXPECT_EQ(api_.writes - writes, 36) << "and a heartbeat of the status after 300 s";
}

// The store of a server that was killed has the lease as it was when it was last written to disk.
class LeaseTest : public AgentTest {
 protected:
  Value lease() const { return api_.object(kLeases, api::Name{"kube-node-lease", "node1"}); }
  bool renewed_now() const { return lease()["spec"]["renewTime"].as_string() == format_micro_time(runtime_.now()); }
  void server_dies() {
    Value old = lease();
    old.mut("spec").set("renewTime", "2026-01-01T00:00:00.000000Z");
    api_.put(kLeases, std::move(old));
    api_.cut_watches();
  }
};

TEST_F(LeaseTest, IsRenewedAtOnceWhenTheServerIsBack) {
  runtime_.advance(13s);
  ASSERT_FALSE(renewed_now());
  server_dies();
  runtime_.settle();
  EXPECT_TRUE(renewed_now()) << lease()["spec"]["renewTime"].str();
  // One that was away for a while. How long the last attempt is past decides; it is a second at most.
  runtime_.advance(10s);
  api_.down = true;
  server_dies();
  runtime_.advance(100s);
  api_.down = false;
  const int writes = api_.writes;
  runtime_.advance(1s);
  EXPECT_EQ(lease()["spec"]["holderIdentity"].as_string(), "node1");
  EXPECT_GT(lease()["spec"]["renewTime"].as_string(), format_micro_time(runtime_.now() - 1s - 1us));
  runtime_.advance(8s);
  EXPECT_LE(api_.writes - writes, 2) << "each turn of the time without a server has left nothing behind";
}

TEST_F(LeaseTest, AServerThatComesAndGoesIsNotFlooded) {
  runtime_.advance(15s);
  int writes = api_.writes;
  for (int i = 0; i < 50; ++i) {
    api_.cut_watches();
    runtime_.advance(100ms);
  }
  EXPECT_LE(api_.writes - writes, 6) << "in five seconds";
  EXPECT_GE(api_.writes - writes, 4);
  runtime_.advance(10s);
  writes = api_.writes;
  runtime_.advance(100s);
  EXPECT_EQ(api_.writes - writes, 10) << "at rest again";
}

TEST_F(LeaseTest, AConflictIsNotTheEndOfARenewal) {
  runtime_.advance(15s);
  api_.conflicts = 1;
  server_dies();
  runtime_.settle();
  EXPECT_FALSE(renewed_now());
  runtime_.advance(1s);
  EXPECT_TRUE(renewed_now()) << lease()["spec"]["renewTime"].str();
}

// The node controller has not heard of this node for a while: it was suspended, or swapped out.
TEST_F(AgentTest, ANodeThatWasGivenUpIsReadyAgainAtOnce) {
  auto give_up = [&] {
    Value node = api_.object(kNodes, api::Name{"", "node1"});
    Value conditions = Value::array();
    for (Value condition : node["status"]["conditions"]) {
      condition.set("status", "Unknown");
      condition.set("reason", "NodeStatusUnknown");
      conditions.push(std::move(condition));
    }
    node.mut("status").set("conditions", std::move(conditions));
    api_.put(kNodes, std::move(node));
    runtime_.settle();
    return api::condition_of(api_.object(kNodes, api::Name{"", "node1"}), "Ready")["status"].str();
  };
  runtime_.advance(33s);
  EXPECT_EQ(give_up(), "True");
  // Somebody who insists is not answered each time.
  const int writes = api_.writes;
  for (int i = 0; i < 20; ++i) give_up();
  EXPECT_LE(api_.writes - writes, 2);
  runtime_.advance(1s);
  EXPECT_EQ(api::condition_of(api_.object(kNodes, api::Name{"", "node1"}), "Ready")["status"].as_string(), "True");
}

TEST_F(AgentTest, KeepsTryingWhileTheApiIsDown) {
  agent_.reset();
  api_.erase(kNodes, api::Name{"", "node1"});
  api_.down = true;
  AgentConfig config;
  config.node_name = "node1";
  config.data_dir = directory_ / "data";
  agent_ = std::make_unique<Agent>(
      config, AgentDependencies{runtime_, api_, containers_, images_, volumes_, network_, probes_});
  bool ready = false;
  agent_->start([&](Status s) { ready = s.ok(); });
  runtime_.advance(5s);
  EXPECT_FALSE(ready);
  api_.down = false;
  runtime_.advance(120s);
  EXPECT_TRUE(ready);
}

TEST_F(AgentTest, RunsAPodAndTellsItAsKubeletDoes) {
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":1}}]})");
  Value now = get("web-0");
  EXPECT_EQ(now["status"]["phase"].as_string(), "Running");
  EXPECT_EQ(now["status"]["podIP"].as_string(), "10.244.0.2");
  EXPECT_EQ(now["status"]["podIPs"][0]["ip"].as_string(), "10.244.0.2");
  EXPECT_EQ(now["status"]["hostIP"].as_string(), "10.99.0.2");
  EXPECT_EQ(now["status"]["observedGeneration"].as_int(), 1);
  EXPECT_EQ(now["status"]["qosClass"].as_string(), "BestEffort");
  runtime_.advance(0s);
  for (const char* type : {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"}) {
    EXPECT_EQ(condition("web-0", type), "True") << type;
  }
  const Value& status = container("web-0");
  EXPECT_TRUE(status["ready"].as_bool());
  EXPECT_TRUE(status["started"].as_bool());
  EXPECT_TRUE(status["resources"].is_object());
  EXPECT_EQ(status["restartCount"].as_int(), 0);
  EXPECT_EQ(status["imageID"].as_string(), "sha256:busybox");
  EXPECT_EQ(status["containerID"].as_string(), "berth://" + containers_.id_of("c"));
  EXPECT_TRUE(has_event("Normal Pulled web-0: Container image \"busybox\" already present on machine")) << all_events();
  EXPECT_TRUE(has_event("Normal Created web-0: Container created"));
  EXPECT_TRUE(has_event("Normal Started web-0: Container started"));
  // The states on the way, in order.
  ASSERT_GE(api_.pod_patches.size(), 3u);
  const Value& first = api_.pod_patches[0]["status"];
  EXPECT_EQ(first["containerStatuses"][0]["state"]["waiting"]["reason"].as_string(), "ContainerCreating");
  EXPECT_FALSE(first.contains("phase")) << "was Pending already";
  EXPECT_EQ(api_.pod_patches[0]["metadata"]["uid"].as_string(), api::uid_of(now));
  EXPECT_EQ(api_.pod_patches.back()["status"]["containerStatuses"][0]["ready"].as_bool(), true);
  int writes = api_.writes;
  runtime_.advance(9s);
  EXPECT_EQ(api_.writes, writes) << "at rest nothing is written";
  EXPECT_TRUE(agent_->idle());
}

TEST_F(AgentTest, APodThatAsksForWhatTheNodeMayNotGiveIsFailed) {
  Value stored = put(
      "web-0",
      R"({"securityContext":{"sysctls":[{"name":"kernel.msgmax","value":"1"}]},"containers":[{"name":"c","image":"busybox"}]})");
  Value status = get("web-0")["status"];
  EXPECT_EQ(status["phase"].as_string(), "Failed");
  EXPECT_EQ(status["reason"].as_string(), "SysctlForbidden");
  EXPECT_EQ(status["message"].as_string(), "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
  EXPECT_FALSE(status["startTime"].is_null());
  EXPECT_TRUE(status["containerStatuses"].empty());
  EXPECT_TRUE(has_event("Warning SysctlForbidden web-0: forbidden sysctl: \"kernel.msgmax\" not allowlisted"))
      << all_events();
  EXPECT_TRUE(containers_.log.empty()) << "nothing was prepared";
  // A new agent, with and without its memory, leaves it so.
  agent_.reset();
  start();
  EXPECT_EQ(get("web-0")["status"], status);
  agent_.reset();
  ASSERT_TRUE(remove_all(directory_ / "data/memory/records").ok());
  start();
  EXPECT_EQ(get("web-0")["status"], status);
  api_.delete_pod({"default", "web-0"}, 30);
  runtime_.settle();
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, AllContainersBeginAnewWhereARuleSaysSo) {
  put("web-0", R"({"restartPolicy":"Never","initContainers":[{"name":"setup","image":"busybox"}],"containers":[
      {"name":"a","image":"busybox","lifecycle":{"preStop":{"exec":{"command":["never"]}}}},
      {"name":"b","image":"busybox","restartPolicy":"Never","restartPolicyRules":[{"action":"RestartAllContainers","exitCodes":{"operator":"In","values":[88]}}]}]})");
  auto begin = [&] {
    runtime_.advance(3s);
    containers_.exit("setup", 0);
    runtime_.advance(100ms);
    ASSERT_EQ(get("web-0")["status"]["phase"].as_string(), "Running");
  };
  begin();
  EXPECT_EQ(condition("web-0", "AllContainersRestarting"), "False");
  const std::string ip = get("web-0")["status"]["podIP"].str();
  containers_.ignores_kill = {"a"};
  containers_.exit("b", 88);
  runtime_.settle();
  EXPECT_EQ(condition("web-0", "AllContainersRestarting"), "True");
  EXPECT_EQ(api::condition_of(get("web-0"), "AllContainersRestarting")["reason"].as_string(),
            "RestartAllContainersStarted");
  // An agent that begins now goes on with it.
  agent_.reset();
  containers_.ignores_kill.clear();
  containers_.exit("a", 137);
  start();
  runtime_.settle();
  EXPECT_EQ(condition("web-0", "AllContainersRestarting"), "False");
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Pending");
  begin();
  for (int i : {0, 1}) {
    const Value status = container("web-0", i);
    EXPECT_EQ(status["restartCount"].as_int(), 1);
    EXPECT_EQ(
        status["lastState"]["terminated"],
        json::parse(
            R"({"exitCode":137,"reason":"RestartingAllContainers","message":"The container is removed because RestartAllContainers in place"})")
            .value());
  }
  EXPECT_EQ(get("web-0")["status"]["initContainerStatuses"][0]["restartCount"].as_int(), 1);
  EXPECT_EQ(get("web-0")["status"]["podIP"].as_string(), ip);
  EXPECT_TRUE(probes_.log.empty()) << "no hook was run";
  // Two beginnings are two seconds apart.
  containers_.exit("b", 88);
  runtime_.advance(100ms);
  containers_.exit("setup", 0);
  runtime_.advance(100ms);
  containers_.exit("b", 88);
  runtime_.advance(1500ms);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{});
  runtime_.advance(500ms);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"setup"});
  begin();
  // Another code leaves the others alone, and what is over stays so.
  containers_.exit("b", 1);
  runtime_.advance(5s);
  EXPECT_EQ(container("web-0", 1)["state"]["terminated"]["exitCode"].as_int(), 1);
  EXPECT_EQ(container("web-0", 0)["restartCount"].as_int(), 3);
}

// Named in the pod's spec, past every scheduler.
TEST_F(AgentTest, APodThatDoesNotFitIsFailedAndWhatRunsStays) {
  const std::int64_t cpus =
      api::Quantity::parse(api_.object(kNodes, api::Name{"", "node1"})["status"]["allocatable"]["cpu"].as_string())
          ->value();
  auto asking = [](std::int64_t milli) {
    return R"({"containers":[{"name":"c","image":"busybox","resources":{"requests":{"cpu":")" + std::to_string(milli) +
           R"(m"}}}]})";
  };
  const std::string most = asking(1000 * cpus - 100);
  put("first", most);
  EXPECT_EQ(get("first")["status"]["phase"].as_string(), "Running");
  put("second", asking(101));
  const std::string why =
      "Node didn't have enough resource: cpu, requested: 101, used: " + std::to_string(1000 * cpus - 100) +
      ", capacity: " + std::to_string(1000 * cpus);
  EXPECT_EQ(get("second")["status"]["phase"].as_string(), "Failed");
  EXPECT_EQ(get("second")["status"]["reason"].as_string(), "OutOfcpu");
  EXPECT_EQ(get("second")["status"]["message"].as_string(), "Pod was rejected: " + why);
  EXPECT_TRUE(has_event("Warning OutOfcpu second: " + why)) << all_events();
  put("third", asking(100));  // what was refused takes no room
  EXPECT_EQ(get("third")["status"]["phase"].as_string(), "Running");
  // Whatever the node is like meanwhile, a new agent leaves what runs alone, and counts it.
  Value node = api_.object(kNodes, api::Name{"", "node1"});
  node.mut("spec").set("taints", Value::array({Value::object({{"key", "out"}, {"effect", "NoExecute"}})}));
  agent_.reset();
  api_.put(kNodes, node);
  api_.put(kPods, pod("fourth", most));
  api_.put(kPods, pod("fifth", asking(0)));
  start();
  for (const char* name : {"first", "third"}) EXPECT_EQ(get(name)["status"]["phase"].as_string(), "Running") << name;
  EXPECT_EQ(get("fourth")["status"]["reason"].as_string(), "OutOfcpu");
  EXPECT_EQ(get("fifth")["status"]["reason"].as_string(), "TaintToleration");
  // What has gone leaves its room.
  node.mut("spec").erase("taints");
  api_.put(kNodes, node);
  api_.delete_pod({"default", "first"}, 1);
  runtime_.advance(5s);
  put("sixth", most);
  EXPECT_EQ(get("sixth")["status"]["phase"].as_string(), "Running");
}

TEST_F(AgentTest, APodThatAsksForWhatTheNodeHasNotGotWaitsAndSaysSo) {
  put("web-0", R"({"runtimeClassName":"gvisor","containers":[{"name":"c","image":"busybox"}]})");
  EXPECT_TRUE(has_event(
      "Warning FailedCreatePodSandBox web-0: Failed to create pod sandbox: runtimeclass.node.k8s.io \"gvisor\" not found"))
      << all_events();
  api::Resource classes{"node.k8s.io", "v1", "runtimeclasses"};
  auto put_class = [&](const char* handler) {
    api_.put(classes, Value::object({{"metadata", Value::object({{"name", "gvisor"}})}, {"handler", handler}}));
  };
  put_class("runsc");
  runtime_.advance(2s);
  EXPECT_TRUE(has_event(
      "Warning FailedCreatePodSandBox web-0: Failed to create pod sandbox: failed to get sandbox runtime: no runtime for \"runsc\" is configured"))
      << all_events();
  EXPECT_TRUE(containers_.log.empty());
  put_class("crun");
  runtime_.advance(5s);
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Running");
}

TEST_F(AgentTest, ACrashingContainerBacksOff) {
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  std::string uid(api::uid_of(get("web-0")));
  containers_.exit("c", 1);
  runtime_.settle();
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1) << "the first restart is at once";
  EXPECT_EQ(container("web-0")["lastState"]["terminated"]["reason"].as_string(), "Error");
  containers_.exit("c", 1);
  runtime_.settle();
  const Value& waiting = container("web-0")["state"]["waiting"];
  EXPECT_EQ(waiting["reason"].as_string(), "CrashLoopBackOff");
  EXPECT_EQ(waiting["message"].as_string(),
            "back-off 10s restarting failed container=c pod=web-0_default(" + uid + ")");
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Running");
  EXPECT_TRUE(
      has_event("Warning BackOff web-0: Back-off restarting failed container c in pod web-0_default(" + uid + ")"));
  runtime_.advance(9s);
  EXPECT_TRUE(containers_.running().empty());
  runtime_.advance(1s);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"c"});
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 2);
}

TEST_F(AgentTest, MemoryThatRanOutIsTheReason) {
  put("web-0", R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox"}]})");
  containers_.exit("c", 137, true);
  runtime_.settle();
  EXPECT_EQ(container("web-0")["state"]["terminated"]["reason"].as_string(), "OOMKilled");
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Failed");
}

TEST_F(AgentTest, SaysWhatCannotBeStarted) {
  containers_.run_error = "exec: \"nope\": executable file not found in $PATH";
  put("a", R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox"}]})");
  const Value& state = container("a")["state"];
  EXPECT_EQ(state["terminated"]["reason"].as_string(), "StartError");
  EXPECT_EQ(state["terminated"]["exitCode"].as_int(), 128);
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Failed");
  EXPECT_TRUE(has_event("Warning Failed a: Error: exec: \"nope\": executable file not found in $PATH"));
}

// A server that keeps to a host address of its own, whatever the agent says.
TEST_F(AgentTest, DoesNotRepeatAStatusThatChangesNothing) {
  int writes = 0;
  api_.admit_pod = [&](Value& pod) {
    if (++writes < 100) pod.mut("status").set("hostIP", "10.9.9.9");
    return ok_status();
  };
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(5s);
  EXPECT_EQ(condition("web-0", "Ready"), "True");
  EXPECT_LT(writes, 20);
  const int before = writes;
  Value pod = get("web-0");
  pod.mut("metadata").set("labels", Value::object({{"a", "b"}}));
  api_.put(kPods, pod);
  runtime_.advance(5s);
  EXPECT_EQ(writes, before + 1) << "once more where the object has changed";
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.advance(10s);
  EXPECT_TRUE(get("web-0").is_null());
  EXPECT_LT(writes, 40);
}

TEST_F(AgentTest, FindsContainersForStreams) {
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"},{"name":"d","image":"busybox","tty":true}]})");
  auto place = agent_->find_container("default", "web-0", "d");
  ASSERT_TRUE(place.ok());
  EXPECT_TRUE(place->running);
  EXPECT_TRUE(place->tty);
  EXPECT_EQ(place->id, containers_.id_of("d"));
  EXPECT_TRUE(place->log_path.ends_with("/d/0.log"));
  EXPECT_EQ(agent_->find_container("default", "nope", "d").error().message, "pods \"nope\" not found");
  EXPECT_EQ(agent_->find_container("default", "web-0", "x").error().message, "container x is not valid for pod web-0");
  EXPECT_EQ(agent_->find_container("default", "web-0", "").error().message,
            "a container name must be specified for pod web-0, choose one of: [c d]");
  EXPECT_EQ(agent_->find_container("default", "web-0", "c", true).error().message,
            "previous terminated container \"c\" in pod \"web-0\" not found");
  containers_.exit("c", 1);
  runtime_.settle();
  EXPECT_TRUE(agent_->find_container("default", "web-0", "c", true)->log_path.ends_with("/c/0.log"));
  EXPECT_TRUE(agent_->find_container("default", "web-0", "c")->log_path.ends_with("/c/1.log"));
  EXPECT_EQ(agent_->find_pod("default", "web-0")->ip, "10.244.0.2");
}

}  // namespace
}  // namespace berth::agent
