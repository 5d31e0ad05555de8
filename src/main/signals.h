#pragma once
// Signals as events of a loop.

#include <functional>
#include <initializer_list>

#include "base/files.h"
#include "base/loop.h"

namespace berth {

// Blocks the signals in this thread (and in threads it starts later) and calls `handler` on the loop for each that
// arrives. Construct it before any thread is started.
class Signals {
 public:
  Signals(Loop& loop, std::initializer_list<int> signals, std::function<void(int)> handler);
  ~Signals();
  Signals(const Signals&) = delete;

 private:
  Loop& loop_;
  Fd fd_;
};

}  // namespace berth
