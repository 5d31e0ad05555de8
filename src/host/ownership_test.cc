#include "host/ownership.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"

namespace berth::host {
namespace {

class OwnershipTest : public ::testing::Test {
 protected:
  OwnershipTest() {
    char name[] = "/tmp/berth-owners-XXXXXX";
    dir_.root = ::mkdtemp(name);
    for (const std::string& path : {dir_.pki(), dir_.root + "/store", dir_.node(), dir_.run()})
      EXPECT_TRUE(make_directories(path, 0700).ok());
    for (const char* file : {"/pki/ca.key", "/pki/tokens.csv", "/store/berth.db", "/cluster.json"})
      EXPECT_TRUE(write_file(dir_.root + file, "x", 0600).ok());
    EXPECT_TRUE(write_file(dir_.pki() + "/ca.crt", "x", 0644).ok());
    EXPECT_TRUE(write_file(dir_.root + "/store/berth.db-wal", "x", 0644).ok()) << "as earlier versions made it";
  }
  ~OwnershipTest() override { (void)remove_all(dir_.root); }

  std::string refusal() const {
    Status status = check_ownership(dir_);
    return status.ok() ? "" : status.error().message;
  }

  ClusterDir dir_;
};

TEST_F(OwnershipTest, WhatUpMakesIsFine) {
  EXPECT_EQ(refusal(), "");
  ASSERT_EQ(::chmod(dir_.root.c_str(), 0755), 0);
  EXPECT_EQ(refusal(), "");
  (void)remove_all(dir_.root);
  EXPECT_EQ(refusal(), "") << "nothing is there yet";
}

TEST_F(OwnershipTest, OpenModesAreRefusedByName) {
  const struct {
    std::string path;
    mode_t mode;
    std::string text;
  } cases[] = {
      {"", 0777, " has mode 0777: others can change the cluster. Close it with chmod 0755 "},
      {"/pki", 0750, " has mode 0750: others can read the cluster's keys. Close it with chmod 0700 "},
      {"/pki/ca.key", 0644, " has mode 0644: others can read keys or tokens of the cluster. Close it with chmod 0600 "},
      {"/pki/tokens.csv", 0640, " has mode 0640: others can read keys or tokens"},
      {"/pki/ca.crt", 0664, " has mode 0664: others can change keys or tokens"},
      {"/store", 0755,
       " has mode 0755: others can read all objects of the cluster, secrets included. Close it with chmod 0700 "},
      {"/store/berth.db", 0666, " has mode 0666: others can change all objects"},
      {"/cluster.json", 0602, " has mode 0602: others can change what the cluster was told"},
      {"/run", 01777, " has mode 1777: others can change what runs in the cluster. Close it with chmod 1755 "},
  };
  for (const auto& each : cases) {
    const std::string path = dir_.root + each.path;
    struct ::stat before {};
    ASSERT_EQ(::stat(path.c_str(), &before), 0);
    ASSERT_EQ(::chmod(path.c_str(), each.mode), 0);
    EXPECT_EQ(refusal().substr(0, path.size() + each.text.size()), path + each.text);
    ASSERT_EQ(::chmod(path.c_str(), before.st_mode & 07777), 0);
    EXPECT_EQ(refusal(), "");
  }
}

TEST_F(OwnershipTest, ForeignOwnersAreRefusedByName) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  for (const std::string& path :
       {dir_.root, dir_.pki(), dir_.pki() + "/ca.key", dir_.root + "/store", dir_.root + "/store/berth.db"}) {
    ASSERT_EQ(::chown(path.c_str(), 12345, 0), 0);
    EXPECT_TRUE(refusal().starts_with(path + " belongs to user 12345, but berth runs as user 0")) << refusal();
    EXPECT_NE(refusal().find("Take it over with chown 0 " + path), std::string::npos) << refusal();
    ASSERT_EQ(::chown(path.c_str(), 0, 0), 0);
  }
}

}  // namespace
}  // namespace berth::host
