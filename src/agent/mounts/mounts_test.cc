#include "agent/mounts/mounts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/testing/test_node.h"
#include "base/files.h"

namespace berth::agent {
namespace {

class MountsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::enter_private_mounts()) GTEST_SKIP() << "no private mount namespace";
    for (const char* name : {"upper", "work", "target"}) ASSERT_TRUE(make_directories(directory_ / name).ok());
  }
  void TearDown() override { unmount_below({directory_.path()}); }
  // Layers with names as long as digests, joined, topmost first.
  std::string layers(int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      std::string name = std::to_string(i);
      name = directory_ / ("layers/" + std::string(64 - name.size(), '0') + name);
      EXPECT_TRUE(make_directories(name).ok());
      EXPECT_TRUE(write_file(name + "/" + std::to_string(i), "").ok());
      out = out.empty() ? name : name + ":" + out;
    }
    return out;
  }
  Status mount_layers(int count) {
    return mount_overlay(layers(count), directory_ / "upper", directory_ / "work", directory_ / "target");
  }
  testing::TemporaryDirectory directory_;
};

TEST_F(MountsTest, AnImageMayHaveMoreLayersThanTheirNamesFitOnAPage) {
  auto mounted = mount_layers(130);
  ASSERT_TRUE(mounted.ok()) << mounted.error().message;
  EXPECT_EQ(list_directory(directory_ / "target")->size(), 130u);
  unmount(directory_ / "target");
  auto too_many = mount_layers(400);
  ASSERT_TRUE(too_many.failed_with(Code::kInvalid));
  EXPECT_EQ(too_many.error().message, "the image has too many layers for one mount (400)");
}

TEST_F(MountsTest, ADescriptorIsMountedWhateverItsPathBecomes) {
  ASSERT_TRUE(make_directories(directory_ / "source/inner").ok());
  Fd source(::open((directory_ / "source").c_str(), O_PATH | O_CLOEXEC));
  Fd target(::open((directory_ / "target").c_str(), O_PATH | O_CLOEXEC));
  ASSERT_EQ(::rename((directory_ / "source").c_str(), (directory_ / "moved").c_str()), 0);
  ASSERT_EQ(::symlink("/etc", (directory_ / "source").c_str()), 0);
  auto mounted = bind_descriptor(source.get(), target.get());
  ASSERT_TRUE(mounted.ok()) << mounted.error().message;
  EXPECT_EQ(list_directory(directory_ / "target").value(), std::vector<std::string>{"inner"});
  Fd file(::open((directory_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_FALSE(bind_descriptor(file.get(), target.get()).ok()) << "a file on a directory";
}

TEST_F(MountsTest, AKernelThatDoesNotTellMountPointsIsRefused) {
  EXPECT_TRUE(check_mount_points_are_told().ok());
  EXPECT_TRUE(check_mount_points_are_told(STATX_ATTR_MOUNT_ROOT | STATX_ATTR_AUTOMOUNT).ok());
  const Status refused = check_mount_points_are_told(STATX_ATTR_AUTOMOUNT);  // as Linux 5.7 says
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("Linux 5.8 or later"), std::string::npos);
}

}  // namespace
}  // namespace berth::agent
