#include "agent/node/usage_meter.h"

#include <algorithm>

namespace berth::agent {

void UsageMeter::add(UsageSample sample) {
  while (!samples_.empty() && sample.at - samples_.front().at > kOldest) samples_.pop_front();
  // Questions that come quickly one after the other need not all be remembered.
  const std::size_t count = samples_.size();
  if (count >= 2 && samples_[count - 1].at - samples_[count - 2].at < kShortest) samples_.pop_back();
  samples_.push_back(std::move(sample));
}

// The earlier sample is the newest that is old enough, or else the oldest that is not too young.
template <class Find>
std::optional<UsageRate> UsageMeter::rate(Find find) const {
  if (samples_.empty()) return std::nullopt;
  const UsageSample& newest = samples_.back();
  const ContainerUsage* now = find(newest);
  if (!now) return std::nullopt;
  const UsageSample* earlier = nullptr;
  for (const UsageSample& sample : samples_) {
    const Duration age = newest.at - sample.at;
    const ContainerUsage* then = find(sample);
    if (age < kShortest || !then || then->cpu_nanoseconds > now->cpu_nanoseconds) continue;
    if (!earlier || age >= kWanted) earlier = &sample;
  }
  if (!earlier) return std::nullopt;
  UsageRate out;
  out.window = newest.at - earlier->at;
  const double seconds = std::chrono::duration<double>(out.window).count();
  out.cpu_nanocores =
      static_cast<std::uint64_t>(static_cast<double>(now->cpu_nanoseconds - find(*earlier)->cpu_nanoseconds) / seconds);
  out.memory_bytes = now->memory_working_set_bytes;
  return out;
}

std::optional<UsageRate> UsageMeter::node() const {
  return rate([](const UsageSample& sample) { return &sample.node; });
}

std::optional<UsageRate> UsageMeter::container(const std::string& id) const {
  return rate([&](const UsageSample& sample) -> const ContainerUsage* {
    auto at = sample.containers.find(id);
    return at == sample.containers.end() ? nullptr : &at->second;
  });
}

bool UsageMeter::complete() const {
  if (!node()) return false;
  return std::all_of(samples_.back().containers.begin(), samples_.back().containers.end(),
                     [&](const auto& one) { return container(one.first).has_value(); });
}

}  // namespace berth::agent
