#pragma once
// Notices that the wall clock has moved by itself: the machine was suspended (timers do not count that time), or
// somebody has set the clock. What is due at a point of the wall clock is then looked at again.

#include "base/function.h"
#include "base/runtime.h"

namespace berth {

// One look every `period`, however many depend on it. Loop thread; ends with the object.
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
