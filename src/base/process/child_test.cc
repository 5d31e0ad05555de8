#include "base/process/child.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <future>

#include "base/files.h"
#include "base/fs/test_directory.h"
#include "base/process/pids.h"

namespace berth {
namespace {

class ChildTest : public ::testing::Test {
 protected:
  // Keeps the only thread that starts programs until release().
  void hold() {
    spawner_.submit([held = released_.get_future().share()] { held.wait(); }, [] {});
  }
  void release() { released_.set_value(); }

  void run(std::string script, Duration timeout = Duration::zero()) {
    SpawnOptions options;
    options.argv = {"/bin/sh", "-c", std::move(script)};
    auto run = ChildRun::start(loop_, spawner_, std::move(options), {}, timeout, 100,
                               [this](Result<ChildRun::Outcome> outcome) {
                                 outcome_ = std::move(outcome);
                                 run_.reset();
                               });
    ASSERT_TRUE(run.ok());
    run_ = std::move(run).value();
  }
  void until(const std::function<bool()>& done) {
    while (!done()) loop_.run_once(1s);
  }
  static bool no_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 && errno == ECHILD;
  }

  Loop loop_;
  std::promise<void> released_;
  ThreadPool spawner_{loop_, 1};
  std::unique_ptr<ChildRun> run_;
  std::optional<Result<ChildRun::Outcome>> outcome_;
  testing::TestDirectory files_;
};

TEST_F(ChildTest, TheLoopGoesOnWhileAProgramIsBeingStarted) {
  hold();
  run("echo said; echo failed >&2; exit 3");
  bool turned = false;
  loop_.post([&] { turned = true; });
  until([&] { return turned; });
  EXPECT_FALSE(outcome_);
  release();
  until([&] { return outcome_.has_value(); });
  ASSERT_TRUE(outcome_->ok());
  EXPECT_EQ((*outcome_)->output, "said\nfailed\n");
  EXPECT_EQ((*outcome_)->exit_code, 3);
}

TEST_F(ChildTest, TheTimeoutCountsFromTheRequest) {
  hold();
  run("echo > " + (files_ / "ran"), 5ms);
  until([&] { return outcome_.has_value(); });
  ASSERT_TRUE(outcome_->ok());
  EXPECT_TRUE((*outcome_)->timed_out);
  release();
  spawner_.close();
  EXPECT_FALSE(path_exists(files_ / "ran")) << "nobody waits for it any more";
  EXPECT_TRUE(no_children());
}

TEST_F(ChildTest, WhatNobodyWantsAnyMoreIsEnded) {
  run("exec sleep 1000");
  std::promise<void> begun;
  spawner_.submit([&] { begun.set_value(); }, [] {});
  begun.get_future().wait();  // it has been started, and the loop has not heard of it
  EXPECT_FALSE(no_children());
  run_.reset();
  until(no_children);
  EXPECT_FALSE(outcome_);
}

TEST_F(ChildTest, WhatCannotBeStartedIsAnError) {
  auto run = ChildRun::start(loop_, spawner_, {{"/no/such/program"}, {}, {}, {}, {}}, {}, 1h, 100,
                             [this](Result<ChildRun::Outcome> outcome) { outcome_ = std::move(outcome); });
  ASSERT_TRUE(run.ok());
  until([&] { return outcome_.has_value(); });
  ASSERT_FALSE(outcome_->ok());
  EXPECT_NE(outcome_->error().message.find("starting /no/such/program"), std::string::npos)
      << outcome_->error().message;
  EXPECT_TRUE(no_children());
}

TEST_F(ChildTest, AProcessNamespaceIsThatOfTheProcessThatIsMeant) {
  auto child = spawn_child({{"/bin/sleep", "100"}, {}, {}, {}, {}});
  ASSERT_TRUE(child.ok());
  const std::uint64_t start = process_start_time(*child);
  ASSERT_NE(start, 0u);
  auto space = open_pid_namespace(*child, start);
  ASSERT_TRUE(space.ok()) << space.error().message;
  struct ::stat opened {
  }, own{};
  ASSERT_EQ(::fstat(space->get(), &opened), 0);
  ASSERT_EQ(::stat("/proc/self/ns/pid", &own), 0);
  EXPECT_EQ(opened.st_ino, own.st_ino);
  EXPECT_TRUE(open_pid_namespace(*child, start - 1).failed_with(Code::kNotFound)) << "another one had that pid";
  EXPECT_TRUE(open_pid_namespace(*child, 0).failed_with(Code::kNotFound));
  ::kill(*child, SIGKILL);
  ASSERT_EQ(::waitpid(*child, nullptr, 0), *child);
  EXPECT_TRUE(open_pid_namespace(*child, start).failed_with(Code::kNotFound));
}

}  // namespace
}  // namespace berth
