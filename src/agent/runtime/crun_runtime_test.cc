#include "agent/runtime/crun_runtime.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

#include "agent/mounts/mounts.h"
#include "agent/runtime/cgroup.h"
#include "agent/runtime/container_files.h"
#include "agent/runtime/oci_spec.h"
#include "agent/testing/test_node.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/process/pids.h"
#include "base/process/process.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using testing::run_until;

class CrunRuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
    testing::make_busybox_root(directory_ / "layer");
    make_runtime();
    pod_ = new_uid(loop_);
    cgroup_ = "berth-test-" + std::to_string(::getpid()) + "/pod" + pod_;
  }
  void TearDown() override {
    if (!runtime_) return;
    for (const auto& id : ids_) remove(id);
    EXPECT_TRUE(wait([&](auto done) { runtime_->remove_sandbox(pod_, std::move(done)); }).ok());
    runtime_.reset();
    EXPECT_TRUE(Cgroups().remove("berth-test-" + std::to_string(::getpid())).ok());
  }
  void make_runtime() {
    auto made = make_crun_runtime(loop_, CrunConfig{directory_ / "run"});
    ASSERT_TRUE(made.ok()) << made.error().message;
    runtime_ = std::move(made).value();
    runtime_->on_change([this](const ContainerStatus& s) {
      seen_[s.id] = s;
      ++changes_;
    });
  }
  void sandbox(std::function<void(SandboxSpec&)> change = {}) {
    SandboxSpec spec;
    spec.pod_uid = pod_;
    spec.hostname = "web-0";
    spec.cgroup_parent = cgroup_;
    if (change) change(spec);
    auto made = wait([&](auto done) { runtime_->create_sandbox(spec, std::move(done)); });
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  Status wait(std::function<void(ContainerRuntime::Done)> call) {
    std::optional<Status> result;
    call([&](Status s) { result = std::move(s); });
    EXPECT_TRUE(run_until(loop_, [&] { return result.has_value(); }));
    return result.value_or(error(Code::kTimeout, "no answer"));
  }
  ContainerSpec spec(std::vector<std::string> args) {
    ContainerSpec s;
    for (int i = 0; i < 4; ++i) s.id += hex_encode(std::to_string(loop_.random()).substr(0, 8));
    s.pod_uid = pod_;
    s.name = "c";
    s.rootfs_layers = directory_ / "layer";
    s.args = std::move(args);
    s.env = {"PATH=/bin", "COLOR=blue"};
    s.capabilities = default_capabilities();
    s.seccomp = "RuntimeDefault";
    s.log_path = directory_ / ("logs/" + s.id.substr(0, 8) + "/0.log");
    return s;
  }
  ContainerSpec shell(const std::string& line) { return spec({"/bin/sh", "-c", line}); }
  Result<ContainerStatus> run(const ContainerSpec& s) {
    std::optional<Result<ContainerStatus>> result;
    runtime_->run_container(s, [&](Result<ContainerStatus> r) { result = std::move(r); });
    EXPECT_TRUE(run_until(loop_, [&] { return result.has_value(); }));
    if (!result) return error(Code::kTimeout, "no answer");
    if (result->ok()) ids_.push_back(s.id);
    return std::move(*result);
  }
  bool until_exited(const std::string& id) {
    return run_until(loop_, [&] { return seen_[id].state == ContainerState::kExited; });
  }
  std::string log_of(const ContainerSpec& s) {
    auto text = read_file(s.log_path);
    return text.ok() ? *text : text.error().message;
  }
  Result<ExecResult> exec(const std::string& id, std::vector<std::string> argv, Duration timeout = 10s) {
    std::optional<Result<ExecResult>> result;
    runtime_->exec(id, std::move(argv), timeout, [&](Result<ExecResult> r) { result = std::move(r); });
    EXPECT_TRUE(run_until(loop_, [&] { return result.has_value(); }));
    return std::move(*result);
  }
  void remove(const std::string& id) {
    auto removed = wait([&](auto done) { runtime_->remove_container(id, std::move(done)); });
    EXPECT_TRUE(removed.ok()) << removed.error().message;
  }

  testing::TemporaryDirectory directory_;
  Loop loop_;
  std::unique_ptr<ContainerRuntime> runtime_;
  std::string pod_, cgroup_;
  std::vector<std::string> ids_;
  std::map<std::string, ContainerStatus> seen_;
  int changes_ = 0;
};

TEST_F(CrunRuntimeTest, RunsLogsAndTellsTheExitCode) {
  sandbox();
  auto s = shell("echo out; echo err >&2; hostname; echo $COLOR; exit 3");
  auto ran = run(s);
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  EXPECT_GT(ran->pid, 0);
  ASSERT_TRUE(until_exited(s.id));
  EXPECT_EQ(seen_[s.id].exit_code, 3);
  EXPECT_FALSE(seen_[s.id].oom_killed);
  EXPECT_LE(seen_[s.id].started, seen_[s.id].finished);
  std::string log = log_of(s);
  EXPECT_NE(log.find(" stdout F out\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" stderr F err\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" stdout F blue\n"), std::string::npos) << log;
}

TEST_F(CrunRuntimeTest, RunningTwiceIsRunningOnce) {
  sandbox();
  auto s = shell("sleep 100");
  auto first = run(s);
  auto again = run(s);
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->pid, again->pid);
}

TEST_F(CrunRuntimeTest, SaysWhyAProgramCannotBeStarted) {
  sandbox();
  auto ran = run(spec({"/bin/nothing-here"}));
  ASSERT_FALSE(ran.ok());
  EXPECT_NE(ran.error().message.find("/bin/nothing-here"), std::string::npos) << ran.error().message;
  auto left = list_directory(directory_ / "run/containers");
  ASSERT_TRUE(left.ok());
  EXPECT_TRUE(left->empty());
}

TEST_F(CrunRuntimeTest, RefusesAContainerWithoutASandbox) {
  auto ran = run(shell("true"));
  EXPECT_TRUE(ran.failed_with(Code::kNotFound));
}

TEST_F(CrunRuntimeTest, ExecutesInsideAndTellsTheOutcome) {
  sandbox();
  auto s = shell("sleep 100");
  s.working_directory = "/tmp";
  ASSERT_TRUE(run(s).ok());
  auto good = exec(s.id, {"sh", "-c", "echo $COLOR; pwd"});
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(good->exit_code, 0);
  EXPECT_EQ(good->output, "blue\n/tmp\n");
  auto bad = exec(s.id, {"sh", "-c", "echo broken >&2; exit 7"});
  ASSERT_TRUE(bad.ok());
  EXPECT_EQ(bad->exit_code, 7);
  EXPECT_EQ(bad->output, "broken\n");
  auto slow = exec(s.id, {"sleep", "77"}, 200ms);
  EXPECT_TRUE(slow.failed_with(Code::kTimeout));
  auto left = exec(s.id, {"sh", "-c", "ps | grep -c '[s]leep 77'"});
  ASSERT_TRUE(left.ok());
  EXPECT_EQ(left->output, "0\n");
  auto missing = exec(s.id, {"/bin/nothing-here"});
  ASSERT_TRUE(missing.ok());
  EXPECT_NE(missing->exit_code, 0);
  EXPECT_FALSE(exec("0000", {"true"}).ok());
}

TEST_F(CrunRuntimeTest, SignalsAndKills) {
  sandbox();
  auto polite = shell("trap 'exit 5' TERM; echo ready; while true; do sleep 0.02; done");
  auto stubborn = shell("trap '' TERM; while true; do sleep 0.02; done");
  ASSERT_TRUE(run(polite).ok());
  ASSERT_TRUE(run(stubborn).ok());
  ASSERT_TRUE(run_until(loop_, [&] {
    if (log_of(polite).find("ready") != std::string::npos) return true;
    loop_.after(10ms, [] {});
    return false;
  }));
  ASSERT_TRUE(wait([&](auto done) { runtime_->signal_container(polite.id, SIGTERM, std::move(done)); }).ok());
  ASSERT_TRUE(until_exited(polite.id));
  EXPECT_EQ(seen_[polite.id].exit_code, 5);
  ASSERT_TRUE(wait([&](auto done) { runtime_->signal_container(stubborn.id, SIGTERM, std::move(done)); }).ok());
  EXPECT_EQ(runtime_->status(stubborn.id)->state, ContainerState::kRunning);
  ASSERT_TRUE(wait([&](auto done) { runtime_->kill_container(stubborn.id, std::move(done)); }).ok());
  ASSERT_TRUE(until_exited(stubborn.id));
  EXPECT_EQ(seen_[stubborn.id].exit_code, 137);
  EXPECT_FALSE(seen_[stubborn.id].oom_killed);
  EXPECT_TRUE(wait([&](auto done) { runtime_->kill_container(stubborn.id, std::move(done)); }).ok());
}

TEST_F(CrunRuntimeTest, TellsThatMemoryRanOut) {
  sandbox();
  auto s = shell("x=a; while true; do x=$x$x; done");
  s.limits.memory_bytes = 16 << 20;
  ASSERT_TRUE(run(s).ok());
  ASSERT_TRUE(until_exited(s.id));
  EXPECT_EQ(seen_[s.id].exit_code, 137);
  EXPECT_TRUE(seen_[s.id].oom_killed);
}

TEST_F(CrunRuntimeTest, LimitsAreSetAndChanged) {
  sandbox([](SandboxSpec& s) { s.limits.memory_bytes = 256 << 20; });
  auto s = shell("sleep 100");
  s.limits.memory_bytes = 64 << 20;
  s.limits.cpu_milli_limit = 500;
  s.limits.cpu_milli_request = 250;
  ASSERT_TRUE(run(s).ok());
  Cgroups groups;
  bool v2 = groups.unified();
  auto value = [&](const std::string& path, const std::string& v1, const std::string& file1, const std::string& file2) {
    auto text =
        read_file(v2 ? "/sys/fs/cgroup/" + path + "/" + file2 : "/sys/fs/cgroup/" + v1 + "/" + path + "/" + file1);
    return text.ok() ? std::string(trim(*text)) : text.error().message;
  };
  EXPECT_EQ(value(cgroup_ + "/" + s.id, "memory", "memory.limit_in_bytes", "memory.max"), std::to_string(64 << 20));
  EXPECT_EQ(value(cgroup_, "memory", "memory.limit_in_bytes", "memory.max"), std::to_string(256 << 20));
  EXPECT_EQ(value(cgroup_ + "/" + s.id, "cpu", "cpu.cfs_quota_us", "cpu.max").substr(0, 5), "50000");
  Limits larger;
  larger.memory_bytes = 128 << 20;
  larger.cpu_milli_limit = 800;
  auto resize = [&](PodResize order) {
    return wait([&](auto done) {
      runtime_->resize(pod_, std::move(order),
                       [done = std::move(done)](std::size_t, Status result) { done(std::move(result)); });
    });
  };
  Limits whole = larger;
  whole.memory_bytes = 512 << 20;
  ASSERT_TRUE(resize({whole, {{s.id, larger}}, std::nullopt}).ok());
  EXPECT_EQ(value(cgroup_ + "/" + s.id, "memory", "memory.limit_in_bytes", "memory.max"), std::to_string(128 << 20));
  EXPECT_EQ(value(cgroup_ + "/" + s.id, "cpu", "cpu.cfs_quota_us", "cpu.max").substr(0, 5), "80000");
  EXPECT_EQ(value(cgroup_, "memory", "memory.limit_in_bytes", "memory.max"), std::to_string(512 << 20));
  // And down again: the container first.
  Limits smaller = larger;
  smaller.cpu_milli_limit = 300;
  ASSERT_TRUE(resize({std::nullopt, {{s.id, smaller}}, smaller}).ok());
  EXPECT_EQ(value(cgroup_, "cpu", "cpu.cfs_quota_us", "cpu.max").substr(0, 5), "30000");
  // No limit is a limit too.
  Limits none;
  ASSERT_TRUE(resize({none, {{s.id, none}}, none}).ok());
  EXPECT_EQ(value(cgroup_ + "/" + s.id, "cpu", "cpu.cfs_quota_us", "cpu.max").substr(0, 2), v2 ? "ma" : "-1");
  EXPECT_NE(value(cgroup_ + "/" + s.id, "memory", "memory.limit_in_bytes", "memory.max"), std::to_string(128 << 20));
  EXPECT_FALSE(resize({std::nullopt, {{"nobody", smaller}}, std::nullopt}).ok());
  auto usage = runtime_->usage(s.id);
  ASSERT_TRUE(usage.has_value());
  EXPECT_GT(usage->memory_working_set_bytes, 0u);
}

TEST_F(CrunRuntimeTest, AppliesTheSecuritySettings) {
  sandbox();
  auto s = shell(
      "id -u; id -g; id -G; touch /no 2>/dev/null || echo readonly; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; mount -t tmpfs x /tmp 2>/dev/null || echo nomount");
  s.uid = 101;
  s.gid = 102;
  s.groups = {150};
  s.read_only_rootfs = true;
  s.no_new_privileges = true;
  s.capabilities = {"CAP_CHOWN"};
  ASSERT_TRUE(run(s).ok());
  ASSERT_TRUE(until_exited(s.id));
  std::string log = log_of(s);
  EXPECT_NE(log.find(" F 101\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" F 102 150\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" F readonly\n"), std::string::npos) << log;
  EXPECT_NE(log.find("CapBnd:\t0000000000000001\n"), std::string::npos) << log;
  EXPECT_NE(log.find("NoNewPrivs:\t1\n"), std::string::npos) << log;
  EXPECT_NE(log.find("Seccomp:\t2\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" F nomount\n"), std::string::npos) << log;
}

TEST_F(CrunRuntimeTest, WhatIsExecutedHasTheContainersUserAndLimits) {
  sandbox();
  auto s = shell("sleep 100");
  s.uid = 101;
  s.gid = 102;
  s.groups = {150};
  s.no_new_privileges = true;
  s.capabilities = {};
  ASSERT_TRUE(run(s).ok());
  auto out = exec(s.id, {"sh", "-c", "id -u; id -g; id -G; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status"});
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->output, "101\n102\n102 150\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
}

// Whatever shell the agent was started from.
TEST_F(CrunRuntimeTest, LimitsOfProcessesAreFixedHereAndInWhatIsExecuted) {
  sandbox();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 256;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  auto s = shell("ulimit -Sn; ulimit -Hn; ulimit -Ss; ulimit -Sc; ulimit -Sf; cat /proc/self/oom_score_adj; sleep 100");
  s.oom_score_adj = 500;
  auto ran = run(s);
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  auto out = exec(s.id, {"sh", "-c", "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj"});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  const std::string most = std::to_string(std::min<rlim_t>(before.rlim_max, 1048576));
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->output, most + "\n" + most + "\n500\n");
  EXPECT_TRUE(run_until(loop_, [&] { return log_of(s).find(" F 500\n") != std::string::npos; })) << log_of(s);
  EXPECT_NE(log_of(s).find(" F " + most + "\n"), std::string::npos) << log_of(s);
  EXPECT_EQ(log_of(s).find(" F 256\n"), std::string::npos) << log_of(s);
  EXPECT_NE(log_of(s).find(" F 8192\n"), std::string::npos) << log_of(s);
}

TEST_F(CrunRuntimeTest, RunsFromAPathThatMeansSomethingToTheKernelsOptions) {
  const std::string odd = directory_ / "a: b,c\\d";
  testing::make_busybox_root(odd + "/layer");
  auto made = make_crun_runtime(loop_, CrunConfig{odd + "/run"});
  ASSERT_TRUE(made.ok()) << made.error().message;
  runtime_ = std::move(*made);
  runtime_->on_change([this](const ContainerStatus& status) { seen_[status.id] = status; });
  sandbox();
  auto s = shell("echo here; exit 4");
  s.rootfs_layers = overlay_option(odd + "/layer");
  s.log_path = odd + "/logs/c/0.log";
  auto ran = run(s);
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  ASSERT_TRUE(until_exited(s.id));
  EXPECT_EQ(seen_[s.id].exit_code, 4);
  EXPECT_NE(log_of(s).find(" F here\n"), std::string::npos) << log_of(s);
}

TEST_F(CrunRuntimeTest, ProgramsInsideHaveNoDescriptorOfOurs) {
  sandbox();
  const std::string list = "for fd in /proc/$$/fd/*; do echo ${fd##*/} $(readlink $fd); done";
  auto s = shell(list + "; sleep 100");
  ASSERT_TRUE(run(s).ok());
  auto inside = exec(s.id, {"/bin/sh", "-c", list});
  ASSERT_TRUE(inside.ok()) << inside.error().message;
  EXPECT_EQ(inside->exit_code, 0);
  const std::string from_the_beginning = log_of(s);
  EXPECT_NE(from_the_beginning.find("F 2 "), std::string::npos) << from_the_beginning;
  for (const std::string& text : {from_the_beginning, inside->output}) {
    EXPECT_EQ(text.find("memfd"), std::string::npos) << text;
    EXPECT_EQ(text.find("crun"), std::string::npos) << text;
  }
  EXPECT_EQ(inside->output.find("\n4 "), std::string::npos) << inside->output;
}

TEST_F(CrunRuntimeTest, ContainersOfAPodShareMemoryAndTheHostNameButNotProcesses) {
  sandbox([](SandboxSpec& s) { s.network_namespace = "/proc/self/ns/net"; });
  auto writer = shell("echo hello > /dev/shm/x; sleep 100");
  ASSERT_TRUE(run(writer).ok());
  ASSERT_TRUE(run_until(loop_, [&] {
    loop_.after(10ms, [] {});
    return path_exists(directory_ / ("run/run/sandboxes/" + pod_ + "/shm/x"));
  }));
  auto reader = shell("cat /dev/shm/x; hostname; ps | grep -c '[s]leep 100'");
  ASSERT_TRUE(run(reader).ok());
  ASSERT_TRUE(until_exited(reader.id));
  std::string log = log_of(reader);
  EXPECT_NE(log.find(" F hello\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" F web-0\n"), std::string::npos) << log;
  EXPECT_NE(log.find(" F 0\n"), std::string::npos) << log;
}

TEST_F(CrunRuntimeTest, ASharedProcessNamespaceIsSharedAndCleanedUp) {
  sandbox([](SandboxSpec& s) { s.share_pid = true; });
  auto first = shell("sleep 100 & sleep 101");
  ASSERT_TRUE(run(first).ok());
  auto second = shell("sleep 0.1; ps | grep -c '[s]leep 10[01]'");
  ASSERT_TRUE(run(second).ok());
  ASSERT_TRUE(until_exited(second.id));
  EXPECT_NE(log_of(second).find(" F 2\n"), std::string::npos) << log_of(second);
  ASSERT_TRUE(wait([&](auto done) { runtime_->kill_container(first.id, std::move(done)); }).ok());
  ASSERT_TRUE(until_exited(first.id));
}

// The first process of the sandbox has no memory, open file or root directory of the agent.
TEST_F(CrunRuntimeTest, TheFirstProcessOfASharedNamespaceHasNothingOfTheNode) {
  sandbox([](SandboxSpec& s) { s.share_pid = true; });
  auto s = shell("sleep 100");
  s.capabilities.emplace_back("CAP_SYS_PTRACE");
  ASSERT_TRUE(run(s).ok());
  auto look = [&](const std::string& line) {
    auto result = exec(s.id, {"/bin/sh", "-c", line + " 2>&1"});
    return result.ok() ? result->output : result.error().message;
  };
  EXPECT_EQ(look("tr '\\0' ' ' </proc/1/cmdline"), "/pause ");
  EXPECT_EQ(
      look("ls -A /proc/1/root/ /proc/1/root/.. /proc/1/root/../../.. /proc/1/cwd/ | grep -v '^/proc.*:$' | grep ."),
      "");
  EXPECT_EQ(look("ls /proc/1/fd"), "");
  EXPECT_EQ(look("wc -c </proc/1/environ"), "0\n");
  EXPECT_EQ(look("grep -c . /proc/1/mountinfo"), "1\n");
  EXPECT_EQ(look("grep -vc 'memfd:pause\\|stack\\|vdso\\|vvar\\|vsyscall' /proc/1/maps"), "0\n")
      << look("cat /proc/1/maps");
  // It reaps, and no signal from inside ends it.
  look("(sleep 0.1 &) ; kill -TERM 1; kill -KILL 1; sleep 0.3");
  EXPECT_EQ(look("ps | grep -c '[Z] '"), "0\n");
  EXPECT_EQ(look("echo here"), "here\n");
}

TEST_F(CrunRuntimeTest, AdoptsWhatRunsAfterARestart) {
  sandbox();
  auto lives = shell("while true; do sleep 0.02; done");
  auto ended = shell("sleep 100");
  auto ends_meanwhile = shell("while [ ! -e /data/end ]; do sleep 0.02; done; exit 9");
  ends_meanwhile.mounts.push_back(Mount{directory_ / "shared", "/data"});
  ASSERT_TRUE(make_directories(directory_ / "shared").ok());
  int pid = run(lives)->pid;
  ASSERT_TRUE(run(ended).ok());
  ASSERT_TRUE(run(ends_meanwhile).ok());
  ASSERT_TRUE(wait([&](auto done) { runtime_->kill_container(ended.id, std::move(done)); }).ok());
  ASSERT_TRUE(until_exited(ended.id));
  Time started = seen_[lives.id].started;

  runtime_.reset();
  ASSERT_TRUE(write_file(directory_ / "shared/end", "").ok());
  ASSERT_TRUE(run_until(loop_, [&] {
    loop_.after(10ms, [] {});
    return path_exists(directory_ / ("run/exits/" + ends_meanwhile.id));
  }));
  seen_.clear();
  make_runtime();
  std::optional<Result<std::vector<ContainerStatus>>> found;
  runtime_->recover([&](auto r) { found = std::move(r); });
  ASSERT_TRUE(run_until(loop_, [&] { return found.has_value(); }));
  ASSERT_TRUE(found->ok());
  ASSERT_EQ((*found)->size(), 3u);
  std::map<std::string, ContainerStatus> by_id;
  for (const auto& s : **found) by_id[s.id] = s;
  EXPECT_EQ(by_id[lives.id].state, ContainerState::kRunning);
  EXPECT_EQ(by_id[lives.id].pid, pid);
  EXPECT_EQ(by_id[lives.id].pod_uid, pod_);
  EXPECT_LT(started - by_id[lives.id].started, 1s);
  EXPECT_EQ(by_id[ended.id].exit_code, 137);
  EXPECT_EQ(by_id[ends_meanwhile.id].state, ContainerState::kExited);
  EXPECT_EQ(by_id[ends_meanwhile.id].exit_code, 9);
  EXPECT_EQ(exec(lives.id, {"echo", "here"})->output, "here\n");
  ASSERT_TRUE(wait([&](auto done) { runtime_->kill_container(lives.id, std::move(done)); }).ok());
  ASSERT_TRUE(until_exited(lives.id));
}

// Processes that have been killed end only when they have their turn.
TEST_F(CrunRuntimeTest, WhatIsKilledHasNoLimitOfCpuTimeAnyMore) {
  sandbox([](SandboxSpec& s) { s.limits.cpu_milli_limit = 200; });
  for (const bool killed : {true, false}) {
    auto s = shell("sleep 100");
    s.limits.cpu_milli_limit = 100;
    ASSERT_TRUE(run(s).ok());
    auto limit = [&](const std::string& path) {
      auto text = read_file(Cgroups().unified() ? "/sys/fs/cgroup/" + path + "/cpu.max"
                                                : "/sys/fs/cgroup/cpu/" + path + "/cpu.cfs_quota_us");
      return text.ok() ? std::string(cut(trim(*text), " ").before) : text.error().message;
    };
    EXPECT_EQ(limit(cgroup_ + "/" + s.id), "10000");
    auto end = [&](auto done) {
      if (killed) return runtime_->kill_container(s.id, std::move(done));
      runtime_->signal_container(s.id, SIGKILL, std::move(done));
    };
    ASSERT_TRUE(wait(end).ok());
    ASSERT_TRUE(until_exited(s.id));
    const std::string none = Cgroups().unified() ? "max" : "-1";
    EXPECT_TRUE(!killed || run_until(loop_, [&] { return limit(cgroup_ + "/" + s.id) == none; }))
        << limit(cgroup_ + "/" + s.id);
    EXPECT_EQ(limit(cgroup_), "20000");
  }
}

// Its descendants run away from their signals: each is the child of one that has just ended.
TEST_F(CrunRuntimeTest, ProcessesThatForkAwayAreKilledInASharedProcessNamespaceToo) {
  sandbox([](SandboxSpec& s) { s.share_pid = true; });
  auto s = shell("f() { f & }; for i in 1 2 3 4 5 6 7 8; do f; done; sleep 100");
  s.limits.cpu_milli_limit = 300;
  ASSERT_TRUE(run(s).ok());
  ASSERT_TRUE(exec(s.id, {"sleep", "0.3"}).ok());
  ASSERT_TRUE(wait([&](auto done) { runtime_->kill_container(s.id, std::move(done)); }).ok());
  ASSERT_TRUE(until_exited(s.id));
  const std::string group = cgroup_ + "/" + s.id;
  EXPECT_TRUE(run_until(loop_,
                        [&] {
                          loop_.after(20ms, [] {});
                          return Cgroups().processes(group).empty();
                        }))
      << Cgroups().processes(group).size() << " are left";
}

// Also where the container has frozen processes in a group below its own.
TEST_F(CrunRuntimeTest, WhatIsFrozenEndsWhenItIsKilled) {
  if (Cgroups().unified()) GTEST_SKIP() << "the freezer of version 1";
  for (const bool shared : {false, true}) {
    sandbox([&](SandboxSpec& s) { s.share_pid = shared; });
    auto s = shell("sleep 100 & sleep 100");
    ASSERT_TRUE(run(s).ok());
    const std::string group = "/sys/fs/cgroup/freezer/" + cgroup_ + "/" + s.id;
    ASSERT_EQ(::mkdir((group + "/below").c_str(), 0755), 0);
    for (pid_t pid : Cgroups().processes(cgroup_ + "/" + s.id)) {
      Fd procs(::open((group + "/below/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
      const std::string text = std::to_string(pid);
      EXPECT_EQ(::write(procs.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    for (const std::string& frozen : {group + "/below", group}) {
      Fd state(::open((frozen + "/freezer.state").c_str(), O_WRONLY | O_CLOEXEC));
      ASSERT_EQ(::write(state.get(), "FROZEN", 6), 6);
    }
    ASSERT_TRUE(wait([&](auto done) { runtime_->kill_container(s.id, std::move(done)); }).ok());
    EXPECT_TRUE(until_exited(s.id));
    remove(s.id);
    std::erase(ids_, s.id);
    EXPECT_TRUE(wait([&](auto done) { runtime_->remove_sandbox(pod_, std::move(done)); }).ok());
  }
  sandbox();
}

// As in a group that the kernel has left throttled for ever: the killed process cannot end, and exec() calls `done`
// nevertheless.
TEST_F(CrunRuntimeTest, TheDeadlineOfAnExecHoldsWhereNothingGetsATurn) {
  if (Cgroups().unified()) GTEST_SKIP() << "the freezer of version 1";
  sandbox();
  auto s = shell("sleep 100");
  ASSERT_TRUE(run(s).ok());
  const std::string freezer = "/sys/fs/cgroup/freezer/" + cgroup_ + "/" + s.id + "/freezer.state";
  ASSERT_TRUE(path_exists(freezer));
  Fd state(::open(freezer.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::write(state.get(), "FROZEN", 6), 6);
  auto result = exec(s.id, {"true"}, 200ms);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kTimeout) << result.error().message;
  ASSERT_EQ(::write(state.get(), "THAWED", 6), 6);
  EXPECT_TRUE(exec(s.id, {"true"}).ok());
}

// Every process of a container is born in its groups: to move one waits for every fork on the machine.
TEST_F(CrunRuntimeTest, AContainerBeginsInItsGroupsAndWithTheDevicesOfAll) {
  if (Cgroups().unified()) GTEST_SKIP() << "crun moves the process";
  sandbox();
  auto s =
      shell("cat /proc/self/cgroup; mknod /null c 1 3; mknod /log c 1 11; echo x >/null && echo null; cat /log 2>&1");
  ASSERT_TRUE(run(s).ok());
  ASSERT_TRUE(until_exited(s.id));
  std::set<std::string> hierarchies;
  const std::string log = log_of(s);
  for (auto line : split(log, '\n')) {
    if (line.find(":/") == std::string::npos || line.find("0::") != std::string::npos) continue;
    EXPECT_TRUE(line.ends_with(":/" + cgroup_ + "/" + s.id)) << line;
    hierarchies.insert(std::string(line));
  }
  EXPECT_EQ(hierarchies.size(), Cgroups().task_files(cgroup_ + "/" + s.id).size());
  EXPECT_NE(log_of(s).find(" F null\n"), std::string::npos) << log_of(s);
  EXPECT_NE(log_of(s).find("/log': Operation not permitted"), std::string::npos) << log_of(s);
  auto devices = [&](const std::string& id) {
    auto text = read_file("/sys/fs/cgroup/devices/" + cgroup_ + "/" + id + "/devices.list");
    std::set<std::string> out;
    for (auto line : split(trim(text.ok() ? *text : text.error().message), '\n')) out.insert(std::string(line));
    return out;
  };
  EXPECT_EQ(devices(s.id),
            (std::set<std::string>{"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
                                   "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"}));
  auto all = shell("sleep 100");
  all.privileged = true;
  ASSERT_TRUE(run(all).ok());
  EXPECT_EQ(devices(all.id), std::set<std::string>{"a *:* rwm"});
}

// A process that crun moved would wait for every fork on the machine.
TEST_F(CrunRuntimeTest, WhatIsExecutedIsInTheContainersGroupsByItself) {
  sandbox();
  auto s = shell("sleep 100");
  s.limits.memory_bytes = 32 << 20;
  auto ran = run(s);
  ASSERT_TRUE(ran.ok());
  auto groups = [](const std::string& text) {  // without the process's own line of version 2 in hybrid mode
    std::set<std::string> out;
    for (auto line : split(text, '\n')) {
      if (!line.empty() && !line.starts_with("0::")) out.insert(std::string(line));
    }
    return out;
  };
  auto executed = exec(s.id, {"cat", "/proc/self/cgroup"});
  ASSERT_TRUE(executed.ok());
  EXPECT_EQ(groups(executed->output), groups(exec(s.id, {"cat", "/proc/1/cgroup"})->output)) << executed->output;
  if (Cgroups().unified()) return;
  // A container of an earlier release, which crun knows to have groups; and of one that described it once more for
  // "exec".
  const std::string crun = directory_ / ("run/run/crun/" + s.id), described = directory_ / ("run/run/exec/" + s.id);
  ASSERT_TRUE(make_directories(described).ok());
  for (const char* file : {"/status", "/config.json"})
    ASSERT_TRUE(write_file(described + file, read_file(crun + file).value()).ok());
  Value status = json::parse(read_file(crun + "/status").value()).value();
  ASSERT_TRUE(write_file(crun + "/status", json::encode(status.set("cgroup-path", "/" + cgroup_ + "/" + s.id))).ok());
  EXPECT_EQ(exec(s.id, {"echo", "here"})->output, "here\n");
  ASSERT_TRUE(remove_all(described).ok());
  EXPECT_EQ(exec(s.id, {"echo", "here"})->output, "here\n");
}

// Where one of the control groups cannot be entered, nothing runs: it would run outside of its container's limits.
TEST_F(CrunRuntimeTest, NothingIsExecutedOutsideOfTheContainersGroups) {
  if (Cgroups().unified()) GTEST_SKIP() << "crun moves the process";
  sandbox();
  auto s = shell("sleep 100");
  ASSERT_TRUE(run(s).ok());
  const RuntimePaths paths(directory_ / "run", directory_ / "run/run");
  StoredContainer stored;
  stored.status.id = s.id;
  stored.cgroup = cgroup_ + "/" + s.id;
  std::vector<std::string> command = exec_command(CrunProgram("/usr/bin/crun"), paths, Cgroups(), stored);
  ASSERT_EQ(command[0], kShell);
  ASSERT_TRUE(command[4].ends_with("/tasks")) << command[4];
  command.insert(command.end(), {s.id, "touch", "/ran"});
  ASSERT_TRUE(run_checked({.argv = command}).ok());
  EXPECT_TRUE(path_exists(paths.writable_layer(s.id) + "/ran"));
  command.back() = "/ran-outside";
  command.insert(command.begin() + 5, "/sys/fs/cgroup/absent/tasks");
  EXPECT_FALSE(run_checked({.argv = command}).ok());
  EXPECT_FALSE(path_exists(paths.writable_layer(s.id) + "/ran-outside"));
}

// What an earlier release started lies in the root itself: it is found, and what is new goes there until none is left.
TEST_F(CrunRuntimeTest, KeepsTheLayoutOfAnEarlierReleaseWhileItsContainersAreThere) {
  runtime_.reset();
  unmount(directory_ / "run/run");
  ASSERT_TRUE(make_directories(directory_ / "run/sandboxes/older").ok());
  make_runtime();
  sandbox();
  auto s = shell("sleep 100");
  ASSERT_TRUE(run(s).ok());
  EXPECT_TRUE(path_exists(directory_ / ("run/containers/" + s.id + "/config.json")));
  EXPECT_EQ(exec(s.id, {"echo", "here"})->output, "here\n");
  remove(s.id);
  ASSERT_TRUE(wait([&](auto done) { runtime_->remove_sandbox(pod_, std::move(done)); }).ok());
  ASSERT_TRUE(wait([&](auto done) { runtime_->remove_sandbox("older", std::move(done)); }).ok());
  runtime_.reset();
  make_runtime();
  sandbox();
  auto later = shell("sleep 100");
  ASSERT_TRUE(run(later).ok());
  EXPECT_TRUE(path_exists(directory_ / ("run/run/containers/" + later.id + "/config.json")));
  EXPECT_FALSE(path_exists(directory_ / ("run/containers/" + later.id + "/config.json")));
}

// The tmpfs is empty then, and nothing runs.
TEST_F(CrunRuntimeTest, FindsWhatARestartOfTheMachineHasLeft) {
  sandbox();
  auto s = shell("echo kept > /file; sleep 100"), over = shell("exit 3");
  ASSERT_TRUE(run(s).ok());
  ASSERT_TRUE(run(over).ok());
  ASSERT_TRUE(until_exited(over.id));
  auto pid = runtime_->status(s.id)->pid;
  auto conmon = json::parse(read_file(directory_ / ("run/containers/" + s.id + "/state.json")).value())
                    .value()["conmon"]
                    .as_int();
  for (const pid_t one : {static_cast<pid_t>(conmon), static_cast<pid_t>(pid)}) {
    auto fd = open_pidfd(one);
    ASSERT_TRUE(fd.ok());
    ::kill(one, SIGKILL);
    pollfd ended{fd->get(), POLLIN, 0};
    ASSERT_EQ(::poll(&ended, 1, 20'000), 1);
  }
  runtime_.reset();
  unmount_below({directory_ / "run/run"});
  make_runtime();
  std::optional<Result<std::vector<ContainerStatus>>> found;
  runtime_->recover([&](auto r) { found = std::move(r); });
  ASSERT_TRUE(run_until(loop_, [&] { return found.has_value(); }));
  ASSERT_TRUE(found->ok()) << found->error().message;
  std::map<std::string, int> codes;
  for (const ContainerStatus& status : **found) {
    EXPECT_EQ(status.state, ContainerState::kExited) << status.id;
    codes[status.id] = status.exit_code;
  }
  EXPECT_EQ(codes, (std::map<std::string, int>{{s.id, 255}, {over.id, 3}}));
}

TEST_F(CrunRuntimeTest, AContainerWithoutItsMonitorEnds) {
  sandbox();
  auto s = shell("sleep 100");
  auto ran = run(s);
  ASSERT_TRUE(ran.ok());
  auto state = read_file(directory_ / ("run/containers/" + s.id + "/state.json"));
  ASSERT_TRUE(state.ok());
  auto conmon = json::parse(*state).value()["conmon"].as_int();
  ASSERT_GT(conmon, 1);
  ASSERT_EQ(::kill(static_cast<pid_t>(conmon), SIGKILL), 0);
  ASSERT_TRUE(until_exited(s.id));
  EXPECT_EQ(seen_[s.id].exit_code, 137);
  remove(s.id);
  EXPECT_FALSE(path_exists("/proc/" + std::to_string(ran->pid) + "/root/bin"));
}

TEST_F(CrunRuntimeTest, ReopensALogThatWasRenamed) {
  sandbox();
  auto s = shell("echo one; while [ ! -e /data/go ]; do sleep 0.02; done; echo two");
  s.mounts.push_back(Mount{directory_ / "shared", "/data"});
  ASSERT_TRUE(make_directories(directory_ / "shared").ok());
  ASSERT_TRUE(run(s).ok());
  ASSERT_TRUE(run_until(loop_, [&] {
    loop_.after(10ms, [] {});
    return log_of(s).find("one") != std::string::npos;
  }));
  std::string old = s.log_path + ".old";
  ASSERT_EQ(::rename(s.log_path.c_str(), old.c_str()), 0);
  ASSERT_TRUE(wait([&](auto done) { runtime_->reopen_log(s.id, std::move(done)); }).ok());
  ASSERT_TRUE(run_until(loop_, [&] {
    loop_.after(10ms, [] {});
    return path_exists(s.log_path);
  }));
  ASSERT_TRUE(write_file(directory_ / "shared/go", "").ok());
  ASSERT_TRUE(until_exited(s.id));
  EXPECT_NE(log_of(s).find(" F two\n"), std::string::npos) << log_of(s);
  EXPECT_EQ(log_of(s).find(" F one\n"), std::string::npos);
}

TEST_F(CrunRuntimeTest, AnInteractiveProcessHasPipesOrATerminal) {
  sandbox();
  auto s = shell("sleep 100");
  ASSERT_TRUE(run(s).ok());
  for (bool tty : {false, true}) {
    ContainerRuntime::ExecOptions options;
    options.argv = {"sh", "-c",
                    tty ? "test -t 0 && read x && echo got:$x; exit 4" : "read x; echo got:$x; echo e >&2; exit 4"};
    options.tty = tty;
    options.standard_input = options.standard_output = true;
    options.standard_error = !tty;
    std::optional<ContainerRuntime::ExecStreams> streams;
    std::optional<int> code;
    runtime_->exec_interactive(
        s.id, options,
        [&](auto r) {
          ASSERT_TRUE(r.ok()) << r.error().message;
          streams = *r;
        },
        [&](int c) { code = c; });
    ASSERT_TRUE(run_until(loop_, [&] { return streams.has_value(); }));
    int in = tty ? streams->terminal : streams->standard_input,
        out = tty ? streams->terminal : streams->standard_output;
    ASSERT_GE(in, 0);
    ASSERT_EQ(::write(in, "hi\n", 3), 3);
    ASSERT_TRUE(run_until(loop_, [&] { return code.has_value(); }));
    EXPECT_EQ(*code, 4);
    // A terminal gives what was typed and what was answered one after the other.
    std::string text;
    char part[256];
    for (ssize_t n; (n = ::read(out, part, sizeof part)) > 0;) text.append(part, static_cast<std::size_t>(n));
    EXPECT_NE(text.find("got:hi"), std::string::npos) << text;
    for (int fd : {streams->standard_input, streams->standard_output, streams->standard_error, streams->terminal}) {
      if (fd >= 0) ::close(fd);
    }
  }
}

TEST_F(CrunRuntimeTest, RemovingTakesEverythingButTheLog) {
  sandbox();
  auto s = shell("echo x; sleep 100");
  ASSERT_TRUE(run(s).ok());
  remove(s.id);
  EXPECT_FALSE(runtime_->status(s.id).has_value());
  for (const char* name : {"containers", "exits", "run/containers", "run/crun", "run/exec", "run/sockets"}) {
    auto left = list_directory(directory_ / (std::string("run/") + name));
    ASSERT_TRUE(left.ok());
    for (const auto& entry : *left) EXPECT_TRUE(entry == ".cache") << name << "/" << entry;
  }
  EXPECT_TRUE(path_exists(s.log_path));
  EXPECT_TRUE(Cgroups().processes(cgroup_).empty());
  remove(s.id);
}

}  // namespace
}  // namespace berth::agent
