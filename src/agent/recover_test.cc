// An agent, a conmon or a crun is killed at every step of a pod's life, and whoever is left brings the pod to its right
// end: Ready, or gone with all that it had. The steps are found by living one life with nobody killed (base/fault.h),
// so a new step is tested as soon as it is there.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <mutex>
#include <set>

#include "agent/agent.h"
#include "agent/probes/probe_runner.h"
#include "agent/runtime/cgroup.h"
#include "agent/runtime/crun_runtime.h"
#include "agent/testing/test_cluster.h"
#include "agent/testing/test_node.h"
#include "agent/volumes/claim_volumes.h"
#include "agent/volumes/local_volumes.h"
#include "api/object.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/process/process.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using api::resources::kPersistentVolumeClaims;
using api::resources::kPersistentVolumes;
using api::resources::kPods;

constexpr const char* kPod =
    R"({"nodeName":"node1","restartPolicy":"Always","terminationGracePeriodSeconds":2,"shareProcessNamespace":true,
  "volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"d"}},{"name":"e","emptyDir":{"medium":"Memory"}},
             {"name":"m","downwardAPI":{"items":[{"path":"name","fieldRef":{"fieldPath":"metadata.name"}}]}}],
  "initContainers":[{"name":"i","image":"busybox","command":["true"]}],
  "containers":[{"name":"c","image":"busybox","command":["sh","-c","trap 'exit 0' TERM; while :; do sleep 0.05; done"],
    "resources":{"limits":{"memory":"64Mi"}},
    "volumeMounts":[{"name":"d","mountPath":"/data"},{"name":"e","mountPath":"/mem"},{"name":"m","mountPath":"/m"}],
    "lifecycle":{"postStart":{"exec":{"command":["sh","-c","echo hook >> /data/hook"]}},"preStop":{"exec":{"command":["true"]}}},
    "readinessProbe":{"exec":{"command":["true"]},"periodSeconds":1}}]})";
const api::Name kName{"default", "web-0"};

// The API outlives the loops of those who use it.
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

// One agent and all that it works with, on its own loop.
struct Node {
  Node(const std::string& directory, const std::string& cgroup, testing::FakeApi& api, Forward& forward) : api_(api) {
    forward.loop = &loop_;
    auto image = images_.add("busybox", {directory + "/layer"});
    image->config.set("Cmd", Value::array({"sleep", "1000"}));
    containers_ = make_crun_runtime(loop_, CrunConfig{directory + "/run"}).value();
    disks_ = open_local_volumes(loop_, directory + "/volumes").value();
    volumes_ = make_claim_volumes(loop_, *disks_);
    net::PodNetworkConfig network;
    network.state_file = directory + "/leases";
    network.namespaces_directory = directory + "/netns";
    network_ = net::make_pod_network(network);
    probes_ = make_probe_runner(loop_, *containers_);
    AgentConfig config;
    config.node_name = "node1";
    config.node_ip = "10.99.0.2";
    config.data_dir = directory + "/data";
    config.cgroup = cgroup;
    agent_ = std::make_unique<Agent>(
        config, AgentDependencies{loop_, api, *containers_, images_, *volumes_, *network_, *probes_});
  }
  bool start() {
    std::optional<Status> ready;
    agent_->start([&](Status status) { ready = std::move(status); });
    return until([&] { return ready.has_value(); }) && ready->ok();
  }
  // Also of what no event tells.
  bool until(const std::function<bool()>& condition, Duration limit = 30s) {
    std::function<void()> tick = [&] { timer_ = loop_.after(20ms, tick); };
    tick();
    const bool held = testing::run_until(loop_, condition, limit);
    loop_.cancel(timer_);
    return held;
  }
  Value pod() { return api_.object(kPods, kName); }
  bool until_ready() {
    return until([&] { return api::is_pod_ready(pod()); });
  }
  bool until_gone() {
    return until([&] { return pod().is_null() && agent_->pods().empty(); });
  }

  testing::FakeApi& api_;
  Loop loop_;
  TimerId timer_ = 0;
  testing::FakeImages images_{loop_};
  std::unique_ptr<ContainerRuntime> containers_;
  std::unique_ptr<LocalVolumes> disks_;
  std::unique_ptr<VolumeProvider> volumes_;
  std::unique_ptr<net::PodNetwork> network_;
  std::unique_ptr<ProbeRunner> probes_;
  std::unique_ptr<Agent> agent_;
};

// Of our node, by what they were started with.
std::vector<pid_t> processes(const std::string& program, const std::string& directory) {
  std::vector<pid_t> out;
  auto entries = list_directory("/proc");
  for (const std::string& entry : *entries) {
    auto line = read_file("/proc/" + entry + "/cmdline");
    if (!line.ok() || !line->starts_with(program) || line->find(directory) == std::string::npos) continue;
    if (auto pid = parse_int(entry); pid.ok() && *pid != ::getpid()) out.push_back(static_cast<pid_t>(*pid));
  }
  return out;
}

std::string output_of(const Command& command) {
  auto done = run_checked(command);
  EXPECT_TRUE(done.ok());
  return done.ok() ? *done : "";
}

struct Moment {
  std::string step;
  int times = 1;                      // it is the so-manieth time
  bool conmon = false, crun = false;  // there is one to kill
  std::string text() const { return step + " " + std::to_string(times); }
};

class RecoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
    ::signal(SIGPIPE, SIG_IGN);  // as the program does
    outside_ = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    testing::make_busybox_root(directory_ / "layer");
  }
  void TearDown() override {
    if (!outside_) return;
    (void)Cgroups().remove(cgroup_);
    EXPECT_EQ(::setns(outside_.get(), CLONE_NEWNET), 0);
  }

  void make_pod() {
    const std::string number = std::to_string(++pods_);
    const std::string claim_uid = "00000000-0000-4000-8000-00000000" + std::string(4 - number.size(), '0') + number;
    api_->put(kPersistentVolumes,
              *json::parse(R"({"metadata":{"name":"pv)" + number +
                           R"("},"spec":{"capacity":{"storage":"16Mi"},"claimRef":{"uid":")" + claim_uid +
                           R"("},"csi":{"driver":"berth.dev/local","volumeHandle":"pv)" + number +
                           R"(","fsType":"ext4"}}})"));
    api_->put(kPersistentVolumeClaims,
              *json::parse(R"({"metadata":{"name":"d","namespace":"default","uid":")" + claim_uid +
                           R"("},"spec":{"volumeName":"pv)" + number + R"("},"status":{"phase":"Bound"}})"));
    api_->put(kPods,
              Value::object(
                  {{"apiVersion", "v1"},
                   {"kind", "Pod"},
                   {"metadata", Value::object({{"name", "web-0"}, {"namespace", "default"}, {"uid", "pod-" + number}})},
                   {"spec", *json::parse(kPod)},
                   {"status", Value::object({{"phase", "Pending"}, {"qosClass", "Burstable"}})}}));
  }

  // In a process of its own: an agent runs the pod, and when it is Ready the pod is deleted. `at` is called at each
  // step, on whichever thread takes it. Answers how the process ended; the API knows what it had been told by then.
  int live(const std::function<void(const Moment&)>& at) {
    const std::string told = directory_ / "told";
    (void)remove_all(told);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(live_here(told, at));
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    auto text = read_file(told);
    const std::string changes = text.ok() ? *text : "";
    for (auto line : split(changes, '\n')) {
      auto change = json::parse(line);
      if (!change.ok()) continue;  // cut short
      const api::Resource resource{(*change)["group"].str(), (*change)["version"].str(), (*change)["resource"].str()};
      const Value& object = (*change)["object"];
      if ((*change)["type"].as_string() == "DELETED") {
        api_->erase(resource, api::name_key(object));
      } else {
        api_->put(resource, object);
      }
    }
    return status;
  }

  int live_here(const std::string& told, const std::function<void(const Moment&)>& at) {
    Fd file(::open(told.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    api_->on_change = [&](const api::Resource& resource, const std::string& type, const Value& object) {
      if (resource == api::resources::kEvents) return;
      const std::string line = json::encode(Value::object({{"group", resource.group},
                                                           {"version", resource.version},
                                                           {"resource", resource.resource},
                                                           {"type", type},
                                                           {"object", object}})) +
                               "\n";
      (void)!::write(file.get(), line.data(), line.size());
    };
    std::mutex mutex;
    std::map<std::string, int> taken;
    fault::on_step([&](std::string_view step) {
      std::lock_guard lock(mutex);
      at(Moment{std::string(step), ++taken[std::string(step)]});
    });
    Node node(directory_.path(), cgroup_, *api_, forward_);
    if (!node.start()) return 2;
    if (!node.until_ready()) return explain(node, 3);
    api_->delete_pod(kName, 2);
    if (!node.until_gone()) return explain(node, 4);
    return 0;
  }

  int explain(Node& node, int code) {
    std::fprintf(stderr, "%s\n%s\n", json::encode_pretty(node.pod()["status"]).c_str(),
                 join(api_->events, "\n").c_str());
    return code;
  }

  // What there still is of the pod.
  std::vector<std::string> leftovers() {
    std::vector<std::string> out;
    for (const char* part :
         {"run/containers", "run/exits", "run/run/containers", "run/run/sandboxes", "run/run/sockets", "run/run/crun",
          "run/run/exec", "netns", "data/pods", "data/logs", "data/memory/pods", "data/memory/records"}) {
      auto names = list_directory(directory_ / part);
      if (!names.ok()) continue;
      for (const std::string& name : *names) out.push_back(std::string(part) + "/" + name);
    }
    auto mounts = read_file("/proc/thread-self/mountinfo");
    for (auto line : split(*mounts, '\n')) {
      auto fields = split(line, ' ');
      if (fields.size() > 4 && fields[4].starts_with(directory_.path()) && fields[4] != directory_ / "data/memory" &&
          fields[4] != directory_ / "run/run") {
        out.push_back("mount " + std::string(fields[4]));
      }
    }
    for (const std::string& program : {std::string("/usr/bin/conmon"), crun_}) {
      for (pid_t pid : processes(program, directory_.path())) out.push_back(program + " " + std::to_string(pid));
    }
    for (pid_t pid : Cgroups().processes(cgroup_)) out.push_back("process " + std::to_string(pid));
    for (const char* hierarchy : {"", "/memory", "/cpu", "/pids", "/systemd", "/freezer"}) {
      const std::string at = std::string("/sys/fs/cgroup") + hierarchy + "/" + cgroup_;
      auto names = list_directory(at);
      if (!names.ok()) continue;
      for (const std::string& name : *names) {
        if (path_exists(at + "/" + name + "/cgroup.procs")) out.push_back("cgroup " + at + "/" + name);
      }
    }
    Command links, loops;
    links.argv = {"ip", "-o", "link"};
    const std::string interfaces = output_of(links);
    for (auto line : split(interfaces, '\n')) {
      if (line.find("veth") != std::string_view::npos) out.emplace_back(line);
    }
    loops.argv = {"losetup", "-a"};
    const std::string devices = output_of(loops);
    for (auto line : split(devices, '\n')) {
      if (line.find(directory_.path()) != std::string_view::npos) out.emplace_back(line);
    }
    return out;
  }

  // A new agent finds what the old one left.
  void recover(const std::string& when) {
    SCOPED_TRACE(when);
    Value before = api_->object(kPods, kName);
    const Value& told = before["status"]["containerStatuses"][0];
    const bool ran = !told["state"]["running"].is_null();
    Node node(directory_.path(), cgroup_, *api_, forward_);
    ASSERT_TRUE(node.start());
    if (!before.is_null() && !api::is_terminating(before)) {
      ASSERT_TRUE(node.until_ready()) << json::encode_pretty(node.pod()["status"]) << join(api_->events, "\n");
      const Value now = node.pod()["status"]["containerStatuses"][0];
      if (ran) {
        EXPECT_EQ(now["containerID"].as_string(), told["containerID"].as_string()) << "what ran runs on";
      }
      EXPECT_LE(now["restartCount"].as_int(), 0) << json::encode_pretty(now) << join(api_->events, "\n");
      auto place = node.agent_->find_container("default", "web-0", "c");
      ASSERT_TRUE(place.ok()) << place.error().message;
      std::optional<Result<ExecResult>> hook;
      node.containers_->exec(place->id, {"cat", "/data/hook", "/m/name"}, 10s,
                             [&](Result<ExecResult> result) { hook = std::move(result); });
      ASSERT_TRUE(node.until([&] { return hook.has_value(); }));
      ASSERT_TRUE(hook->ok()) << hook->error().message << json::encode_pretty(before)
                              << json::encode_pretty(node.pod()["status"]);
      EXPECT_TRUE((*hook)->output.starts_with("hook\n") && (*hook)->output.ends_with("web-0")) << (*hook)->output;
      api_->delete_pod(kName, 2);
    }
    ASSERT_TRUE(node.until_gone()) << json::encode_pretty(node.pod()["status"]) << join(api_->events, "\n");
    EXPECT_TRUE(node.until([&] { return leftovers().empty(); }, 10s)) << join(leftovers(), "\n");
  }

  testing::TemporaryDirectory directory_;
  const std::string crun_ = directory_ / "run/run/program/crun";
  std::string cgroup_ = "berth-test-" + std::to_string(::getpid());
  Fd outside_;
  Forward forward_;
  std::unique_ptr<testing::FakeApi> api_ = std::make_unique<testing::FakeApi>(forward_);
  int pods_ = 0;
};

TEST_F(RecoverTest, KilledAtEveryStepOfAPodsLife) {
  // All the moments of a life.
  Loop setup;
  forward_.loop = &setup;
  make_pod();
  const std::string list = directory_ / "moments";
  const int whole = live([&](const Moment& moment) {
    Fd file(::open(list.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const std::string line = moment.step + "\t" + std::to_string(moment.times) + "\t" +
                             (processes("/usr/bin/conmon", directory_.path()).empty() ? "0" : "1") + "\t" +
                             (processes(crun_, directory_.path()).empty() ? "0" : "1") + "\n";
    (void)!::write(file.get(), line.data(), line.size());
  });
  ASSERT_TRUE(WIFEXITED(whole) && WEXITSTATUS(whole) == 0) << "status " << whole;
  recover("nobody was killed");
  std::vector<Moment> moments;
  std::set<std::string> names;
  auto text = read_file(list);
  ASSERT_TRUE(text.ok());
  for (auto line : split(*text, '\n')) {
    auto fields = split(line, '\t');
    if (fields.size() != 4) continue;
    moments.push_back(
        {std::string(fields[0]), static_cast<int>(*parse_int(fields[1])), fields[2] == "1", fields[3] == "1"});
    names.insert(moments.back().step);
  }
  EXPECT_GT(names.size(), 40u);
  const char* only = ::getenv("BERTH_RECOVER_ONLY");  // a part of a moment's text
  const bool all = ::getenv("BERTH_RECOVER_LONG") != nullptr;
  int killed = 0, rounds = 0;
  std::map<std::string, int> rounds_of;
  std::map<std::string, int> last;
  for (const Moment& moment : moments) last[moment.step] = moment.times;
  for (const Moment& moment : moments) {
    // The steps that a life takes over and over: the first times and the last.
    if (!all && moment.times > 3 && moment.times != last[moment.step]) continue;
    for (const std::string& victim : {std::string("agent"), std::string("/usr/bin/conmon"), crun_}) {
      if (victim != "agent" && (moment.times > 1 || !(victim.ends_with("conmon") ? moment.conmon : moment.crun)))
        continue;
      const std::string when = victim + " is killed at " + moment.text();
      if (only && when.find(only) == std::string::npos) continue;
      forward_.loop = &setup;
      make_pod();
      ++rounds;
      ++rounds_of[victim];
      const int status = live([&](const Moment& now) {
        if (now.step != moment.step || now.times != moment.times) return;
        if (victim == "agent") ::kill(::getpid(), SIGKILL);
        for (pid_t pid : processes(victim, directory_.path())) ::kill(pid, SIGKILL);
      });
      if (victim == "agent") {
        killed += WIFSIGNALED(status) ? 1 : 0;
      } else {
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << when << ": status " << status;
      }
      recover(when);
      if (HasFatalFailure()) return;
    }
  }
  std::printf("%zu steps, %zu moments, %d rounds, %d agents killed\n", names.size(), moments.size(), rounds, killed);
  if (!only) {
    EXPECT_GE(killed, static_cast<int>(names.size())) << "each step is reached in nearly every life";
    EXPECT_GT(rounds_of["/usr/bin/conmon"], 0);
    EXPECT_GT(rounds_of[crun_], 0);
  }
}

}  // namespace
}  // namespace berth::agent
