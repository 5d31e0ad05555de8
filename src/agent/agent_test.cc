#include "agent/agent.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/runtime/mounts.h"
#include "agent/runtime/test_node.h"
#include "agent/test_cluster.h"
#include "api/object.h"
#include "base/files.h"
#include "base/quantity.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using api::resources::kConfigMaps;
using api::resources::kLeases;
using api::resources::kNodes;
using api::resources::kPersistentVolumeClaims;
using api::resources::kPersistentVolumes;
using api::resources::kPods;
using api::resources::kSecrets;

class AgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
    images_.add("busybox");
    start();
  }
  void TearDown() override {
    agent_.reset();
    runtime_.settle();
  }
  void start() {
    AgentConfig config;
    config.node_name = "node1";
    config.node_ip = "10.99.0.2";
    config.data_dir = directory_ / "data";
    agent_ = std::make_unique<Agent>(
        config, AgentDependencies{runtime_, api_, containers_, images_, volumes_, network_, probes_});
    bool ready = false;
    agent_->start([&](Status s) {
      ASSERT_TRUE(s.ok()) << s.error().message;
      ready = true;
    });
    runtime_.settle();
    ASSERT_TRUE(ready);
  }
  Value pod(const std::string& name, const std::string& spec) {
    auto value = json::parse(spec);
    EXPECT_TRUE(value.ok()) << value.error().message;
    value->set("nodeName", "node1");
    if ((*value)["restartPolicy"].is_null()) value->set("restartPolicy", "Always");
    Value status = Value::object({{"phase", "Pending"}, {"qosClass", "BestEffort"}});
    return Value::object({{"apiVersion", "v1"},
                          {"kind", "Pod"},
                          {"metadata", Value::object({{"name", name}, {"namespace", "default"}, {"generation", 1}})},
                          {"spec", *value},
                          {"status", status}});
  }
  Value put(const std::string& name, const std::string& spec) {
    Value stored = api_.put(kPods, pod(name, spec));
    runtime_.settle();
    return stored;
  }
  Value get(const std::string& name) { return api_.object(kPods, api::Name{"default", name}); }
  std::string condition(const std::string& name, const std::string& type) {
    return api::condition_of(get(name), type)["status"].str();
  }
  bool has_event(const std::string& text) {
    for (const auto& e : api_.events) {
      if (e == text) return true;
    }
    return false;
  }
  std::string all_events() { return join(api_.events, "\n"); }
  const Value& container(const std::string& name, int index = 0) {
    held_ = get(name);
    return held_["status"]["containerStatuses"][index];
  }
  std::string memory(const std::string& uid) { return directory_ / "data/memory/pods/" + uid; }

  testing::TemporaryDirectory directory_;
  testing::ManualRuntime runtime_;
  testing::FakeApi api_{runtime_};
  testing::FakeContainers containers_{runtime_};
  testing::FakeImages images_{runtime_};
  testing::FakeVolumes volumes_{runtime_, directory_ / "volumes"};
  testing::FakeNetwork network_;
  testing::FakeProbes probes_{runtime_};
  Value held_;
  std::unique_ptr<Agent> agent_;  // goes first
};

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

TEST_F(AgentTest, AReadinessProbeTakesAPodOutAndIn) {
  probes_.results["/healthz"] = false;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":5,"failureThreshold":2}}]})");
  runtime_.advance(3s);
  EXPECT_EQ(condition("web-0", "Ready"), "False");
  EXPECT_EQ(api::condition_of(get("web-0"), "Ready")["message"].as_string(), "containers with unready status: [c]");
  EXPECT_FALSE(has_event("Warning Unhealthy web-0: Readiness probe failed: HTTP probe failed with statuscode: 503"))
      << "not yet";
  EXPECT_GT(probes_.log.size(), 20u) << "tried often while young";
  probes_.results["/healthz"] = true;
  runtime_.advance(200ms);
  EXPECT_EQ(condition("web-0", "Ready"), "True") << "ready when it is ready, not a period later";
  probes_.results["/healthz"] = false;
  runtime_.advance(6s);
  EXPECT_TRUE(has_event("Warning Unhealthy web-0: Readiness probe failed: HTTP probe failed with statuscode: 503"));
  EXPECT_EQ(condition("web-0", "Ready"), "True") << "one failure of two";
  runtime_.advance(5s);
  EXPECT_EQ(condition("web-0", "Ready"), "False");
  EXPECT_TRUE(containers_.id_of("c").size() > 0) << "runs on";
}

TEST_F(AgentTest, EagerTriesRestTwentyTimesAsLongAsTheyTake) {
  probes_.results["check"] = false;
  probes_.takes = 100ms;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"exec":{"command":["check"]},"periodSeconds":30}}]})");
  runtime_.advance(10s);
  EXPECT_EQ(probes_.log.size(), 5u) << "at 0, 2.1, 4.2, 6.3 and 8.4 s";
  runtime_.advance(19s);
  EXPECT_EQ(probes_.log.size(), 6u) << "the one at 10.5 s is the last before the period";
  runtime_.advance(2s);
  EXPECT_EQ(probes_.log.size(), 7u);
  probes_.log.clear();
  probes_.takes = 500ms;
  put("web-1",
      R"({"containers":[{"name":"d","image":"busybox","readinessProbe":{"exec":{"command":["slow"]},"periodSeconds":1,"timeoutSeconds":3}}]})");
  probes_.results["slow"] = false;
  runtime_.advance(5100ms);
  EXPECT_LE(std::count(probes_.log.begin(), probes_.log.end(), "slow"), 6) << "at most one in a period";
}

TEST_F(AgentTest, APeriodIsFromOneProbesBeginningToTheNext) {
  probes_.takes = 600ms;
  put("web-0", R"({"containers":[{"name":"c","image":"busybox","livenessProbe":{"exec":{"command":["slow"]},"periodSeconds":1,"timeoutSeconds":3}}]})");
  runtime_.advance(10500ms);
  EXPECT_EQ(probes_.log.size(), 11u) << "at 0, 1, ... 10 s";
  probes_.takes = 1500ms;
  runtime_.advance(500ms);
  probes_.log.clear();
  runtime_.advance(6s);
  EXPECT_EQ(probes_.log.size(), 4u) << "one at a time, and the next as soon as it is over";
}

TEST_F(AgentTest, AnAnnotationSwitchesEagerProbesOff) {
  probes_.results["/healthz"] = false;
  Value web = pod("web-0",
                  R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":4}}]})");
  web.mut("metadata").set("annotations", Value::object({{"berth.dev/eager-probes", "false"}}));
  api_.put(kPods, web);
  runtime_.advance(3900ms);
  EXPECT_EQ(probes_.log.size(), 1u);
  EXPECT_TRUE(has_event("Warning Unhealthy web-0: Readiness probe failed: HTTP probe failed with statuscode: 503"))
      << "the first try counts";
  runtime_.advance(4s);
  EXPECT_EQ(probes_.log.size(), 2u);
}

TEST_F(AgentTest, AProbeThatSucceedsWithAWarningTellsIt) {
  probes_.warning = {"/moved"};
  put("web-0", R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/moved","port":8080}}}]})");
  runtime_.advance(100ms);
  EXPECT_EQ(condition("web-0", "Ready"), "True");
  EXPECT_TRUE(has_event("Warning ProbeWarning web-0: Readiness probe warning: Probe terminated redirects, Response body: "))
      << all_events();
}

TEST_F(AgentTest, APodThatAsksForWhatTheNodeMayNotGiveIsFailed) {
  Value stored = put("web-0",
                     R"({"securityContext":{"sysctls":[{"name":"kernel.msgmax","value":"1"}]},"containers":[{"name":"c","image":"busybox"}]})");
  Value status = get("web-0")["status"];
  EXPECT_EQ(status["phase"].as_string(), "Failed");
  EXPECT_EQ(status["reason"].as_string(), "SysctlForbidden");
  EXPECT_EQ(status["message"].as_string(), "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
  EXPECT_FALSE(status["startTime"].is_null());
  EXPECT_TRUE(status["containerStatuses"].empty());
  EXPECT_TRUE(has_event("Warning SysctlForbidden web-0: forbidden sysctl: \"kernel.msgmax\" not allowlisted")) << all_events();
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
  EXPECT_EQ(api::condition_of(get("web-0"), "AllContainersRestarting")["reason"].as_string(), "RestartAllContainersStarted");
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
    EXPECT_EQ(status["lastState"]["terminated"],
              json::parse(R"({"exitCode":137,"reason":"RestartingAllContainers","message":"The container is removed because RestartAllContainers in place"})").value());
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
  const std::int64_t cpus = Quantity::parse(api_.object(kNodes, api::Name{"", "node1"})["status"]["allocatable"]["cpu"].as_string())->value();
  auto asking = [](std::int64_t milli) {
    return R"({"containers":[{"name":"c","image":"busybox","resources":{"requests":{"cpu":")" + std::to_string(milli) + R"(m"}}}]})";
  };
  const std::string most = asking(1000 * cpus - 100);
  put("first", most);
  EXPECT_EQ(get("first")["status"]["phase"].as_string(), "Running");
  put("second", asking(101));
  const std::string why = "Node didn't have enough resource: cpu, requested: 101, used: " + std::to_string(1000 * cpus - 100) +
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
  EXPECT_TRUE(has_event("Warning FailedCreatePodSandBox web-0: Failed to create pod sandbox: runtimeclass.node.k8s.io \"gvisor\" not found"))
      << all_events();
  api::Resource classes{"node.k8s.io", "v1", "runtimeclasses"};
  auto put_class = [&](const char* handler) {
    api_.put(classes, Value::object({{"metadata", Value::object({{"name", "gvisor"}})}, {"handler", handler}}));
  };
  put_class("runsc");
  runtime_.advance(2s);
  EXPECT_TRUE(has_event("Warning FailedCreatePodSandBox web-0: Failed to create pod sandbox: failed to get sandbox runtime: no runtime for \"runsc\" is configured"))
      << all_events();
  EXPECT_TRUE(containers_.log.empty());
  put_class("crun");
  runtime_.advance(5s);
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Running");
}

TEST_F(AgentTest, VariablesComeFromFilesOfVolumes) {
  const char* spec = R"({"volumes":[{"name":"e","emptyDir":{}}],"containers":[{"name":"c","image":"busybox","env":[
      {"name":"A","valueFrom":{"fileKeyRef":{"volumeName":"e","path":"conf/env","key":"A"}}},
      {"name":"B","valueFrom":{"fileKeyRef":{"volumeName":"e","path":"conf/env","key":"B","optional":true}}}]}]})";
  Value stored = put("web-0", spec);
  EXPECT_EQ(container("web-0")["state"]["waiting"]["reason"].as_string(), "CreateContainerConfigError");
  EXPECT_TRUE(container("web-0")["state"]["waiting"]["message"].as_string().starts_with("couldn't parse env file \"conf/env\""));
  std::string volume = directory_ / "data/pods/" + std::string(api::uid_of(stored)) + "/empty/e";
  ASSERT_TRUE(write_file(directory_ / "env", "A='stolen'").ok());
  ASSERT_EQ(::symlink(directory_.path().c_str(), (volume + "/conf").c_str()), 0);
  runtime_.advance(11s);
  EXPECT_TRUE(containers_.specs.empty()) << "a link that leads out of the volume is not followed";
  ASSERT_EQ(::unlink((volume + "/conf").c_str()), 0);
  ASSERT_TRUE(make_directories(volume + "/conf").ok());
  ASSERT_TRUE(write_file(volume + "/conf/env", "A='one'\n").ok());
  runtime_.advance(11s);
  ASSERT_EQ(containers_.specs.size(), 1u);
  const auto& env = containers_.specs[0].env;
  EXPECT_EQ(std::count(env.begin(), env.end(), "A=one"), 1);
  EXPECT_EQ(std::count_if(env.begin(), env.end(), [](const auto& one) { return one.starts_with("B="); }), 0);
}

TEST_F(AgentTest, ALivenessProbeRestartsTheContainer) {
  probes_.results["check"] = true;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","livenessProbe":{"exec":{"command":["check"]},"periodSeconds":2,"failureThreshold":3}}]})");
  runtime_.advance(10s);
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 0);
  probes_.results["check"] = false;
  runtime_.advance(7s);
  EXPECT_TRUE(has_event("Normal Killing web-0: Container c failed liveness probe, will be restarted")) << all_events();
  probes_.results["check"] = true;
  runtime_.advance(1s);
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1);
  EXPECT_EQ(container("web-0")["lastState"]["terminated"]["exitCode"].as_int(), 143);
  EXPECT_FALSE(container("web-0")["state"]["running"].is_null());
}

TEST_F(AgentTest, AProbeThatCannotBeCarriedOutSaysNothing) {
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","livenessProbe":{"exec":{"command":["live"]},"periodSeconds":1,"failureThreshold":1},
                                                     "readinessProbe":{"exec":{"command":["ready"]},"periodSeconds":1,"failureThreshold":1}}]})");
  runtime_.advance(2s);
  EXPECT_EQ(condition("web-0", "Ready"), "True");
  probes_.broken = {"live", "ready"};
  runtime_.advance(20s);
  EXPECT_EQ(condition("web-0", "Ready"), "True");
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 0);
  EXPECT_TRUE(has_event("Warning Unhealthy web-0: Liveness probe errored and resulted in unknown state: no such program")) << all_events();
  EXPECT_TRUE(has_event("Warning Unhealthy web-0: Readiness probe errored and resulted in unknown state: no such program"));
  probes_.broken.clear();
  probes_.results["ready"] = false;
  runtime_.advance(2s);
  EXPECT_EQ(condition("web-0", "Ready"), "False");
}

TEST_F(AgentTest, AStartupProbeHoldsBackTheOthers) {
  probes_.results["up"] = false;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","startupProbe":{"exec":{"command":["up"]},"periodSeconds":10,"failureThreshold":3},
                                   "livenessProbe":{"exec":{"command":["live"]}},"readinessProbe":{"exec":{"command":["ready"]}}}]})");
  runtime_.advance(2s);
  EXPECT_FALSE(container("web-0")["started"].as_bool());
  for (const auto& line : probes_.log) EXPECT_EQ(line, "up");
  probes_.results["up"] = true;
  runtime_.advance(1s);
  EXPECT_TRUE(container("web-0")["started"].as_bool());
  EXPECT_TRUE(container("web-0")["ready"].as_bool());
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

TEST_F(AgentTest, ACompletedPodIsTornDownButStays) {
  Value stored = put("job", R"({"restartPolicy":"OnFailure","containers":[{"name":"c","image":"busybox"}]})");
  containers_.exit("c", 0);
  runtime_.settle();
  EXPECT_EQ(get("job")["status"]["phase"].as_string(), "Succeeded");
  EXPECT_EQ(api::condition_of(get("job"), "Ready")["reason"].as_string(), "PodCompleted");
  EXPECT_TRUE(containers_.sandboxes.empty());
  EXPECT_TRUE(network_.addresses.empty());
  EXPECT_FALSE(path_exists(directory_ / "data/pods/" + std::string(api::uid_of(stored))));
  EXPECT_EQ(get("job")["status"]["podIP"].as_string(), "10.244.0.2") << "kept for those who look";
  api_.delete_pod({"default", "job"}, 30);
  runtime_.settle();
  EXPECT_TRUE(get("job").is_null());
}

TEST_F(AgentTest, DeletionEndsContainersGracefullyAndThenTheObject) {
  containers_.ignores_term = {"c"};
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.settle();
  EXPECT_EQ(containers_.log.back(), "signal c 15");
  EXPECT_TRUE(has_event("Normal Killing web-0: Stopping container c"));
  runtime_.advance(4900ms);
  EXPECT_EQ(containers_.running().size(), 1u);
  runtime_.advance(200ms);
  EXPECT_TRUE(containers_.running().empty());
  EXPECT_TRUE(get("web-0").is_null());
  EXPECT_TRUE(containers_.sandboxes.empty());
  EXPECT_TRUE(network_.addresses.empty());
  std::string phase;
  for (const Value& patch : api_.pod_patches) phase = patch["status"]["phase"].str(phase);
  EXPECT_EQ(phase, "Failed") << "137 is no success";
  auto records = list_directory(directory_ / "data/memory/records");
  ASSERT_TRUE(records.ok());
  EXPECT_TRUE(records->empty());
}

TEST_F(AgentTest, LessPatienceShortensTheGrace) {
  containers_.ignores_term = {"c"};
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  api_.delete_pod({"default", "web-0"}, 60);
  runtime_.advance(2s);
  api_.delete_pod({"default", "web-0"}, 3);
  runtime_.settle();
  EXPECT_EQ(containers_.running().size(), 1u);
  runtime_.advance(1100ms);
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, PreStopComesBeforeTheSignal) {
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","lifecycle":{"preStop":{"exec":{"command":["bye"]}}}}]})");
  api_.delete_pod({"default", "web-0"}, 30);
  runtime_.settle();
  EXPECT_EQ(probes_.log, std::vector<std::string>{"bye"});
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, APreStopHookThatUsesUpTheGracePeriodIsFollowedByTheSignal) {
  probes_.hanging = {"bye"};
  containers_.ignores_term = {"deaf"};
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","lifecycle":{"preStop":{"exec":{"command":["bye"]}}}},
                        {"name":"q","image":"busybox","lifecycle":{"preStop":{"sleep":{"seconds":4}}}},
                        {"name":"deaf","image":"busybox","lifecycle":{"preStop":{"exec":{"command":["bye"]}}}}]})");
  api_.delete_pod({"default", "web-0"}, 4);
  runtime_.advance(3900ms);
  EXPECT_EQ(containers_.running().size(), 3u);
  runtime_.advance(200ms);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"deaf"});
  EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), "kill c"), 0);
  EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), "signal c 15"), 1);
  EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), "signal deaf 15"), 1);
  runtime_.advance(1800ms);
  EXPECT_EQ(containers_.running().size(), 1u) << "two seconds after the signal";
  runtime_.advance(200ms);
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, SidecarsShareTheGracePeriodOfThePod) {
  containers_.ignores_term = {"s", "t", "c"};
  put("web-0",
      R"({"initContainers":[{"name":"s","image":"busybox","restartPolicy":"Always"},
                            {"name":"t","image":"busybox","restartPolicy":"Always","lifecycle":{"preStop":{"exec":{"command":["bye"]}}}}],
          "containers":[{"name":"c","image":"busybox"}]})");
  ASSERT_EQ(containers_.running().size(), 3u);
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.settle();
  EXPECT_EQ(probes_.log, std::vector<std::string>{"bye"}) << "hooks of sidecars run at once";
  EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), "signal t 15"), 0) << "their signal waits";
  runtime_.advance(5100ms);
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"s", "t"}));
  runtime_.advance(2s);
  EXPECT_TRUE(get("web-0").is_null());
  // With time left they end one after the other.
  containers_.ignores_term = {};
  containers_.log.clear();
  put("web-1",
      R"({"initContainers":[{"name":"s","image":"busybox","restartPolicy":"Always"},{"name":"t","image":"busybox","restartPolicy":"Always"}],
          "containers":[{"name":"c","image":"busybox"}]})");
  api_.delete_pod({"default", "web-1"}, 5);
  runtime_.settle();
  std::vector<std::string> signals;
  for (const auto& line : containers_.log) {
    if (line.starts_with("signal")) signals.push_back(line);
  }
  EXPECT_EQ(signals, (std::vector<std::string>{"signal c 15", "signal t 15", "signal s 15"}));
}

TEST_F(AgentTest, ANewImageRestartsARunningContainer) {
  images_.add("busybox:2");
  put("web-0", R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox"}]})");
  Value pod = get("web-0");
  pod.mut("spec").mut("containers").mut(0).set("image", "busybox:2");
  api_.put(kPods, pod);
  runtime_.settle();
  EXPECT_TRUE(has_event("Normal Killing web-0: Container c definition changed, will be restarted")) << all_events();
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1);
  EXPECT_EQ(container("web-0")["image"].as_string(), "busybox:2");
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Running");
  pod = get("web-0");
  pod.mut("spec").mut("containers").mut(0).set("image", "busybox");
  api_.put(kPods, pod);
  runtime_.settle();
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 2) << "no back-off: it did not fail";
}

TEST_F(AgentTest, AnImageThatCannotBePulledIsLeftForAnother) {
  images_.pull_errors["no-such"] = "not there";
  put("web-0", R"({"containers":[{"name":"c","image":"no-such"}]})");
  runtime_.advance(15s);
  EXPECT_EQ(container("web-0")["state"]["waiting"]["reason"].as_string(), "ImagePullBackOff");
  Value pod = get("web-0");
  pod.mut("spec").mut("containers").mut(0).set("image", "busybox");
  api_.put(kPods, pod);
  runtime_.settle();
  EXPECT_TRUE(container("web-0")["state"]["running"].is_object());
}

TEST_F(AgentTest, AFailedPostStartHookEndsTheContainer) {
  probes_.results["hello"] = false;
  put("web-0",
      R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox","lifecycle":{"postStart":{"exec":{"command":["hello"]}}}}]})");
  EXPECT_TRUE(has_event("Warning FailedPostStartHook web-0: PostStartHook failed")) << all_events();
  EXPECT_TRUE(has_event("Normal Killing web-0: FailedPostStartHook"));
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Failed");
}

TEST_F(AgentTest, AForceDeletedPodIsEndedAndItsNameUsedAgainOnlyAfterwards) {
  containers_.ignores_term = {"c"};
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  api_.erase(kPods, {"default", "web-0"});
  Value again = put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  EXPECT_EQ(containers_.specs.size(), 1u) << "one identity never runs twice";
  runtime_.advance(2100ms);
  ASSERT_EQ(containers_.specs.size(), 2u);
  EXPECT_EQ(containers_.specs[1].pod_uid, api::uid_of(again));
  EXPECT_EQ(containers_.running().size(), 1u);
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Running");
}

TEST_F(AgentTest, ImagesArePulledOrTheReasonIsTold) {
  images_.pull_errors["nothere"] = "manifest unknown";
  put("a", R"({"containers":[{"name":"c","image":"nothere"}]})");
  EXPECT_EQ(container("a")["state"]["waiting"]["reason"].as_string(), "ErrImagePull");
  EXPECT_EQ(container("a")["state"]["waiting"]["message"].as_string(), "manifest unknown");
  EXPECT_TRUE(has_event("Warning Failed a: Failed to pull image \"nothere\": manifest unknown"));
  runtime_.advance(2s);
  EXPECT_EQ(container("a")["state"]["waiting"]["reason"].as_string(), "ImagePullBackOff");
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Pending");
  images_.pull_errors.clear();
  runtime_.advance(15s);
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Running");
  put("b", R"({"containers":[{"name":"c","image":"other","imagePullPolicy":"Never"}]})");
  EXPECT_EQ(container("b")["state"]["waiting"]["reason"].as_string(), "ErrImageNeverPull");
  EXPECT_EQ(container("b")["state"]["waiting"]["message"].as_string(),
            "Container image \"other\" is not present with pull policy of Never");
  put("d", R"({"containers":[{"name":"c","image":"UPPER case"}]})");
  EXPECT_EQ(container("d")["state"]["waiting"]["reason"].as_string(), "InvalidImageName");
}

TEST_F(AgentTest, PullSecretsAreForTheirRegistry) {
  std::string config =
      R"({"auths":{"registry.test":{"username":"me","password":"pw"},"elsewhere.test":{"auth":"eDp5"}}})";
  api_.put(kSecrets, Value::object({{"metadata", Value::object({{"name", "reg"}, {"namespace", "default"}})},
                                    {"data", Value::object({{".dockerconfigjson", base64_encode(config)}})}}));
  put("a",
      R"({"imagePullSecrets":[{"name":"reg"}],"containers":[{"name":"c","image":"registry.test/x","env":[{"name":"X","valueFrom":{"secretKeyRef":{"name":"reg","key":".dockerconfigjson"}}}]}]})");
  ASSERT_EQ(images_.credentials.size(), 1u);
  EXPECT_EQ(images_.credentials[0].user, "me");
}

TEST_F(AgentTest, AMissingConfigMapIsWaitedFor) {
  put("a",
      R"({"containers":[{"name":"c","image":"busybox","env":[{"name":"X","valueFrom":{"configMapKeyRef":{"name":"m","key":"k"}}}]}]})");
  EXPECT_EQ(container("a")["state"]["waiting"]["reason"].as_string(), "CreateContainerConfigError");
  EXPECT_EQ(container("a")["state"]["waiting"]["message"].as_string(), "configmap \"m\" not found");
  EXPECT_TRUE(has_event("Warning Failed a: Error: configmap \"m\" not found")) << all_events();
  api_.put(kConfigMaps, Value::object({{"metadata", Value::object({{"name", "m"}, {"namespace", "default"}})},
                                       {"data", Value::object({{"other", "1"}})}}));
  runtime_.settle();
  EXPECT_EQ(container("a")["state"]["waiting"]["message"].as_string(), "couldn't find key k in ConfigMap default/m");
  api_.put(kConfigMaps, Value::object({{"metadata", Value::object({{"name", "m"}, {"namespace", "default"}})},
                                       {"data", Value::object({{"k", "value"}})}}));
  runtime_.settle();
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Running") << "at once, not at the next retry";
  const auto& env = containers_.specs.back().env;
  EXPECT_NE(std::find(env.begin(), env.end(), "X=value"), env.end());
}

TEST_F(AgentTest, ConfigVolumesChangeInPlace) {
  put("a",
      R"({"volumes":[{"name":"v","configMap":{"name":"m"}}],"containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"v","mountPath":"/etc/v"}]}]})");
  std::string uid(api::uid_of(get("a")));
  EXPECT_TRUE(has_event("Warning FailedMount a: MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found"))
      << all_events();
  auto config = [&](const char* text) {
    api_.put(kConfigMaps, Value::object({{"metadata", Value::object({{"name", "m"}, {"namespace", "default"}})},
                                         {"data", Value::object({{"k", text}})}}));
    runtime_.settle();
  };
  config("one");
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Running") << all_events();
  std::string file = memory(uid) + "/volumes/v/k";
  EXPECT_EQ(read_file(file).value(), "one");
  config("two");
  EXPECT_EQ(read_file(file).value(), "two");
  const auto& mounts = containers_.specs.back().mounts;
  auto mount = std::find_if(mounts.begin(), mounts.end(), [](const Mount& m) { return m.target == "/etc/v"; });
  ASSERT_NE(mount, mounts.end());
  EXPECT_TRUE(mount->read_only);
  EXPECT_EQ(mount->source, memory(uid) + "/volumes/v");
}

TEST_F(AgentTest, ATokenIsProjectedAndRenewed) {
  put("a",
      R"({"serviceAccountName":"web","volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"token","expirationSeconds":3600}}]}}],
               "containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"v","mountPath":"/t"}]}]})");
  std::string uid(api::uid_of(get("a")));
  EXPECT_EQ(read_file(memory(uid) + "/volumes/v/token").value(), "token-of-web");
  runtime_.advance(47min);
  EXPECT_EQ(api_.tokens, 1);
  runtime_.advance(2min);
  EXPECT_EQ(read_file(memory(uid) + "/volumes/v/token").value(), "token-of-web-2") << "at 80 % of its life";
}

// No timer counts the time that a machine is suspended; tokens end by the wall clock.
TEST_F(AgentTest, ATokenIsRenewedSoonAfterASuspend) {
  put("a",
      R"({"serviceAccountName":"web","volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"token","expirationSeconds":3600}}]}}],
               "containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"v","mountPath":"/t"}]}]})");
  const std::string token = memory(std::string(api::uid_of(get("a")))) + "/volumes/v/token";
  runtime_.suspend(3h);
  api_.down = true;
  runtime_.advance(60s);
  EXPECT_EQ(read_file(token).value(), "token-of-web") << "an old one is better than none";
  api_.down = false;
  runtime_.advance(60s);
  EXPECT_EQ(read_file(token).value(), "token-of-web-2");
  runtime_.advance(40min);
  EXPECT_EQ(api_.tokens, 2);
}

TEST_F(AgentTest, ADeadlineIsKeptByTheWallClock) {
  put("a", R"({"activeDeadlineSeconds":3600,"terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":"busybox"}]})");
  EXPECT_EQ(condition("a", "Ready"), "True");
  runtime_.suspend(2h);
  runtime_.advance(35s);
  EXPECT_EQ(get("a")["status"]["reason"].as_string(), "DeadlineExceeded");
}

TEST_F(AgentTest, ClaimsAreMountedByWhatTheyAreBoundTo) {
  if (!testing::enter_private_mounts()) GTEST_SKIP() << "no private mount namespace";
  put("a",
      R"({"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}],"containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"d","mountPath":"/data","subPath":"db"}]}]})");
  EXPECT_TRUE(containers_.specs.empty());
  Value claim = api_.put(kPersistentVolumeClaims,
                         Value::object({{"metadata", Value::object({{"name", "data"}, {"namespace", "default"}})},
                                        {"spec", Value::object({{"volumeName", "pv1"}})},
                                        {"status", Value::object({{"phase", "Bound"}})}}));
  Value volume = Value::object({{"metadata", Value::object({{"name", "pv1"}})},
                                {"spec", Value::object({{"claimRef", Value::object({{"uid", "another"}})}})}});
  api_.put(kPersistentVolumes, volume);
  runtime_.advance(5s);
  EXPECT_TRUE(containers_.specs.empty()) << "a volume that is bound to another claim is never mounted";
  EXPECT_NE(all_events().find("is bound to another claim"), std::string::npos) << all_events();
  volume.mut("spec").set("claimRef", Value::object({{"uid", std::string(api::uid_of(claim))}}));
  api_.put(kPersistentVolumes, volume);
  runtime_.advance(125s);
  ASSERT_EQ(containers_.specs.size(), 1u) << all_events();
  const std::string source = containers_.specs[0].mounts[0].source;
  EXPECT_TRUE(is_mount_point(source)) << source;
  ASSERT_TRUE(write_file(directory_ / "volumes/pv1/db/file", "x").ok());
  EXPECT_TRUE(path_exists(source + "/file")) << "the sub-path of that volume";
  EXPECT_EQ(volumes_.users["pv1"].size(), 1u);
  api_.delete_pod({"default", "a"}, 1);
  runtime_.settle();
  EXPECT_TRUE(get("a").is_null());
  EXPECT_FALSE(is_mount_point(source)) << "nothing of the volume stays in use";
  EXPECT_TRUE(volumes_.users["pv1"].empty());
}

TEST_F(AgentTest, ANewAgentChangesNothing) {
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/h","port":1},"periodSeconds":10}}],"volumes":[{"name":"e","emptyDir":{}}]})");
  put("crash", R"({"containers":[{"name":"k","image":"busybox"}]})");
  runtime_.settle();
  containers_.exit("k", 1);
  runtime_.settle();
  containers_.exit("k", 1);
  runtime_.advance(1s);
  ASSERT_EQ(condition("web-0", "Ready"), "True");
  Value before = get("web-0"), crash = get("crash");
  agent_.reset();
  int writes = api_.writes;
  std::size_t runs = containers_.specs.size();
  probes_.results["/h"] = false;
  start();
  runtime_.advance(3s);
  EXPECT_EQ(containers_.specs.size(), runs);
  EXPECT_EQ(get("web-0"), before) << "no status flap";
  EXPECT_EQ(get("crash"), crash);
  EXPECT_LE(api_.writes - writes, 2) << "the lease, no more";
  runtime_.advance(7s);
  EXPECT_EQ(containers_.specs.size(), runs + 1) << "the back-off goes on";
  containers_.exit("c", 0);
  runtime_.settle();
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1) << "and what was adopted is looked after";
}

TEST_F(AgentTest, WhatVanishedWhileNoAgentRanIsCleanedUp) {
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  put("web-1", R"({"containers":[{"name":"d","image":"busybox"}]})");
  agent_.reset();
  api_.erase(kPods, {"default", "web-0"});
  containers_.exit("d", 4);
  start();
  runtime_.advance(2s);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"d"}) << "run again";
  EXPECT_EQ(container("web-1")["restartCount"].as_int(), 1);
  EXPECT_EQ(container("web-1")["lastState"]["terminated"]["exitCode"].as_int(), 4);
  EXPECT_EQ(containers_.sandboxes.size(), 1u);
}

TEST_F(AgentTest, WhatIsLeftOfPodsThatNobodyKnowsIsTakenAway) {
  put("a", R"({"containers":[{"name":"c","image":"busybox"}]})");
  const std::string kept(api::uid_of(get("a")));
  agent_.reset();
  runtime_.settle();
  // The record of one went with the node's mounts, and the pod from the API while no agent was there.
  const std::string data = directory_ / "data";
  for (const char* left : {"/logs/default_b_uid-b/c", "/logs/default_a_uid-old/c", "/pods/uid-b", "/pods/uid-c/volumes", "/memory/pods/uid-d"}) {
    ASSERT_TRUE(make_directories(data + left).ok());
  }
  ASSERT_TRUE(make_directories(data + "/logs/default_a_" + kept + "/c").ok());
  ASSERT_TRUE(write_file(data + "/memory/records/broken.json", "{").ok());
  containers_.sandboxes.insert("uid-e");
  network_.addresses["uid-b"] = "10.244.0.99";
  start();
  runtime_.advance(2s);
  EXPECT_EQ(list_directory(data + "/logs").value(), std::vector<std::string>{"default_a_" + kept});
  EXPECT_EQ(list_directory(data + "/pods").value(), std::vector<std::string>{kept});
  EXPECT_EQ(list_directory(data + "/memory/pods").value(), std::vector<std::string>{kept});
  EXPECT_EQ(list_directory(data + "/memory/records").value(), std::vector<std::string>{kept + ".json"});
  EXPECT_EQ(containers_.sandboxes, std::set<std::string>{kept});
  EXPECT_FALSE(network_.addresses.contains("uid-b"));
  EXPECT_EQ(condition("a", "Ready"), "True");
  EXPECT_EQ(container("a")["restartCount"].as_int(), 0);
}

// An agent that was killed before it wrote down what had started, or while a hook ran.
TEST_F(AgentTest, AHookThatWasInterruptedRunsAgainAndThePodBecomesReady) {
  put("a", R"({"containers":[{"name":"c","image":"busybox","lifecycle":{"postStart":{"exec":{"command":["hook"]}}}}]})");
  const std::string record = directory_ / ("data/memory/records/" + std::string(api::uid_of(get("a"))) + ".json");
  auto hooks = [&] { return std::count(probes_.log.begin(), probes_.log.end(), "hook"); };
  EXPECT_EQ(hooks(), 1) << join(probes_.log, " ");
  agent_.reset();
  Value written = *json::parse(read_file(record).value());
  Value& c = written.mut("containers").mut("c");
  c.set("postStarted", false);
  c.set("runningFully", false);
  ASSERT_TRUE(write_file(record, json::encode(written)).ok());
  start();
  EXPECT_EQ(hooks(), 2);
  EXPECT_EQ(condition("a", "Ready"), "True");
  agent_.reset();
  // Nothing is known of it at all but that it runs.
  written.mut("containers").erase("c");
  ASSERT_TRUE(write_file(record, json::encode(written)).ok());
  start();
  EXPECT_EQ(hooks(), 3);
  EXPECT_EQ(condition("a", "Ready"), "True");
  EXPECT_EQ(container("a")["restartCount"].as_int(), 0);
  agent_.reset();
  start();
  EXPECT_EQ(hooks(), 3) << "it is over";
}

TEST_F(AgentTest, AfterARestartOfTheMachineCountsGoOn) {
  put("web-0", R"({"initContainers":[{"name":"i","image":"busybox"}],"containers":[{"name":"c","image":"busybox"}]})");
  containers_.exit("i", 0);
  runtime_.settle();
  ASSERT_EQ(containers_.running(), std::vector<std::string>{"c"});
  agent_.reset();
  // The memory file system, the containers and the sandboxes are gone.
  for (const auto& id : {containers_.id_of("c")}) containers_.remove_container(id, [](Status) {});
  (void)remove_all(directory_ / "data/memory/records");
  (void)remove_all(directory_ / "data/memory/pods");
  containers_.sandboxes.clear();
  start();
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"i"}) << "init containers run again in a new sandbox";
  containers_.exit("i", 0);
  runtime_.settle();
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"c"});
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1);
  EXPECT_EQ(container("web-0")["lastState"]["terminated"]["exitCode"].as_int(), 255);
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

TEST_F(AgentTest, EphemeralContainersRunOnceAndEndWithThePod) {
  put("a", R"({"containers":[{"name":"c","image":"busybox"}]})");
  auto add = [&](const std::string& one) {
    Value pod = get("a");
    pod.mut("spec").mut("ephemeralContainers").push(json::parse(one).value());
    api_.put(kPods, std::move(pod));
    runtime_.settle();
  };
  auto status = [&](int index) {
    held_ = get("a");
    return held_["status"]["ephemeralContainerStatuses"][index];
  };
  add(R"({"name":"d","image":"busybox","targetContainerName":"c","stdin":true,"tty":true})");
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(containers_.specs.back().processes_of, containers_.id_of("c"));
  EXPECT_FALSE(status(0)["state"]["running"].is_null());
  EXPECT_FALSE(status(0)["ready"].as_bool());
  EXPECT_EQ(condition("a", "Ready"), "True");
  EXPECT_TRUE(agent_->find_container("default", "a", "d")->tty);
  containers_.exit("d", 3);
  runtime_.advance(30s);
  EXPECT_EQ(status(0)["state"]["terminated"]["exitCode"], 3);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"c"});
  containers_.run_error = "exec: \"nope\": executable file not found in $PATH";
  add(R"({"name":"e","image":"busybox"})");
  EXPECT_EQ(status(1)["state"]["terminated"]["reason"], "StartError");
  add(R"({"name":"f","image":"busybox"})");
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"c", "f"}));
  // A new agent takes them over as it does others.
  agent_.reset();
  start();
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"c", "f"}));
  api_.delete_pod(api::Name{"default", "a"}, 5);
  runtime_.advance(10s);
  EXPECT_TRUE(containers_.running().empty());
  EXPECT_TRUE(get("a").is_null());
}

TEST_F(AgentTest, AnEphemeralContainerWaitsForItsTarget) {
  put("a", R"({"restartPolicy":"Never","containers":[{"name":"b","image":"busybox"},{"name":"c","image":"busybox"}]})");
  containers_.exit("b", 0);
  runtime_.settle();
  Value pod = get("a");
  pod.mut("spec").mut("ephemeralContainers").push(json::parse(R"({"name":"d","image":"busybox","targetContainerName":"b"})").value());
  api_.put(kPods, std::move(pod));
  runtime_.settle();
  const Value state = get("a")["status"]["ephemeralContainerStatuses"][0]["state"];
  EXPECT_EQ(state["waiting"]["reason"], "CreateContainerConfigError");
  EXPECT_EQ(state["waiting"]["message"], "unable to find target container \"b\"");
}

class ResizeTest : public AgentTest {
 protected:
  // A user's resize. `generation`: as the API counts it.
  void resize(const std::string& name, const std::string& resources) {
    Value pod = get(name);
    pod.mut("metadata").set("generation", pod["metadata"]["generation"].as_int() + 1);
    pod.mut("spec").mut("containers").mut(0).set("resources", json::parse(resources).value());
    api_.put(kPods, std::move(pod));
    runtime_.settle();
  }
  std::string log_since(std::size_t from) {
    return join(std::vector<std::string>(containers_.log.begin() + static_cast<long>(from), containers_.log.end()), ", ");
  }
  Value condition_of(const std::string& name, const std::string& type) {
    held_ = get(name);
    return api::condition_of(held_, type);
  }
};

TEST_F(ResizeTest, WhatWasRefusedTakesNoRoomFromAResize) {
  const std::int64_t cpus = Quantity::parse(api_.object(kNodes, api::Name{"", "node1"})["status"]["allocatable"]["cpu"].as_string())->value();
  auto asking = [](std::int64_t milli) { return R"({"requests":{"cpu":")" + std::to_string(milli) + R"(m"}})"; };
  auto spec = [&asking](std::int64_t milli) { return R"({"containers":[{"name":"c","image":"busybox","resources":)" + asking(milli) + "}]}"; };
  put("a", spec(100));
  // One right after the other: nothing of the second has been taken away when the resize comes.
  const std::size_t patches = api_.pod_patches.size();
  api_.put(kPods, pod("b", spec(1000 * cpus)));
  resize("a", asking(1000 * cpus - 100));
  EXPECT_EQ(get("b")["status"]["reason"], "OutOfcpu");
  EXPECT_EQ(container("a")["allocatedResources"]["cpu"], std::to_string(1000 * cpus - 100) + "m");
  for (std::size_t i = patches; i < api_.pod_patches.size(); ++i) EXPECT_EQ(json::encode(api_.pod_patches[i]).find("Deferred"), std::string::npos);
}

TEST_F(ResizeTest, ANewPodFindsWhatAResizeHasLeft) {
  const std::int64_t cpus = Quantity::parse(api_.object(kNodes, api::Name{"", "node1"})["status"]["allocatable"]["cpu"].as_string())->value();
  auto spec = [](const std::string& requests) { return R"({"containers":[{"name":"c","image":"busybox","resources":{"requests":)" + requests + "}}]}"; };
  put("a", spec(R"({"cpu":"100m"})"));
  put("b", spec(R"({"cpu":"100m","example.com/card":"2"})"));
  EXPECT_EQ(get("b")["status"]["phase"], "Running") << "the node knows nothing of cards";
  resize("a", R"({"requests":{"cpu":")" + std::to_string(1000 * cpus - 150) + R"(m"}})");
  put("c", spec(R"({"cpu":"51m"})"));
  EXPECT_EQ(get("c")["status"]["reason"], "OutOfcpu");
  put("d", spec(R"({"cpu":"50m"})"));
  EXPECT_EQ(get("d")["status"]["phase"], "Running");
  Value node = api_.object(kNodes, api::Name{"", "node1"});
  node.mut("status").mut("allocatable").set("example.com/card", "3");
  api_.put(kNodes, std::move(node));
  runtime_.settle();
  put("e", spec(R"({"example.com/card":"2"})"));
  EXPECT_EQ(get("e")["status"]["reason"], "OutOfexample.com/card");
}

TEST_F(ResizeTest, ChangesTheLimitsOfARunningContainer) {
  put("a", R"({"containers":[{"name":"c","image":"busybox","resources":{"requests":{"cpu":"100m"},"limits":{"cpu":"200m","memory":"64Mi"}}}]})");
  std::size_t before = containers_.log.size();
  resize("a", R"({"requests":{"cpu":"300m"},"limits":{"cpu":"500m","memory":"128Mi"}})");
  EXPECT_EQ(log_since(before), "widen 500m 128Mi, resize c 500m 128Mi, narrow 500m 128Mi");
  const Value& status = container("a");
  EXPECT_EQ(status["allocatedResources"]["cpu"], "300m");
  EXPECT_EQ(status["resources"]["limits"]["memory"], "128Mi");
  EXPECT_EQ(status["restartCount"], 0);
  EXPECT_TRUE(condition_of("a", "PodResizeInProgress").is_null());
  EXPECT_EQ(get("a")["status"]["observedGeneration"], 2);
  const std::string told = R"({"containers":[{"name":"c","resources":{"limits":{"cpu":"500m","memory":"128Mi"},"requests":{"cpu":"300m"}}}],"generation":2})";
  EXPECT_TRUE(has_event("Normal ResizeStarted a: Pod resize started: " + told)) << all_events();
  EXPECT_TRUE(has_event("Normal ResizeCompleted a: Pod resize completed: " + told));
  // What restarts afterwards has the same.
  containers_.exit("c", 1);
  runtime_.settle();
  EXPECT_EQ(containers_.specs.back().limits.cpu_milli_limit, 500);
}

TEST_F(ResizeTest, RestartsWhereThePolicySaysSo) {
  put("a", R"({"containers":[{"name":"c","image":"busybox","resizePolicy":[{"resourceName":"memory","restartPolicy":"RestartContainer"}],
      "resources":{"limits":{"cpu":"200m","memory":"64Mi"}}},{"name":"d","image":"busybox"}]})");
  std::size_t before = containers_.log.size();
  resize("a", R"({"limits":{"cpu":"200m","memory":"128Mi"}})");
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(container("a", 0)["restartCount"], 1);
  EXPECT_EQ(container("a", 1)["restartCount"], 0);
  EXPECT_EQ(containers_.specs.back().limits.memory_bytes, 128 << 20);
  EXPECT_EQ(log_since(before).find("resize c"), std::string::npos) << log_since(before);
  EXPECT_TRUE(has_event("Normal Killing a: Container c resize requires restart")) << all_events();
  EXPECT_TRUE(condition_of("a", "PodResizeInProgress").is_null());
}

TEST_F(ResizeTest, WaitsForRoom) {
  put("a", R"({"containers":[{"name":"c","image":"busybox","resources":{"requests":{"memory":"64Mi"}}}]})");
  const std::string half = std::to_string(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 2);
  put("b", R"({"terminationGracePeriodSeconds":1,"containers":[{"name":"d","image":"busybox","resources":{"requests":{"memory":")" + half + R"("}}}]})");
  std::size_t before = containers_.log.size();
  resize("a", R"({"requests":{"memory":")" + half + R"("}})");
  Value pending = condition_of("a", "PodResizePending");
  EXPECT_EQ(pending["status"], "True");
  EXPECT_EQ(pending["reason"], "Deferred");
  EXPECT_EQ(pending["message"].as_string().substr(0, 56), "Node didn't have enough resource: memory, requested: " + half.substr(0, 3));
  EXPECT_EQ(container("a")["allocatedResources"]["memory"], "64Mi");
  EXPECT_EQ(log_since(before), "");
  api_.delete_pod(api::Name{"default", "b"}, 1);
  runtime_.advance(5s);
  EXPECT_TRUE(condition_of("a", "PodResizePending").is_null());
  EXPECT_EQ(container("a")["allocatedResources"]["memory"], half);
  resize("a", R"({"requests":{"memory":"1000Ti"}})");
  EXPECT_EQ(condition_of("a", "PodResizePending")["reason"], "Infeasible");
  // Asked for no more.
  resize("a", R"({"requests":{"memory":")" + half + R"("}})");
  EXPECT_TRUE(condition_of("a", "PodResizePending").is_null());
}

TEST_F(ResizeTest, TellsWhatWentWrongAndTriesAgain) {
  put("a", R"({"containers":[{"name":"c","image":"busybox","resources":{"limits":{"memory":"64Mi"}}}]})");
  containers_.used = ContainerUsage{0, 50 << 20};
  resize("a", R"({"limits":{"memory":"32Mi"}})");
  Value under_way = condition_of("a", "PodResizeInProgress");
  EXPECT_EQ(under_way["reason"], "Error");
  EXPECT_EQ(under_way["message"], "attempting to set container \"c\" memory limit (33554432) below current usage (52428800)");
  EXPECT_EQ(container("a")["resources"]["limits"]["memory"], "64Mi");
  // A new agent knows of it.
  agent_.reset();
  start();
  EXPECT_EQ(condition_of("a", "PodResizeInProgress")["reason"], "Error");
  containers_.used = ContainerUsage{0, 20 << 20};
  runtime_.advance(11s);
  EXPECT_TRUE(condition_of("a", "PodResizeInProgress").is_null());
  EXPECT_EQ(container("a")["resources"]["limits"]["memory"], "32Mi");
  containers_.resize_error = "Device or resource busy";
  resize("a", R"({"limits":{"memory":"24Mi"}})");
  EXPECT_EQ(condition_of("a", "PodResizeInProgress")["message"], "Device or resource busy");
  runtime_.advance(11s);
  EXPECT_EQ(container("a")["resources"]["limits"]["memory"], "24Mi");
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

TEST_F(AgentTest, EndsAPodWhoseStatusIsRefused) {
  bool refuse = false;
  api_.admit_pod = [&](Value&) { return refuse ? Status(error(Code::kInternal, "no")) : ok_status(); };
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(5s);
  refuse = true;
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.advance(20s);
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, ShortensAStatusThatIsTooLarge) {
  api_.admit_pod = [](Value& pod) {
    if (pod["status"]["ephemeralContainerStatuses"].size() <= 20) return ok_status();
    return Status(error(Code::kTooLarge, "too large"));
  };
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(2s);
  Value pod = get("web-0"), list = Value::array();
  for (int i = 0; i < 100; ++i) list.push(Value::object({{"name", "e" + std::to_string(i)}, {"image", "busybox"}}));
  pod.mut("spec").set("ephemeralContainers", list);
  api_.put(kPods, pod);
  runtime_.advance(5s);
  EXPECT_EQ(containers_.running().size(), 101u);
  EXPECT_EQ(get("web-0")["status"]["ephemeralContainerStatuses"].size(), 6u);
  EXPECT_TRUE(get("web-0")["status"]["message"].str().starts_with("the statuses of 94 of 100 ephemeral")) << get("web-0")["status"]["message"].str();
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.advance(10s);
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, APodStartsAFewContainersAtATimeAndNoneOnceItEnds) {
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(2s);
  containers_.hold_runs = true;
  Value pod = get("web-0"), list = Value::array();
  for (int i = 0; i < 100; ++i) list.push(Value::object({{"name", "e" + std::to_string(i)}, {"image", "busybox"}}));
  pod.mut("spec").set("ephemeralContainers", list);
  api_.put(kPods, pod);
  runtime_.advance(2s);
  EXPECT_EQ(containers_.specs.size(), 5u) << "c, and four of them";
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.settle();
  containers_.release_runs();
  runtime_.advance(10s);
  EXPECT_EQ(containers_.specs.size(), 5u);
  EXPECT_TRUE(get("web-0").is_null());
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
