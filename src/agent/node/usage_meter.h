#pragma once
// UsageMeter: computes rates from counters, which are sampled at each request. Pure but for its samples of the last
// minute.

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "agent/runtime/container_runtime.h"
#include "base/runtime.h"

namespace berth::agent {

struct UsageSample {
  Duration at{};  // monotonic
  ContainerUsage node;
  std::map<std::string, ContainerUsage> containers;  // by id; those that run
};

struct UsageRate {
  Duration window{};
  std::uint64_t cpu_nanocores = 0;
  std::uint64_t memory_bytes = 0;
};

class UsageMeter {
 public:
  static constexpr Duration kShortest = 900ms;  // a rate is taken over no less than this ...
  static constexpr Duration kWanted = 10s;      // ... over at least this where there is such a sample ...
  static constexpr Duration kOldest = 60s;      // ... and over no more than this

  void add(UsageSample sample);
  // Of the newest sample; nothing where no earlier one goes with it.
  std::optional<UsageRate> node() const;
  std::optional<UsageRate> container(const std::string& id) const;
  // Whether the node and every container have a rate.
  bool complete() const;
  std::size_t remembered() const { return samples_.size(); }

 private:
  template <class Find>
  std::optional<UsageRate> rate(Find find) const;
  std::deque<UsageSample> samples_;  // oldest first
};

}  // namespace berth::agent
