#include "agent/node/pod_shutdown.h"

#include <gtest/gtest.h>

#include "agent/testing/test_cluster.h"
#include "agent/testing/test_node.h"

namespace berth::agent {
namespace {

class PodShutdownTest : public ::testing::Test {
 protected:
  void run(const std::string& name) {
    ContainerSpec spec;
    spec.id = "id-" + name;
    spec.pod_uid = "uid-" + name;
    spec.name = name;
    containers_.run_container(spec, [](Result<ContainerStatus>) {});
    runtime_.settle();
  }
  void begin(std::optional<Duration> most = {}) {
    PodShutdown::Config config{
        directory_ / "ends", progress(), {{"uid-a", {"default/a", 120s}}, {"uid-b", {"default/b", 1s}}}, most};
    shutdown_ = std::make_unique<PodShutdown>(runtime_, containers_, config, [this] { over_ = true; });
    shutdown_->start();
    runtime_.settle();
  }
  std::string progress() const { return directory_ / "progress"; }
  std::string told() const {
    std::string out;
    for (const ShutdownLine& line : read_shutdown_progress(progress()))
      out += line.pod + (line.killed ? " killed " : " waits ") + std::to_string(line.seconds) + ";";
    return out;
  }
  testing::TemporaryDirectory directory_;
  testing::ManualRuntime runtime_;
  testing::FakeContainers containers_{runtime_};
  std::unique_ptr<PodShutdown> shutdown_;
  bool over_ = false;
};

TEST_F(PodShutdownTest, EachPodHasItsOwnGracePeriod) {
  containers_.ignores_term = {"a", "b"};
  for (const char* name : {"a", "b", "c"}) run(name);
  EXPECT_EQ(told(), "") << "no file yet";
  begin();
  runtime_.advance(500ms);
  EXPECT_EQ(told(), "default/a waits 120;default/b waits 1;") << "c has ended at once";
  runtime_.advance(1s);
  EXPECT_EQ(containers_.running(), std::vector<std::string>{"a"});
  EXPECT_EQ(told(), "default/a waits 120;default/b killed 1;");
  runtime_.advance(40s);
  EXPECT_FALSE(over_);
  containers_.exit("a", 0);
  runtime_.settle();
  EXPECT_TRUE(over_);
  EXPECT_EQ(read_container_ends(directory_ / "ends").size(), 3u);
}

TEST_F(PodShutdownTest, ABoundHoldsForAll) {
  containers_.ignores_term = {"a"};
  run("a");
  begin(5s);
  EXPECT_EQ(told(), "default/a waits 5;");
  runtime_.advance(6s);
  EXPECT_TRUE(over_);
  EXPECT_EQ(told(), "default/a killed 5;");
}

}  // namespace
}  // namespace berth::agent
