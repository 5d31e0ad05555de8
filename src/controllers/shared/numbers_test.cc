#include "controllers/shared/numbers.h"

#include <gtest/gtest.h>

#include "base/time/time.h"
#include "controllers/shared/losses.h"

namespace berth::controllers {
namespace {

Value from(std::string_view text) { return json::parse(text).value(); }

TEST(Numbers, StayWithinTheirFields) {
  struct Case {
    const char* stored;
    int count, part;  // of 10
  };
  for (const Case& one : {Case{"0", 0, 0},
                          {"7", 7, 7},
                          {"-1", 0, 0},
                          {"2147483647", INT32_MAX, INT32_MAX},
                          {"2147483648", INT32_MAX, INT32_MAX},
                          {"9223372036854775807", INT32_MAX, INT32_MAX},
                          {"-9223372036854775808", 0, 0},
                          {"null", 5, 5},
                          {"\"x\"", 5, 5},
                          {"\"25%\"", 5, 3},
                          {"\"-25%\"", 5, 0},
                          {"\"9999999999999%\"", 5, 214748365},
                          {"\"%\"", 5, 5},
                          {"{}", 5, 5},
                          {"true", 5, 5}}) {
    EXPECT_EQ(count_in(from(one.stored), 5), one.count) << one.stored;
    EXPECT_EQ(part_in(from(one.stored), 10, true, 5), one.part) << one.stored;
    EXPECT_EQ(seconds_in(from(one.stored), 5), Duration(std::chrono::seconds(one.count))) << one.stored;
  }
  EXPECT_EQ(part_in("25%", 10, false), 2);
  EXPECT_EQ(number_after(7), 8);
  EXPECT_EQ(number_after(INT64_MAX), INT64_MAX);
}

TEST(Numbers, WhatMakesAWorkloadUnusable) {
  EXPECT_EQ(why_unusable(from(R"({"spec":{}})")), "");
  EXPECT_EQ(why_unusable(from(R"({"spec":{"replicas":null,"minReadySeconds":0,"revisionHistoryLimit":2147483647}})")),
            "");
  for (const char* field :
       {"replicas", "parallelism", "completions", "backoffLimit", "minReadySeconds", "revisionHistoryLimit"}) {
    Value workload = Value::object();
    workload.mut("spec").set(field, std::int64_t{1} << 31);
    EXPECT_EQ(
        why_unusable(workload),
        "spec." + std::string(field) +
            " is 2147483648 and has to be a number from 0 to 2147483647: nothing is done about this object until that is changed");
  }
  const char* set = R"({"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}}}}})";
  EXPECT_NE(why_unusable(from(set)), "");
  const char* controller =
      R"({"kind":"ReplicationController","spec":{"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b","c":"d"}}}}})";
  EXPECT_EQ(why_unusable(from(controller)), "");
}

TEST(LossesTest, TheFirstAreReplacedAtOnceThenEverMoreSlowly) {
  Losses losses;
  Time now = Time{} + 1h;
  EXPECT_LE(losses.held_until("a", now), now);
  for (int i = 0; i < 3; ++i) losses.record_loss("a", 3, now);
  EXPECT_LE(losses.held_until("a", now), now) << "as many as it wants";
  losses.record_loss("a", 3, now);
  EXPECT_EQ(losses.held_until("a", now), now + 1s);
  EXPECT_LE(losses.held_until("b", now), now);
  now += 1s;
  for (Duration hold : {1s, 2s, 4s, 8s}) {
    for (int i = 0; i < 10; ++i) losses.record_loss("a", 3, now);
    EXPECT_EQ(losses.held_until("a", now), now + hold);
    EXPECT_TRUE(losses.should_report("a"));
    EXPECT_FALSE(losses.should_report("a"));
    now += hold + 1s;
  }
  now += 601s;
  losses.record_loss("a", 3, now);
  EXPECT_LE(losses.held_until("a", now), now) << "long ago";
}

TEST(LossesTest, WhichPodsAreLost) {
  const Time now = parse_time("2026-01-01T01:00:00Z").value();
  Value young =
      from(R"({"metadata":{"uid":"a","creationTimestamp":"2026-01-01T00:59:30Z"},"status":{"phase":"Running"}})");
  auto taken = [](Value pod, const char* reason) {
    pod.mut("status").set(
        "conditions",
        Value::array({Value::object({{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", reason}})}));
    return pod;
  };
  Value failed = young;
  failed.mut("status").set("phase", "Failed");
  EXPECT_FALSE(is_lost_young(young, young, now));
  EXPECT_TRUE(is_lost_young(young, failed, now));
  EXPECT_FALSE(is_lost_young(failed, failed, now));
  EXPECT_TRUE(is_lost_young(Value(), failed, now));
  EXPECT_FALSE(is_lost_young(young, failed, now + 1min)) << "it has lived";
  EXPECT_TRUE(is_lost_young(young, taken(young, "DeletionByTaintManager"), now));
  EXPECT_TRUE(is_disrupted_young(young, taken(failed, "DeletionByPodGC"), now));
  EXPECT_FALSE(is_disrupted_young(young, failed, now));
  EXPECT_FALSE(is_lost_young(young, taken(young, "EvictionByEvictionAPI"), now)) << "somebody asked for it";
  EXPECT_FALSE(is_lost_young(taken(young, "DeletionByPodGC"), taken(young, "DeletionByPodGC"), now));
  EXPECT_FALSE(is_lost_young(young, Value(), now)) << "deleted by hand";
}

}  // namespace
}  // namespace berth::controllers
