#include <gtest/gtest.h>

#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/quota/controller.h"
#include "controllers/quota/plan.h"

namespace berth::controllers::quota {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value quota(std::string_view hard, std::string_view more = "") {
  return from(
      R"({"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q","namespace":"a","uid":"q","resourceVersion":"7"},"spec":{"hard":)" +
      std::string(hard) + std::string(more) + "}}");
}
Value pod(const char* name, const char* phase = "Running", const char* requests = R"({"cpu":"100m"})") {
  Value out = from(R"({"metadata":{"namespace":"a"},"spec":{"containers":[{"name":"c"}]}})");
  out.mut("metadata").set("name", name).set("uid", name);
  out.mut("spec").mut("containers").mut(0).set("resources", Value::object({{"requests", from(requests)}}));
  out.set("status", Value::object({{"phase", phase}}));
  return out;
}
std::string status(const QuotaView& view) {
  const Plan plan = plan_quota(view, kNow);
  if (plan.chains.empty()) return "nothing";
  const Action& action = plan.chains[0][0];
  EXPECT_EQ(action.subresource, "status");
  EXPECT_EQ(api::resource_version_of(action.object), "7");
  return json::encode(action.object["status"]);
}

TEST(QuotaPlan, CountsWhatIsThere) {
  QuotaView view{quota(R"({"pods":"5","requests.cpu":"1","secrets":"2","count/jobs.example":"1"})"),
                 {{kPods, {pod("a"), pod("b"), pod("c", "Succeeded")}}, {kSecrets, {}}}};
  EXPECT_EQ(
      status(view),
      R"({"hard":{"count/jobs.example":"1","pods":"5","requests.cpu":"1","secrets":"2"},"used":{"pods":"2","requests.cpu":"200m","secrets":"0"}})");
  view.quota.set("status", from(status(view)));
  EXPECT_TRUE(plan_quota(view, kNow).empty());
  view.quota.mut("spec").mut("hard").set("pods", "6");
  EXPECT_EQ(from(status(view))["hard"]["pods"].as_string(), "6");
  view.quota = Value();
  EXPECT_TRUE(plan_quota(view, kNow).empty());
}

TEST(QuotaPlan, OnlyWhatIsInScope) {
  QuotaView view{quota(R"({"pods":"5"})", R"(,"scopes":["BestEffort"])"),
                 {{kPods, {pod("a"), pod("b", "Running", "{}")}}}};
  EXPECT_EQ(from(status(view))["used"]["pods"].as_string(), "1");
}

TEST(QuotaPlan, LooksAgainWhenAPodIsOverdue) {
  Value leaving = pod("a");
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T01:00:10Z").set("deletionGracePeriodSeconds", 30);
  QuotaView view{quota(R"({"pods":"5"})"), {{kPods, {leaving}}}};
  EXPECT_EQ(plan_quota(view, kNow).requeue_delay, Duration(41s));
  view.quota.set("status", from(status(view)));
  const Plan later = plan_quota(view, kNow + 41s);
  ASSERT_FALSE(later.chains.empty());
  EXPECT_EQ(later.chains[0][0].object["status"]["used"]["pods"].as_string(), "0");
}

TEST(QuotaController, FollowsItsNamespace) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api(runtime);
  api.put(kResourceQuotas, quota(R"({"pods":"5","count/deployments.apps":"3"})"));
  api.put(kPods, pod("a"));
  Value elsewhere = pod("x");
  elsewhere.mut("metadata").set("namespace", "b");
  api.put(kPods, elsewhere);
  InformerSet informers(runtime, api);
  Driver driver(informers, make_controller(informers, {kPods, kDeployments, kResourceQuotas}));
  runtime.settle();
  auto used = [&] { return json::encode(api.read(kResourceQuotas, {"a", "q"})["status"]["used"]); };
  EXPECT_EQ(used(), R"({"count/deployments.apps":"0","pods":"1"})");
  api.put(kPods, pod("b"));
  api.put(kDeployments, from(R"({"metadata":{"name":"d","namespace":"a"}})"));
  runtime.settle();
  EXPECT_EQ(used(), R"({"count/deployments.apps":"1","pods":"2"})");
  api.put(kPods, pod("a", "Failed"));
  api.erase(kDeployments, {"a", "d"});
  runtime.settle();
  EXPECT_EQ(used(), R"({"count/deployments.apps":"0","pods":"1"})");
}

}  // namespace
}  // namespace berth::controllers::quota
