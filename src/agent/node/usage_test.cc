#include <gtest/gtest.h>

#include "agent/node/usage_meter.h"
#include "agent/node/usage_service.h"
#include "agent/testing/test_cluster.h"
#include "base/files.h"

namespace berth::agent {
namespace {

UsageSample sample(Duration at, std::uint64_t node, std::map<std::string, ContainerUsage> containers = {}) {
  return UsageSample{at, {node, 7}, std::move(containers)};
}

TEST(UsageMeter, ARateNeedsTwoSamples) {
  UsageMeter meter;
  EXPECT_FALSE(meter.complete());
  meter.add(sample(100s, 1'000'000'000, {{"a", {500, 10}}}));
  EXPECT_FALSE(meter.node().has_value());
  meter.add(sample(102s, 2'000'000'000, {{"a", {500'000'500, 20}}, {"b", {5, 5}}}));
  ASSERT_TRUE(meter.node().has_value());
  EXPECT_EQ(meter.node()->cpu_nanocores, 500'000'000u);
  EXPECT_EQ(meter.container("a")->cpu_nanocores, 250'000'000u);
  EXPECT_EQ(meter.container("a")->memory_bytes, 20u);
  EXPECT_EQ(meter.container("a")->window, Duration(2s));
  EXPECT_FALSE(meter.container("b").has_value());
  EXPECT_FALSE(meter.complete());
  meter.add(sample(103s, 3'000'000'000, {{"a", {600'000'500, 20}}, {"b", {5, 5}}}));
  EXPECT_TRUE(meter.complete());
  EXPECT_EQ(meter.container("b")->cpu_nanocores, 0u);
}

TEST(UsageMeter, TheEarlierSampleIsTheNewestThatIsOldEnough) {
  UsageMeter meter;
  for (auto [at, cpu] : {std::pair(0s, 0), std::pair(20s, 20), std::pair(28s, 28), std::pair(35s, 65)}) {
    meter.add(sample(at, static_cast<std::uint64_t>(cpu) * 1'000'000'000));
  }
  EXPECT_EQ(meter.node()->window, Duration(15s));
  EXPECT_EQ(meter.node()->cpu_nanocores, 3'000'000'000u);
  meter.add(sample(100s, 130'000'000'000));  // everything else is too old
  EXPECT_FALSE(meter.node().has_value());
  EXPECT_EQ(meter.remembered(), 1u);
  for (int i = 1; i < 50; ++i) meter.add(sample(100s + std::chrono::milliseconds(i), 130'000'000'000));
  EXPECT_LE(meter.remembered(), 3u);
}

TEST(UsageMeter, ACounterThatWentBackIsAnotherContainers) {
  UsageMeter meter;
  meter.add(sample(0s, 1, {{"a", {500, 10}}}));
  meter.add(sample(2s, 1, {{"a", {400, 10}}}));
  EXPECT_FALSE(meter.container("a").has_value());
}

struct UsageServiceTest : ::testing::Test {
  void SetUp() override {
    char name[] = "/tmp/berth-usage-XXXXXX";
    proc = ::mkdtemp(name);
    machine(1000, 0);
  }
  void TearDown() override { (void)remove_all(proc); }
  // Ticks are hundredths of a second.
  void machine(int user, int idle) {
    ASSERT_TRUE(write_file(proc + "/stat",
                           "cpu  " + std::to_string(user) + " 0 0 " + std::to_string(idle) + " 9 0 0 0 0 0\ncpu0 1 1\n")
                    .ok());
    ASSERT_TRUE(
        write_file(proc + "/meminfo", "MemTotal:        4096 kB\nMemFree:         1024 kB\nInactive(file):   512 kB\n")
            .ok());
  }
  std::unique_ptr<UsageService> service() {
    return std::make_unique<UsageService>(
        runtime, [this] { return pods; },
        [this](const std::string& id) -> std::optional<ContainerUsage> {
          ++reads;
          auto at = counters.find(id);
          return at == counters.end() ? std::nullopt : std::optional(at->second);
        },
        proc);
  }
  testing::ManualRuntime runtime;
  std::string proc;
  std::vector<PodSummary> pods = {{"a", "web-0", "u1", {{"c", "id1"}, {"s", "id2"}}}};
  std::map<std::string, ContainerUsage> counters = {{"id1", {1'000'000'000, 2048}}, {"id2", {0, 1000}}};
  int reads = 0;
};

TEST_F(UsageServiceTest, MeasuresOnlyWhenAsked) {
  auto meter = service();
  runtime.advance(100s);
  EXPECT_EQ(reads, 0);
  EXPECT_EQ(runtime.timers(), 0u);
  std::vector<Value> answers;
  auto ask = [&] { meter->report([&](Value report) { answers.push_back(std::move(report)); }); };
  ask();
  ask();
  EXPECT_TRUE(answers.empty());
  counters["id1"].cpu_nanoseconds += 500'000'000;
  machine(1200, 50);
  runtime.advance(1s);
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(runtime.timers(), 0u);
  EXPECT_EQ(json::encode(answers[0]["node"]["usage"]), R"({"cpu":"2","memory":"2560Ki"})");
  EXPECT_EQ(answers[0]["node"]["window"].as_string(), "1s");
  EXPECT_EQ(json::encode(answers[0]["pods"][0]["containers"]),
            R"([{"name":"c","usage":{"cpu":"500m","memory":"2Ki"}},{"name":"s","usage":{"cpu":"0","memory":"1k"}}])");
  // Now there is an earlier sample.
  counters["id1"].cpu_nanoseconds += 123;
  runtime.advance(2500ms);
  ask();
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[2]["pods"][0]["window"].as_string(), "3.5s");
}

TEST_F(UsageServiceTest, APodIsShownWholeOrNotAtAll) {
  counters.erase("id2");
  pods.push_back({"a", "idle", "u2", {}});
  auto meter = service();
  Value answer;
  meter->report([&](Value report) { answer = std::move(report); });
  runtime.advance(1s);
  EXPECT_EQ(json::encode(answer["pods"]), "[]");
  EXPECT_TRUE(answer["node"].is_object());
}

TEST_F(UsageServiceTest, MayEndWhileSomebodyWaits) {
  auto meter = service();
  bool answered = false;
  meter->report([&](Value) { answered = true; });
  meter.reset();
  runtime.advance(5s);
  EXPECT_FALSE(answered);
}

}  // namespace
}  // namespace berth::agent
