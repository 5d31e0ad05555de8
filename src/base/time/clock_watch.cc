#include "base/time/clock_watch.h"

#include "base/log.h"

namespace berth {
namespace {

constexpr Duration kJump = 2s;  // more than the clocks drift apart, or are slewed, in one period

}  // namespace

ClockWatch::ClockWatch(Runtime& runtime, Function<void()> moved, Duration period)
    : runtime_(runtime), moved_(std::move(moved)), period_(period), seen_(difference()) {
  wait();
}

ClockWatch::~ClockWatch() { runtime_.cancel(timer_); }

void ClockWatch::wait() {
  timer_ = runtime_.after(period_, [this] {
    const Duration now = difference(), by = now - seen_;
    seen_ = now;
    wait();
    if (by < kJump && by > -kJump) return;
    log_info("clock", "the wall clock has moved",
             {{"seconds", std::to_string(std::chrono::duration_cast<std::chrono::seconds>(by).count())}});
    moved_();
  });
}

}  // namespace berth
