#include "base/time/clock_watch.h"

#include <gtest/gtest.h>

#include <map>

namespace berth {
namespace {

// Both clocks move when told.
struct TwoClocks final : Runtime {
  Duration wall{1'000s}, steady{5s};
  std::map<Duration, Task> timers;
  Time now() const override { return Time(wall); }
  Duration monotonic() const override { return steady; }
  void post(Task) override {}
  TimerId after(Duration delay, Task task) override {
    timers[steady + delay] = std::move(task);
    return 1;
  }
  void cancel(TimerId) override { timers.clear(); }
  void offload(Task, Task) override {}
  std::uint64_t random() override { return 0; }
  void pass(Duration by) {
    wall += by;
    steady += by;
    while (!timers.empty() && timers.begin()->first <= steady) {
      Task task = std::move(timers.begin()->second);
      timers.erase(timers.begin());
      task();
    }
  }
};

TEST(ClockWatch, TellsOfASuspendAndOfAClockThatWasSet) {
  TwoClocks runtime;
  int moved = 0;
  {
    ClockWatch watch(
        runtime, [&] { ++moved; }, 30s);
    for (int i = 0; i < 10; ++i) runtime.pass(30s);
    EXPECT_EQ(moved, 0);
    runtime.wall += 3h;
    runtime.pass(30s);
    EXPECT_EQ(moved, 1);
    runtime.pass(30s);
    EXPECT_EQ(moved, 1) << "once";
    runtime.wall -= 10s;
    runtime.pass(30s);
    EXPECT_EQ(moved, 2);
    runtime.wall += 200ms;  // slewed
    runtime.pass(30s);
    EXPECT_EQ(moved, 2);
    EXPECT_EQ(runtime.timers.size(), 1u);
  }
  EXPECT_TRUE(runtime.timers.empty());
}

}  // namespace
}  // namespace berth
