#include "agent/mounts/volume_mounts.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/mounts/mounts.h"
#include "agent/testing/test_node.h"
#include "base/files.h"

namespace berth::agent {
namespace {

class VolumeMounts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
  }
  testing::TemporaryDirectory directory_;
};

TEST_F(VolumeMounts, WhatIsMountedBelowASharedOneShowsInItsClones) {
  std::string volume = directory_ / "v", peer = directory_ / "peer", slave = directory_ / "slave";
  for (const auto& path : {volume + "/m", peer, slave}) ASSERT_TRUE(make_directories(path).ok());
  ASSERT_TRUE(share_mount(volume).ok());
  ASSERT_TRUE(share_mount(volume).ok()) << "again changes nothing";
  ASSERT_TRUE(bind_mount(volume, peer).ok());
  ASSERT_TRUE(bind_mount(volume, slave).ok());
  ASSERT_EQ(::mount(nullptr, slave.c_str(), nullptr, MS_SLAVE, nullptr), 0);
  ASSERT_TRUE(mount_tmpfs(peer + "/m", "size=64k").ok());
  ASSERT_TRUE(write_file(peer + "/m/f", "hi").ok());
  EXPECT_EQ(read_file(volume + "/m/f").value(), "hi");
  EXPECT_EQ(read_file(slave + "/m/f").value(), "hi");
  ASSERT_EQ(::umount((peer + "/m").c_str()), 0);
  ASSERT_TRUE(mount_tmpfs(slave + "/m", "size=64k").ok());
  EXPECT_FALSE(is_mount_point(volume + "/m")) << "a slave gives nothing back";
}

TEST_F(VolumeMounts, AnImageIsReadOnlyAndNotExecuted) {
  for (const char* layer : {"low/etc", "high/etc"}) ASSERT_TRUE(make_directories(directory_ / layer).ok());
  ASSERT_TRUE(write_file(directory_ / "low/etc/a", "low").ok());
  ASSERT_TRUE(write_file(directory_ / "low/etc/b", "low").ok());
  ASSERT_TRUE(write_file(directory_ / "high/etc/b", "high").ok());
  for (const auto& layers : {std::vector<std::string>{directory_ / "low", directory_ / "high"}, {directory_ / "low"}}) {
    std::string at = directory_ / "image" + std::to_string(layers.size());
    ASSERT_TRUE(mount_image(layers, at, directory_ / "empty").ok());
    ASSERT_TRUE(mount_image(layers, at, directory_ / "empty").ok());
    EXPECT_EQ(read_file(at + "/etc/a").value(), "low");
    EXPECT_EQ(read_file(at + "/etc/b").value(), layers.size() == 2 ? "high" : "low");
    struct statvfs fs {};
    ASSERT_EQ(::statvfs(at.c_str(), &fs), 0);
    EXPECT_TRUE((fs.f_flag & ST_RDONLY) && (fs.f_flag & ST_NOEXEC));
  }
}

}  // namespace
}  // namespace berth::agent
