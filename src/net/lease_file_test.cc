#include "net/lease_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "base/fs/test_directory.h"
#include "base/text.h"

namespace berth::net {
namespace {

const Cidr kRange = parse_cidr("10.1.0.0/24").value();

class LeaseFileTest : public ::testing::Test {
 protected:
  ~LeaseFileTest() override { ::umount2(directory_.path().c_str(), MNT_DETACH); }
  AddressPool loaded() {
    AddressPool pool(kRange);
    LeaseFile file(path_);
    Status status = file.load(pool);
    EXPECT_TRUE(status.ok()) << status.error().message;
    return pool;
  }
  std::string text() { return read_file(path_).value(); }

  testing::TestDirectory directory_;
  const std::string path_ = directory_ / "leases";
};

TEST_F(LeaseFileTest, SaysWhatWasRecorded) {
  AddressPool pool(kRange);
  LeaseFile file(path_);
  ASSERT_TRUE(file.load(pool).ok());
  for (const char* uid : {"a", "b", "c"}) {
    ASSERT_TRUE(pool.allocate(uid).ok());
    ASSERT_TRUE(file.record(pool, uid).ok());
  }
  for (const char* uid : {"b", "c"}) {
    ASSERT_TRUE(pool.release(uid));
    ASSERT_TRUE(file.record(pool, uid).ok());
  }
  AddressPool again = loaded();
  EXPECT_EQ(again.leases(), pool.leases());
  EXPECT_EQ(again.allocate("d").value(), pool.allocate("d").value())
      << "an address that was freed is not given at once";
  // A second agent continues where the first stopped.
  LeaseFile next(path_);
  AddressPool third(kRange);
  ASSERT_TRUE(next.load(third).ok());
  ASSERT_TRUE(third.allocate("e").ok());
  ASSERT_TRUE(next.record(third, "e").ok());
  EXPECT_EQ(loaded().leases(), third.leases());
  // the pool, five changes, and the empty text after the last newline
  EXPECT_EQ(split(text(), '\n').size(), 7u) << text();
}

TEST_F(LeaseFileTest, ReadsWhatAnEarlierReleaseWrote) {
  ASSERT_TRUE(write_file(path_, R"({"next":"10.1.0.9","leases":{"a":"10.1.0.7"}})").ok());
  AddressPool pool(kRange);
  LeaseFile file(path_);
  ASSERT_TRUE(file.load(pool).ok());
  EXPECT_EQ(format_ipv4(pool.leases().at("a")), "10.1.0.7");
  EXPECT_EQ(format_ipv4(pool.allocate("b").value()), "10.1.0.9");
  ASSERT_TRUE(file.record(pool, "b").ok());
  EXPECT_EQ(loaded().leases(), pool.leases()) << text();
}

TEST_F(LeaseFileTest, AChangeThatWasCutOffIsLeftOut) {
  AddressPool pool(kRange);
  LeaseFile file(path_);
  ASSERT_TRUE(file.load(pool).ok());
  for (const char* uid : {"a", "b"}) {
    ASSERT_TRUE(pool.allocate(uid).ok());
    ASSERT_TRUE(file.record(pool, uid).ok());
  }
  const std::string original = text();
  const auto first = pool.leases().at("a");
  const std::size_t change = original.find('\n') + 1;
  for (std::size_t length = change; length < original.size(); ++length) {
    ASSERT_TRUE(write_file(path_, original.substr(0, length)).ok());
    AddressPool left(kRange);
    LeaseFile cut(path_);
    ASSERT_TRUE(cut.load(left).ok()) << length;
    EXPECT_EQ(left.leases().size(), 1u) << length;
    EXPECT_EQ(left.leases().at("a"), first);
    ASSERT_TRUE(left.allocate("c").ok());
    ASSERT_TRUE(cut.record(left, "c").ok());
    EXPECT_EQ(loaded().leases(), left.leases()) << text();
  }
  ASSERT_TRUE(write_file(path_, original + std::string(100, '\0') + "\n").ok());
  EXPECT_EQ(loaded().leases(), pool.leases());
}

TEST_F(LeaseFileTest, IsWrittenAnewAfterManyChanges) {
  AddressPool pool(kRange);
  LeaseFile file(path_);
  ASSERT_TRUE(file.load(pool).ok());
  std::size_t longest = 0;
  for (int i = 0; i < 2 * LeaseFile::kChanges + 10; ++i) {
    const std::string uid = "uid-" + std::to_string(i);
    ASSERT_TRUE(pool.allocate(uid).ok());
    ASSERT_TRUE(file.record(pool, uid).ok());
    if (i < 100) continue;
    const std::string gone = "uid-" + std::to_string(i - 100);
    ASSERT_TRUE(pool.release(gone));
    ASSERT_TRUE(file.record(pool, gone).ok());
    longest = std::max(longest, static_cast<std::size_t>(std::filesystem::file_size(path_)));
  }
  EXPECT_LT(longest, 60u * LeaseFile::kChanges);
  EXPECT_EQ(loaded().leases(), pool.leases());
}

TEST_F(LeaseFileTest, AFullDiskLeavesWhatWasThere) {
  if (::geteuid() != 0 || ::mount("none", directory_.path().c_str(), "tmpfs", 0, "size=8k,nr_inodes=4") != 0)
    GTEST_SKIP() << "cannot mount here";
  AddressPool pool(kRange);
  LeaseFile file(path_);
  ASSERT_TRUE(file.load(pool).ok());
  int made = 0;
  for (; made < 500; ++made) {
    const std::string uid = "a-rather-long-uid-of-a-pod-" + std::to_string(made);
    ASSERT_TRUE(pool.allocate(uid).ok());
    if (file.record(pool, uid).ok()) continue;
    ASSERT_TRUE(pool.release(uid));
    break;
  }
  EXPECT_GT(made, 20);
  ASSERT_LT(made, 500) << "the disk was to be full";
  EXPECT_EQ(loaded().leases(), pool.leases());
  EXPECT_FALSE(file.record(pool, "a-rather-long-uid-of-a-pod-0").ok());
  EXPECT_EQ(loaded().leases(), pool.leases());
}

// Otherwise both the old and the new owner would have the address after a restart.
TEST_F(LeaseFileTest, AReleaseThatCouldNotBeWrittenIsWrittenWithTheNextChange) {
  AddressPool pool(parse_cidr("10.1.0.0/30").value());  // one address besides the gateway's
  LeaseFile file(path_);
  ASSERT_TRUE(file.load(pool).ok());
  ASSERT_TRUE(pool.allocate("a").ok());
  ASSERT_TRUE(file.record(pool, "a").ok());
  ASSERT_TRUE(pool.release("a"));
  rlimit unlimited{};
  ::getrlimit(RLIMIT_FSIZE, &unlimited);
  const rlimit none{std::filesystem::file_size(path_), unlimited.rlim_max};
  auto* before = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  EXPECT_FALSE(file.record(pool, "a").ok());
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &unlimited), 0);
  ::signal(SIGXFSZ, before);
  ASSERT_TRUE(pool.allocate("b").ok());
  ASSERT_TRUE(file.record(pool, "b").ok());
  EXPECT_EQ(loaded().leases(), pool.leases()) << text();
}

TEST_F(LeaseFileTest, AnAddressBelongsToWhomItWasGivenLast) {
  ASSERT_TRUE(write_file(path_, R"({"next":"10.1.0.9","leases":{"a":"10.1.0.7","c":"10.1.0.8"}})"
                                "\n"
                                R"({"uid":"b","ip":"10.1.0.7"})"
                                "\n")
                  .ok());
  AddressPool pool = loaded();
  ASSERT_TRUE(pool.leases().contains("b"));
  EXPECT_EQ(format_ipv4(pool.leases().at("b")), "10.1.0.7");
  EXPECT_FALSE(pool.leases().contains("a"));
  EXPECT_TRUE(pool.leases().contains("c"));
}

TEST_F(LeaseFileTest, AnEmptyFileHasNoLeases) {
  ASSERT_TRUE(write_file(path_, "").ok());
  AddressPool pool(kRange);
  LeaseFile file(path_);
  ASSERT_TRUE(file.load(pool).ok());
  ASSERT_TRUE(pool.allocate("a").ok());
  ASSERT_TRUE(file.record(pool, "a").ok());
  EXPECT_EQ(loaded().leases(), pool.leases());
}

TEST_F(LeaseFileTest, WithADamagedBeginningItIsPutAside) {
  for (const char* damaged : {"\n", "{\"leases\":", "[", "{\"uid\":\"a\"\n"}) {
    ASSERT_TRUE(write_file(path_, damaged).ok());
    AddressPool pool(kRange);
    LeaseFile file(path_);
    ASSERT_TRUE(file.load(pool).ok()) << damaged;
    EXPECT_TRUE(pool.leases().empty());
    EXPECT_EQ(read_file(path_ + ".damaged").value(), damaged);
    ASSERT_TRUE(pool.allocate("a").ok());
    ASSERT_TRUE(file.record(pool, "a").ok());
    EXPECT_EQ(loaded().leases(), pool.leases());
  }
}

}  // namespace
}  // namespace berth::net
