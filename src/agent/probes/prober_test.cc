#include "agent/probes/prober.h"

#include <gtest/gtest.h>

#include "agent/testing/test_cluster.h"
#include "agent/testing/test_values.h"

namespace berth::agent {
namespace {

using testing::parsed;

class ProberTest : public ::testing::Test {
 protected:
  std::unique_ptr<Prober> prober(const std::string& container) {
    return std::make_unique<Prober>(runtime_, probes_,
                                    Prober::Start{parsed(container), "id", "10.244.0.2", runtime_.now()},
                                    Prober::Callbacks{[] {}, [](bool) {}, [](const std::string&) {}, {}, {}});
  }
  std::vector<std::unique_ptr<Prober>> probers(int count) {
    std::vector<std::unique_ptr<Prober>> out;
    for (int i = 0; i < count; ++i) out.push_back(prober(kWeb));
    return out;
  }
  std::size_t tries_within(Duration time) {
    probes_.log.clear();
    runtime_.advance(time);
    return probes_.log.size();
  }

  static constexpr const char* kWeb = R"({"readinessProbe":{"httpGet":{"path":"/web","port":80},"periodSeconds":30}})";
  testing::ManualRuntime runtime_;
  testing::FakeProbes probes_{runtime_};
};

TEST_F(ProberTest, EagerProbesOfANodeShareWhatTheyMayTake) {
  probes_.results["/web"] = false;
  {
    auto one = prober(kWeb);
    EXPECT_GT(tries_within(990ms), 25u);
  }
  auto many = probers(400);
  EXPECT_EQ(tries_within(990ms), 400u * 10) << "each after 400 times 250 us";
}

TEST_F(ProberTest, OnlyThoseThatAreTriedFrequentlyCount) {
  probes_.results["/web"] = false;
  auto many = probers(3);
  EXPECT_EQ(probes_.eager_probes, 3);
  many.pop_back();
  EXPECT_EQ(probes_.eager_probes, 2) << "its container has ended";
  auto alive = prober(R"({"livenessProbe":{"httpGet":{"path":"/alive","port":80}}})");
  EXPECT_EQ(probes_.eager_probes, 2);
  auto starting = prober(R"({"startupProbe":{"httpGet":{"path":"/web","port":80},"failureThreshold":100}})");
  EXPECT_EQ(probes_.eager_probes, 3);
  starting->keep_only_readiness();
  EXPECT_EQ(probes_.eager_probes, 2) << "its pod ends";
  auto good = prober(R"({"readinessProbe":{"httpGet":{"path":"/good","port":80}}})");
  EXPECT_EQ(probes_.eager_probes, 3);
  runtime_.advance(1s);
  EXPECT_EQ(probes_.eager_probes, 2) << "it has succeeded";
  runtime_.advance(12s);
  EXPECT_EQ(probes_.eager_probes, 0) << "none is young any more";
}

TEST_F(ProberTest, WhereNobodyListensATryCostsNothing) {
  probes_.takes = 100ms;
  probes_.results["/web"] = false;
  {
    auto slow = prober(kWeb);
    EXPECT_EQ(tries_within(3s), 2u) << "a pause of twenty times as long";
  }
  probes_.refusing = {"/web"};
  auto refused = prober(kWeb);
  EXPECT_GT(tries_within(3s), 15u);
}

}  // namespace
}  // namespace berth::agent
