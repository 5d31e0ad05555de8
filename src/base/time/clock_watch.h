#pragma once
// Detects jumps of the wall clock: the machine was suspended (timers do not count that time), or the clock was set. The
// owner then checks again what is due at a time of the wall clock.

#include "base/function.h"
#include "base/runtime.h"

namespace berth {

// Compares the clocks every `period`, with one timer, and calls `moved` after a jump. Loop thread; the destructor stops
// it.
class ClockWatch {
 public:
  ClockWatch(Runtime& runtime, Function<void()> moved, Duration period = 30s);
  ~ClockWatch();
  ClockWatch(const ClockWatch&) = delete;

 private:
  void wait();
  Duration difference() const { return runtime_.now().time_since_epoch() - runtime_.monotonic(); }

  Runtime& runtime_;
  Function<void()> moved_;
  Duration period_, seen_;
  TimerId timer_ = 0;
};

}  // namespace berth
