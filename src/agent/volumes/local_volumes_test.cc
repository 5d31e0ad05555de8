#include "agent/volumes/local_volumes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "agent/disk/disk_space.h"
#include "agent/volumes/disk.h"
#include "agent/volumes/loop_device.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/fs/mount_table.h"
#include "base/loop.h"
#include "base/process/process.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::int64_t kMiB = 1 << 20;
constexpr const char* kClaim = "0b6cbd34-1a6c-4d9a-9d4e-0a52a2f3b1c7";
constexpr const char* kOtherClaim = "77777777-1a6c-4d9a-9d4e-0a52a2f3b1c7";

class LocalVolumesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    private_ = ::geteuid() == 0 && ::unshare(CLONE_NEWNS) == 0 &&
               ::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) == 0;
  }
  void SetUp() override {
    if (!private_) GTEST_SKIP() << "needs root and a mount namespace of its own";
    char name[] = "/tmp/berth-volumes-XXXXXX";
    base_ = ::mkdtemp(name);
    root_ = base_ + "/volumes";
    open();
  }
  void TearDown() override {
    fault::disarm_all();
    volumes_.reset();
    if (base_.empty()) return;
    auto mounts = read_mounts();
    for (auto m = mounts->rbegin(); m != mounts->rend(); ++m) {
      if (m->target.starts_with(base_ + "/")) ::umount2(m->target.c_str(), MNT_DETACH);
    }
    EXPECT_TRUE(remove_all(base_).ok());
    // A device goes with its last user, and where there is an udev that looks at it a moment longer.
    for (int i = 0; i < 1000 && !loops_below(base_).empty(); ++i) loop_.run_once(10ms);
    EXPECT_EQ(loops_below(base_), std::vector<std::string>());
  }

  void open() {
    volumes_.reset();
    auto opened = open_local_volumes(loop_, root_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    volumes_ = std::move(opened).value();
  }
  template <class R, class Call>
  R wait(Call call) {
    std::optional<R> result;
    call([&](R r) { result = std::move(r); });
    for (int i = 0; i < 3000 && !result; ++i) loop_.run_once(10ms);
    return result ? std::move(*result) : R(error(Code::kTimeout, "no answer"));
  }
  Result<LocalVolume> create(const std::string& name, const std::string& claim = kClaim, std::int64_t size = 16 * kMiB,
                             const std::string& type = "") {
    return wait<Result<LocalVolume>>([&](auto done) {
      volumes_->create(name, {claim, size, type, overcommit_}, done);
    });
  }
  Result<LocalVolume> mount(const std::string& name) {
    return wait<Result<LocalVolume>>([&](auto done) { volumes_->mount(name, done); });
  }
  Status unmount(const std::string& name) {
    return wait<Status>([&](auto done) { volumes_->unmount(name, done); });
  }
  Status remove(const std::string& name) {
    return wait<Status>([&](auto done) { volumes_->remove(name, done); });
  }
  Result<LocalVolumes::Expanded> expand(const std::string& name, std::int64_t size) {
    return wait<Result<LocalVolumes::Expanded>>([&](auto done) { volumes_->expand(name, size, done); });
  }
  std::string disk(const std::string& name) const { return root_ + "/" + name + "/disk.img"; }
  std::size_t trash_size() const { return list_directory(root_ + "/trash")->size(); }

  // Blocks of the node's disk that the volume's file has.
  std::int64_t taken(const std::string& name) const {
    struct stat file {};
    return ::stat(disk(name).c_str(), &file) == 0 ? file.st_blocks * 512 : -1;
  }

  static bool private_;
  bool overcommit_ = false;
  Loop loop_{2};
  std::string base_, root_;
  std::unique_ptr<LocalVolumes> volumes_;
};
bool LocalVolumesTest::private_ = false;

std::int64_t total_bytes(const std::string& path) {
  struct statvfs at {};
  return ::statvfs(path.c_str(), &at) == 0 ? static_cast<std::int64_t>(at.f_blocks * at.f_frsize) : -1;
}

TEST_F(LocalVolumesTest, SizeAskedForIsSizeThereIs) {
  overcommit_ = true;
  auto made = create("pvc-1", kClaim, 10240 * kMiB);
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->size_bytes, 10240 * kMiB);
  EXPECT_FALSE(made->mounted);
  auto mounted = mount("pvc-1");
  ASSERT_TRUE(mounted.ok()) << mounted.error().message;
  EXPECT_EQ(mounted->mount_path, root_ + "/pvc-1/mount");
  EXPECT_TRUE(path_exists(mounted->mount_path + "/lost+found"));
  auto df = run_checked(Command{{"df", "-h", "--output=size", mounted->mount_path}});
  EXPECT_NE(df->find("9.8G"), std::string::npos) << *df;
  EXPECT_LT(taken("pvc-1"), 16 * kMiB);  // sparse
  EXPECT_EQ(volumes_->list().size(), 1u);
  EXPECT_TRUE(volumes_->list()[0].mounted);
}

TEST_F(LocalVolumesTest, VerbsAreIdempotent) {
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  ASSERT_TRUE(write_file(root_ + "/pvc-1/mount/kept", "data").ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  ASSERT_TRUE(create("pvc-1").ok());
  EXPECT_EQ(*read_file(root_ + "/pvc-1/mount/kept"), "data");
  ASSERT_TRUE(unmount("pvc-1").ok());
  ASSERT_TRUE(unmount("pvc-1").ok());
  EXPECT_FALSE(find_loop(disk("pvc-1")).ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  EXPECT_EQ(*read_file(root_ + "/pvc-1/mount/kept"), "data");
  ASSERT_TRUE(remove("pvc-1").ok());
  ASSERT_TRUE(remove("pvc-1").ok());
  EXPECT_FALSE(path_exists(root_ + "/pvc-1"));
  EXPECT_EQ(trash_size(), 0u);
  EXPECT_TRUE(volumes_->list().empty());
  EXPECT_TRUE(mount("pvc-1").failed_with(Code::kNotFound));
  EXPECT_TRUE(expand("pvc-1", 32 * kMiB).failed_with(Code::kNotFound));
}

TEST_F(LocalVolumesTest, CallsOnOneVolumeRunInOrder) {
  std::vector<std::string> order;
  volumes_->create("pvc-1", {kClaim, 16 * kMiB, "ext4"},
                   [&](auto r) { order.push_back(r.ok() ? "created" : r.error().message); });
  volumes_->mount("pvc-1", [&](auto r) { order.push_back(r.ok() ? "mounted" : r.error().message); });
  volumes_->unmount("pvc-1", [&](auto r) { order.push_back(r.ok() ? "unmounted" : r.error().message); });
  ASSERT_TRUE(remove("pvc-1").ok());
  EXPECT_EQ(order, (std::vector<std::string>{"created", "mounted", "unmounted"}));
}

TEST_F(LocalVolumesTest, BadRequestsAreRefused) {
  EXPECT_TRUE(create("../x").failed_with(Code::kInvalid));
  EXPECT_TRUE(create("trash").failed_with(Code::kInvalid));
  EXPECT_TRUE(create("").failed_with(Code::kInvalid));
  EXPECT_TRUE(remove("..").failed_with(Code::kInvalid));
  EXPECT_TRUE(create("pvc-1", kClaim, 0).failed_with(Code::kInvalid));
  EXPECT_TRUE(create("pvc-1", kClaim, -5).failed_with(Code::kInvalid));
  auto odd = create("pvc-1", kClaim, kMiB, "ntfs");
  ASSERT_TRUE(odd.failed_with(Code::kInvalid));
  EXPECT_EQ(odd.error().message, "volume pvc-1: file system \"ntfs\" is not supported: \"ext4\" and \"xfs\" are");
  EXPECT_TRUE(volumes_->list().empty());
  ASSERT_TRUE(create("pvc-1").ok());
  auto other = create("pvc-1", kOtherClaim);
  ASSERT_TRUE(other.failed_with(Code::kConflict));
  EXPECT_NE(other.error().message.find(kClaim), std::string::npos);
  EXPECT_NE(other.error().message.find(kOtherClaim), std::string::npos);
}

TEST_F(LocalVolumesTest, FullVolumeReachesTheWriter) {
  ASSERT_TRUE(create("pvc-1").ok());
  auto mounted = mount("pvc-1");
  ASSERT_TRUE(mounted.ok()) << mounted.error().message;
  Fd fd(::open((mounted->mount_path + "/fill").c_str(), O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0644));
  ASSERT_TRUE(bool(fd)) << errno;
  alignas(4096) static char block[65536];
  std::int64_t written = 0;
  int failed = 0;
  while (written < 32 * kMiB && failed == 0) {
    ssize_t n = ::write(fd.get(), block, sizeof block);
    if (n < 0) {
      failed = errno;
    } else {
      written += n;
    }
  }
  EXPECT_EQ(failed, ENOSPC);
  EXPECT_GT(written, 10 * kMiB);
  EXPECT_LE(written, 16 * kMiB);
}

TEST_F(LocalVolumesTest, FailuresWhileMakingLeaveNothing) {
  for (const char* place : {"volumes.mkfs", "volumes.identity", "volumes.rename", "files.fsync"}) {
    fault::arm(place, 1);
    EXPECT_FALSE(create("pvc-1").ok()) << place;
    EXPECT_FALSE(path_exists(root_ + "/pvc-1")) << place;
    EXPECT_EQ(trash_size(), 0u) << place;
    EXPECT_TRUE(volumes_->list().empty());
  }
  EXPECT_TRUE(create("pvc-1").ok());
}

TEST_F(LocalVolumesTest, HalfMadeAndHalfRemovedVolumesGoWhenOpened) {
  ASSERT_TRUE(make_directories(root_ + "/trash/new-pvc-9-1/mount").ok());
  ASSERT_TRUE(write_file(root_ + "/trash/new-pvc-9-1/disk.img", "half").ok());
  ASSERT_TRUE(create("pvc-1").ok());
  fault::arm("volumes.delete", 1);
  ASSERT_TRUE(remove("pvc-1").ok());
  EXPECT_FALSE(path_exists(root_ + "/pvc-1"));
  EXPECT_EQ(trash_size(), 2u);
  open();
  EXPECT_EQ(trash_size(), 0u);
  EXPECT_TRUE(volumes_->list().empty());
}

TEST_F(LocalVolumesTest, DamagedIdentityIsRefusedAndKept) {
  ASSERT_TRUE(create("pvc-1").ok());
  for (const char* content : {"{", "{}", "[]", "{\"name\":\"pvc-1\"}"}) {
    ASSERT_TRUE(write_file(root_ + "/pvc-1/identity.json", content).ok());
    auto refused = mount("pvc-1");
    ASSERT_TRUE(refused.failed_with(Code::kConflict)) << content;
    EXPECT_NE(refused.error().message.find("pvc-1/identity.json is damaged"), std::string::npos)
        << refused.error().message;
    EXPECT_TRUE(create("pvc-1").failed_with(Code::kConflict));
    EXPECT_TRUE(expand("pvc-1", 32 * kMiB).failed_with(Code::kConflict));
  }
  ::unlink((root_ + "/pvc-1/identity.json").c_str());
  EXPECT_TRUE(mount("pvc-1").failed_with(Code::kConflict));
  open();
  EXPECT_TRUE(path_exists(disk("pvc-1")));
  EXPECT_TRUE(volumes_->list().empty());
  EXPECT_TRUE(remove("pvc-1").ok());
}

TEST_F(LocalVolumesTest, SwappedDiskIsRefusedUntilAccepted) {
  ASSERT_TRUE(create("pvc-1", kClaim).ok());
  ASSERT_TRUE(create("pvc-2", kOtherClaim).ok());
  std::string between = root_ + "/between";
  ASSERT_EQ(::rename(disk("pvc-1").c_str(), between.c_str()), 0);
  ASSERT_EQ(::rename(disk("pvc-2").c_str(), disk("pvc-1").c_str()), 0);
  ASSERT_EQ(::rename(between.c_str(), disk("pvc-2").c_str()), 0);
  auto refused = mount("pvc-1");
  ASSERT_TRUE(refused.failed_with(Code::kConflict));
  for (std::string part : {std::string(kClaim), disk_label("pvc-1"),
                           std::string("found ext4 file system UUID ") + kOtherClaim, disk_label("pvc-2"),
                           std::string("that is volume pvc-2 of claim ") + kOtherClaim, root_ + "/pvc-1/accept-disk"}) {
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << part << "\n" << refused.error().message;
  }
  EXPECT_FALSE(find_loop(disk("pvc-1")).ok());
  auto accept = [&](const std::string& uuid) {
    return wait<Status>([&](auto done) { volumes_->accept("pvc-1", uuid, done); });
  };
  ASSERT_TRUE(accept(kClaim).ok());  // names another disk than the one found
  EXPECT_TRUE(mount("pvc-1").failed_with(Code::kConflict));
  ASSERT_TRUE(accept(kOtherClaim).ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  ASSERT_TRUE(unmount("pvc-1").ok());
  EXPECT_FALSE(path_exists(root_ + "/pvc-1/accept-disk"));
  EXPECT_TRUE(mount("pvc-1").ok());  // its own from now on
}

TEST_F(LocalVolumesTest, RecreatedAndEmptyDisksAreRefused) {
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_TRUE(run_checked(Command{{"mkfs.ext4", "-q", "-F", disk("pvc-1")}}).ok());
  auto refused = mount("pvc-1");
  EXPECT_TRUE(refused.failed_with(Code::kConflict));
  Fd fd(::open(disk("pvc-1").c_str(), O_WRONLY | O_CLOEXEC));
  std::string zeros(65536, '\0');
  ASSERT_EQ(::pwrite(fd.get(), zeros.data(), zeros.size(), 0), 65536);
  refused = mount("pvc-1");
  ASSERT_TRUE(refused.failed_with(Code::kConflict));
  EXPECT_NE(refused.error().message.find("found no file system"), std::string::npos);
  ::unlink(disk("pvc-1").c_str());
  EXPECT_TRUE(mount("pvc-1").failed_with(Code::kNotFound));
}

TEST_F(LocalVolumesTest, DirectoryOfAnotherVolumeIsRefused) {
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_EQ(::rename((root_ + "/pvc-1").c_str(), (root_ + "/pvc-2").c_str()), 0);
  auto refused = mount("pvc-2");
  ASSERT_TRUE(refused.failed_with(Code::kConflict));
  EXPECT_EQ(refused.error().message,
            std::string("volume pvc-2: its directory holds the disk of volume pvc-1 of claim ") + kClaim);
}

TEST_F(LocalVolumesTest, TruncatedDiskIsRefused) {
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_EQ(::truncate(disk("pvc-1").c_str(), 8 * kMiB), 0);
  auto refused = mount("pvc-1");
  ASSERT_TRUE(refused.failed_with(Code::kConflict));
  EXPECT_NE(refused.error().message.find("truncated: it has 8388608 bytes of 16777216"), std::string::npos)
      << refused.error().message;
  ASSERT_EQ(::truncate(disk("pvc-1").c_str(), 100), 0);
  EXPECT_TRUE(mount("pvc-1").failed_with(Code::kConflict));
  EXPECT_FALSE(find_loop(disk("pvc-1")).ok());
}

TEST_F(LocalVolumesTest, GrowsAtOnceOrAtTheNextMount) {
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  std::string path = root_ + "/pvc-1/mount";
  ASSERT_TRUE(write_file(path + "/kept", "data").ok());
  std::int64_t before = total_bytes(path);
  auto grown = expand("pvc-1", 64 * kMiB);
  ASSERT_TRUE(grown.ok()) << grown.error().message;
  EXPECT_EQ(grown->size_bytes, 64 * kMiB);
  EXPECT_EQ(grown->pending, total_bytes(path) == before);
  auto again = expand("pvc-1", 64 * kMiB);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->pending, grown->pending);
  ASSERT_TRUE(unmount("pvc-1").ok());
  auto mounted = mount("pvc-1");
  ASSERT_TRUE(mounted.ok()) << mounted.error().message;
  EXPECT_EQ(mounted->size_bytes, 64 * kMiB);
  EXPECT_GT(total_bytes(path), 48 * kMiB);
  EXPECT_EQ(*read_file(path + "/kept"), "data");
  EXPECT_FALSE(expand("pvc-1", 64 * kMiB)->pending);
  auto smaller = expand("pvc-1", 16 * kMiB);
  ASSERT_TRUE(smaller.failed_with(Code::kInvalid));
  EXPECT_EQ(smaller.error().message, "volume pvc-1: it has 67108864 bytes and cannot shrink to 16777216");
}

TEST_F(LocalVolumesTest, GrowsWhileUnmounted) {
  ASSERT_TRUE(create("pvc-1").ok());
  auto grown = expand("pvc-1", 40 * kMiB);
  ASSERT_TRUE(grown.ok());
  EXPECT_TRUE(grown->pending);
  open();  // the agent forgets nothing
  EXPECT_EQ(volumes_->list()[0].size_bytes, 40 * kMiB);
  ASSERT_TRUE(mount("pvc-1").ok());
  EXPECT_GT(total_bytes(root_ + "/pvc-1/mount"), 30 * kMiB);
}

TEST_F(LocalVolumesTest, FullDiskIsSaidWithNumbers) {
  ASSERT_TRUE(create("pvc-1").ok());
  std::string small = base_ + "/small";
  ASSERT_TRUE(make_directories(small).ok());
  ASSERT_EQ(::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=8m"), 0);
  root_ = small;
  open();
  auto refused = create("pvc-1");
  ASSERT_TRUE(refused.failed_with(Code::kUnavailable));
  EXPECT_EQ(refused.error().message,
            "volume pvc-1: no room for 16777216 bytes: the disk of " + small +
                " has 8Mi left, of which 64Mi are kept for the node. Free some space, ask for less, or use a "
                "StorageClass with the parameter berth.dev/overcommit: \"true\", whose volumes take space only as "
                "it is written");
  EXPECT_FALSE(path_exists(small + "/pvc-1"));
  root_ = base_ + "/volumes";
  open();
  fault::arm("volumes.full", 1);
  EXPECT_TRUE(expand("pvc-1", 32 * kMiB).failed_with(Code::kUnavailable));
  EXPECT_EQ(volumes_->list()[0].size_bytes, 16 * kMiB);
}

TEST_F(LocalVolumesTest, WhatIsPromisedIsTakenAtOnce) {
  ASSERT_TRUE(create("pvc-1").ok());
  EXPECT_GE(taken("pvc-1"), 16 * kMiB);
  ASSERT_TRUE(mount("pvc-1").ok());
  // What is deleted in it stays the volume's.
  ASSERT_TRUE(write_file(root_ + "/pvc-1/mount/big", std::string(8 * kMiB, 'x')).ok());
  ::sync();
  ::unlink((root_ + "/pvc-1/mount/big").c_str());
  ::sync();
  EXPECT_GE(taken("pvc-1"), 16 * kMiB);
  ASSERT_TRUE(expand("pvc-1", 32 * kMiB).ok());
  EXPECT_GE(taken("pvc-1"), 32 * kMiB);
  // One that was made sparse takes the rest when it is mounted.
  overcommit_ = true;
  ASSERT_TRUE(create("pvc-2", kOtherClaim).ok());
  EXPECT_LT(taken("pvc-2"), 8 * kMiB);
  auto identity = read_identity(root_ + "/pvc-2/identity.json");
  ASSERT_TRUE(identity->overcommit);
  ASSERT_TRUE(mount("pvc-2").ok());
  EXPECT_LT(taken("pvc-2"), 8 * kMiB);
  ASSERT_TRUE(unmount("pvc-2").ok());
  identity->overcommit = false;
  ASSERT_TRUE(write_identity(root_ + "/pvc-2/identity.json", *identity).ok());
  ASSERT_TRUE(mount("pvc-2").ok());
  EXPECT_GE(taken("pvc-2"), 16 * kMiB);
}

TEST_F(LocalVolumesTest, NoMoreIsPromisedThanThereIs) {
  std::string small = base_ + "/small";
  ASSERT_TRUE(make_directories(small).ok());
  ASSERT_EQ(::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=160m"), 0);
  root_ = small;
  for (bool can_allocate : {true, false}) {
    open();
    if (!can_allocate) fault::arm("volumes.allocate", 2);
    ASSERT_TRUE(create("pvc-1", kClaim, 64 * kMiB).ok());
    EXPECT_EQ(taken("pvc-1") >= 64 * kMiB, can_allocate);
    auto refused = create("pvc-2", kOtherClaim, 64 * kMiB);
    ASSERT_TRUE(refused.failed_with(Code::kUnavailable)) << can_allocate;
    EXPECT_NE(refused.error().message.find("has 9"), std::string::npos) << refused.error().message;
    EXPECT_TRUE(expand("pvc-1", 128 * kMiB).failed_with(Code::kUnavailable));
    EXPECT_EQ(volumes_->list()[0].size_bytes, 64 * kMiB);
    EXPECT_TRUE(create("pvc-2", kOtherClaim, 16 * kMiB).ok());
    // Those who say so may have more.
    overcommit_ = true;
    EXPECT_TRUE(create("pvc-3", "three", 1024 * kMiB).ok());
    overcommit_ = false;
    for (const char* name : {"pvc-1", "pvc-2", "pvc-3"}) ASSERT_TRUE(remove(name).ok());
  }
}

TEST_F(LocalVolumesTest, ASizeOfAFewBytesIsRoundedUp) {
  auto made = create("pvc-1", kClaim, 1);
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->size_bytes, 4 * kMiB);
  ASSERT_TRUE(mount("pvc-1").ok());
  EXPECT_TRUE(write_file(root_ + "/pvc-1/mount/x", "x").ok());
  made = create("pvc-2", kOtherClaim, 1, "xfs");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->size_bytes, 300 * kMiB);
}

TEST_F(LocalVolumesTest, TheSameFailureHasTheSameWords) {
  auto why = [&] {
    fault::arm("volumes.identity", 1);
    auto made = create("pvc-1");
    return made.ok() ? "made" : made.error().message;
  };
  std::string first = why();
  EXPECT_NE(first, "made");
  EXPECT_EQ(why(), first);
}

TEST(DiskSpaceTest, Thresholds) {
  constexpr std::int64_t kGiB = 1 << 30;
  DiskSpace laptop{500 * kGiB, 40 * kGiB, 1000, 900};
  EXPECT_EQ(pressure_threshold(laptop), kGiB);
  EXPECT_EQ(disk_shortage(laptop), DiskShortage::kNone);
  laptop.free = kGiB - 1;
  EXPECT_EQ(disk_shortage(laptop), DiskShortage::kBytes);
  laptop = {500 * kGiB, 40 * kGiB, 1000, 49};
  EXPECT_EQ(disk_shortage(laptop), DiskShortage::kInodes);
  DiskSpace tiny{370 * kMiB, 37 * kMiB};
  EXPECT_EQ(disk_shortage(tiny), DiskShortage::kNone);
  EXPECT_EQ(kept_from_volumes(tiny), 64 * kMiB);
  EXPECT_EQ(disk_shortage(DiskSpace{}), DiskShortage::kNone);  // not measured
  EXPECT_EQ(rough_size(8 * kMiB), "8Mi");
  EXPECT_EQ(rough_size(1288490189), "1.2Gi");
  EXPECT_EQ(rough_size(187 * kMiB), "180Mi");
  EXPECT_EQ(rough_size(0), "0Ki");
}

TEST_F(LocalVolumesTest, MountedVolumesAreAdopted) {
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_TRUE(create("pvc-2", kOtherClaim).ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  ASSERT_TRUE(write_file(root_ + "/pvc-1/mount/kept", "data").ok());
  open();
  auto list = volumes_->list();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_TRUE(list[0].mounted);
  EXPECT_EQ(list[0].mount_path, root_ + "/pvc-1/mount");
  EXPECT_FALSE(list[1].mounted);
  EXPECT_EQ(*read_file(root_ + "/pvc-1/mount/kept"), "data");
  ASSERT_TRUE(unmount("pvc-1").ok());
  EXPECT_FALSE(find_loop(disk("pvc-1")).ok());
}

TEST_F(LocalVolumesTest, StillUsedFileSystemIsMountedAgainNotASecondTime) {
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  std::string pod = base_ + "/pod";
  ASSERT_TRUE(make_directories(pod).ok());
  ASSERT_EQ(::mount((root_ + "/pvc-1/mount").c_str(), pod.c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_TRUE(unmount("pvc-1").ok());
  std::string device = find_loop(disk("pvc-1"))->path;
  ASSERT_TRUE(mount("pvc-1").ok());
  ASSERT_TRUE(write_file(pod + "/seen", "by both").ok());
  EXPECT_EQ(*read_file(root_ + "/pvc-1/mount/seen"), "by both");
  EXPECT_EQ(find_loop(disk("pvc-1"))->path, device);
  ASSERT_TRUE(unmount("pvc-1").ok());
  ASSERT_EQ(::umount(pod.c_str()), 0);
  EXPECT_FALSE(find_loop(disk("pvc-1")).ok());
}

TEST_F(LocalVolumesTest, LeftoverLoopDevicesAreFreed) {
  ASSERT_TRUE(create("pvc-1").ok());
  auto out = run_checked(Command{{"losetup", "-f", "--show", disk("pvc-1")}});
  ASSERT_TRUE(out.ok());
  ASSERT_TRUE(find_loop(disk("pvc-1")).ok());
  open();
  EXPECT_FALSE(find_loop(disk("pvc-1")).ok());
}

TEST_F(LocalVolumesTest, OpenFilesHinderUnmountAndRemoval) {
  ASSERT_TRUE(create("pvc-1").ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  Fd fd(::open((root_ + "/pvc-1/mount/open").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  EXPECT_TRUE(unmount("pvc-1").failed_with(Code::kConflict));
  EXPECT_TRUE(remove("pvc-1").failed_with(Code::kConflict));
  EXPECT_TRUE(volumes_->list()[0].mounted);
  fd.reset();
  EXPECT_TRUE(remove("pvc-1").ok());
}

TEST_F(LocalVolumesTest, JournalIsReplayedAfterACrash) {
  ASSERT_TRUE(create("pvc-1", kClaim, 32 * kMiB).ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  std::string path = root_ + "/pvc-1/mount";
  ASSERT_TRUE(write_file_durably(path + "/kept", "data").ok());
  // What the disk holds while it is mounted is what a crash leaves.
  ASSERT_TRUE(run_checked(Command{{"cp", "--sparse=always", disk("pvc-1"), base_ + "/crashed"}}).ok());
  ASSERT_TRUE(unmount("pvc-1").ok());
  ASSERT_EQ(::rename((base_ + "/crashed").c_str(), disk("pvc-1").c_str()), 0);
  ASSERT_TRUE(probe_disk(disk("pvc-1"))->needs_check);
  auto mounted = mount("pvc-1");
  ASSERT_TRUE(mounted.ok()) << mounted.error().message;
  EXPECT_EQ(*read_file(path + "/kept"), "data");
  ASSERT_TRUE(unmount("pvc-1").ok());
  EXPECT_FALSE(probe_disk(disk("pvc-1"))->needs_check);
}

TEST_F(LocalVolumesTest, StoppedFileSystemsAreFoundAndGoOnWhenMountedAgain) {
  for (const char* name : {"pvc-1", "pvc-2", "pvc-3"}) {
    ASSERT_TRUE(create(name, name).ok());
    ASSERT_TRUE(mount(name).ok());
  }
  auto stopped = [&] {
    std::optional<std::vector<std::string>> found;
    volumes_->find_stopped([&](std::vector<std::string> names) { found = std::move(names); });
    for (int i = 0; i < 3000 && !found; ++i) loop_.run_once(10ms);
    return found ? join(*found, " ") : "no answer";
  };
  EXPECT_EQ(stopped(), "");
  const std::string one = root_ + "/pvc-1/mount", two = root_ + "/pvc-2/mount";
  ASSERT_TRUE(write_file_durably(one + "/kept", "data").ok());
  ASSERT_EQ(::mount(nullptr, two.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  // EXT4_IOC_SHUTDOWN, without writing the journal: what the kernel does after an I/O error of it.
  std::uint32_t flags = 2;
  Fd directory(::open(one.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::ioctl(directory.get(), _IOR('X', 125, std::uint32_t), &flags), 0) << errno;
  directory.reset();
  EXPECT_EQ(stopped(), "pvc-1 pvc-2");
  EXPECT_FALSE(write_file(one + "/more", "x").ok());
  ASSERT_TRUE(unmount("pvc-1").ok());
  ASSERT_TRUE(mount("pvc-1").ok());
  EXPECT_EQ(stopped(), "pvc-2");
  EXPECT_EQ(*read_file(one + "/kept"), "data");
  EXPECT_TRUE(write_file(one + "/more", "x").ok());
}

TEST_F(LocalVolumesTest, BrokenFileSystemIsNotMounted) {
  ASSERT_TRUE(create("pvc-1").ok());
  Fd fd(::open(disk("pvc-1").c_str(), O_RDWR | O_CLOEXEC));
  std::string noise(1 << 20, '\x5a');
  // Group descriptors and inode tables behind the super block, which itself says "errors seen".
  ASSERT_EQ(::pwrite(fd.get(), noise.data(), noise.size(), 2048), 1 << 20);
  char errors = 2;
  ASSERT_EQ(::pwrite(fd.get(), &errors, 1, 1024 + 0x3A), 1);
  auto refused = mount("pvc-1");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("run e2fsck -f " + disk("pvc-1")), std::string::npos)
      << refused.error().message;
  EXPECT_FALSE(find_loop(disk("pvc-1")).ok());
}

TEST_F(LocalVolumesTest, FailedMountFreesTheDevice) {
  ASSERT_TRUE(create("pvc-1").ok());
  for (const char* place : {"volumes.attach", "volumes.mount"}) {
    fault::arm(place, 1);
    EXPECT_FALSE(mount("pvc-1").ok());
    EXPECT_FALSE(find_loop(disk("pvc-1")).ok());
  }
  EXPECT_TRUE(mount("pvc-1").ok());
}

TEST_F(LocalVolumesTest, DestructionForgetsCallbacks) {
  bool called = false;
  volumes_->create("pvc-1", {kClaim, 16 * kMiB, ""}, [&](auto) { called = true; });
  volumes_.reset();
  bool turned = false;
  loop_.offload([] {}, [&] { turned = true; });
  for (int i = 0; i < 1000 && !(turned && path_exists(root_ + "/pvc-1")); ++i) loop_.run_once(10ms);
  for (int i = 0; i < 20; ++i) loop_.run_once(1ms);
  EXPECT_FALSE(called);
}

TEST(DiskTest, UuidsAndLabelsAreStable) {
  EXPECT_EQ(disk_uuid(kClaim), kClaim);
  EXPECT_EQ(disk_uuid("claim"), disk_uuid("claim"));
  EXPECT_NE(disk_uuid("claim"), disk_uuid("claim2"));
  EXPECT_EQ(disk_uuid("claim").size(), 36u);
  EXPECT_EQ(disk_uuid("claim")[14], '8');
  EXPECT_EQ(disk_uuid(std::string(36, '-')).size(), 36u);
  EXPECT_EQ(disk_label("pvc-1").size(), 12u);
  EXPECT_NE(disk_label("pvc-1"), disk_label("pvc-2"));
}

}  // namespace
}  // namespace berth::agent
