#pragma once
// WriteBudget: how many writes one controller may make on behalf of one key. A token bucket for each key, wide enough
// for any work that comes to an end. It runs dry where something undoes what the controller does as fast as it is done:
// the last line against loops that no planner foresees.
//
// A plan is never cut short: its writes may overdraw the bucket, and the next plan waits. Owner: one driver, on its
// loop.

#include <cstddef>
#include <string>
#include <unordered_map>

#include "base/runtime.h"

namespace berth::controllers {

class WriteBudget {
 public:
  struct Limits {
    double burst = 1000;     // at once ...
    double per_second = 20;  // ... and so many more each second
    // The same for each object that the key's object owns, of at most so many.
    double burst_per_member = 10;
    double per_second_per_member = 1;
    int most_members = 5000;
  };

  explicit WriteBudget(Limits limits) : limits_(limits) {}

  // How long the key's next plan has to wait; zero: not at all.
  Duration wait(const std::string& key, Duration now);
  // True for the first wait since the bucket was last more than half full.
  bool tell(const std::string& key);
  // The most that was ever said counts until the bucket is full again.
  void set_members(const std::string& key, int members, Duration now);
  void spend(const std::string& key, int writes, Duration now);
  // What the key is held to.
  double per_second(const std::string& key) const;

 private:
  struct Bucket {
    double tokens = 0;
    Duration at{};
    int members = 0;
    bool told = false;
  };
  double burst(const Bucket& bucket) const { return limits_.burst + limits_.burst_per_member * bucket.members; }
  double rate(const Bucket& bucket) const {
    return limits_.per_second + limits_.per_second_per_member * bucket.members;
  }
  void refill(Bucket& bucket, Duration now) const;
  Bucket& bucket_of(const std::string& key, Duration now);

  Limits limits_;
  std::unordered_map<std::string, Bucket> buckets_;  // full ones are dropped
  std::size_t sweep_at_ = 256;
};

}  // namespace berth::controllers
