#include "scheduler/queue.h"

namespace berth::scheduler {

void PodQueue::add(PodPtr pod) {
  remove(pod->uid);
  Entry& entry = entries_[pod->uid];
  entry.pod = std::move(pod);
  entry.sequence = next_sequence_++;
  active_.insert(QueuePosition{entry.pod->priority, entry.sequence, entry.pod->uid});
}

void PodQueue::park(PodPtr pod, unsigned concerns, Duration now) {
  remove(pod->uid);
  for (const ClaimUse& claim : pod->claims) by_claim_[pod->ns + "/" + claim.name].insert(pod->uid);
  Entry& entry = entries_[pod->uid];
  entry.pod = std::move(pod);
  entry.parked = true;
  entry.concerns = concerns;
  entry.parked_at = now;
  parked_uids_.insert(entry.pod->uid);
  count_concerns(entry, 1);
}

void PodQueue::count_concerns(const Entry& entry, int sign) {
  for (std::size_t bit = 0; bit < parked_by_concern_.size(); ++bit) {
    if (entry.concerns & (1u << bit)) parked_by_concern_[bit] += sign;
  }
}

bool PodQueue::any_parked(unsigned concerns) const {
  for (std::size_t bit = 0; bit < parked_by_concern_.size(); ++bit) {
    if ((concerns & (1u << bit)) && parked_by_concern_[bit] > 0) return true;
  }
  return false;
}

void PodQueue::remove_from_claims(const Entry& entry) {
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
    remove_from_claims(found->second);
    parked_uids_.erase(uid);
    count_concerns(found->second, -1);
  } else {
    active_.erase(QueuePosition{found->second.pod->priority, found->second.sequence, {}});
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
  remove_from_claims(entry);
  parked_uids_.erase(entry.pod->uid);
  count_concerns(entry, -1);
  entry.parked = false;
  entry.sequence = next_sequence_++;
  active_.insert(QueuePosition{entry.pod->priority, entry.sequence, entry.pod->uid});
}

void PodQueue::wake(unsigned concerns, const std::function<bool(const PodInfo&)>& wakes) {
  if (!any_parked(concerns)) return;
  std::vector<std::string> woken;
  for (const std::string& uid : parked_uids_) {
    const Entry& entry = entries_.at(uid);
    if ((entry.concerns & concerns) && wakes(*entry.pod)) woken.push_back(uid);
  }
  for (const std::string& uid : woken) activate(entries_.at(uid));
}

void PodQueue::wake_users_of(const std::string& claim) {
  auto found = by_claim_.find(claim);
  if (found == by_claim_.end()) return;
  const std::set<std::string> users = found->second;
  for (const std::string& uid : users) activate(entries_[uid]);
}

Duration PodQueue::wake_older(Duration before) {
  Duration next{};
  std::vector<std::string> woken;
  for (const std::string& uid : parked_uids_) {
    const Entry& entry = entries_.at(uid);
    if (entry.parked_at <= before) {
      woken.push_back(uid);
    } else if (next == Duration::zero() || entry.parked_at < next) {
      next = entry.parked_at;
    }
  }
  for (const std::string& uid : woken) activate(entries_.at(uid));
  return next;
}

}  // namespace berth::scheduler
