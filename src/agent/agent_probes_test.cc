// The agent with fakes around it: what probes do to a pod.

#include <gtest/gtest.h>

#include <algorithm>

#include "agent/testing/test_agent.h"
#include "api/object.h"

namespace berth::agent {
namespace {

using api::resources::kPods;

TEST_F(AgentTest, AReadinessProbeTakesAPodOutAndIn) {
  probes_.results["/healthz"] = false;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":5,"failureThreshold":2}}]})");
  runtime_.advance(3s);
  EXPECT_EQ(condition("web-0", "Ready"), "False");
  EXPECT_EQ(api::condition_of(get("web-0"), "Ready")["message"].as_string(), "containers with unready status: [c]");
  EXPECT_FALSE(has_event("Warning Unhealthy web-0: Readiness probe failed: HTTP probe failed with statuscode: 503"))
      << "not yet";
  EXPECT_GT(probes_.log.size(), 20u) << "tried often while young";
  probes_.results["/healthz"] = true;
  runtime_.advance(200ms);
  EXPECT_EQ(condition("web-0", "Ready"), "True") << "ready when it is ready, not a period later";
  probes_.results["/healthz"] = false;
  runtime_.advance(6s);
  EXPECT_TRUE(has_event("Warning Unhealthy web-0: Readiness probe failed: HTTP probe failed with statuscode: 503"));
  EXPECT_EQ(condition("web-0", "Ready"), "True") << "one failure of two";
  runtime_.advance(5s);
  EXPECT_EQ(condition("web-0", "Ready"), "False");
  EXPECT_TRUE(containers_.id_of("c").size() > 0) << "runs on";
}

TEST_F(AgentTest, EagerTriesRestTwentyTimesAsLongAsTheyTake) {
  probes_.results["check"] = false;
  probes_.takes = 100ms;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"exec":{"command":["check"]},"periodSeconds":30}}]})");
  runtime_.advance(10s);
  EXPECT_EQ(probes_.log.size(), 5u) << "at 0, 2.1, 4.2, 6.3 and 8.4 s";
  runtime_.advance(19s);
  EXPECT_EQ(probes_.log.size(), 6u) << "the one at 10.5 s is the last before the period";
  runtime_.advance(2s);
  EXPECT_EQ(probes_.log.size(), 7u);
  probes_.log.clear();
  probes_.takes = 500ms;
  put("web-1",
      R"({"containers":[{"name":"d","image":"busybox","readinessProbe":{"exec":{"command":["slow"]},"periodSeconds":1,"timeoutSeconds":3}}]})");
  probes_.results["slow"] = false;
  runtime_.advance(5100ms);
  EXPECT_LE(std::count(probes_.log.begin(), probes_.log.end(), "slow"), 6) << "at most one in a period";
}

TEST_F(AgentTest, APeriodIsFromOneProbesBeginningToTheNext) {
  probes_.takes = 600ms;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","livenessProbe":{"exec":{"command":["slow"]},"periodSeconds":1,"timeoutSeconds":3}}]})");
  runtime_.advance(10500ms);
  EXPECT_EQ(probes_.log.size(), 11u) << "at 0, 1, ... 10 s";
  probes_.takes = 1500ms;
  runtime_.advance(500ms);
  probes_.log.clear();
  runtime_.advance(6s);
  EXPECT_EQ(probes_.log.size(), 4u) << "one at a time, and the next as soon as it is over";
}

TEST_F(AgentTest, AnAnnotationSwitchesEagerProbesOff) {
  probes_.results["/healthz"] = false;
  Value web = pod(
      "web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":4}}]})");
  web.mut("metadata").set("annotations", Value::object({{"berth.dev/eager-probes", "false"}}));
  api_.put(kPods, web);
  runtime_.advance(3900ms);
  EXPECT_EQ(probes_.log.size(), 1u);
  EXPECT_TRUE(has_event("Warning Unhealthy web-0: Readiness probe failed: HTTP probe failed with statuscode: 503"))
      << "the first try counts";
  runtime_.advance(4s);
  EXPECT_EQ(probes_.log.size(), 2u);
}

TEST_F(AgentTest, AProbeThatSucceedsWithAWarningTellsIt) {
  probes_.warning = {"/moved"};
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/moved","port":8080}}}]})");
  runtime_.advance(100ms);
  EXPECT_EQ(condition("web-0", "Ready"), "True");
  EXPECT_TRUE(
      has_event("Warning ProbeWarning web-0: Readiness probe warning: Probe terminated redirects, Response body: "))
      << all_events();
}

TEST_F(AgentTest, ALivenessProbeRestartsTheContainer) {
  probes_.results["check"] = true;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","livenessProbe":{"exec":{"command":["check"]},"periodSeconds":2,"failureThreshold":3}}]})");
  runtime_.advance(10s);
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 0);
  probes_.results["check"] = false;
  runtime_.advance(7s);
  EXPECT_TRUE(has_event("Normal Killing web-0: Container c failed liveness probe, will be restarted")) << all_events();
  probes_.results["check"] = true;
  runtime_.advance(1s);
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1);
  EXPECT_EQ(container("web-0")["lastState"]["terminated"]["exitCode"].as_int(), 143);
  EXPECT_FALSE(container("web-0")["state"]["running"].is_null());
}

TEST_F(AgentTest, AProbeThatCannotBeCarriedOutSaysNothing) {
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","livenessProbe":{"exec":{"command":["live"]},"periodSeconds":1,"failureThreshold":1},
                                                     "readinessProbe":{"exec":{"command":["ready"]},"periodSeconds":1,"failureThreshold":1}}]})");
  runtime_.advance(2s);
  EXPECT_EQ(condition("web-0", "Ready"), "True");
  probes_.broken = {"live", "ready"};
  runtime_.advance(20s);
  EXPECT_EQ(condition("web-0", "Ready"), "True");
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 0);
  EXPECT_TRUE(
      has_event("Warning Unhealthy web-0: Liveness probe errored and resulted in unknown state: no such program"))
      << all_events();
  EXPECT_TRUE(
      has_event("Warning Unhealthy web-0: Readiness probe errored and resulted in unknown state: no such program"));
  probes_.broken.clear();
  probes_.results["ready"] = false;
  runtime_.advance(2s);
  EXPECT_EQ(condition("web-0", "Ready"), "False");
}

TEST_F(AgentTest, AStartupProbeHoldsBackTheOthers) {
  probes_.results["up"] = false;
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","startupProbe":{"exec":{"command":["up"]},"periodSeconds":10,"failureThreshold":3},
                                   "livenessProbe":{"exec":{"command":["live"]}},"readinessProbe":{"exec":{"command":["ready"]}}}]})");
  runtime_.advance(2s);
  EXPECT_FALSE(container("web-0")["started"].as_bool());
  for (const auto& line : probes_.log) EXPECT_EQ(line, "up");
  probes_.results["up"] = true;
  runtime_.advance(1s);
  EXPECT_TRUE(container("web-0")["started"].as_bool());
  EXPECT_TRUE(container("web-0")["ready"].as_bool());
}

}  // namespace
}  // namespace berth::agent
