// The agent with fakes around it: resizes of running pods.

#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/testing/test_agent.h"
#include "api/object.h"
#include "api/quantity.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using api::resources::kNodes;
using api::resources::kPods;

class ResizeTest : public AgentTest {
 protected:
  // A user's resize. `generation`: as the API counts it.
  void resize(const std::string& name, const std::string& resources) {
    Value pod = get(name);
    pod.mut("metadata").set("generation", pod["metadata"]["generation"].as_int() + 1);
    pod.mut("spec").mut("containers").mut(0).set("resources", json::parse(resources).value());
    api_.put(kPods, std::move(pod));
    runtime_.settle();
  }
  std::string log_since(std::size_t from) {
    return join(std::vector<std::string>(containers_.log.begin() + static_cast<long>(from), containers_.log.end()),
                ", ");
  }
  Value condition_of(const std::string& name, const std::string& type) {
    held_ = get(name);
    return api::condition_of(held_, type);
  }
};

TEST_F(ResizeTest, WhatWasRefusedTakesNoRoomFromAResize) {
  const std::int64_t cpus =
      api::Quantity::parse(api_.object(kNodes, api::Name{"", "node1"})["status"]["allocatable"]["cpu"].as_string())
          ->value();
  auto asking = [](std::int64_t milli) { return R"({"requests":{"cpu":")" + std::to_string(milli) + R"(m"}})"; };
  auto spec = [&asking](std::int64_t milli) {
    return R"({"containers":[{"name":"c","image":"busybox","resources":)" + asking(milli) + "}]}";
  };
  put("a", spec(100));
  // One right after the other: nothing of the second has been taken away when the resize comes.
  const std::size_t patches = api_.pod_patches.size();
  api_.put(kPods, pod("b", spec(1000 * cpus)));
  resize("a", asking(1000 * cpus - 100));
  EXPECT_EQ(get("b")["status"]["reason"], "OutOfcpu");
  EXPECT_EQ(container("a")["allocatedResources"]["cpu"], std::to_string(1000 * cpus - 100) + "m");
  for (std::size_t i = patches; i < api_.pod_patches.size(); ++i)
    EXPECT_EQ(json::encode(api_.pod_patches[i]).find("Deferred"), std::string::npos);
}

TEST_F(ResizeTest, ANewPodFindsWhatAResizeHasLeft) {
  const std::int64_t cpus =
      api::Quantity::parse(api_.object(kNodes, api::Name{"", "node1"})["status"]["allocatable"]["cpu"].as_string())
          ->value();
  auto spec = [](const std::string& requests) {
    return R"({"containers":[{"name":"c","image":"busybox","resources":{"requests":)" + requests + "}}]}";
  };
  put("a", spec(R"({"cpu":"100m"})"));
  put("b", spec(R"({"cpu":"100m","example.com/card":"2"})"));
  EXPECT_EQ(get("b")["status"]["phase"], "Running") << "the node knows nothing of cards";
  resize("a", R"({"requests":{"cpu":")" + std::to_string(1000 * cpus - 150) + R"(m"}})");
  put("c", spec(R"({"cpu":"51m"})"));
  EXPECT_EQ(get("c")["status"]["reason"], "OutOfcpu");
  put("d", spec(R"({"cpu":"50m"})"));
  EXPECT_EQ(get("d")["status"]["phase"], "Running");
  Value node = api_.object(kNodes, api::Name{"", "node1"});
  node.mut("status").mut("allocatable").set("example.com/card", "3");
  api_.put(kNodes, std::move(node));
  runtime_.settle();
  put("e", spec(R"({"example.com/card":"2"})"));
  EXPECT_EQ(get("e")["status"]["reason"], "OutOfexample.com/card");
}

TEST_F(ResizeTest, ANewPodFindsWhatALateGrantHasLeft) {
  const std::int64_t all =
      1000 *
      api::Quantity::parse(api_.object(kNodes, api::Name{"", "node1"})["status"]["allocatable"]["cpu"].as_string())
          ->value();
  auto cpu = [](std::int64_t milli) { return R"({"requests":{"cpu":")" + std::to_string(milli) + R"(m"}})"; };
  auto spec = [&cpu](std::int64_t milli) {
    return R"({"containers":[{"name":"c","image":"busybox","resources":)" + cpu(milli) + "}]}";
  };
  put("a", spec(100));
  put("b", spec(all / 2));
  resize("a", cpu(all - 150));
  EXPECT_EQ(condition_of("a", "PodResizePending")["reason"], "Deferred");
  put("c", spec(50));
  EXPECT_EQ(get("c")["status"]["phase"], "Running");
  api_.delete_pod(api::Name{"default", "b"}, 1);
  runtime_.advance(5s);
  EXPECT_TRUE(condition_of("a", "PodResizePending").is_null());
  put("d", spec(101));
  EXPECT_EQ(get("d")["status"]["reason"], "OutOfcpu");
  put("e", spec(100));
  EXPECT_EQ(get("e")["status"]["phase"], "Running");
}

TEST_F(ResizeTest, ChangesTheLimitsOfARunningContainer) {
  put("a",
      R"({"containers":[{"name":"c","image":"busybox","resources":{"requests":{"cpu":"100m"},"limits":{"cpu":"200m","memory":"64Mi"}}}]})");
  std::size_t before = containers_.log.size();
  resize("a", R"({"requests":{"cpu":"300m"},"limits":{"cpu":"500m","memory":"128Mi"}})");
  EXPECT_EQ(log_since(before), "widen 500m 128Mi, resize c 500m 128Mi, narrow 500m 128Mi");
  const Value& status = container("a");
  EXPECT_EQ(status["allocatedResources"]["cpu"], "300m");
  EXPECT_EQ(status["resources"]["limits"]["memory"], "128Mi");
  EXPECT_EQ(status["restartCount"], 0);
  EXPECT_TRUE(condition_of("a", "PodResizeInProgress").is_null());
  EXPECT_EQ(get("a")["status"]["observedGeneration"], 2);
  const std::string told =
      R"({"containers":[{"name":"c","resources":{"limits":{"cpu":"500m","memory":"128Mi"},"requests":{"cpu":"300m"}}}],"generation":2})";
  EXPECT_TRUE(has_event("Normal ResizeStarted a: Pod resize started: " + told)) << all_events();
  EXPECT_TRUE(has_event("Normal ResizeCompleted a: Pod resize completed: " + told));
  // What restarts afterwards has the same.
  containers_.exit("c", 1);
  runtime_.settle();
  EXPECT_EQ(containers_.specs.back().limits.cpu_milli_limit, 500);
}

TEST_F(ResizeTest, RestartsWhereThePolicySaysSo) {
  put("a",
      R"({"containers":[{"name":"c","image":"busybox","resizePolicy":[{"resourceName":"memory","restartPolicy":"RestartContainer"}],
      "resources":{"limits":{"cpu":"200m","memory":"64Mi"}}},{"name":"d","image":"busybox"}]})");
  std::size_t before = containers_.log.size();
  resize("a", R"({"limits":{"cpu":"200m","memory":"128Mi"}})");
  EXPECT_EQ(containers_.running(), (std::vector<std::string>{"c", "d"}));
  EXPECT_EQ(container("a", 0)["restartCount"], 1);
  EXPECT_EQ(container("a", 1)["restartCount"], 0);
  EXPECT_EQ(containers_.specs.back().limits.memory_bytes, 128 << 20);
  EXPECT_EQ(log_since(before).find("resize c"), std::string::npos) << log_since(before);
  EXPECT_TRUE(has_event("Normal Killing a: Container c resize requires restart")) << all_events();
  EXPECT_TRUE(condition_of("a", "PodResizeInProgress").is_null());
}

TEST_F(ResizeTest, WaitsForRoom) {
  put("a", R"({"containers":[{"name":"c","image":"busybox","resources":{"requests":{"memory":"64Mi"}}}]})");
  const std::string half = std::to_string(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 2);
  put("b",
      R"({"terminationGracePeriodSeconds":1,"containers":[{"name":"d","image":"busybox","resources":{"requests":{"memory":")" +
          half + R"("}}}]})");
  std::size_t before = containers_.log.size();
  resize("a", R"({"requests":{"memory":")" + half + R"("}})");
  Value pending = condition_of("a", "PodResizePending");
  EXPECT_EQ(pending["status"], "True");
  EXPECT_EQ(pending["reason"], "Deferred");
  EXPECT_EQ(pending["message"].as_string().substr(0, 56),
            "Node didn't have enough resource: memory, requested: " + half.substr(0, 3));
  EXPECT_EQ(container("a")["allocatedResources"]["memory"], "64Mi");
  EXPECT_EQ(log_since(before), "");
  api_.delete_pod(api::Name{"default", "b"}, 1);
  runtime_.advance(5s);
  EXPECT_TRUE(condition_of("a", "PodResizePending").is_null());
  EXPECT_EQ(container("a")["allocatedResources"]["memory"], half);
  resize("a", R"({"requests":{"memory":"1000Ti"}})");
  EXPECT_EQ(condition_of("a", "PodResizePending")["reason"], "Infeasible");
  // Asked for no more.
  resize("a", R"({"requests":{"memory":")" + half + R"("}})");
  EXPECT_TRUE(condition_of("a", "PodResizePending").is_null());
}

TEST_F(ResizeTest, TellsWhatWentWrongAndTriesAgain) {
  put("a", R"({"containers":[{"name":"c","image":"busybox","resources":{"limits":{"memory":"64Mi"}}}]})");
  containers_.used = ContainerUsage{0, 50 << 20};
  resize("a", R"({"limits":{"memory":"32Mi"}})");
  Value under_way = condition_of("a", "PodResizeInProgress");
  EXPECT_EQ(under_way["reason"], "Error");
  EXPECT_EQ(under_way["message"],
            "attempting to set container \"c\" memory limit (33554432) below current usage (52428800)");
  EXPECT_EQ(container("a")["resources"]["limits"]["memory"], "64Mi");
  // A new agent knows of it.
  agent_.reset();
  start();
  EXPECT_EQ(condition_of("a", "PodResizeInProgress")["reason"], "Error");
  containers_.used = ContainerUsage{0, 20 << 20};
  runtime_.advance(11s);
  EXPECT_TRUE(condition_of("a", "PodResizeInProgress").is_null());
  EXPECT_EQ(container("a")["resources"]["limits"]["memory"], "32Mi");
  containers_.resize_error = "Device or resource busy";
  resize("a", R"({"limits":{"memory":"24Mi"}})");
  EXPECT_EQ(condition_of("a", "PodResizeInProgress")["message"], "Device or resource busy");
  runtime_.advance(11s);
  EXPECT_EQ(container("a")["resources"]["limits"]["memory"], "24Mi");
}

}  // namespace
}  // namespace berth::agent
