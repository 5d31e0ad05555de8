#pragma once
// PodQueue: pods without a node. Active ones are taken by priority, then first come, first served. Parked ones fitted
// nowhere: they rest until something changes that concerns them. No timers in here. Owner: one scheduler, on its loop.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/runtime.h"
#include "scheduler/snapshot/pod_info.h"

namespace berth::scheduler {

class PodQueue {
 public:
  // Makes the pod active; replaces what was known of it.
  void add(PodPtr pod);
  // `concerns`: what refused it (Concern bits).
  void park(PodPtr pod, unsigned concerns, Duration now);
  void remove(const std::string& uid);
  bool knows(const std::string& uid) const { return entries_.count(uid) > 0; }
  // Null where no pod is active.
  PodPtr pop();

  std::size_t active() const { return active_.size(); }
  std::size_t parked() const { return parked_uids_.size(); }

  // Makes active those parked pods with one of `concerns` for which `wakes` says yes.
  void wake(unsigned concerns, const std::function<bool(const PodInfo&)>& wakes);
  // Whether a parked pod has one of `concerns`. Costs nothing.
  bool any_parked(unsigned concerns) const;
  // Makes active the parked pods that mount the claim "namespace/name".
  void wake_users_of(const std::string& claim);
  // Makes active those that were parked at `before` or earlier; answers when the next one was parked, 0 where none is.
  Duration wake_older(Duration before);

 private:
  struct Entry {
    PodPtr pod;
    bool parked = false;
    unsigned concerns = 0;
    Duration since{};
    std::uint64_t turn = 0;  // of active ones
  };
  struct Place {
    std::int64_t priority;
    std::uint64_t turn;
    std::string uid;
    bool operator<(const Place& other) const {
      return priority != other.priority ? priority > other.priority : turn < other.turn;
    }
  };
  void activate(Entry& entry);
  void count_concerns(const Entry& entry, int sign);
  void forget_claims(const Entry& entry);
  std::unordered_map<std::string, Entry> entries_;
  std::set<std::string> parked_uids_;
  std::array<int, 32> concerned_{};  // parked pods with each bit
  std::set<Place> active_;
  std::map<std::string, std::set<std::string>> by_claim_;  // parked pods' uids
  std::uint64_t next_turn_ = 1;
};

}  // namespace berth::scheduler
