#pragma once
// TestRuntime: a Runtime for unit tests. Time stands still until the test moves it; nothing runs by itself.

#include <deque>
#include <map>

#include "base/runtime.h"

namespace berth::client::testing {

class TestRuntime final : public Runtime {
 public:
  Time now() const override { return Time(std::chrono::hours(24 * 365 * 56)) + at_; }
  Duration monotonic() const override { return at_; }
  void post(Task task) override { ready_.push_back(std::move(task)); }
  TimerId after(Duration delay, Task task) override {
    const TimerId id = next_++;
    timers_[{at_ + std::max(delay, Duration::zero()), id}] = std::move(task);
    return id;
  }
  void cancel(TimerId id) override {
    for (auto at = timers_.begin(); at != timers_.end(); ++at) {
      if (at->first.second == id) {
        timers_.erase(at);
        return;
      }
    }
  }
  void offload(Task work, Task done) override {
    work();
    post(std::move(done));
  }
  std::uint64_t random() override { return random_ = random_ * 6364136223846793005u + 1442695040888963407u; }

  // Runs everything that is ready, without letting time pass. Returns how many tasks that were.
  int settle() {
    int count = 0;
    while (!ready_.empty()) {
      Task task = std::move(ready_.front());
      ready_.pop_front();
      task();
      ++count;
    }
    return count;
  }
  // Lets time pass, timer by timer.
  void advance(Duration time) {
    const Duration end = at_ + time;
    settle();
    while (!timers_.empty() && timers_.begin()->first.first <= end) {
      auto due = timers_.extract(timers_.begin());
      at_ = due.key().first;
      due.mapped()();
      settle();
    }
    at_ = end;
  }
  std::size_t timers() const { return timers_.size(); }

 private:
  Duration at_{};
  TimerId next_ = 1;
  std::uint64_t random_ = 42;
  std::deque<Task> ready_;
  std::map<std::pair<Duration, TimerId>, Task> timers_;
};

}  // namespace berth::client::testing
