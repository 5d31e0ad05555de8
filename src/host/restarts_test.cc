#include "host/restarts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "base/fs/test_directory.h"
#include "base/time/time.h"

namespace berth::host {
namespace {

const Time kNow = parse_time("2026-01-02T03:04:05Z").value();

TEST(RestartsTest, TheNextStartIsReadAsItWasWritten) {
  const testing::TestDirectory directory;
  const std::string file = directory / "restarts.json";
  const RestartHistory waits{"server", 4, kNow - 20s, "ended",
                             PlannedStart{kNow + 12500ms, 5, kNow - 180s, "killed by signal 9 (Killed)"}};
  ASSERT_TRUE(write_restarts(file, {waits, RestartHistory{"agent", 1, kNow, "ended with exit code 1", {}}}).ok());
  const RestartHistory read = read_restarts(file, "server");
  EXPECT_EQ(describe(read), "restarted 4 times, last at 2026-01-02T03:03:45Z: ended");
  ASSERT_TRUE(read.next.has_value());
  EXPECT_EQ(read.next->at, waits.next->at);
  EXPECT_EQ(read.next->why, "killed by signal 9 (Killed)");
  EXPECT_EQ(describe(*read.next, kNow), "starts again in 12s (5 ends in 3m)");
  EXPECT_FALSE(read_restarts(file, "agent").next.has_value());
}

TEST(RestartsTest, OneThatIsDueStartsNow) {
  EXPECT_EQ(describe(PlannedStart{kNow, 1, kNow, "ended"}, kNow), "starts again now");
  EXPECT_EQ(describe(PlannedStart{kNow - 3s, 2, kNow - 33s, "ended"}, kNow), "starts again now (2 ends in 33s)");
  EXPECT_EQ(describe(PlannedStart{kNow + 6s, 1, kNow, "ended"}, kNow), "starts again in 6s");
}

}  // namespace
}  // namespace berth::host
