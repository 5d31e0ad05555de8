#pragma once
// WorkQueue: the keys that a driver has to reconcile. A key is queued once, however often it is added; one that is
// added while it is being worked on is queued again by done(). First in, first out.
//
// Owner: one driver, on its Runtime's thread. No timer is armed while no key waits for a time.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/runtime.h"

namespace berth::client {

class WorkQueue {
 public:
  struct Backoff {
    Duration first = 5ms;  // delay after the first failure; doubles with each further one
    Duration limit = 100s;
  };

  // `on_ready` is called (inside add(), or by a timer) whenever a key has become ready for pop().
  WorkQueue(Runtime& runtime, Backoff backoff, Task on_ready);
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;

  void add(const std::string& key);
  // Adds the key once `delay` has passed; of several delays of one key the earliest counts. Zero or less: now.
  void add_after(const std::string& key, Duration delay);
  // Adds all keys that wait for a time.
  void add_waiting();
  // Counts a failure of the key and adds it after its back-off.
  void add_failed(const std::string& key);
  // The key was reconciled: the back-off of its next failure starts at `first` again.
  void forget(const std::string& key) { failures_.erase(key); }
  int failures(const std::string& key) const;

  // The next key, now being worked on until done(key).
  std::optional<std::string> pop();
  void done(const std::string& key);

  std::size_t ready() const { return ready_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t working() const { return working_.size(); }
  // Nothing ready, nothing being worked on; keys that wait for a time do not count.
  bool idle() const { return ready_.empty() && working_.empty(); }

 private:
  struct Waiting {
    Duration at;  // monotonic
    TimerId timer;
  };
  Runtime& runtime_;
  Backoff backoff_;
  Task on_ready_;
  std::deque<std::string> ready_;
  std::unordered_set<std::string> dirty_;  // ready, or to be made ready by done()
  std::unordered_set<std::string> working_;
  std::unordered_map<std::string, Waiting> waiting_;
  std::unordered_map<std::string, int> failures_;
};

}  // namespace berth::client
