// The agent with fakes around it: ephemeral containers.

#include <gtest/gtest.h>

#include "agent/testing/test_agent.h"

namespace berth::agent {
namespace {

using api::resources::kPods;

TEST_F(AgentTest, EphemeralContainersRunOnceAndEndWithThePod) {
  put("a", R"({"containers":[{"name":"c","image":"busybox"}]})");
  auto add = [&](const std::string& one) {
    Value pod = get("a");
    pod.mut("spec").mut("ephemeralContainers").push(json::parse(one).value());
    api_.put(kPods, std::move(pod));
    runtime_.settle();
  };
  auto status = [&](int index) {
    held_ = get("a");
    return held_["status"]["ephemeralContainerStatuses"][index];
  };
  add(R"({"name":"d","image":"busybox","targetContainerName":"c","stdin":true,"tty":true})");
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(containers_.specs.back().processes_of, containers_.id_of("c"));
  EXPECT_FALSE(status(0)["state"]["running"].is_null());
  EXPECT_FALSE(status(0)["ready"].as_bool());
  EXPECT_EQ(condition("a", "Ready"), "True");
  EXPECT_TRUE(agent_->find_container("default", "a", "d")->tty);
  containers_.exit("d", 3);
  runtime_.advance(30s);
  EXPECT_EQ(status(0)["state"]["terminated"]["exitCode"], 3);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"c"});
  containers_.run_error = "exec: \"nope\": executable file not found in $PATH";
  add(R"({"name":"e","image":"busybox"})");
  EXPECT_EQ(status(1)["state"]["terminated"]["reason"], "StartError");
  add(R"({"name":"f","image":"busybox"})");
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"c", "f"}));
  // A new agent takes them over as it does others.
  agent_.reset();
  start();
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"c", "f"}));
  api_.delete_pod(api::Name{"default", "a"}, 5);
  runtime_.advance(10s);
  EXPECT_TRUE(containers_.running().empty());
  EXPECT_TRUE(get("a").is_null());
}

TEST_F(AgentTest, AnEphemeralContainerWaitsForItsTarget) {
  put("a", R"({"restartPolicy":"Never","containers":[{"name":"b","image":"busybox"},{"name":"c","image":"busybox"}]})");
  containers_.exit("b", 0);
  runtime_.settle();
  Value pod = get("a");
  pod.mut("spec")
      .mut("ephemeralContainers")
      .push(json::parse(R"({"name":"d","image":"busybox","targetContainerName":"b"})").value());
  api_.put(kPods, std::move(pod));
  runtime_.settle();
  const Value state = get("a")["status"]["ephemeralContainerStatuses"][0]["state"];
  EXPECT_EQ(state["waiting"]["reason"], "CreateContainerConfigError");
  EXPECT_EQ(state["waiting"]["message"], "unable to find target container \"b\"");
}

TEST_F(AgentTest, ShortensAStatusThatIsTooLarge) {
  api_.admit_pod = [](Value& pod) {
    if (pod["status"]["ephemeralContainerStatuses"].size() <= 20) return ok_status();
    return Status(error(Code::kTooLarge, "too large"));
  };
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(2s);
  Value pod = get("web-0"), list = Value::array();
  for (int i = 0; i < 100; ++i) list.push(Value::object({{"name", "e" + std::to_string(i)}, {"image", "busybox"}}));
  pod.mut("spec").set("ephemeralContainers", list);
  api_.put(kPods, pod);
  runtime_.advance(5s);
  EXPECT_EQ(containers_.running().size(), 101u);
  EXPECT_EQ(get("web-0")["status"]["ephemeralContainerStatuses"].size(), 6u);
  EXPECT_TRUE(get("web-0")["status"]["message"].str().starts_with("the statuses of 94 of 100 ephemeral"))
      << get("web-0")["status"]["message"].str();
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.advance(10s);
  EXPECT_TRUE(get("web-0").is_null());
}

TEST_F(AgentTest, APodStartsEightContainersAtATime) {
  std::string list;
  for (int i = 0; i < 20; ++i)
    list += std::string(i ? "," : "") + R"({"name":"c)" + std::to_string(i) + R"(","image":"busybox"})";
  containers_.hold_runs = true;
  put("web-0", R"({"containers":[)" + list + "]}");
  EXPECT_EQ(containers_.specs.size(), 8u);
  containers_.release_runs();
  runtime_.settle();
  EXPECT_EQ(containers_.running().size(), 20u);
}

TEST_F(AgentTest, APodStartsAFewContainersAtATimeAndNoneOnceItEnds) {
  put("web-0", R"({"containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(2s);
  containers_.hold_runs = true;
  Value pod = get("web-0"), list = Value::array();
  for (int i = 0; i < 100; ++i) list.push(Value::object({{"name", "e" + std::to_string(i)}, {"image", "busybox"}}));
  pod.mut("spec").set("ephemeralContainers", list);
  api_.put(kPods, pod);
  runtime_.advance(2s);
  EXPECT_EQ(containers_.specs.size(), 5u) << "c, and four of them";
  api_.delete_pod({"default", "web-0"}, 5);
  runtime_.settle();
  containers_.release_runs();
  runtime_.advance(10s);
  EXPECT_EQ(containers_.specs.size(), 5u);
  EXPECT_TRUE(get("web-0").is_null());
}

}  // namespace
}  // namespace berth::agent
