#include "agent/runtime/cgroup.h"

#include <gtest/gtest.h>

#include "agent/testing/test_node.h"
#include "base/files.h"

namespace berth::agent {
namespace {

TEST(Cgroups, APodsLimitIsNotPutBelowWhatItsGroupHolds) {
  testing::TemporaryDirectory root;
  ASSERT_TRUE(make_directories(root / "memory/berth/pod1").ok());  // as version 1 has it
  ASSERT_TRUE(write_file(root / "memory/berth/pod1/memory.usage_in_bytes", "50000000\n").ok());
  ASSERT_TRUE(
      write_file(root / "memory/berth/pod1/memory.stat", "cache 45000000\ntotal_inactive_file 10000000\n").ok());
  const Cgroups cgroups(root / "");
  Limits limits;
  EXPECT_TRUE(cgroups.check_pod_use("berth/pod1", limits).ok()) << "no limit";
  limits.memory_bytes = 40'000'000;
  EXPECT_TRUE(cgroups.check_pod_use("berth/pod1", limits).ok());
  limits.memory_bytes = 39'999'999;
  const Status refused = cgroups.check_pod_use("berth/pod1", limits);
  ASSERT_TRUE(refused.failed_with(Code::kUnavailable));
  EXPECT_EQ(refused.error().message, "attempting to set pod memory limit (39999999) below current usage (40000000)");
  EXPECT_TRUE(cgroups.check_pod_use("berth/gone", limits).ok());
}

// As version 1 has it: the files of a pod's group and of a container's in it, with limits.
class LimitedGroups : public ::testing::Test {
 protected:
  LimitedGroups() {
    for (const char* group : {"berth/pod1", "berth/pod1/c"}) {
      for (const char* file :
           {"cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpu/cpu.cfs_burst_us", "cpu/cpu.shares", "pids/pids.max",
            "memory/memory.limit_in_bytes", "devices/devices.allow", "devices/devices.deny"}) {
        const std::string_view path = file;
        const std::string directory = root_ / std::string(path.substr(0, path.find('/'))) + "/" + group;
        EXPECT_TRUE(make_directories(directory).ok());
        EXPECT_TRUE(write_file(directory + std::string(path.substr(path.find('/'))), "").ok());
      }
    }
  }
  std::string value(const std::string& controller, const std::string& file) {
    return read_file(root_ / controller + "/berth/" + file).value();
  }

  testing::TemporaryDirectory root_;
};

TEST_F(LimitedGroups, AKilledContainerHasNoLimitOfCpuTimeAndItsPodsPeriodBeginsAnew) {
  Cgroups(root_ / "").unthrottle("berth/pod1/c");
  EXPECT_EQ(value("cpu", "pod1/c/cpu.cfs_quota_us"), "-1");
  EXPECT_EQ(value("cpu", "pod1/cpu.cfs_burst_us"), "0");
  EXPECT_EQ(value("cpu", "pod1/cpu.cfs_quota_us"), "") << "the pod's limit stays";
}

TEST_F(LimitedGroups, AContainerIsConfinedToWhatItsSpecSays) {
  const Cgroups cgroups(root_ / "");
  Limits limits;
  ASSERT_TRUE(cgroups.confine("berth/pod1/c", limits, true).ok());
  EXPECT_EQ(value("cpu", "pod1/c/cpu.shares"), "2") << "the least, where nothing is asked for";
  EXPECT_EQ(value("cpu", "pod1/c/cpu.cfs_quota_us"), "");
  EXPECT_EQ(value("devices", "pod1/c/devices.deny"), "") << "all devices";
  limits.cpu_milli_request = 500;
  limits.cpu_milli_limit = 1500;
  limits.memory_bytes = 1 << 20;
  limits.pids = 9;
  ASSERT_TRUE(cgroups.confine("berth/pod1/c", limits, false).ok());
  EXPECT_EQ(value("cpu", "pod1/c/cpu.shares"), "512");
  EXPECT_EQ(value("cpu", "pod1/c/cpu.cfs_quota_us"), "150000");
  EXPECT_EQ(value("memory", "pod1/c/memory.limit_in_bytes"), "1048576");
  EXPECT_EQ(value("pids", "pod1/c/pids.max"), "9");
  EXPECT_EQ(value("devices", "pod1/c/devices.deny"), "a");
  EXPECT_NE(value("devices", "pod1/c/devices.allow").find("c 1:3 rwm"), std::string::npos) << "/dev/null";
  EXPECT_EQ(value("cpu", "pod1/cpu.shares"), "") << "the pod's are its own";
}

TEST_F(LimitedGroups, WithoutAControllerThatItNeedsNothingIsConfined) {
  const Cgroups cgroups(root_ / "");
  Limits all;
  all.cpu_milli_limit = 100;
  all.memory_bytes = 1 << 20;
  all.pids = 9;
  for (const std::string controller : {"cpu", "memory", "pids", "devices"}) {
    ASSERT_EQ(::rename((root_ / controller).c_str(), (root_ / (controller + "-away")).c_str()), 0);
    const Status refused = cgroups.confine("berth/pod1/c", all, false);
    ASSERT_FALSE(refused.ok()) << controller;
    EXPECT_NE(refused.error().message.find(" " + controller + " "), std::string::npos) << refused.error().message;
    ASSERT_EQ(::rename((root_ / (controller + "-away")).c_str(), (root_ / controller).c_str()), 0);
  }
  ASSERT_EQ(::rename((root_ / "memory").c_str(), (root_ / "away").c_str()), 0);
  all.memory_bytes = 0;
  EXPECT_TRUE(cgroups.confine("berth/pod1/c", all, false).ok()) << "no limit, no need";
}

}  // namespace
}  // namespace berth::agent
