// The agent with fakes around it: an agent after another.

#include <gtest/gtest.h>

#include <algorithm>

#include "agent/testing/test_agent.h"
#include "api/object.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using api::resources::kPods;

TEST_F(AgentTest, ANewAgentChangesNothing) {
  put("web-0",
      R"({"containers":[{"name":"c","image":"busybox","readinessProbe":{"httpGet":{"path":"/h","port":1},"periodSeconds":10}}],"volumes":[{"name":"e","emptyDir":{}}]})");
  put("crash", R"({"containers":[{"name":"k","image":"busybox"}]})");
  runtime_.settle();
  containers_.exit("k", 1);
  runtime_.settle();
  containers_.exit("k", 1);
  runtime_.advance(1s);
  ASSERT_EQ(condition("web-0", "Ready"), "True");
  Value before = get("web-0"), crash = get("crash");
  agent_.reset();
  int writes = api_.writes;
  std::size_t runs = containers_.specs.size();
  probes_.results["/h"] = false;
  start();
  runtime_.advance(3s);
  EXPECT_EQ(containers_.specs.size(), runs);
  EXPECT_EQ(get("web-0"), before) << "no status flap";
  EXPECT_EQ(get("crash"), crash);
  EXPECT_LE(api_.writes - writes, 2) << "the lease, no more";
  runtime_.advance(7s);
  EXPECT_EQ(containers_.specs.size(), runs + 1) << "the back-off goes on";
  containers_.exit("c", 0);
  runtime_.settle();
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1) << "and what was adopted is looked after";
}

TEST_F(AgentTest, WhatVanishedWhileNoAgentRanIsCleanedUp) {
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  put("web-1", R"({"containers":[{"name":"d","image":"busybox"}]})");
  agent_.reset();
  api_.erase(kPods, {"default", "web-0"});
  containers_.exit("d", 4);
  start();
  runtime_.advance(2s);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"d"}) << "run again";
  EXPECT_EQ(container("web-1")["restartCount"].as_int(), 1);
  EXPECT_EQ(container("web-1")["lastState"]["terminated"]["exitCode"].as_int(), 4);
  EXPECT_EQ(containers_.sandboxes.size(), 1u);
}

TEST_F(AgentTest, WhatIsLeftOfPodsThatNobodyKnowsIsTakenAway) {
  put("a", R"({"containers":[{"name":"c","image":"busybox"}]})");
  const std::string kept(api::uid_of(get("a")));
  agent_.reset();
  runtime_.settle();
  // The record of one went with the node's mounts, and the pod from the API while no agent was there.
  const std::string data = directory_ / "data";
  for (const char* left : {"/logs/default_b_uid-b/c", "/logs/default_a_uid-old/c", "/pods/uid-b", "/pods/uid-c/volumes",
                           "/memory/pods/uid-d"}) {
    ASSERT_TRUE(make_directories(data + left).ok());
  }
  ASSERT_TRUE(make_directories(data + "/logs/default_a_" + kept + "/c").ok());
  ASSERT_TRUE(write_file(data + "/memory/records/broken.json", "{").ok());
  containers_.sandboxes.insert("uid-e");
  network_.addresses["uid-b"] = "10.244.0.99";
  start();
  runtime_.advance(2s);
  EXPECT_EQ(list_directory(data + "/logs").value(), std::vector<std::string>{"default_a_" + kept});
  EXPECT_EQ(list_directory(data + "/pods").value(), std::vector<std::string>{kept});
  EXPECT_EQ(list_directory(data + "/memory/pods").value(), std::vector<std::string>{kept});
  EXPECT_EQ(list_directory(data + "/memory/records").value(), std::vector<std::string>{kept + ".json"});
  EXPECT_EQ(containers_.sandboxes, std::set<std::string>{kept});
  EXPECT_FALSE(network_.addresses.contains("uid-b"));
  EXPECT_EQ(condition("a", "Ready"), "True");
  EXPECT_EQ(container("a")["restartCount"].as_int(), 0);
}

// An agent that was killed before it wrote down what had started, or while a hook ran.
TEST_F(AgentTest, AHookThatWasInterruptedRunsAgainAndThePodBecomesReady) {
  put("a",
      R"({"containers":[{"name":"c","image":"busybox","lifecycle":{"postStart":{"exec":{"command":["hook"]}}}}]})");
  const std::string record = directory_ / ("data/memory/records/" + std::string(api::uid_of(get("a"))) + ".json");
  auto hooks = [&] { return std::count(probes_.log.begin(), probes_.log.end(), "hook"); };
  EXPECT_EQ(hooks(), 1) << join(probes_.log, " ");
  agent_.reset();
  Value written = *json::parse(read_file(record).value());
  Value& c = written.mut("containers").mut("c");
  c.set("postStarted", false);
  c.set("runningFully", false);
  ASSERT_TRUE(write_file(record, json::encode(written)).ok());
  start();
  EXPECT_EQ(hooks(), 2);
  EXPECT_EQ(condition("a", "Ready"), "True");
  agent_.reset();
  // Nothing is known of it at all but that it runs.
  written.mut("containers").erase("c");
  ASSERT_TRUE(write_file(record, json::encode(written)).ok());
  start();
  EXPECT_EQ(hooks(), 3);
  EXPECT_EQ(condition("a", "Ready"), "True");
  EXPECT_EQ(container("a")["restartCount"].as_int(), 0);
  agent_.reset();
  start();
  EXPECT_EQ(hooks(), 3) << "it is over";
}

// An agent that was killed before it recorded an attempt, which ended before the next agent came.
TEST_F(AgentTest, AnUnrecordedAttemptThatHasEndedIsRecordedWithItsOwnExitCode) {
  put("a", R"({"containers":[{"name":"c","image":"busybox"}]})");
  containers_.exit("c", 1);
  runtime_.settle();
  containers_.hold_runs = true;
  containers_.exit("c", 2);
  runtime_.advance(11s);
  ASSERT_EQ(containers_.running(), std::vector<std::string>{"c"}) << "the third attempt, not answered";
  agent_.reset();
  containers_.release_runs();
  runtime_.settle();
  containers_.exit("c", 7);
  start();
  EXPECT_EQ(container("a")["restartCount"].as_int(), 2);
  EXPECT_EQ(container("a")["lastState"]["terminated"]["exitCode"].as_int(), 7);
}

TEST_F(AgentTest, ANewAgentStopsContainersWithTheirOwnSignals) {
  images_.add("postgres")->config.set("StopSignal", "SIGINT");
  put("a", R"({"containers":[{"name":"c","image":"postgres"},
                             {"name":"d","image":"postgres","lifecycle":{"stopSignal":"SIGUSR1"}},
                             {"name":"e","image":"busybox"}]})");
  agent_.reset();
  start();
  api_.delete_pod({"default", "a"}, 30);
  runtime_.settle();
  for (const char* signal : {"signal c 2", "signal d 10", "signal e 15"})
    EXPECT_EQ(std::count(containers_.log.begin(), containers_.log.end(), signal), 1) << join(containers_.log, ", ");
}

TEST_F(AgentTest, AfterARestartOfTheMachineCountsGoOn) {
  put("web-0", R"({"initContainers":[{"name":"i","image":"busybox"}],"containers":[{"name":"c","image":"busybox"}]})");
  containers_.exit("i", 0);
  runtime_.settle();
  ASSERT_EQ(containers_.running(), std::vector<std::string>{"c"});
  agent_.reset();
  // The memory file system, the containers and the sandboxes are gone.
  for (const auto& id : {containers_.id_of("c")}) containers_.remove_container(id, [](Status) {});
  (void)remove_all(directory_ / "data/memory/records");
  (void)remove_all(directory_ / "data/memory/pods");
  containers_.sandboxes.clear();
  start();
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"i"}) << "init containers run again in a new sandbox";
  containers_.exit("i", 0);
  runtime_.settle();
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"c"});
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1);
  EXPECT_EQ(container("web-0")["lastState"]["terminated"]["exitCode"].as_int(), 255);
}

}  // namespace
}  // namespace berth::agent
