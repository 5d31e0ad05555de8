#pragma once
// Losses: which owners' pods end or are taken away soon after they are made, and how long their owner has to wait
// before it makes the next ones. Without it a pod that its node refuses, or that another controller removes, is
// replaced as fast as both can write. Kept in memory: after a restart the first replacement comes at once again.

#include <map>
#include <string>
#include <string_view>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers {

inline constexpr Duration kYoung = 60s;             // a pod that lives longer is no loss of this kind
inline constexpr Duration kLossesForgotten = 600s;  // without a new one

// How long the successor of the `count`-th loss waits: nothing the first time, then 1 s, doubling to 5 minutes.
Duration back_off(int count);

// The change `before` -> `after` marks a pod younger than kYoung to be taken away by a controller or its node: the
// condition DisruptionTarget comes, for another reason than an eviction that somebody asked for.
bool is_taken_young(const Value& before, const Value& after, Time now);
// ... or the pod fails.
bool is_lost_young(const Value& before, const Value& after, Time now);

// For owners whose pods are alike. Losses while the owner waits, or within a second of the first, count as one.
class Losses {
 public:
  // `size`: how many pods the owner wants. The first so many are replaced at once.
  void note(const std::string& owner, int size, Time now);
  // When the next pods may be made; in the past where they may now.
  Time held_until(const std::string& owner, Time now) const;
  int count(const std::string& owner) const;
  // True once for each time that held_until() answers.
  bool tell(const std::string& owner);
  void forget(const std::string& owner) { owners_.erase(owner); }

 private:
  struct Entry {
    int waves = 0, pods = 0;  // pods of this wave
    Time started{}, last{}, until{};
    bool told = false;
  };
  std::map<std::string, Entry> owners_;
};

}  // namespace berth::controllers
