// The agent on a real node: crun, conmon, a network of its own; only the API and the image store are fakes.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/probes/probe_runner.h"
#include "agent/runtime/cgroup.h"
#include "agent/runtime/crun_runtime.h"
#include "agent/testing/test_cluster.h"
#include "agent/testing/test_node.h"
#include "api/object.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using api::resources::kConfigMaps;
using api::resources::kPods;
using testing::run_until;

class AgentNodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
    outside_ = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    testing::make_busybox_root(directory_ / "layer");
    (void)make_directories(directory_ / "layer/www");
    (void)write_file(directory_ / "layer/www/index.html", "hello\n");
    start();
  }
  void TearDown() override {
    if (!agent_) return;
    for (const char* name : {"web-0", "web-1"}) api_->delete_pod({"default", name}, 1);
    EXPECT_TRUE(until([&] {
      return api_->object(kPods, {"default", "web-0"}).is_null() && api_->object(kPods, {"default", "web-1"}).is_null();
    }));
    stop();
    EXPECT_TRUE(Cgroups().remove(cgroup_).ok());
    auto left = list_directory(directory_ / "run/containers");
    EXPECT_TRUE(left.ok() && left->empty());
    ASSERT_EQ(::setns(outside_.get(), CLONE_NEWNET), 0);
  }
  void start() {
    loop_ = std::make_unique<Loop>();
    if (!api_) api_ = std::make_unique<testing::FakeApi>(forward_);
    forward_.loop = loop_.get();
    images_ = std::make_unique<testing::FakeImages>(*loop_);
    auto image = images_->add("busybox", {directory_ / "layer"});
    image->config.set("Cmd", Value::array({"httpd", "-f", "-p", "8080", "-h", "/www"}));
    auto containers = make_crun_runtime(*loop_, CrunConfig{directory_ / "run"});
    ASSERT_TRUE(containers.ok()) << containers.error().message;
    containers_ = std::move(*containers);
    volumes_ = std::make_unique<testing::FakeVolumes>(*loop_, directory_ / "volumes");
    net::PodNetworkConfig network;
    network.state_file = directory_ / "leases";
    network.namespaces_directory = directory_ / "netns";
    (void)make_directories(network.namespaces_directory);
    network_ = net::make_pod_network(network);
    probes_ = make_probe_runner(*loop_, *containers_);
    AgentConfig config;
    config.node_name = "node1";
    config.node_ip = "10.99.0.2";
    config.data_dir = directory_ / "data";
    config.cgroup = cgroup_;
    agent_ = std::make_unique<Agent>(
        config, AgentDependencies{*loop_, *api_, *containers_, *images_, *volumes_, *network_, *probes_});
    std::optional<Status> ready;
    agent_->start([&](Status s) { ready = std::move(s); });
    ASSERT_TRUE(until([&] { return ready.has_value(); }));
    ASSERT_TRUE(ready->ok()) << ready->error().message;
  }
  void stop() {
    agent_.reset();
    probes_.reset();
    containers_.reset();
    loop_.reset();
    network_.reset();
    images_.reset();
    volumes_.reset();
  }
  // The fake API outlives the loops of the agents that use it.
  struct Forward final : Runtime {
    Loop* loop = nullptr;
    Time now() const override { return loop->now(); }
    Duration monotonic() const override { return loop->monotonic(); }
    void post(Task task) override { loop->post(std::move(task)); }
    TimerId after(Duration delay, Task task) override { return loop->after(delay, std::move(task)); }
    void cancel(TimerId id) override { loop->cancel(id); }
    void offload(Task work, Task done) override { loop->offload(std::move(work), std::move(done)); }
    std::uint64_t random() override { return loop->random(); }
  };
  bool until(const std::function<bool()>& condition) { return run_until(*loop_, condition); }
  void put(const std::string& name, const std::string& spec) {
    auto value = json::parse(spec);
    ASSERT_TRUE(value.ok()) << value.error().message;
    value->set("nodeName", "node1");
    api_->put(kPods, Value::object({{"apiVersion", "v1"},
                                    {"kind", "Pod"},
                                    {"metadata", Value::object({{"name", name}, {"namespace", "default"}})},
                                    {"spec", *value},
                                    {"status", Value::object({{"phase", "Pending"}, {"qosClass", "Burstable"}})}}));
  }
  Value get(const std::string& name) { return api_->object(kPods, {"default", name}); }
  bool until_ready(const std::string& name) {
    return until([&] { return api::is_pod_ready(get(name)); });
  }
  std::string shell(const std::string& pod, const std::string& container, const std::string& line) {
    auto place = agent_->find_container("default", pod, container);
    if (!place.ok()) return place.error().message;
    std::optional<Result<ExecResult>> result;
    containers_->exec(place->id, {"sh", "-c", line}, 10s, [&](Result<ExecResult> r) { result = std::move(r); });
    if (!until([&] { return result.has_value(); })) return "no answer";
    return result->ok() ? (*result)->output : result->error().message;
  }
  std::string explain(const std::string& name) {
    return json::encode_pretty(get(name)["status"]) + "\n" + join(api_->events, "\n");
  }

  testing::TemporaryDirectory directory_;
  std::string cgroup_ = "berth-test-" + std::to_string(::getpid());
  Fd outside_;
  Forward forward_;
  std::unique_ptr<testing::FakeApi> api_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<testing::FakeImages> images_;
  std::unique_ptr<ContainerRuntime> containers_;
  std::unique_ptr<testing::FakeVolumes> volumes_;
  std::unique_ptr<net::PodNetwork> network_;
  std::unique_ptr<ProbeRunner> probes_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(AgentNodeTest, RunsAWebServerFromBeginningToEnd) {
  api_->put(kConfigMaps, Value::object({{"metadata", Value::object({{"name", "m"}, {"namespace", "default"}})},
                                        {"data", Value::object({{"k", "one"}})}}));
  Duration began = loop_->monotonic();
  put("web-0", R"({"restartPolicy":"Always","subdomain":"web","hostname":"web-0","terminationGracePeriodSeconds":5,
    "securityContext":{"fsGroup":150},
    "volumes":[{"name":"e","emptyDir":{}},{"name":"m","configMap":{"name":"m"}},{"name":"t","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}}],
    "initContainers":[{"name":"i","image":"busybox","command":["sh","-c","echo $(GREETING) > /data/x; echo over > /dev/termination-log"],
                       "env":[{"name":"GREETING","value":"hi"}],"volumeMounts":[{"name":"e","mountPath":"/data"}]}],
    "containers":[{"name":"c","image":"busybox","resources":{"limits":{"memory":"64Mi","cpu":"500m"}},
      "env":[{"name":"POD","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}],
      "volumeMounts":[{"name":"e","mountPath":"/data"},{"name":"m","mountPath":"/etc/m"},{"name":"t","mountPath":"/mem"}],
      "readinessProbe":{"httpGet":{"path":"/index.html","port":8080},"periodSeconds":10}}]})");
  ASSERT_TRUE(until_ready("web-0")) << explain("web-0");
  Duration took = loop_->monotonic() - began;
  RecordProperty("ready_ms", static_cast<int>(took / 1ms));
  EXPECT_LT(took, 5s) << "the readiness period is 10 s";
  std::string ip = get("web-0")["status"]["podIP"].str();
  EXPECT_EQ(shell("web-0", "c", "cat /data/x /etc/m/k; hostname; echo $POD $IP"), "hi\noneweb-0\nweb-0 " + ip + "\n");
  EXPECT_EQ(shell("web-0", "c", "grep web-0 /etc/hosts"), ip + "\tweb-0.web.default.svc.cluster.local\tweb-0\n");
  EXPECT_EQ(
      shell("web-0", "c", "cat /etc/resolv.conf"),
      "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n");
  EXPECT_EQ(shell("web-0", "c", "stat -c %g /data; id -G"), "150\n0 150\n");
  EXPECT_EQ(shell("web-0", "c", "df -k /mem | tail -n 1 | head -c 5; df -k /mem | grep -c ' 1024 '"), "tmpfs1\n");
  EXPECT_EQ(get("web-0")["status"]["initContainerStatuses"][0]["state"]["terminated"]["message"].as_string(), "over\n");
  api_->put(kConfigMaps, Value::object({{"metadata", Value::object({{"name", "m"}, {"namespace", "default"}})},
                                        {"data", Value::object({{"k", "two"}})}}));
  ASSERT_TRUE(until([&] { return shell("web-0", "c", "cat /etc/m/k") == "two"; })) << "changed in place";
}

TEST_F(AgentNodeTest, ANewAgentAdoptsWhatRuns) {
  put("web-0",
      R"({"restartPolicy":"Always","terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":"busybox",
      "readinessProbe":{"tcpSocket":{"port":8080},"periodSeconds":1}}]})");
  ASSERT_TRUE(until_ready("web-0")) << explain("web-0");
  Value before = get("web-0");
  stop();
  start();
  EXPECT_EQ(get("web-0"), before);
  EXPECT_EQ(agent_->find_container("default", "web-0", "c")->running, true);
  EXPECT_EQ(get("web-0")["status"]["containerStatuses"][0]["restartCount"].as_int(), 0);
  containers_->kill_container(agent_->find_container("default", "web-0", "c")->id, [](Status) {});
  ASSERT_TRUE(until([&] {
    return get("web-0")["status"]["containerStatuses"][0]["restartCount"].as_int() == 1 &&
           api::is_pod_ready(get("web-0"));
  })) << explain("web-0");
}

TEST_F(AgentNodeTest, SaysWhyAContainerEnded) {
  put("web-0",
      R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox","terminationMessagePolicy":"FallbackToLogsOnError","command":["sh","-c","echo it broke; exit 3"]}]})");
  ASSERT_TRUE(until([&] { return get("web-0")["status"]["phase"].as_string() == "Failed"; })) << explain("web-0");
  Value state = get("web-0")["status"]["containerStatuses"][0]["state"]["terminated"];
  EXPECT_EQ(state["exitCode"].as_int(), 3);
  EXPECT_EQ(state["reason"].as_string(), "Error");
  EXPECT_EQ(state["message"].as_string(), "it broke\n");
  put("web-1",
      R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox","command":["/no/such/program"]}]})");
  ASSERT_TRUE(until([&] { return get("web-1")["status"]["phase"].as_string() == "Failed"; })) << explain("web-1");
  state = get("web-1")["status"]["containerStatuses"][0]["state"]["terminated"];
  EXPECT_EQ(state["reason"].as_string(), "StartError");
  EXPECT_NE(state["message"].as_string().find("/no/such/program"), std::string::npos) << state["message"].as_string();
}

}  // namespace
}  // namespace berth::agent
