// check, result, fault, log, metrics.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"

namespace berth {
namespace {

TEST(Check, ABrokenInvariantEndsTheProcessWithItsMessage) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(BERTH_CHECK(1 == 2, "numbers are odd"), "numbers are odd .1 == 2.");
  Result<int> failed = error(Code::kInternal, "x");
  EXPECT_DEATH((void)failed.value(), "value.. of a failed Result");
}

Result<int> half(int n) {
  if (n % 2) return error(Code::kInvalid, "odd");
  return n / 2;
}
Result<int> quarter(int n) {
  BERTH_ASSIGN(int h, half(n));
  BERTH_TRY(half(h));
  return half(h);
}

TEST(Result, ErrorsPassThroughTheMacros) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_TRUE(quarter(6).failed_with(Code::kInvalid));
  EXPECT_EQ(quarter(1).error().in("quarter").message, "quarter: odd");
}

TEST(Result, ErrnoHasItsText) {
  EXPECT_EQ(errno_error("opening x", EACCES).message, "opening x: Permission denied");
  errno = ENOENT;
  EXPECT_EQ(errno_error("y").message, "y: No such file or directory");
  EXPECT_EQ(errno_error("z", 99999).message, "z: error 99999");
  EXPECT_EQ(errno_error("z", EIO).code, Code::kInternal);
}

class FaultTest : public testing::Test {
 protected:
  void TearDown() override { fault::disarm_all(); }
};

TEST_F(FaultTest, CountsDownAndOnlyForItsName) {
  EXPECT_FALSE(fault::hit("a"));
  fault::arm("a", 2);
  EXPECT_FALSE(fault::hit("b"));
  EXPECT_TRUE(fault::hit("a"));
  EXPECT_TRUE(fault::hit("a"));
  EXPECT_FALSE(fault::hit("a"));
  fault::arm("a", 5);
  fault::arm("a", 0);
  EXPECT_FALSE(fault::hit("a"));
}

TEST_F(FaultTest, Probability) {
  fault::arm_probability("a", 1);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(fault::hit("a"));
  fault::arm_probability("a", 0);
  EXPECT_FALSE(fault::hit("a"));
}

TEST_F(FaultTest, FromTheEnvironmentSkippingWhatIsWrong) {
  ::setenv("BERTH_FAULTS", "a=1,b=p1,,=3,c,d=x,e=p7,f=2", 1);
  testing::internal::CaptureStderr();
  fault::arm_from_environment();
  std::string said = testing::internal::GetCapturedStderr();
  ::unsetenv("BERTH_FAULTS");
  EXPECT_TRUE(fault::hit("a"));
  EXPECT_FALSE(fault::hit("a"));
  EXPECT_TRUE(fault::hit("b"));
  EXPECT_TRUE(fault::hit("f"));
  for (const char* name : {"c", "d", "e", ""}) EXPECT_FALSE(fault::hit(name)) << name;
  for (const char* entry : {"=3", "c", "d=x", "e=p7"}) EXPECT_NE(said.find(entry), std::string::npos) << said;
}

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "berth-log-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    set_log_file(folder_ + "/log");
  }
  void TearDown() override {
    set_log_file("");
    set_log_level(LogLevel::kInfo);
    EXPECT_TRUE(remove_all(folder_).ok());
  }
  // Without the time.
  std::string written(const std::string& name = "log") {
    std::string out, text = read_file(folder_ + "/" + name).value();
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = text.find('\n', at);
      out += text.substr(at + 25, end + 1 - at - 25);
      at = end + 1;
    }
    return out;
  }
  std::string folder_;
};

TEST_F(LogTest, LinesHaveLevelComponentMessageAndFields) {
  log_info("agent", "pod started", {{"pod", "default/web-0"}, {"note", "two words"}, {"none", ""}, {"q", "a\"b=\n"}});
  log_debug("agent", "not shown");
  log_error("agent", "two\nlines\x1b[0m");
  EXPECT_EQ(written(),
            "INFO  agent: pod started pod=default/web-0 note=\"two words\" none=\"\" q=\"a\\\"b=\\n\"\n"
            "ERROR agent: two\\nlines\\x1b[0m\n");
  std::string first = read_file(folder_ + "/log").value().substr(0, 25);
  EXPECT_EQ(first[10], 'T');
  EXPECT_EQ(first.substr(19, 1), ".");
  EXPECT_EQ(first.substr(23), "Z ");
}

TEST_F(LogTest, LevelsHoldForEveryCall) {
  set_log_level(LogLevel::kWarning);
  log_info("a", "no");
  log_warning("a", "yes");
  set_log_level(LogLevel::kDebug);
  log_debug("a", "yes");
  EXPECT_EQ(written(), "WARN  a: yes\nDEBUG a: yes\n");
}

TEST_F(LogTest, ARenamedFileIsLeftForANewOne) {
  log_info("a", "one");
  ASSERT_EQ(::rename((folder_ + "/log").c_str(), (folder_ + "/log.1").c_str()), 0);
  log_info("a", "two");
  EXPECT_EQ(written("log.1"), "INFO  a: one\n");
  EXPECT_EQ(written(), "INFO  a: two\n");
}

TEST_F(LogTest, LinesOfThreadsDoNotMix) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i) log_info("a", std::string(200, 'm'));
    });
  }
  for (auto& thread : threads) thread.join();
  std::string line = "INFO  a: " + std::string(200, 'm') + "\n", want;
  for (int i = 0; i < 400; ++i) want += line;
  EXPECT_EQ(written(), want);
}

TEST(Log, StandardErrorThatIsNoTerminalHasNoColour) {
  testing::internal::CaptureStderr();
  log_info("a", "plain");
  std::string said = testing::internal::GetCapturedStderr();
  if (::isatty(STDERR_FILENO)) GTEST_SKIP() << "standard error is a terminal";
  EXPECT_EQ(said.substr(25), "INFO  a: plain\n");
}

// Metrics live for the process, and a test may run again in it (--gtest_repeat).
std::string fresh(const std::string& name) {
  static int runs = 0;
  return name + std::to_string(++runs);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

TEST(Metrics, TheTextFormat) {
  std::string requests = fresh("requests_"), depth = fresh("depth_"), seconds = fresh("seconds_");
  metrics::counter(requests, "Requests\nby verb.", R"(verb="GET")").add();
  metrics::counter(requests, "", R"(verb="GET")").add(2);
  metrics::gauge(depth, "Depth.").set(-4);
  auto& h = metrics::histogram(seconds, "Time.", {0.005, 1}, R"(a="b")");
  for (double v : {0.001, 0.005, 0.5, 7.0}) h.observe(v);
  std::string text = metrics::render();
  text =
      replaced(replaced(replaced(text, requests, "test_requests_total"), depth, "test_depth"), seconds, "test_seconds");
  for (const char* part : {"# HELP test_requests_total Requests\\nby verb.\n# TYPE test_requests_total counter\n"
                           "test_requests_total{verb=\"GET\"} 3\n",
                           "# TYPE test_depth gauge\ntest_depth -4\n",
                           "# TYPE test_seconds histogram\ntest_seconds_bucket{a=\"b\",le=\"0.005\"} 2\n"
                           "test_seconds_bucket{a=\"b\",le=\"1\"} 3\ntest_seconds_bucket{a=\"b\",le=\"+Inf\"} 4\n"
                           "test_seconds_sum{a=\"b\"} 7.506\ntest_seconds_count{a=\"b\"} 4\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
  }
}

TEST(Metrics, UpdatesOfThreadsAddUp) {
  std::string name = fresh("threads_");
  auto& h = metrics::histogram(name, "x", {10});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) h.observe(1);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_NE(metrics::render().find(name + "_sum 4000\n"), std::string::npos);
}

}  // namespace
}  // namespace berth
