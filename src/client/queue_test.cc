#include "client/queue.h"

#include <gtest/gtest.h>

#include "client/testing/test_runtime.h"

namespace berth::client {
namespace {

struct QueueTest : ::testing::Test {
  testing::TestRuntime runtime;
  int ready = 0;
  WorkQueue queue{runtime, {10ms, 100ms}, [this] { ++ready; }};
};

TEST_F(QueueTest, HoldsAKeyOnce) {
  queue.add("a");
  queue.add("b");
  queue.add("a");
  EXPECT_EQ(ready, 2);
  EXPECT_EQ(queue.pop(), "a");
  EXPECT_EQ(queue.pop(), "b");
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST_F(QueueTest, AddedWhileWorkedOnComesAgainAfterDone) {
  queue.add("a");
  EXPECT_EQ(queue.pop(), "a");
  queue.add("a");
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_FALSE(queue.idle());
  queue.done("a");
  EXPECT_EQ(queue.pop(), "a");
  queue.done("a");
  EXPECT_TRUE(queue.idle());
}

TEST_F(QueueTest, WhatWaitsForATimeCanBeAddedNow) {
  queue.add_after("a", 1h);
  queue.add_after("b", 2h);
  queue.add_waiting();
  EXPECT_EQ(queue.waiting(), 0u);
  EXPECT_EQ(queue.ready(), 2u);
}

TEST_F(QueueTest, TheEarliestTimeCounts) {
  queue.add_after("a", 50ms);
  queue.add_after("a", 20ms);
  queue.add_after("a", 90ms);
  EXPECT_EQ(queue.waiting(), 1u);
  runtime.advance(19ms);
  EXPECT_EQ(queue.ready(), 0u);
  runtime.advance(1ms);
  EXPECT_EQ(queue.pop(), "a");
  queue.done("a");
  runtime.advance(1s);
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_EQ(runtime.timers(), 0u);
}

TEST_F(QueueTest, FailuresWaitLongerUpToTheLimit) {
  for (auto expected : {10ms, 20ms, 40ms, 80ms, 100ms, 100ms}) {
    queue.add_failed("a");
    runtime.advance(expected - 1ms);
    EXPECT_EQ(queue.ready(), 0u);
    runtime.advance(1ms);
    EXPECT_EQ(queue.pop(), "a");
    queue.done("a");
  }
  EXPECT_EQ(queue.failures("a"), 6);
  queue.forget("a");
  queue.add_failed("a");
  runtime.advance(10ms);
  EXPECT_EQ(queue.ready(), 1u);
}

TEST_F(QueueTest, NothingIsLeftBehind) {
  {
    WorkQueue other(runtime, {}, [] {});
    other.add_after("a", 1s);
    EXPECT_EQ(runtime.timers(), 1u);
  }
  EXPECT_EQ(runtime.timers(), 0u);
}

}  // namespace
}  // namespace berth::client
