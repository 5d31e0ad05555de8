#include "main/supervisor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "base/text.h"
#include "host/restarts.h"

namespace berth {
namespace {

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-supervisor-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override {
    supervisor_.reset();
    for (const char* role : {"one", "two"}) (void)host::stop_daemon(pid_file(role), 2s, SIGKILL);
    EXPECT_TRUE(remove_all(directory_).ok());
  }
  std::string pid_file(const std::string& role) const { return directory_ + "/" + role + ".pid"; }
  host::DaemonSpec spec(const std::string& role) const {
    return {role, {"berth", role}, pid_file(role), directory_ + "/" + role + ".log"};
  }
  static int ready_for_ever() {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    host::report_ready();
    for (;;) ::pause();
  }
  void start(std::function<int()> one, std::function<int()> two, SupervisorOptions options = {}) {
    up_.reset();
    supervisor_ = std::make_unique<Supervisor>(
        loop_, std::vector<SupervisedRole>{{spec("one"), std::move(one)}, {spec("two"), std::move(two)}},
        directory_ + "/restarts.json", [this] { return may_start_; },
        [this](Status status) { up_ = std::move(status); }, options);
    supervisor_->start_all();
  }
  // Polls, because some conditions cause no event.
  bool until(const std::function<bool()>& condition) {
    const Duration end = loop_.monotonic() + 20s;
    while (!condition()) {
      if (loop_.monotonic() > end) return false;
      loop_.run_once(10ms);
    }
    return true;
  }
  bool until_up() {
    return until([&] { return up_.has_value(); }) && up_->ok();
  }
  int pid(const std::string& role) const { return host::running_daemon(pid_file(role)).value_or(0); }

  std::string directory_;
  Loop loop_;
  Status may_start_;
  std::optional<Status> up_;
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, StartsBothAndStartsAgainTheOneThatDies) {
  start(ready_for_ever, ready_for_ever);
  ASSERT_TRUE(until_up());
  EXPECT_TRUE(host::daemon_is_ready(spec("one")) && host::daemon_is_ready(spec("two")));
  const int one = pid("one"), two = pid("two");
  ::kill(one, SIGKILL);
  ASSERT_TRUE(until([&] { return pid("one") != 0 && pid("one") != one; }));
  EXPECT_EQ(pid("two"), two);
  host::RestartHistory restarts;
  ASSERT_TRUE(until([&] {
    restarts = host::read_restarts(directory_ + "/restarts.json", "one");
    return restarts.count == 1;
  }));
  EXPECT_EQ(restarts.why, "killed by signal 9 (Killed)");
  EXPECT_TRUE(host::describe(restarts).starts_with("restarted once, at 2")) << host::describe(restarts);
  EXPECT_EQ(host::describe(host::read_restarts(directory_ + "/restarts.json", "two")), "");
  ASSERT_TRUE(until([&] { return host::daemon_is_ready(spec("one")); }));
}

TEST_F(SupervisorTest, SaysWhenItStartsTheNextOneAndTheNextSupervisorForgetsThat) {
  const std::string file = directory_ + "/restarts.json";
  SupervisorOptions options;
  options.first_delay = options.longest_delay = 600s;
  start(ready_for_ever, ready_for_ever, options);
  ASSERT_TRUE(until_up());
  for (int ends = 1; ends <= 2; ++ends) {
    const int one = pid("one");
    ::kill(one, SIGKILL);
    ASSERT_TRUE(until([&] { return pid("one") != one && (ends == 2 || pid("one") != 0); }));
  }
  host::RestartHistory restarts;
  ASSERT_TRUE(until([&] { return (restarts = host::read_restarts(file, "one")).next.has_value(); }));
  EXPECT_EQ(restarts.count, 1);
  EXPECT_EQ(restarts.next->ends, 2);
  EXPECT_EQ(restarts.next->why, "killed by signal 9 (Killed)");
  const Duration left = restarts.next->at - loop_.now();
  EXPECT_TRUE(left > 500s && left <= 600s) << left.count();
  EXPECT_TRUE(restarts.next->first_end <= loop_.now() && restarts.next->first_end > loop_.now() - 100s);
  EXPECT_FALSE(host::read_restarts(file, "two").next.has_value());
  supervisor_.reset();
  start(ready_for_ever, ready_for_ever, options);
  ASSERT_TRUE(until_up());
  EXPECT_FALSE(host::read_restarts(file, "one").next.has_value());
  EXPECT_EQ(host::read_restarts(file, "one").count, 1);
}

TEST_F(SupervisorTest, OneThatCannotBeStartedIsTriedAgainAndThatIsSaid) {
  const std::string file = directory_ + "/restarts.json";
  SupervisorOptions options;
  options.longest_delay = 6000s;
  start(ready_for_ever, ready_for_ever, options);
  ASSERT_TRUE(until_up());
  may_start_ = error(Code::kUnavailable, "no namespaces");
  ::kill(pid("one"), SIGKILL);
  host::RestartHistory restarts;
  ASSERT_TRUE(until([&] { return (restarts = host::read_restarts(file, "one")).next.has_value(); }));
  EXPECT_EQ(restarts.next->why, "the last start failed: no namespaces");
  EXPECT_EQ(restarts.count, 0);
  EXPECT_EQ(restarts.next->ends, 1);
}

TEST_F(SupervisorTest, OneThatIsKilledDoesNoHarmAndTheNextLooksAfterThemToo) {
  start(ready_for_ever, ready_for_ever);
  ASSERT_TRUE(until_up());
  const int one = pid("one"), two = pid("two");
  supervisor_.reset();
  EXPECT_EQ(pid("one"), one);
  ::kill(two, SIGKILL);
  ::waitpid(two, nullptr, 0);
  start(ready_for_ever, ready_for_ever);
  ASSERT_TRUE(until_up());
  EXPECT_EQ(pid("one"), one) << "what runs is left alone";
  EXPECT_NE(pid("two"), 0);
  // It also notices the end of a daemon that it has not started itself.
  ::kill(one, SIGKILL);
  ::waitpid(one, nullptr, 0);
  EXPECT_TRUE(until([&] { return pid("one") != 0 && pid("one") != one; }));
}

TEST_F(SupervisorTest, WaitsForOneThatIsStillStarting) {
  // Started by a process that has exited since.
  auto started = host::fork_daemon(spec("one"), [] {
    for (;;) ::pause();
    return 0;
  });
  ASSERT_TRUE(started.ok());
  ::close(started->ready_fd);
  start(ready_for_ever, ready_for_ever);
  ASSERT_TRUE(until([&] { return host::daemon_is_ready(spec("two")); }));
  for (int i = 0; i < 20; ++i) loop_.run_once(10ms);
  EXPECT_FALSE(up_.has_value());
  ::chmod(pid_file("one").c_str(), 0644);  // as report_ready() does
  EXPECT_TRUE(until_up());
  EXPECT_EQ(pid("one"), started->pid);
}

TEST_F(SupervisorTest, SaysWhyOneCannotStartAndLeavesNothing) {
  start(ready_for_ever, [] {
    host::report_failure("the port is taken");
    return 1;
  });
  ASSERT_TRUE(until([&] { return up_.has_value(); }));
  EXPECT_EQ(up_->error().message, "the two cannot start: the port is taken");
  EXPECT_EQ(pid("one"), 0);
  may_start_ = error(Code::kUnavailable, "no namespaces");
  start(ready_for_ever, ready_for_ever);
  ASSERT_TRUE(until([&] { return up_.has_value(); }));
  EXPECT_EQ(up_->error().message, "no namespaces");
}

TEST_F(SupervisorTest, OneThatKeepsDyingIsStartedLessAndLessOften) {
  const std::string starts = directory_ + "/starts";
  auto dies = [starts] {
    Fd file(::open(starts.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
    (void)!::write(file.get(), "x", 1);
    host::report_ready();
    return 3;
  };
  SupervisorOptions options;
  options.first_delay = 50ms;
  options.longest_delay = 10s;
  start(ready_for_ever, ready_for_ever, options);
  ASSERT_TRUE(until_up());
  supervisor_.reset();
  (void)host::stop_daemon(pid_file("two"), 2s, SIGKILL);
  start(ready_for_ever, dies, options);
  ASSERT_TRUE(until([&] { return up_.has_value(); }));
  const Duration began = loop_.monotonic();
  // Immediately, then after 50, 100, 200 and 400 ms.
  ASSERT_TRUE(until([&] { return host::read_restarts(directory_ + "/restarts.json", "two").count >= 5; }));
  EXPECT_GE(loop_.monotonic() - began, 750ms);
  EXPECT_EQ(host::read_restarts(directory_ + "/restarts.json", "two").why, "ended with exit code 3");
}

}  // namespace
}  // namespace berth
