#include "agent/node/storage_keeper.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/testing/test_cluster.h"
#include "agent/testing/test_node.h"
#include "api/object.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using api::resources::kNodes;
using api::resources::kPods;
constexpr std::int64_t kMiB = 1 << 20, kGiB = 1 << 30;

class StorageKeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
    images_.add("busybox");
    containers_.layers = directory_ / "layers";
    AgentConfig config;
    config.node_name = "node1";
    config.node_ip = "10.99.0.2";
    config.data_dir = directory_ / "data";
    agent_ = std::make_unique<Agent>(
        config, AgentDependencies{runtime_, api_, containers_, images_, volumes_, network_, probes_});
    agent_->start([](Status s) { ASSERT_TRUE(s.ok()) << s.error().message; });
    runtime_.settle();
    agent_->storage().read_space_by([this] { return space_; });
  }
  void TearDown() override {
    agent_.reset();
    runtime_.settle();
  }
  Value put(const std::string& name, const std::string& spec) {
    auto value = json::parse(spec);
    EXPECT_TRUE(value.ok()) << value.error().message;
    value->set("nodeName", "node1").set("terminationGracePeriodSeconds", 30);
    Value pod = Value::object({{"apiVersion", "v1"},
                               {"kind", "Pod"},
                               {"metadata", Value::object({{"name", name}, {"namespace", "default"}})},
                               {"spec", *value},
                               {"status", Value::object({{"phase", "Pending"}})}});
    Value stored = api_.put(kPods, pod);
    runtime_.settle();
    return stored;
  }
  Value get(const std::string& name) { return api_.object(kPods, api::Name{"default", name}); }
  std::string phase(const std::string& name) {
    Value status = get(name)["status"];
    return status["phase"].str() + "/" + status["reason"].str();
  }
  void fill(const std::string& path, std::int64_t bytes) {
    ASSERT_TRUE(make_directories(path).ok());
    ASSERT_TRUE(write_file(path + "/f", std::string(static_cast<std::size_t>(bytes), 'x')).ok());
  }
  std::string empty_dir(const Value& pod, const std::string& volume) {
    return directory_ / "data/pods/" + std::string(api::uid_of(pod)) + "/empty/" + volume;
  }
  bool has_event(const std::string& text) {
    for (const auto& e : api_.events) {
      if (e.find(text) != std::string::npos) return true;
    }
    return false;
  }
  std::string disk_pressure() {
    return api::condition_of(api_.object(kNodes, api::Name{"", "node1"}), "DiskPressure")["status"].str();
  }

  testing::TemporaryDirectory directory_;
  testing::ManualRuntime runtime_;
  testing::FakeApi api_{runtime_};
  testing::FakeContainers containers_{runtime_};
  testing::FakeImages images_{runtime_};
  testing::FakeVolumes volumes_{runtime_, directory_ / "volumes"};
  testing::FakeNetwork network_;
  testing::FakeProbes probes_{runtime_};
  DiskSpace space_{500 * kGiB, 100 * kGiB, 1'000'000, 900'000};
  std::unique_ptr<Agent> agent_;
};

TEST_F(StorageKeeperTest, APodOverItsLimitIsEvicted) {
  Value dir =
      put("dir",
          R"({"volumes":[{"name":"e","emptyDir":{"sizeLimit":"4Mi"}}],"containers":[{"name":"c","image":"busybox"}]})");
  put("eph", R"({"containers":[{"name":"d","image":"busybox","resources":{"limits":{"ephemeral-storage":"4Mi"}}}]})");
  put("free", R"({"volumes":[{"name":"e","emptyDir":{}}],"containers":[{"name":"f","image":"busybox"}]})");
  ASSERT_EQ(phase("dir"), "Running/");
  fill(empty_dir(dir, "e"), 3 * kMiB);
  runtime_.advance(30s);
  EXPECT_EQ(phase("dir"), "Running/");
  fill(empty_dir(dir, "e"), 5 * kMiB);
  fill(containers_.layers + "/" + containers_.id_of("d"), 5 * kMiB);
  fill(containers_.layers + "/" + containers_.id_of("f"), 5 * kMiB);
  runtime_.advance(12s);
  EXPECT_EQ(phase("dir"), "Failed/Evicted");
  EXPECT_EQ(get("dir")["status"]["message"].as_string(), "Usage of EmptyDir volume \"e\" exceeds the limit \"4Mi\". ");
  EXPECT_TRUE(has_event("Warning Evicted dir: Usage of EmptyDir volume"));
  EXPECT_EQ(phase("eph"), "Failed/Evicted");
  EXPECT_EQ(get("eph")["status"]["message"].as_string(),
            "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ");
  EXPECT_TRUE(api::condition_of(get("dir"), "DisruptionTarget").is_null());
  EXPECT_EQ(phase("free"), "Running/");
  EXPECT_FALSE(path_exists(empty_dir(dir, "e")));
}

TEST_F(StorageKeeperTest, LogsCountToo) {
  Value pod =
      put("chatty",
          R"({"containers":[{"name":"c","image":"busybox","resources":{"limits":{"ephemeral-storage":"4Mi"}}}]})");
  fill(directory_ / "data/logs/default_chatty_" + std::string(api::uid_of(pod)) + "/c", 5 * kMiB);
  runtime_.advance(12s);
  EXPECT_EQ(phase("chatty"), "Failed/Evicted");
}

TEST_F(StorageKeeperTest, OnAFullDiskTheOneThatFloodsIsEvicted) {
  Value flood =
      put("flood", R"({"volumes":[{"name":"e","emptyDir":{}}],"containers":[{"name":"a","image":"busybox"}]})");
  put("small", R"({"containers":[{"name":"b","image":"busybox"}]})");
  space_ = {400 * kMiB, 200 * kMiB, 0, 0};
  fill(empty_dir(flood, "e"), 30 * kMiB);
  fill(containers_.layers + "/" + containers_.id_of("b"), kMiB);
  runtime_.advance(20s);
  EXPECT_EQ(phase("flood"), "Running/");
  EXPECT_EQ(disk_pressure(), "False");
  space_.free = 10 * kMiB;
  runtime_.advance(11s);
  EXPECT_EQ(disk_pressure(), "True");
  EXPECT_TRUE(has_event("NodeHasDiskPressure"));
  EXPECT_TRUE(has_event("Attempting to reclaim ephemeral-storage"));
  EXPECT_GT(images_.collected, 0);
  EXPECT_EQ(phase("flood"), "Failed/Evicted");
  EXPECT_TRUE(get("flood")["status"]["message"].str().starts_with(
      "The node was low on resource: ephemeral-storage. Threshold quantity: 40Mi, available: 10Mi. "));
  EXPECT_EQ(api::condition_of(get("flood"), "DisruptionTarget")["reason"].as_string(), "TerminationByKubelet");
  // Those that take next to nothing stay, however long it lasts.
  runtime_.advance(120s);
  EXPECT_EQ(phase("small"), "Running/");
  // No more pods until there has been space for a while.
  put("late", R"({"containers":[{"name":"l","image":"busybox"}]})");
  runtime_.advance(1s);
  EXPECT_EQ(phase("late"), "Failed/Evicted");
  EXPECT_EQ(get("late")["status"]["message"].as_string(), "Pod was rejected: The node had condition: [DiskPressure]. ");
  put("vital", R"({"priority":2000000000,"containers":[{"name":"v","image":"busybox"}]})");
  EXPECT_EQ(phase("vital"), "Running/");
  space_.free = 200 * kMiB;
  runtime_.advance(5s);
  EXPECT_EQ(disk_pressure(), "True");
  runtime_.advance(10s);
  EXPECT_EQ(disk_pressure(), "False");
  put("again", R"({"containers":[{"name":"g","image":"busybox"}]})");
  EXPECT_EQ(phase("again"), "Running/");
}

TEST_F(StorageKeeperTest, APodOnAStoppedVolumeIsEvicted) {
  Value pod = put("db", R"({"containers":[{"name":"c","image":"busybox"}]})");
  put("other", R"({"containers":[{"name":"o","image":"busybox"}]})");
  volumes_.stopped = {{"pvc-1", {"nobody", std::string(api::uid_of(pod))}}};
  runtime_.advance(12s);
  EXPECT_EQ(phase("db"), "Failed/Evicted");
  EXPECT_TRUE(get("db")["status"]["message"].str().starts_with("Volume pvc-1 takes no more writes"));
  EXPECT_EQ(phase("other"), "Running/");
}

TEST_F(StorageKeeperTest, GrowthOfAnOvercommittedVolumeCounts) {
  Value old = put("old", R"({"containers":[{"name":"c","image":"busybox"}]})");
  Value grows = put("grows", R"({"containers":[{"name":"g","image":"busybox"}]})");
  space_ = {400 * kMiB, 200 * kMiB, 0, 0};
  fill(directory_ / "old", 60 * kMiB);
  fill(directory_ / "grows", kMiB);
  volumes_.growing = {{std::string(api::uid_of(old)), directory_ / "old/f"},
                      {std::string(api::uid_of(grows)), directory_ / "grows/f"}};
  runtime_.advance(12s);
  fill(directory_ / "grows", 30 * kMiB);
  space_.free = kMiB;
  runtime_.advance(12s);
  EXPECT_EQ(phase("grows"), "Failed/Evicted");
  EXPECT_EQ(phase("old"), "Running/");
}

TEST_F(StorageKeeperTest, RunsNoTimerOfItsOwnWhileThereIsSpace) {
  put("a",
      R"({"volumes":[{"name":"e","emptyDir":{"sizeLimit":"4Mi"}}],"containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(30s);
  std::size_t timers = runtime_.timers();
  space_.free = 3 * kGiB;
  runtime_.advance(11s);
  EXPECT_EQ(runtime_.timers(), timers + 1);  // so little that it could be gone before the next heartbeat
  space_.free = 100 * kGiB;
  runtime_.advance(11s);
  EXPECT_EQ(runtime_.timers(), timers);
}

TEST_F(StorageKeeperTest, FilesThatContainersWriteToHaveAFileSystemOfTheirOwn) {
  Value pod = put(
      "p", R"({"hostAliases":[{"ip":"10.0.0.1","hostnames":["x"]}],"containers":[{"name":"c","image":"busybox"}]})");
  const std::string written = directory_ / "data/memory/pods/" + std::string(api::uid_of(pod)) + "/written";
  struct statvfs at {};
  ASSERT_EQ(::statvfs((written + "/hosts").c_str(), &at), 0);
  EXPECT_LT(at.f_blocks * at.f_frsize, 2u << 20);
  std::set<std::string> sources;
  for (const Mount& mount : containers_.specs.back().mounts) sources.insert(mount.source);
  for (const char* name : {"/hosts", "/resolv.conf", "/hostname", "/termination-c-0"})
    EXPECT_TRUE(sources.contains(written + name)) << name;
  // One container fills it: nobody else notices.
  EXPECT_FALSE(write_file(written + "/hosts", std::string(4 << 20, 'x')).ok());
  put("other", R"({"containers":[{"name":"d","image":"busybox"}]})");
  EXPECT_EQ(phase("other"), "Running/");
  api_.delete_pod(api::Name{"default", "p"}, 0);
  runtime_.advance(5s);
  EXPECT_FALSE(path_exists(written));
}

TEST_F(StorageKeeperTest, MemoryVolumesHaveASize) {
  Value pod = put("m", R"({"volumes":[{"name":"e","emptyDir":{"medium":"Memory"}}],
      "containers":[{"name":"c","image":"busybox","resources":{"limits":{"memory":"32Mi"}}}]})");
  struct statvfs at {};
  ASSERT_EQ(::statvfs(empty_dir(pod, "e").c_str(), &at), 0);
  EXPECT_EQ(static_cast<std::int64_t>(at.f_blocks * at.f_frsize), 32 * kMiB);
}

}  // namespace
}  // namespace berth::agent
