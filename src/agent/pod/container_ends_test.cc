#include "agent/pod/container_ends.h"

#include <gtest/gtest.h>

#include "agent/pod/pod_record.h"
#include "agent/testing/test_node.h"
#include "base/files.h"
#include "base/json/json.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

Time at(const char* text) { return parse_time(text).value(); }

TEST(ContainerEnds, AreReadAsWritten) {
  testing::TemporaryDirectory directory;
  const std::string path = directory / "ends.json";
  EXPECT_TRUE(read_container_ends(path).empty());
  ASSERT_TRUE(write_container_ends(path, {{"a", {137, true, at("2026-01-01T00:00:07Z")}}, {"b", {}}}).ok());
  ContainerEnds ends = read_container_ends(path);
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(ends["a"].exit_code, 137);
  EXPECT_TRUE(ends["a"].oom_killed);
  EXPECT_EQ(ends["a"].finished, at("2026-01-01T00:00:07Z"));
  EXPECT_FALSE(ends["b"].oom_killed);
  ASSERT_TRUE(write_file(path, "{\"a\":").ok());
  EXPECT_TRUE(read_container_ends(path).empty());
}

TEST(ContainerEnds, AreTheEndOfWhatRan) {
  const Value pod =
      json::parse(
          R"({"metadata":{"name":"p","namespace":"n","uid":"u"},"status":{"phase":"Running","containerStatuses":[
      {"name":"c","containerID":"berth://a","restartCount":2,"state":{"running":{"startedAt":"2026-01-01T00:00:05Z"}}}]}})")
          .value();
  const Time now = at("2026-01-01T00:01:00Z");
  auto ended = [&](const ContainerEnds& ends) {
    const PodRecord record = record_from_status(pod, now, ends);
    EXPECT_EQ(record.at("c").state, ContainerRecord::State::kExited);
    EXPECT_EQ(record.at("c").attempt, 2);
    EXPECT_EQ(record.at("c").ended.started, at("2026-01-01T00:00:05Z"));
    EXPECT_EQ(record.at("c").ended.container_id, "a");
    return record.at("c").ended;
  };
  Termination end = ended({{"a", {143, false, at("2026-01-01T00:00:30Z")}}});
  EXPECT_EQ(end.reason, "Error");
  EXPECT_EQ(end.exit_code, 143);
  EXPECT_EQ(end.finished, at("2026-01-01T00:00:30Z"));
  EXPECT_EQ(ended({{"a", {0, false, now}}}).reason, "Completed");
  EXPECT_EQ(ended({{"a", {137, true, now}}}).reason, "OOMKilled");
  end = ended({{"another", {0, false, at("2026-01-01T00:00:30Z")}}});
  EXPECT_EQ(end.reason, "Unknown") << "the machine ended, and nobody saw it";
  EXPECT_EQ(end.exit_code, 255);
  EXPECT_EQ(end.finished, now);
}

}  // namespace
}  // namespace berth::agent
