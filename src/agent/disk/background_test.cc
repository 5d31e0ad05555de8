// Measuring and removing trees that pods have made.

#include "agent/disk/background.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk/disk_usage.h"
#include "agent/testing/test_node.h"
#include "base/files.h"

namespace berth::agent {
namespace {

const std::atomic<bool> kNever{false};

// 300 of these are more than a path may be long. (Few, because a directory takes milliseconds to remove on some disks.)
constexpr const char* kName = "a-name-of-30-characters-or-so";
constexpr int kDeep = 300;

// `depth` directories, each in the one before, with a file in the last.
void make_deep(const std::string& path, int depth) {
  ASSERT_TRUE(make_directories(path).ok());
  Fd at(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < depth; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), kName, 0755), 0);
    at = Fd(::openat(at.get(), kName, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  Fd file(::openat(at.get(), "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::fallocate(file.get(), 0, 0, 1 << 20), 0);
}

TEST(DiskUsage, CountsBlocksAndEntriesOnce) {
  testing::TemporaryDirectory here;
  ASSERT_TRUE(make_directories(here / "a/b").ok());
  ASSERT_TRUE(write_file(here / "a/b/f", std::string(1 << 20, 'x')).ok());
  DiskUse before = disk_usage(here / "a", kNever);
  EXPECT_GE(before.bytes, 1 << 20);
  EXPECT_EQ(before.inodes, 3);
  ASSERT_EQ(::link((here / "a/b/f").c_str(), (here / "a/again").c_str()), 0);
  ASSERT_EQ(::symlink("/", (here / "a/root").c_str()), 0);
  Fd sparse(::open((here / "a/sparse").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::ftruncate(sparse.get(), 1ll << 40), 0);
  DiskUse after = disk_usage(here / "a", kNever);
  EXPECT_LT(after.bytes, before.bytes + 65536);
  EXPECT_EQ(after.inodes, 5);
  EXPECT_EQ(disk_usage(here / "none", kNever).bytes, 0);
  EXPECT_EQ(disk_usage(here / "a/root", kNever).inodes, 0);  // a link in its place is not followed
  const std::atomic<bool> stop{true};
  EXPECT_EQ(disk_usage(here / "a", stop).inodes, 1);
}

TEST(DiskUsage, NeedsFewDescriptorsHoweverDeep) {
  testing::TemporaryDirectory here;
  make_deep(here / "deep", kDeep);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(write_file(here / "deep/" + std::to_string(i), "x").ok());
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit few{120, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  DiskUse use = disk_usage(here / "deep", kNever);
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(use.inodes, kDeep + 1 + 1 + 3);
  EXPECT_GT(use.bytes, 1 << 20);
}

TEST(DiskUsage, OtherMountsAreLeftOut) {
  if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
  testing::TemporaryDirectory here;
  ASSERT_TRUE(make_directories(here / "a/m").ok());
  ASSERT_TRUE(make_directories(here / "other").ok());
  ASSERT_TRUE(write_file(here / "other/f", std::string(1 << 20, 'x')).ok());
  ASSERT_EQ(::mount((here / "other").c_str(), (here / "a/m").c_str(), nullptr, MS_BIND, nullptr), 0);
  EXPECT_LT(disk_usage(here / "a", kNever).bytes, 1 << 19);
}

TEST(Trash, TakesAtOnceAndRemovesLater) {
  testing::TemporaryDirectory here;
  auto trash = Trash::open(here / "trash");
  ASSERT_TRUE(trash.ok()) << trash.error().message;
  make_deep(here / "deep", kDeep);
  ASSERT_TRUE(make_directories(here / "wide").ok());
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(make_directories(here / "wide/" + std::to_string(i) + "/x").ok());
  for (const char* name : {"deep", "wide", "none"}) {
    EXPECT_TRUE((*trash)->take(here / name).ok()) << name;
    EXPECT_FALSE(path_exists(here / name));
  }
  (*trash)->wait_until_empty();
  EXPECT_EQ(list_directory(here / "trash")->size(), 0u);
}

TEST(Trash, GoesOnWhereAnotherProcessWasEnded) {
  testing::TemporaryDirectory here;
  make_deep(here / "trash/left", kDeep);
  auto trash = Trash::open(here / "trash");
  ASSERT_TRUE(trash.ok());
  (*trash)->wait_until_empty();
  EXPECT_EQ(list_directory(here / "trash")->size(), 0u);
}

TEST(Trash, EndsInTheMiddle) {
  testing::TemporaryDirectory here;
  auto trash = Trash::open(here / "trash");
  ASSERT_TRUE(trash.ok());
  for (int i = 0; i < 10; ++i) {
    make_deep(here / "deep", 100);
    ASSERT_TRUE((*trash)->take(here / "deep").ok());
  }
  trash->reset();  // does not wait for all of it
  trash = Trash::open(here / "trash");
  (*trash)->wait_until_empty();
  EXPECT_EQ(list_directory(here / "trash")->size(), 0u);
}

// What is mounted below a tree, by whatever mistake, is not emptied with it.
TEST(Trash, NeverEntersAnotherMount) {
  if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
  testing::TemporaryDirectory here;
  auto trash = Trash::open(here / "trash");
  ASSERT_TRUE(make_directories(here / "tree/m").ok());
  ASSERT_TRUE(make_directories(here / "precious").ok());
  ASSERT_TRUE(write_file(here / "precious/f", "x").ok());
  ASSERT_EQ(::mount((here / "precious").c_str(), (here / "tree/m").c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(::symlink((here / "precious").c_str(), (here / "tree/link").c_str()), 0);
  EXPECT_TRUE((*trash)->take(here / "tree").ok());
  (*trash)->wait_until_empty();
  EXPECT_TRUE(path_exists(here / "precious/f"));
}

TEST(BackgroundThread, GivesWayAndKeepsOrder) {
  BackgroundThread thread;
  std::vector<int> order;
  int nice = 0;
  for (int i = 0; i < 3; ++i) {
    thread.submit([&, i](const std::atomic<bool>&) {
      order.push_back(i);
      nice = ::getpriority(PRIO_PROCESS, 0);
    });
  }
  thread.wait_until_idle();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(nice, 19);
  EXPECT_NE(::getpriority(PRIO_PROCESS, 0), 19);
}

}  // namespace
}  // namespace berth::agent
