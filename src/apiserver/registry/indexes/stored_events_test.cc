#include "apiserver/registry/indexes/stored_events.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace berth::apiserver::registry {
namespace {

std::string key(const std::string& ns, int number) {
  return "/registry/core/events/" + ns + "/e" + std::to_string(number);
}

std::vector<std::string> keys(const std::vector<std::pair<std::string, Duration>>& taken) {
  std::vector<std::string> out;
  for (const auto& [key, at] : taken) out.push_back(key);
  return out;
}

TEST(StoredEvents, KnowTheLastWriteOfEach) {
  StoredEvents events;
  events.record(key("a", 1), 10s);
  events.record(key("a", 1), 20s);
  EXPECT_EQ(events.written_at(key("a", 1)), Duration(20s));
  EXPECT_EQ(events.written_at(key("b", 1)), std::nullopt);
  EXPECT_EQ(events.size(), 1u);
  events.erase(key("b", 1));
  EXPECT_EQ(events.size(), 1u);
  events.erase(key("a", 1));
  EXPECT_EQ(events.size(), 0u);
  EXPECT_TRUE(events.pop_excess(5).empty());
}

TEST(StoredEvents, TheOldestOfTheNamespaceWithMostGoFirst) {
  StoredEvents events;
  for (int i = 0; i < 5; ++i) events.record(key("few", i), 0s);
  for (int i = 0; i < 20; ++i) events.record(key("flood", i), std::chrono::seconds(100 - i));  // the last is the oldest
  events.record(key("flood", 19), 200s);                                                       // and is written again
  EXPECT_EQ(keys(events.pop_excess(3)),
            (std::vector<std::string>{key("flood", 18), key("flood", 17), key("flood", 16)}));
  EXPECT_EQ(events.size(), 22u);
  // Down to as few as the others have, and then from all alike, in the order of equal times.
  EXPECT_EQ(events.pop_excess(12).size(), 12u);
  EXPECT_EQ(events.written_at(key("flood", 19)), Duration(200s));
  EXPECT_EQ(events.written_at(key("few", 0)), Duration(0s));
  const std::vector<std::string> rest = keys(events.pop_excess(4));
  EXPECT_EQ(std::count(rest.begin(), rest.end(), key("few", 0)), 1);
  EXPECT_EQ(std::count(rest.begin(), rest.end(), key("few", 1)), 1);
  EXPECT_EQ(events.size(), 6u);
  EXPECT_EQ(events.pop_excess(100).size(), 6u);
  EXPECT_EQ(events.size(), 0u);
}

}  // namespace
}  // namespace berth::apiserver::registry
