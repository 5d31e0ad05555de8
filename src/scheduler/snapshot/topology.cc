#include "scheduler/snapshot/topology.h"

namespace berth::scheduler {

int Topologies::key(const std::string& label, bool& fresh) {
  auto [at, inserted] = by_label_.try_emplace(label, static_cast<int>(keys_.size()));
  if (inserted) keys_.push_back(Key{label, {}});
  fresh = fresh || inserted;
  return at->second;
}

std::vector<int> Topologies::domains_of(const Value& labels) {
  std::vector<int> out;
  out.reserve(keys_.size());
  for (Key& key : keys_) {
    const Value* value = labels.find(key.label);
    if (!value) {
      out.push_back(kNoDomain);
      continue;
    }
    auto [at, inserted] = key.values.try_emplace(value->str(), static_cast<int>(key.values.size()));
    out.push_back(at->second);
  }
  return out;
}

}  // namespace berth::scheduler
