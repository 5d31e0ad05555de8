#include "agent/logs/read_logs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/testing/test_node.h"
#include "base/files.h"

namespace berth::agent {
namespace {

TEST(ReadLogs, RemembersTheLastClientsOfLogsThatAreThere) {
  testing::TemporaryDirectory directory;
  const std::string first = directory / "first.log", second = directory / "second.log";
  for (const std::string& log : {first, second}) ASSERT_TRUE(write_file(log, "").ok());
  ReadLogs read;
  for (int i = 0; i < 1000; ++i) read.note(first, "client " + std::to_string(i), i);
  EXPECT_EQ(read.size(), ReadLogs::kClients);
  read.note(first, "client 999", 5);
  read.note(second, "client 999", 7);
  EXPECT_EQ(read.size(), ReadLogs::kClients + 1);
  EXPECT_EQ(read.take(first, "client 0"), std::nullopt);
  EXPECT_EQ(read.take(first, "client 999"), std::nullopt) << "one takes for all";
  EXPECT_EQ(read.take(second, "client 999"), 7);
  for (int i = 0; i < 3; ++i) read.note(first, "c", i);
  EXPECT_EQ(read.size(), 1u);
  ::unlink(first.c_str());
  read.note(second, "c", 1);
  EXPECT_EQ(read.size(), 1u) << "without an attach";
  EXPECT_EQ(read.take(second, "c"), 1);
}

}  // namespace
}  // namespace berth::agent
