#pragma once
// StoredEvents: when each stored Event was written last, and which have to go where there are too many. Plain data, one
// thread.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/runtime.h"

namespace berth::apiserver::registry {

class StoredEvents {
 public:
  // `key`: of the Event in the store; `at`: in CLOCK_MONOTONIC.
  void record(const std::string& key, Duration at);
  void erase(const std::string& key);
  std::optional<Duration> written_at(const std::string& key) const;
  std::size_t size() const { return events_.size(); }

  // Removes `count` of them, one after the other the oldest of the namespace that has most at that moment, and returns
  // their keys and times. O(namespaces + count log n).
  std::vector<std::pair<std::string, Duration>> pop_excess(std::size_t count);

 private:
  using Order = std::pair<Duration, std::uint64_t>;  // of the Events of a namespace; equal times as they came
  using Namespace = std::map<Order, const std::string*>;
  using Namespaces = std::map<std::string, Namespace, std::less<>>;
  struct Entry {
    Namespaces::iterator ns;
    Order order;
  };

  static std::string_view namespace_of(std::string_view key);

  std::unordered_map<std::string, Entry> events_;  // by key
  Namespaces namespaces_;                          // those that have any
  std::uint64_t last_ = 0;
};

}  // namespace berth::apiserver::registry
