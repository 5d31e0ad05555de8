#pragma once
// For tests of guards against concurrent changes of a tree: a thread that exchanges two entries again and
// again while the guarded call runs.

#include <fcntl.h>
#include <stdio.h>

#include <atomic>
#include <string>
#include <thread>

namespace berth::testing {

class Swapper {
 public:
  static constexpr int kSwaps = 10'000;

  // Exchanges the entries `a` and `b` (paths) at least `swaps` times while more() is asked for `rounds` times. An
  // exchange without pause would keep every other look-up in the kernel from ending.
  Swapper(std::string a, std::string b, int rounds, int swaps = kSwaps)
      : rounds_(rounds), swaps_(swaps), thread_([this, a = std::move(a), b = std::move(b)] { run(a, b); }) {}
  ~Swapper() {
    stop_ = true;
    thread_.join();
  }
  // Whether the guarded call is to be tried once more.
  bool more() { return asked_.fetch_add(1) < rounds_ || done_ < swaps_; }
  int swaps() const { return done_; }

 private:
  void run(const std::string& a, const std::string& b) {
    for (unsigned n = 0; !stop_; ++n) {
      if (static_cast<long>(done_) * rounds_ > static_cast<long>(asked_) * (swaps_ + rounds_)) {
        std::this_thread::yield();
        continue;
      }
      // At another moment of the call each time.
      for (volatile unsigned spin = (n * 2654435761u) >> 20; spin != 0;) spin = spin - 1;
      if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) ++done_;
    }
  }

  const int rounds_, swaps_;
  std::atomic<int> asked_{0}, done_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace berth::testing
