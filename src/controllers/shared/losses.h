#pragma once
// Losses: counts, per owner, pods that end or are disrupted soon after their creation, and delays the owner's next
// pods. Without it a pod that its node refuses, or that another controller deletes, would be replaced as fast as both
// can write. Kept in memory: after a restart the first replacement is immediate.

#include <map>
#include <string>
#include <string_view>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers {

inline constexpr Duration kYoung = 60s;             // a pod that lives longer does not count as a loss
inline constexpr Duration kLossesForgotten = 600s;  // time without a new loss after which the count starts again

// The delay of the successor after the `count`-th loss: none after the first, then 1 s, doubling to 5 minutes.
Duration back_off(int count);

// True if the change `before` -> `after` marks a pod younger than kYoung as disrupted by a controller or its node: the
// condition DisruptionTarget becomes true, for another reason than the eviction API.
bool is_disrupted_young(const Value& before, const Value& after, Time now);
// True if the pod is disrupted, or fails, while younger than kYoung.
bool is_lost_young(const Value& before, const Value& after, Time now);

// For owners of interchangeable pods. Losses while the owner waits, or within a second of the first, count as one.
class Losses {
 public:
  // `size`: the owner's desired number of pods. That many of the first losses are replaced at once.
  void record_loss(const std::string& owner, int size, Time now);
  // When the owner's next pods may be created; not in the future if they may be now.
  Time held_until(const std::string& owner, Time now) const;
  int count(const std::string& owner) const;
  // True once for each time that held_until() returns: the caller reports that wait once.
  bool should_report(const std::string& owner);
  void forget(const std::string& owner) { owners_.erase(owner); }

 private:
  struct Entry {
    int waves = 0, pods = 0;  // `pods`: losses of the present wave
    Time started{}, last{}, until{};
    bool reported = false;
  };
  std::map<std::string, Entry> owners_;
};

}  // namespace berth::controllers
