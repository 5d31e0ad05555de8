#pragma once
// Topologies: numbers the domains that nodes belong to, by label key: finding a node's zone is an array access. Owner:
// one Snapshot.

#include <string>
#include <unordered_map>
#include <vector>

#include "base/json/json.h"

namespace berth::scheduler {

inline constexpr int kNoDomain = -1;  // the node lacks the label

class Topologies {
 public:
  // The number of a label key; sets `fresh` if the key is new: then the caller must update all nodes (domains_of).
  int key(const std::string& label, bool& fresh);
  // For every known key, the domain of a node with these labels.
  std::vector<int> domains_of(const Value& labels);
  const std::string& label(int key) const { return keys_[static_cast<std::size_t>(key)].label; }

 private:
  struct Key {
    std::string label;
    std::unordered_map<std::string, int> values;
  };
  std::vector<Key> keys_;
  std::unordered_map<std::string, int> by_label_;
};

}  // namespace berth::scheduler
