#include "agent/logs/log_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <vector>

#include "base/files.h"
#include "base/fs/test_directory.h"

namespace berth::agent {
namespace {

using namespace std::chrono_literals;

class LogFilesTest : public ::testing::Test {
 protected:
  LogFilesTest() { write(log_, "a"); }

  void write(const std::string& path, const std::string& text) { ASSERT_TRUE(write_file(path, text).ok()); }
  // As conmon does when the log has reached its limit.
  void replace(const std::string& text) {
    write(log_ + ".tmp", text);
    std::filesystem::rename(log_ + ".tmp", log_);
  }
  std::string text_of(const std::string& path) {
    auto text = read_file(path);
    return text.ok() ? *text : "none";
  }
  void run() {
    for (int i = 0; i < 5; ++i) loop_.run_once(1ms);
  }

  Loop loop_;
  ThreadPool remover_{loop_, 1};
  testing::TestDirectory made_;
  const std::string& directory_ = made_.path();
  const std::string log_ = made_ / "0.log";
};

TEST_F(LogFilesTest, WhatIsReplacedIsKept) {
  LogFiles logs(loop_, remover_, 3);
  logs.follow(log_);
  logs.follow(log_);
  for (const char* text : {"b", "c", "d", "e"}) {
    replace(text);
    run();
  }
  EXPECT_EQ(text_of(log_), "e");
  EXPECT_EQ(text_of(log_ + ".1"), "d");
  EXPECT_EQ(text_of(log_ + ".2"), "c");
  EXPECT_EQ(text_of(log_ + ".3"), "none") << "no more files than were asked for";
  logs.forget(log_);
  EXPECT_EQ(text_of(log_ + ".0"), "none");
  EXPECT_EQ(text_of(log_), "e");
  replace("f");
  run();
  EXPECT_EQ(text_of(log_ + ".1"), "d") << "nobody follows it any more";
}

TEST_F(LogFilesTest, TheOldestIsFreedOffTheLoop) {
  auto deleted = [&] {
    std::vector<std::string> out;
    for (const auto& at : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;  // the descriptor that lists them
      std::string path = std::filesystem::read_symlink(at, gone).string();
      if (path.starts_with(directory_) && path.ends_with(" (deleted)")) out.push_back(path);
    }
    return out;
  };
  std::promise<void> released;
  remover_.submit([held = released.get_future().share()] { held.wait(); }, [] {});
  LogFiles logs(loop_, remover_, 3);
  logs.follow(log_);
  for (const char* text : {"b", "c", "d"}) {
    replace(text);
    run();
  }
  EXPECT_EQ(text_of(log_ + ".2"), "b");
  EXPECT_EQ(deleted(), std::vector<std::string>{log_ + ".2 (deleted)"}) << "its blocks are still there";
  bool freed = false;
  remover_.submit([] {}, [&] { freed = true; });
  released.set_value();
  while (!freed) loop_.run_once(1s);
  EXPECT_EQ(deleted(), std::vector<std::string>{});
}

TEST_F(LogFilesTest, AnotherAgentGoesOn) {
  { LogFiles(loop_, remover_, 3).follow(log_); }
  replace("b");
  LogFiles logs(loop_, remover_, 3);
  logs.follow(log_);
  EXPECT_EQ(text_of(log_ + ".1"), "a");
}

TEST_F(LogFilesTest, ADirectoryThatGoesIsForgotten) {
  LogFiles logs(loop_, remover_, 3);
  logs.follow(log_);
  std::filesystem::remove_all(directory_);
  run();
  logs.forget(log_);
  std::filesystem::create_directory(directory_);
  write(log_, "new");
  logs.follow(log_);
  replace("newer");
  run();
  EXPECT_EQ(text_of(log_ + ".1"), "new");
}

}  // namespace
}  // namespace berth::agent
