// Idle sets as earlier releases of Berth stored them (tests/compat): planning one writes nothing.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "controllers/testing/set_world.h"

namespace berth::controllers::statefulset {
namespace {

SetWorld world_of(const Value& stored) {
  SetWorld world(0);
  world.set = stored["set"];
  const std::pair<const char*, std::map<std::string, Value>*> parts[] = {
      {"pods", &world.pods}, {"claims", &world.claims}, {"revisions", &world.revisions}};
  for (const auto& [part, into] : parts) {
    for (const Value& object : stored[part]) (*into)[std::string(api::name_of(object))] = object;
  }
  world.now = parse_time("2030-01-01T00:00:00Z").value();
  return world;
}

std::string what_is_written(const SetWorld& world) {
  const Plan plan = world.plan();
  std::string out;
  for (const std::string& step : SetWorld::steps(plan)) out += step + "; ";
  for (const Action& action : plan.then)
    out += json::encode(action.object["status"]) + " was " + json::encode(world.set["status"]);
  return out + (plan.events.empty() ? "" : "events");
}

std::vector<std::pair<std::string, Value>> stored_sets() {
  std::vector<std::pair<std::string, Value>> out;
  for (const auto& entry : std::filesystem::directory_iterator(BERTH_SOURCE_DIR "/tests/compat")) {
    if (entry.path().extension() == ".json")
      out.emplace_back(entry.path().filename().string(), json::parse(read_file(entry.path().string()).value()).value());
  }
  return out;
}

TEST(StatefulSetCompat, AStoredSetIsSyncedWithoutAWrite) {
  const auto sets = stored_sets();
  ASSERT_GE(sets.size(), 3u);
  for (const auto& [file, stored] : sets) {
    const SetWorld world = world_of(stored);
    ASSERT_EQ(world.pods.size(), 3u) << file;
    EXPECT_EQ(what_is_written(world), "") << file;
  }
}

// The opposite case: each of these differences must cause a write.
TEST(StatefulSetCompat, WhatIsDifferentIsWritten) {
  for (const auto& [file, stored] : stored_sets()) {
    SetWorld image = world_of(stored);
    image.image("another:1");
    EXPECT_NE(what_is_written(image), "") << file;
    SetWorld gone = world_of(stored);
    gone.pods.erase(gone.pods.begin());
    EXPECT_NE(what_is_written(gone), "") << file;
  }
}

// A release with more defaults writes them with the next change of the set, and replaces no pods.
TEST(StatefulSetCompat, MoreDefaultsThanThenRollNothing) {
  for (const auto& [file, stored] : stored_sets()) {
    SetWorld world = world_of(stored);
    for (auto& [name, revision] : world.revisions) {
      Value& spec = revision.mut("data").mut("spec").mut("template").mut("spec");
      for (const char* field : {"dnsPolicy", "schedulerName", "securityContext"})
        ASSERT_TRUE(spec.erase(field)) << field;
    }
    EXPECT_EQ(what_is_written(world), "") << file;
  }
}

}  // namespace
}  // namespace berth::controllers::statefulset
