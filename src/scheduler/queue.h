#pragma once
// PodQueue: pods without a node. Active pods are popped by priority, then in order of arrival. Parked pods fitted on no
// node: they wait for a change that concerns them. Has no timers. Owner: one scheduler, on its loop.

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
  // Makes the pod active; replaces its present entry.
  void add(PodPtr pod);
  // `concerns`: the Concern bits of the filters that rejected it.
  void park(PodPtr pod, unsigned concerns, Duration now);
  void remove(const std::string& uid);
  bool contains(const std::string& uid) const { return entries_.count(uid) > 0; }
  // Null if no pod is active.
  PodPtr pop();

  std::size_t active() const { return active_.size(); }
  std::size_t parked() const { return parked_uids_.size(); }

  // Makes the parked pods active that have one of `concerns` and for which `wakes` returns true.
  void wake(unsigned concerns, const std::function<bool(const PodInfo&)>& wakes);
  // True if a parked pod has one of `concerns`. Constant time.
  bool any_parked(unsigned concerns) const;
  // Makes the parked pods active that mount the claim "namespace/name".
  void wake_users_of(const std::string& claim);
  // Makes the pods active that were parked at `before` or earlier; returns when the next one was parked, 0 if there is
  // none.
  Duration wake_older(Duration before);

 private:
  struct Entry {
    PodPtr pod;
    bool parked = false;
    unsigned concerns = 0;
    Duration parked_at{};
    std::uint64_t sequence = 0;  // order of active entries
  };
  struct QueuePosition {
    std::int64_t priority;
    std::uint64_t sequence;
    std::string uid;
    bool operator<(const QueuePosition& other) const {
      return priority != other.priority ? priority > other.priority : sequence < other.sequence;
    }
  };
  void activate(Entry& entry);
  void count_concerns(const Entry& entry, int sign);
  void remove_from_claims(const Entry& entry);
  std::unordered_map<std::string, Entry> entries_;
  std::set<std::string> parked_uids_;
  std::array<int, 32> parked_by_concern_{};  // number of parked pods per Concern bit
  std::set<QueuePosition> active_;
  std::map<std::string, std::set<std::string>> by_claim_;  // uids of parked pods, by claim
  std::uint64_t next_sequence_ = 1;
};

}  // namespace berth::scheduler
