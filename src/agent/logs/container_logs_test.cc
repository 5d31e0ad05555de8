#include "agent/logs/container_logs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "base/time/time.h"

namespace berth::agent {
namespace {

class ContainerLogsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-logs-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/0.log";
  }
  void TearDown() override { ASSERT_TRUE(remove_all(directory_).ok()); }

  void append(const std::string& text) {
    Fd fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
    ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static std::string line(int second, const std::string& text, const char* stream = "stdout", const char* tag = "F") {
    return "2026-01-02T03:04:0" + std::to_string(second) + ".000000000Z " + stream + " " + tag + " " + text + "\n";
  }

  // Reads until the reader ends; `on_text` sees what has come so far.
  std::string read(LogOptions options, std::function<void(const std::string&)> on_text = nullptr) {
    std::string out;
    LogReader reader(
        loop_, options,
        [&](std::string text) {
          out += text;
          if (on_text) on_text(out);
          return true;
        },
        [&] { loop_.stop(); }, [&] { return running_; });
    Status opened = reader.open(path_);
    if (!opened.ok()) return "error: " + opened.error().message;
    loop_.run();
    return out;
  }

  Loop loop_{1};
  std::string directory_, path_;
  bool running_ = false;
};

TEST_F(ContainerLogsTest, ReadsLinesAndJoinsBrokenOnes) {
  append(line(1, "one") + line(2, "half ", "stdout", "P") + line(2, "line") + "garbage\n" + line(3, "err", "stderr"));
  EXPECT_EQ(read({}), "one\nhalf line\nerr\n");
  LogOptions stamped;
  stamped.timestamps = true;
  EXPECT_EQ(read(stamped),
            "2026-01-02T03:04:01.000000000Z one\n2026-01-02T03:04:02.000000000Z half "
            "line\n2026-01-02T03:04:03.000000000Z err\n");
  LogOptions only_errors;
  only_errors.stream = "Stderr";
  EXPECT_EQ(read(only_errors), "err\n");
}

TEST_F(ContainerLogsTest, ShowsTimesInUtcWithNineDigits) {
  append(
      "2026-01-02T03:04:01.850049080+00:00 stdout F one\n"
      "2026-01-02T05:04:02.5+02:00 stdout F two\n"
      "2026-01-02T03:04:03.000000000Z stdout F three\n");
  LogOptions options;
  options.timestamps = true;
  EXPECT_EQ(
      read(options),
      "2026-01-02T03:04:01.850049080Z one\n2026-01-02T03:04:02.500000000Z two\n2026-01-02T03:04:03.000000000Z three\n");
  options.tail_lines = 2;
  EXPECT_EQ(read(options), "2026-01-02T03:04:02.500000000Z two\n2026-01-02T03:04:03.000000000Z three\n");
}

TEST_F(ContainerLogsTest, OthersHaveTheirTurnWhileALongLogIsRead) {
  std::string logged, all;
  for (int i = 0; i < 40'000; ++i) {
    logged += line(1, std::string(60, 'x') + std::to_string(i));
    all += std::string(60, 'x') + std::to_string(i) + "\n";
  }
  append(logged);
  std::size_t seen = 0, when_run = 0;
  const std::string out = read({}, [&](const std::string& text) {
    if (std::exchange(seen, text.size()) == 0) loop_.post([&] { when_run = seen; });
  });
  EXPECT_EQ(out.size(), all.size());
  EXPECT_TRUE(out == all);
  EXPECT_GT(when_run, 0u);
  EXPECT_LT(when_run, all.size() / 2);
}

TEST_F(ContainerLogsTest, TailSinceAndLimit) {
  for (int i = 1; i <= 5; ++i) append(line(i, std::string("line ") + std::to_string(i)));
  LogOptions options;
  options.tail_lines = 2;
  EXPECT_EQ(read(options), "line 4\nline 5\n");
  options.tail_lines = 0;
  EXPECT_EQ(read(options), "");
  options.tail_lines = 99;
  EXPECT_EQ(read(options), "line 1\nline 2\nline 3\nline 4\nline 5\n");
  LogOptions since;
  since.since = parse_time("2026-01-02T03:04:04Z").value();
  EXPECT_EQ(read(since), "line 4\nline 5\n");
  LogOptions limited;
  limited.limit_bytes = 9;
  EXPECT_EQ(read(limited), "line 1\nli");
}

TEST_F(ContainerLogsTest, FindsTheTailAcrossBlocks) {
  std::string filler(1000, 'x');
  for (int i = 0; i < 200; ++i) append(line(1, filler));
  append(line(2, "last"));
  LogOptions options;
  options.tail_lines = 150;
  EXPECT_EQ(read(options).size(), 149 * 1001u + 5);
}

TEST_F(ContainerLogsTest, FollowsAcrossRotationUntilTheContainerEnds) {
  append(line(1, "a"));
  running_ = true;
  LogOptions options;
  options.follow = true;
  int step = 0;
  std::string text = read(options, [&](const std::string& so_far) {
    if (so_far == "a\n" && step == 0) {
      step = 1;
      loop_.after(1ms, [&] { append(line(2, "b")); });
    }
    if (so_far == "a\nb\n" && step == 1) {
      step = 2;
      loop_.after(1ms, [&] {
        ::rename(path_.c_str(), (path_ + ".1").c_str());
        append(line(3, "c"));
      });
    }
    if (so_far == "a\nb\nc\n" && step == 2) {
      step = 3;
      loop_.after(1ms, [&] {
        running_ = false;
        append(line(4, "d"));
      });
    }
  });
  EXPECT_EQ(text, "a\nb\nc\nd\n");
}

TEST_F(ContainerLogsTest, ASlowReaderLosesNothing) {
  for (int i = 0; i < 2000; ++i) append(line(1, std::string(200, 'y')));
  std::size_t received = 0;
  LogReader* waiting = nullptr;
  LogReader reader(
      loop_, {},
      [&](std::string text) {
        received += text.size();
        loop_.after(1ms, [&] { waiting->resume(); });
        return false;
      },
      [&] { loop_.stop(); }, [] { return false; });
  waiting = &reader;
  ASSERT_TRUE(reader.open(path_).ok());
  loop_.run();
  EXPECT_EQ(received, 2000 * 201u);
}

TEST_F(ContainerLogsTest, AMissingLogIsNamed) { EXPECT_EQ(read({}), "error: no log at " + path_); }

}  // namespace
}  // namespace berth::agent
