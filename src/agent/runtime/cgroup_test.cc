#include "agent/runtime/cgroup.h"

#include <gtest/gtest.h>

#include "agent/runtime/test_node.h"
#include "base/files.h"

namespace berth::agent {
namespace {

TEST(Cgroups, APodsLimitIsNotPutBelowWhatItsGroupHolds) {
  testing::TemporaryDirectory root;
  ASSERT_TRUE(make_directories(root / "memory/berth/pod1").ok());  // as version 1 has it
  ASSERT_TRUE(write_file(root / "memory/berth/pod1/memory.usage_in_bytes", "50000000\n").ok());
  ASSERT_TRUE(write_file(root / "memory/berth/pod1/memory.stat", "cache 45000000\ntotal_inactive_file 10000000\n").ok());
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

}  // namespace
}  // namespace berth::agent
