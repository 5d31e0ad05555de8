#include "base/fs/mount_table.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace berth {
namespace {

TEST(MountTable, FieldsAreFoundBehindAnyNumberOfOptionalOnes) {
  auto mounts = parse_mounts(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n"
      "37 36 0:50 / /run rw - tmpfs tmpfs rw,size=1024k\n");
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].major, 98u);
  EXPECT_EQ(mounts[0].minor, 0u);
  EXPECT_EQ(mounts[0].target, "/mnt2");
  EXPECT_EQ(mounts[0].file_system, "ext3");
  EXPECT_EQ(mounts[0].source, "/dev/root");
  EXPECT_EQ(mounts[0].options, "rw,errors=continue");
  EXPECT_EQ(mounts[1].target, "/run");
  EXPECT_EQ(mounts[1].options, "rw,size=1024k");
}

TEST(MountTable, HostileNamesStayNames) {
  auto mounts = parse_mounts(
      "1 0 0:1 / /a\\040-\\040ext4\\040/dev/sda\\040rw rw - tmpfs none rw\n"
      "2 0 0:1 / /line\\0121\\0400\\0400:1 rw - tmpfs none rw\n"
      "3 0 0:1 / /back\\134040slash rw - tmpfs none rw\n"
      "4 0 0:1 / /tab\\011hash\\043 rw - tmpfs \\040 rw\n"
      "5 0 0:1 / /end\\04 rw - tmpfs  rw\n");
  ASSERT_EQ(mounts.size(), 5u);
  EXPECT_EQ(mounts[0].target, "/a - ext4 /dev/sda rw");
  EXPECT_EQ(mounts[0].file_system, "tmpfs");
  EXPECT_EQ(mounts[1].target, "/line\n1 0 0:1");
  EXPECT_EQ(mounts[2].target, "/back\\040slash") << "unescaped once";
  EXPECT_EQ(mounts[3].target, "/tab\thash#");
  EXPECT_EQ(mounts[3].source, " ");
  EXPECT_EQ(mounts[4].target, "/end\\04") << "no escape: two digits";
  EXPECT_EQ(mounts[4].source, "");
}

TEST(MountTable, IncompleteLinesAreLeftOut) {
  EXPECT_TRUE(parse_mounts("").empty());
  EXPECT_TRUE(
      parse_mounts("36 35 98:0 / /mnt rw - ext4\n36 35 98:0 / /mnt rw ext4 /dev/a rw\n36 35 x:y / /m rw - a b c")
          .empty());
}

TEST(MountTable, ThisProcessHasARoot) {
  auto mounts = read_mounts();
  ASSERT_TRUE(mounts.ok());
  EXPECT_TRUE(std::any_of(mounts->begin(), mounts->end(), [](const MountEntry& one) { return one.target == "/"; }));
}

}  // namespace
}  // namespace berth
