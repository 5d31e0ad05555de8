#pragma once
// WriteBudget: bounds the writes that one controller makes for one key. Each key has a token bucket, large enough for
// any finite work. A bucket runs empty only if another client undoes the controller's writes as fast as they are made:
// this bounds write loops that no planner foresees.
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
    // Added for each object that the key's object owns, up to max_members.
    double burst_per_member = 10;
    double per_second_per_member = 1;
    int max_members = 5000;
  };

  explicit WriteBudget(Limits limits) : limits_(limits) {}

  // How long the key's next plan has to wait; zero if it may run now.
  Duration delay_for(const std::string& key, Duration now);
  // True for the first wait since the bucket was last more than half full: the driver reports that one only.
  bool should_report_delay(const std::string& key);
  // The largest number set counts until the bucket is full again.
  void set_members(const std::string& key, int members, Duration now);
  void spend(const std::string& key, int writes, Duration now);
  // The rate of the key's bucket.
  double per_second(const std::string& key) const;

 private:
  struct Bucket {
    double tokens = 0;
    Duration at{};
    int members = 0;
    bool reported = false;
  };
  double burst(const Bucket& bucket) const { return limits_.burst + limits_.burst_per_member * bucket.members; }
  double rate(const Bucket& bucket) const {
    return limits_.per_second + limits_.per_second_per_member * bucket.members;
  }
  void refill(Bucket& bucket, Duration now) const;
  Bucket& bucket_of(const std::string& key, Duration now);

  Limits limits_;
  std::unordered_map<std::string, Bucket> buckets_;  // full ones are removed
  std::size_t sweep_at_ = 256;
};

}  // namespace berth::controllers
