#include "client/queue.h"

#include <algorithm>
#include <utility>

namespace berth::client {

WorkQueue::WorkQueue(Runtime& runtime, Backoff backoff, Task on_ready)
    : runtime_(runtime), backoff_(backoff), on_ready_(std::move(on_ready)) {}

WorkQueue::~WorkQueue() {
  for (auto& [key, waiting] : waiting_) runtime_.cancel(waiting.timer);
}

void WorkQueue::add(const std::string& key) {
  if (!dirty_.insert(key).second) return;
  if (working_.count(key)) return;  // done() makes it ready
  ready_.push_back(key);
  on_ready_();
}

void WorkQueue::add_after(const std::string& key, Duration delay) {
  if (delay <= Duration::zero()) return add(key);
  const Duration at = runtime_.monotonic() + delay;
  auto found = waiting_.find(key);
  if (found != waiting_.end()) {
    if (found->second.at <= at) return;
    runtime_.cancel(found->second.timer);
    waiting_.erase(found);
  }
  const TimerId timer = runtime_.after(delay, [this, key] {
    const std::string due = key;
    waiting_.erase(due);
    add(due);
  });
  waiting_[key] = Waiting{at, timer};
}

void WorkQueue::add_waiting() {
  auto waiting = std::exchange(waiting_, {});
  for (auto& [key, one] : waiting) {
    runtime_.cancel(one.timer);
    add(key);
  }
}

void WorkQueue::add_failed(const std::string& key) {
  const int count = failures_[key]++;
  Duration delay = backoff_.first;
  for (int i = 0; i < count && delay < backoff_.limit; ++i) delay *= 2;
  add_after(key, std::min(delay, backoff_.limit));
}

int WorkQueue::failures(const std::string& key) const {
  auto found = failures_.find(key);
  return found == failures_.end() ? 0 : found->second;
}

std::optional<std::string> WorkQueue::pop() {
  if (ready_.empty()) return std::nullopt;
  std::string key = std::move(ready_.front());
  ready_.pop_front();
  dirty_.erase(key);
  working_.insert(key);
  return key;
}

void WorkQueue::done(const std::string& key) {
  if (!working_.erase(key)) return;
  if (!dirty_.count(key)) return;
  ready_.push_back(key);
  on_ready_();
}

}  // namespace berth::client
