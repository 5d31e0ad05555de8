#pragma once
// For tests: an agent whose clock, API, container runtime, images, volumes, network and probes are fakes.

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "agent/agent.h"
#include "agent/testing/test_cluster.h"
#include "agent/testing/test_node.h"
#include "api/object.h"
#include "base/text.h"

namespace berth::agent {

class AgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
    images_.add("busybox");
    start();
  }
  void TearDown() override {
    agent_.reset();
    runtime_.settle();
  }
  void start() {
    AgentConfig config;
    config.node_name = "node1";
    config.node_ip = "10.99.0.2";
    config.data_dir = directory_ / "data";
    agent_ = std::make_unique<Agent>(
        config, AgentDependencies{runtime_, api_, containers_, images_, volumes_, network_, probes_});
    bool ready = false;
    agent_->start([&](Status s) {
      ASSERT_TRUE(s.ok()) << s.error().message;
      ready = true;
    });
    runtime_.settle();
    ASSERT_TRUE(ready);
  }
  Value pod(const std::string& name, const std::string& spec) {
    auto value = json::parse(spec);
    EXPECT_TRUE(value.ok()) << value.error().message;
    value->set("nodeName", "node1");
    if ((*value)["restartPolicy"].is_null()) value->set("restartPolicy", "Always");
    Value status = Value::object({{"phase", "Pending"}, {"qosClass", "BestEffort"}});
    return Value::object({{"apiVersion", "v1"},
                          {"kind", "Pod"},
                          {"metadata", Value::object({{"name", name}, {"namespace", "default"}, {"generation", 1}})},
                          {"spec", *value},
                          {"status", status}});
  }
  Value put(const std::string& name, const std::string& spec) {
    Value stored = api_.put(api::resources::kPods, pod(name, spec));
    runtime_.settle();
    return stored;
  }
  Value get(const std::string& name) { return api_.object(api::resources::kPods, api::Name{"default", name}); }
  std::string condition(const std::string& name, const std::string& type) {
    return api::condition_of(get(name), type)["status"].str();
  }
  bool has_event(const std::string& text) {
    for (const auto& e : api_.events) {
      if (e == text) return true;
    }
    return false;
  }
  std::string all_events() { return join(api_.events, "\n"); }
  const Value& container(const std::string& name, int index = 0) {
    held_ = get(name);
    return held_["status"]["containerStatuses"][index];
  }
  std::string memory(const std::string& uid) { return directory_ / "data/memory/pods/" + uid; }

  testing::TemporaryDirectory directory_;
  testing::ManualRuntime runtime_;
  testing::FakeApi api_{runtime_};
  testing::FakeContainers containers_{runtime_};
  testing::FakeImages images_{runtime_};
  testing::FakeVolumes volumes_{runtime_, directory_ / "volumes"};
  testing::FakeNetwork network_;
  testing::FakeProbes probes_{runtime_};
  Value held_;
  std::unique_ptr<Agent> agent_;  // goes first
};

}  // namespace berth::agent
