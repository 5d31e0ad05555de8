#include "base/fs/rooted_dir.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <thread>

#include "base/fs/test_swapper.h"

namespace berth {
namespace {

using Links = RootedDir::Links;
using berth::testing::Swapper;

// tree/ is what somebody else controls, outside/ is what no call may touch.
class Rooted : public ::testing::Test {
 protected:
  void SetUp() override {
    // In memory where possible: ten thousand renames are nothing that a test needs to write to a disk.
    std::string pattern =
        (::access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : ::testing::TempDir()) + "berth-rooted-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    ASSERT_TRUE(make_directories(tree("")).ok());
    ASSERT_TRUE(make_directories(outside("")).ok());
    ASSERT_TRUE(write_file(outside("file"), "precious", 0600).ok());
    auto opened = RootedDir::open(top_ + "/tree");
    ASSERT_TRUE(opened.ok());
    root_ = std::move(*opened);
  }
  void TearDown() override {
    expect_untouched();
    EXPECT_TRUE(remove_all(top_).ok());
  }
  void expect_untouched() {
    EXPECT_EQ(list_directory(outside("")).value(), std::vector<std::string>{"file"});
    EXPECT_EQ(read_file(outside("file")).value(), "precious");
    struct stat at {};
    ASSERT_EQ(::stat(outside("file").c_str(), &at), 0);
    EXPECT_EQ(at.st_mode & 07777, 0600u);
    EXPECT_EQ(at.st_uid, ::getuid());
    EXPECT_EQ(at.st_nlink, 1u);
    ASSERT_EQ(::stat(outside("").c_str(), &at), 0);
    EXPECT_EQ(at.st_mode & 07777, 0755u);
    EXPECT_EQ(at.st_uid, ::getuid());
  }
  std::string tree(const std::string& path) const { return top_ + "/tree/" + path; }
  std::string outside(const std::string& path) const { return top_ + "/outside/" + path; }
  void link(const std::string& path, const std::string& target) {
    ASSERT_EQ(::symlink(target.c_str(), tree(path).c_str()), 0);
  }
  static mode_t mode_of(const std::string& path) {
    struct stat at {};
    return ::lstat(path.c_str(), &at) == 0 ? at.st_mode & 07777 : 0;
  }

  std::string top_;
  RootedDir root_;
};

TEST_F(Rooted, MakesReadsAndRemoves) {
  ::mode_t before = ::umask(077);
  ASSERT_TRUE(root_.make_directories("a/b/c", 0755).ok());
  ASSERT_TRUE(root_.write_file("a/b/f", "text", 0644).ok());
  ::umask(before);
  EXPECT_EQ(mode_of(tree("a/b/c")), 0755u) << "whatever the umask";
  EXPECT_EQ(mode_of(tree("a/b/f")), 0644u);
  EXPECT_EQ(root_.read_file("/a//b/./f", 4).value(), "text");
  EXPECT_TRUE(root_.read_file("a/b/f", 3).failed_with(Code::kTooLarge));
  EXPECT_TRUE(root_.read_file("a/b", 10).failed_with(Code::kInvalid));
  EXPECT_TRUE(root_.read_file("a/none", 10).failed_with(Code::kNotFound));
  EXPECT_TRUE(root_.make_directory("a", 0755).failed_with(Code::kAlreadyExists));
  EXPECT_TRUE(root_.create_file("a/b/f", 0644).failed_with(Code::kAlreadyExists));
  ASSERT_TRUE(root_.make_hard_link("hard", "a/b/f").ok());
  ASSERT_TRUE(root_.make_symlink("soft", "a/b").ok());
  ASSERT_TRUE(root_.replace_symlink("soft", "a").ok());
  EXPECT_EQ(root_.read_link("soft").value(), "a");
  ASSERT_TRUE(root_.make_node("null", S_IFCHR | 0666, makedev(1, 3)).ok());
  EXPECT_EQ(mode_of(tree("null")), 0666u);
  EXPECT_TRUE(root_.read_file("null", 10).failed_with(Code::kInvalid)) << "a device is not opened";
  ASSERT_TRUE(root_.rename("hard", "harder").ok());
  EXPECT_EQ(root_.list().value(), (std::vector<std::string>{"a", "harder", "null", "soft"}));
  EXPECT_TRUE(root_.remove_file("harder").ok());
  EXPECT_TRUE(root_.remove_file("harder").ok()) << "nothing there is fine";
  EXPECT_TRUE(root_.remove_tree("soft").ok());
  EXPECT_TRUE(root_.remove_tree("a").ok());
  EXPECT_EQ(root_.list().value(), std::vector<std::string>{"null"});
}

TEST_F(Rooted, RefusesNamesThatAreNoEntries) {
  for (const char* bad : {"", "/", ".", "..", "a/..", "a/.", "./"}) {
    EXPECT_TRUE(root_.make_directory(bad, 0755).failed_with(Code::kInvalid)) << bad;
    EXPECT_TRUE(root_.remove_tree(bad).failed_with(Code::kInvalid) || std::string(bad).starts_with("a/")) << bad;
  }
  EXPECT_TRUE(root_.make_directory(std::string_view("a\0b", 3), 0755).failed_with(Code::kInvalid));
  EXPECT_TRUE(root_.open(std::string_view("a\0b", 3), O_PATH).failed_with(Code::kInvalid));
}

TEST_F(Rooted, FollowsLinksAsFarAsItIsTold) {
  ASSERT_TRUE(root_.make_directories("real/deep", 0755).ok());
  ASSERT_TRUE(root_.write_file("real/f", "inside", 0644).ok());
  link("relative", "real");
  link("absolute", "/real");
  link("out", outside(""));
  link("up", "../outside");
  EXPECT_EQ(root_.read_file("relative/f", 100, Links::kInside).value(), "inside");
  EXPECT_EQ(root_.read_file("absolute/f", 100, Links::kInside).value(), "inside");
  EXPECT_TRUE(root_.read_file("out/file", 100, Links::kInside).failed_with(Code::kNotFound));
  EXPECT_TRUE(root_.read_file("up/file", 100, Links::kInside).failed_with(Code::kNotFound));
  EXPECT_EQ(root_.read_file("../../real/f", 100, Links::kInside).value(), "inside") << "as in a chroot";
  EXPECT_EQ(root_.read_file("relative/f", 100, Links::kBeneath).value(), "inside");
  for (const char* path : {"absolute/f", "out/file", "up/file", "../outside/file"})
    EXPECT_TRUE(root_.read_file(path, 100, Links::kBeneath).failed_with(Code::kForbidden)) << path;
  for (const char* path : {"relative/f", "absolute/f", "out/file", "up/file"})
    EXPECT_TRUE(root_.read_file(path, 100, Links::kNone).failed_with(Code::kForbidden)) << path;
}

TEST_F(Rooted, FollowsNoLinkOfProc) {
  ASSERT_TRUE(root_.make_directory("proc", 0755).ok());
  std::thread([this] {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("proc", tree("proc").c_str(), "proc", 0, nullptr), 0);
    auto root = RootedDir::open(tree(""));
    ASSERT_TRUE(root.ok());
    for (Links links : {Links::kInside, Links::kBeneath, Links::kNone})
      EXPECT_FALSE(root->open("proc/1/root" + outside("file"), O_PATH, links).ok());
  }).join();
}

TEST_F(Rooted, ChangesTheEntryAndNotWhatItLinksTo) {
  link("file", outside("file"));
  link("dir", outside(""));
  EXPECT_TRUE(S_ISLNK(root_.stat("file")->st_mode));
  EXPECT_FALSE(root_.create_file("file", 0644).ok());
  EXPECT_FALSE(root_.make_node("file", S_IFIFO | 0600, 0).ok());
  EXPECT_FALSE(root_.make_directory("dir", 0777).ok());
  auto found = root_.open("file", O_PATH | O_NOFOLLOW);
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(set_owner(found->get(), 12, 34).ok());
  EXPECT_FALSE(set_mode(found->get(), 0777).ok());
  EXPECT_EQ(root_.stat("file")->st_uid, 12u);
  ASSERT_TRUE(root_.make_hard_link("hard", "file").ok());
  EXPECT_TRUE(S_ISLNK(root_.stat("hard")->st_mode));
  ASSERT_TRUE(root_.write_file("file", "own", 0644).ok());
  EXPECT_EQ(root_.read_file("file", 10).value(), "own");
  ASSERT_TRUE(root_.remove_tree("dir").ok());
}

TEST_F(Rooted, MakesDirectoriesWhereLinksPointToInside) {
  link("run", "/var/run");
  link("loop", "loop");
  ASSERT_TRUE(root_.make_directories("run/lock", 0755).ok());
  EXPECT_TRUE(path_exists(tree("var/run/lock")));
  link("out", outside("new"));
  ASSERT_TRUE(root_.make_directories("out/x", 0755).ok());
  EXPECT_TRUE(path_exists(tree(outside("new/x").substr(1)))) << "the target's path, but inside";
  EXPECT_FALSE(root_.make_directories("loop/x", 0755).ok());
  EXPECT_FALSE(root_.make_directories("out2/../../x/..", 0755, Links::kNone).ok());
  link("dangling", "nowhere");
  EXPECT_FALSE(root_.make_directories("dangling/x", 0755, Links::kBeneath).ok());
  link("absolute", outside(""));
  EXPECT_TRUE(root_.make_directories("absolute/x", 0755, Links::kBeneath).failed_with(Code::kForbidden));
}

TEST_F(Rooted, XattrsOfWhatIsOpenForNothing) {
  ASSERT_TRUE(root_.write_file("f", "x", 0600).ok());
  auto found = root_.open("f", O_PATH);
  ASSERT_TRUE(found.ok());
  ASSERT_TRUE(set_xattr(found->get(), "trusted.berth", "yes").ok());
  char value[8] = {};
  EXPECT_EQ(::getxattr(tree("f").c_str(), "trusted.berth", value, sizeof value), 3);
  ASSERT_TRUE(set_mode(found->get(), 0640).ok());
  EXPECT_EQ(mode_of(tree("f")), 0640u);
}

TEST_F(Rooted, WalksEverythingOnce) {
  ASSERT_TRUE(root_.make_directories("a/b", 0755).ok());
  ASSERT_TRUE(root_.write_file("a/b/f", "x", 0600).ok());
  ASSERT_TRUE(root_.write_file("g", "x", 0600).ok());
  link("a/out", outside(""));
  std::map<std::string, int> seen;
  ASSERT_TRUE(root_
                  .walk([&](const RootedDir::Entry& entry) -> Status {
                    ++seen[entry.path];
                    return {};
                  })
                  .ok());
  EXPECT_EQ(seen, (std::map<std::string, int>{{"", 1}, {"a", 1}, {"a/b", 1}, {"a/b/f", 1}, {"a/out", 1}, {"g", 1}}));
  EXPECT_TRUE(root_
                  .walk([](const RootedDir::Entry& entry) -> Status {
                    if (entry.path == "a") return error(Code::kInvalid, "enough");
                    return {};
                  })
                  .failed_with(Code::kInvalid));
}

TEST_F(Rooted, WalksDeepTreesWithFewDescriptors) {
  constexpr int kDepth = 500;
  Fd at(::dup(root_.fd()));
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "deeper", 0755), 0);
    for (const char* name : {"a", "z"}) ASSERT_EQ(::mkdirat(at.get(), name, 0755), 0);
    at.reset(::openat(at.get(), "deeper", O_RDONLY | O_DIRECTORY));
    ASSERT_TRUE(static_cast<bool>(at));
  }
  int visited = 0, highest = 0;
  ASSERT_TRUE(root_
                  .walk([&](const RootedDir::Entry& entry) -> Status {
                    ++visited;
                    highest = std::max(highest, entry.fd);
                    EXPECT_LE(entry.path.size(), 4096u + 256u);
                    return {};
                  })
                  .ok());
  EXPECT_EQ(visited, 3 * kDepth + 1);
  EXPECT_LT(highest, 200);
  ASSERT_TRUE(root_.remove_tree("deeper").ok());
}

TEST_F(Rooted, WalksLeaveOtherMountsOut) {
  ASSERT_TRUE(root_.make_directory("m", 0755).ok());
  std::thread([this] {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount(outside("").c_str(), tree("m").c_str(), nullptr, MS_BIND, nullptr), 0);
    auto root = RootedDir::open(tree(""));
    ASSERT_TRUE(root.ok());
    int visited = 0;
    ASSERT_TRUE(root->walk([&](const RootedDir::Entry&) -> Status { return ++visited, ok_status(); }).ok());
    EXPECT_EQ(visited, 1);
    EXPECT_FALSE(root->remove_tree("m").ok());
  }).join();
}

// tree/dir/sub is a directory, tree/evil a link to outside/: they change places all the time.
class RootedRaces : public Rooted {
 protected:
  void SetUp() override {
    Rooted::SetUp();
    ASSERT_TRUE(root_.make_directories("sub", 0755).ok());
    link("evil", outside(""));
  }
};

TEST_F(RootedRaces, NothingIsMadeOrRemovedOutside) {
  Swapper swapper(tree("sub"), tree("evil"), 2000);
  int good = 0;
  for (int i = 0; swapper.more(); ++i) {
    Links links = i % 3 == 0 ? Links::kInside : i % 3 == 1 ? Links::kBeneath : Links::kNone;
    good += root_.make_directories("sub/new/er", 0777, links).ok();
    good += root_.write_file("sub/file", "evil", 0777, links).ok();
    good += root_.make_node("sub/pipe", S_IFIFO | 0777, 0, links).ok();
    good += root_.replace_symlink("sub/link", "x", links).ok();
    good += root_.make_hard_link("sub/hard", "sub/file", links).ok();
    good += root_.create_file("sub/made", 0777, links).ok();
    for (const char* name : {"sub/new", "sub/file", "sub/pipe", "sub/link", "sub/hard", "sub/made"})
      (void)root_.remove_tree(name, links);
  }
  EXPECT_GT(good, 0);
  EXPECT_GE(swapper.swaps(), Swapper::kSwaps);
}

TEST_F(RootedRaces, NothingIsReadOutside) {
  ASSERT_TRUE(root_.write_file("sub/file", "own", 0644).ok());
  Swapper swapper(tree("sub"), tree("evil"), 4000);
  int good = 0;
  for (int i = 0; swapper.more(); ++i) {
    auto text = root_.read_file("sub/file", 100, i % 2 ? Links::kInside : Links::kBeneath);
    if (!text.ok()) continue;
    ++good;
    ASSERT_EQ(*text, "own");
  }
  EXPECT_GT(good, 0);
}

TEST_F(RootedRaces, AWalkStaysInside) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(root_.make_directories("sub/" + std::to_string(i) + "/x", 0700).ok());
  struct stat outer {};
  ASSERT_EQ(::stat(outside("").c_str(), &outer), 0);
  Swapper swapper(tree("sub"), tree("evil"), 300);
  while (swapper.more()) {
    ASSERT_TRUE(root_
                    .walk([&](const RootedDir::Entry& entry) -> Status {
                      EXPECT_NE(entry.at.st_ino, outer.st_ino);
                      EXPECT_TRUE(set_owner(entry.fd, 77, 77).ok());
                      EXPECT_TRUE(S_ISLNK(entry.at.st_mode) || set_mode(entry.fd, 0770).ok());
                      return {};
                    })
                    .ok());
  }
}

TEST_F(RootedRaces, AFileThatBecomesALinkIsNeverTheLinksTarget) {
  ASSERT_TRUE(root_.write_file("f", "own", 0600).ok());
  link("g", outside("file"));
  Swapper swapper(tree("f"), tree("g"), 3000);
  while (swapper.more()) {
    auto found = root_.open("f", O_PATH | O_NOFOLLOW);
    if (!found.ok()) continue;
    (void)set_mode(found->get(), 0666);
    (void)set_owner(found->get(), 5, 5);
    (void)set_xattr(found->get(), "user.x", "y");
  }
}

}  // namespace
}  // namespace berth
