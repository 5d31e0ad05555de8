// The agent with fakes around it: how pods end.

#include <gtest/gtest.h>

#include <algorithm>

#include "agent/testing/test_agent.h"
#include "api/object.h"
#include "base/fault.h"
#include "base/files.h"

namespace berth::agent {
namespace {

using api::resources::kPods;

TEST_F(AgentTest, ACompletedPodIsTornDownButStays) {
  Value stored = put("job", R"({"restartPolicy":"OnFailure","containers":[{"name":"c","image":"busybox"}]})");
  containers_.exit("c", 0);
  runtime_.settle();
  EXPECT_EQ(get("job")["status"]["phase"].as_string(), "Succeeded");
  EXPECT_EQ(api::condition_of(get("job"), "Ready")["reason"].as_string(), "PodCompleted");
  EXPECT_TRUE(containers_.sandboxes.empty());
  EXPECT_TRUE(network_.addresses.empty());
  EXPECT_FALSE(path_exists(directory_ / "data/pods/" + std::string(api::uid_of(stored))));
  EXPECT_EQ(get("job")["status"]["podIP"].as_string(), "10.244.0.2") << "kept for those who look";
  api_.delete_pod({"default", "job"}, 30);
  runtime_.settle();
  EXPECT_TRUE(get("job").is_null());
}

TEST_F(AgentTest, DeletionEndsContainersGracefullyAndThenTheObject) {
  containers_.ignores_term = {"c"};
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.settle();
  EXPECT_EQ(containers_.log.back(), "signal c 15");
  EXPECT_TRUE(has_event("Normal Killing web-0: Stopping container c"));
  runtime_.advance(4900ms);
  EXPECT_EQ(containers_.running().size(), 1u);
  runtime_.advance(200ms);
  EXPECT_TRUE(containers_.running().empty());
  EXPECT_TRUE(get("web-0").is_null());
  EXPECT_TRUE(containers_.sandboxes.empty());
  EXPECT_TRUE(network_.addresses.empty());
  std::string phase;
  for (const Value& patch : api_.pod_patches) phase = patch["status"]["phase"].str(phase);
  EXPECT_EQ(phase, "Failed") << "137 is no success";
  auto records = list_directory(directory_ / "data/memory/records");
  ASSERT_TRUE(records.ok());
  EXPECT_TRUE(records->empty());
}

TEST_F(AgentTest, ATerminationMessageIsSavedBeforeItsFileIsRemoved) {
  Value stored = put("a", R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox"}]})");
  const std::string file = memory(std::string(api::uid_of(stored))) + "/written/termination-c-0";
  ASSERT_TRUE(write_file(file, "bye").ok());
  bool removed_too_soon = false;
  fault::on_step([&](std::string_view step) {
    if (step == "pod.save" && get("a")["status"]["phase"].as_string() == "Running")
      removed_too_soon |= !path_exists(file);
  });
  containers_.exit("c", 1);
  runtime_.settle();
  fault::on_step(nullptr);
  EXPECT_FALSE(removed_too_soon);
  EXPECT_EQ(container("a")["state"]["terminated"]["message"].as_string(), "bye");
  EXPECT_FALSE(path_exists(file));
}

TEST_F(AgentTest, LessPatienceShortensTheGrace) {
  containers_.ignores_term = {"c"};
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  api_.delete_pod({"default", "web-0"}, 60);
  runtime_.advance(2s);
  api_.delete_pod({"default", "web-0"}, 3);
  runtime_.settle();
  EXPECT_EQ(containers_.running().size(), 1u);
  runtime_.advance(1100ms);
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, PreStopComesBeforeTheSignal) {
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","lifecycle":{"preStop":{"exec":{"command":["bye"]}}}}]})");
  api_.delete_pod({"default", "web-0"}, 30);
  runtime_.settle();
  EXPECT_EQ(probes_.log, std::vector<std::string>{"bye"});
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, APreStopHookThatUsesUpTheGracePeriodIsFollowedByTheSignal) {
  probes_.hanging = {"bye"};
  containers_.ignores_term = {"deaf"};
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","lifecycle":{"preStop":{"exec":{"command":["bye"]}}}},
                        {"name":"q","image":"busybox","lifecycle":{"preStop":{"sleep":{"seconds":4}}}},
                        {"name":"deaf","image":"busybox","lifecycle":{"preStop":{"exec":{"command":["bye"]}}}}]})");
  api_.delete_pod({"default", "web-0"}, 4);
  runtime_.advance(3900ms);
  EXPECT_EQ(containers_.running().size(), 3u);
  runtime_.advance(200ms);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"deaf"});
  EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), "kill c"), 0);
  EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), "signal c 15"), 1);
  EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), "signal deaf 15"), 1);
  runtime_.advance(1800ms);
  EXPECT_EQ(containers_.running().size(), 1u) << "two seconds after the signal";
  runtime_.advance(200ms);
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, SidecarsShareTheGracePeriodOfThePod) {
  containers_.ignores_term = {"s", "t", "c"};
  put("web-0",
      R"({"initContainers":[{"name":"s","image":"busybox","restartPolicy":"Always"},
                            {"name":"t","image":"busybox","restartPolicy":"Always","lifecycle":{"preStop":{"exec":{"command":["bye"]}}}}],
          "containers":[{"name":"c","image":"busybox"}]})");
  ASSERT_EQ(containers_.running().size(), 3u);
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.settle();
  EXPECT_EQ(probes_.log, std::vector<std::string>{"bye"}) << "hooks of sidecars run at once";
  EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), "signal t 15"), 0) << "their signal waits";
  runtime_.advance(5100ms);
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"s", "t"}));
  runtime_.advance(2s);
  EXPECT_TRUE(get("web-0").is_null());
  // With time left they end one after the other.
  containers_.ignores_term = {};
  containers_.log.clear();
  put("web-1",
      R"({"initContainers":[{"name":"s","image":"busybox","restartPolicy":"Always"},{"name":"t","image":"busybox","restartPolicy":"Always"}],
          "containers":[{"name":"c","image":"busybox"}]})");
  api_.delete_pod({"default", "web-1"}, 5);
  runtime_.settle();
  std::vector<std::string> signals;
  for (const auto& line : containers_.log) {
    if (line.starts_with("signal")) signals.push_back(line);
  }
  EXPECT_EQ(signals, (std::vector<std::string>{"signal c 15", "signal t 15", "signal s 15"}));
}

TEST_F(AgentTest, AFailedPostStartHookEndsTheContainer) {
  probes_.results["hello"] = false;
  put("web-0",
      R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox","lifecycle":{"postStart":{"exec":{"command":["hello"]}}}}]})");
  EXPECT_TRUE(has_event("Warning FailedPostStartHook web-0: PostStartHook failed")) << all_events();
  EXPECT_TRUE(has_event("Normal Killing web-0: FailedPostStartHook"));
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Failed");
}

TEST_F(AgentTest, AForceDeletedPodIsEndedAndItsNameUsedAgainOnlyAfterwards) {
  containers_.ignores_term = {"c"};
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  api_.erase(kPods, {"default", "web-0"});
  Value again = put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  EXPECT_EQ(containers_.specs.size(), 1u) << "one identity never runs twice";
  runtime_.advance(2100ms);
  ASSERT_EQ(containers_.specs.size(), 2u);
  EXPECT_EQ(containers_.specs[1].pod_uid, api::uid_of(again));
  EXPECT_EQ(containers_.running().size(), 1u);
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Running");
}

TEST_F(AgentTest, ADeadlineIsKeptByTheWallClock) {
  put("a",
      R"({"activeDeadlineSeconds":3600,"terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":"busybox"}]})");
  EXPECT_EQ(condition("a", "Ready"), "True");
  runtime_.suspend(2h);
  runtime_.advance(35s);
  EXPECT_EQ(get("a")["status"]["reason"].as_string(), "DeadlineExceeded");
}

TEST_F(AgentTest, EndsAPodWhoseStatusIsRefused) {
  bool refuse = false;
  api_.admit_pod = [&](Value&) { return refuse ? Status(error(Code::kInternal, "no")) : ok_status(); };
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(5s);
  refuse = true;
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.advance(20s);
  EXPECT_TRUE(get("web-0").is_null());
}

}  // namespace
}  // namespace berth::agent
