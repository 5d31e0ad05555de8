#include "scheduler/queue.h"

namespace berth::scheduler {

void PodQueue::add(PodPtr pod) {
  remove(pod->uid);
  Entry& entry = entries_[pod->uid];
  entry.pod = std::move(pod);
  entry.turn = next_turn_++;
  active_.insert(Place{entry.pod->priority, entry.turn, entry.pod->uid});
}

void PodQueue::park(PodPtr pod, unsigned concerns, Duration now) {
  remove(pod->uid);
  for (const ClaimUse& claim : pod->claims) by_claim_[pod->ns + "/" + claim.name].insert(pod->uid);
  Entry& entry = entries_[pod->uid];
  entry.pod = std::move(pod);
  entry.parked = true;
  entry.concerns = concerns;
  entry.since = now;
  ++parked_;
}

void PodQueue::forget_claims(const Entry& entry) {
  for (const ClaimUse& claim : entry.pod->claims) {
    auto found = by_claim_.find(entry.pod->ns + "/" + claim.name);
    if (found == by_claim_.end()) continue;
    found->second.erase(entry.pod->uid);
    if (found->second.empty()) by_claim_.erase(found);
  }
}

void PodQueue::remove(const std::string& uid) {
  auto found = entries_.find(uid);
  if (found == entries_.end()) return;
  if (found->second.parked) {
    forget_claims(found->second);
    --parked_;
  } else {
    active_.erase(Place{found->second.pod->priority, found->second.turn, {}});
  }
  entries_.erase(found);
}

PodPtr PodQueue::pop() {
  if (active_.empty()) return nullptr;
  const std::string uid = active_.begin()->uid;
  PodPtr pod = entries_[uid].pod;
  remove(uid);
  return pod;
}

void PodQueue::activate(Entry& entry) {
  forget_claims(entry);
  --parked_;
  entry.parked = false;
  entry.turn = next_turn_++;
  active_.insert(Place{entry.pod->priority, entry.turn, entry.pod->uid});
}

void PodQueue::wake(unsigned concerns, const std::function<bool(const PodInfo&)>& wakes) {
  if (parked_ == 0) return;
  for (auto& [uid, entry] : entries_) {
    if (entry.parked && (entry.concerns & concerns) && wakes(*entry.pod)) activate(entry);
  }
}

void PodQueue::wake_users_of(const std::string& claim) {
  auto found = by_claim_.find(claim);
  if (found == by_claim_.end()) return;
  const std::set<std::string> users = found->second;
  for (const std::string& uid : users) activate(entries_[uid]);
}

Duration PodQueue::wake_older(Duration before) {
  Duration next{};
  for (auto& [uid, entry] : entries_) {
    if (!entry.parked) continue;
    if (entry.since <= before) {
      activate(entry);
    } else if (next == Duration::zero() || entry.since < next) {
      next = entry.since;
    }
  }
  return next;
}

}  // namespace berth::scheduler
