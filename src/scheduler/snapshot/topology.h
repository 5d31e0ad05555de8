#pragma once
// Topologies: the domains that nodes belong to, by label key, as small numbers. So "which zone is this node in" is an
// array look-up however often it is asked. Owner: one Snapshot.

#include <string>
#include <unordered_map>
#include <vector>

#include "base/json/json.h"

namespace berth::scheduler {

inline constexpr int kNoDomain = -1;  // the node has no such label

class Topologies {
 public:
  // The number of a label key; `fresh` is set where nobody has asked for it before: then nodes have to be told
  // (domains_of).
  int key(const std::string& label, bool& fresh);
  // For every key asked for so far, the domain of a node with these labels.
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
