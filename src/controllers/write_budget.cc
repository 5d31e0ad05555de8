#include "controllers/write_budget.h"

#include <algorithm>
#include <utility>

namespace berth::controllers {
namespace {

// How far one plan may overdraw, in seconds of the key's rate: the next plan waits no longer, however many writes there
// were.
constexpr double kMaxOverdraftSeconds = 2;

double seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

void WriteBudget::refill(Bucket& bucket, Duration now) const {
  bucket.tokens = std::min(burst(bucket), bucket.tokens + rate(bucket) * seconds(now - bucket.at));
  bucket.at = now;
  if (bucket.tokens > burst(bucket) / 2) bucket.reported = false;
}

WriteBudget::Bucket& WriteBudget::bucket_of(const std::string& key, Duration now) {
  auto found = buckets_.find(key);
  if (found != buckets_.end()) {
    refill(found->second, now);
    return found->second;
  }
  if (buckets_.size() >= sweep_at_) {
    for (auto& [other, bucket] : buckets_) refill(bucket, now);
    std::erase_if(buckets_, [this](const auto& one) { return one.second.tokens >= burst(one.second); });
    sweep_at_ = std::max<std::size_t>(256, buckets_.size() * 2);
  }
  return buckets_.emplace(key, Bucket{limits_.burst, now}).first->second;
}

Duration WriteBudget::delay_for(const std::string& key, Duration now) {
  auto found = buckets_.find(key);
  if (found == buckets_.end()) return Duration::zero();
  Bucket& bucket = found->second;
  refill(bucket, now);
  if (bucket.tokens >= 0) return Duration::zero();
  // Wait until the bucket holds one second's worth, so that the delayed writes come in one batch.
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>((rate(bucket) - bucket.tokens) / rate(bucket)));
}

bool WriteBudget::should_report_delay(const std::string& key) {
  auto found = buckets_.find(key);
  return found != buckets_.end() && !std::exchange(found->second.reported, true);
}

void WriteBudget::set_members(const std::string& key, int members, Duration now) {
  Bucket& bucket = bucket_of(key, now);
  // Additional members add their tokens once: fewer members, and then as many again, add none.
  const int more = std::clamp(members, 0, limits_.max_members) - bucket.members;
  if (more <= 0) return;
  bucket.members += more;
  bucket.tokens += limits_.burst_per_member * more;
}

void WriteBudget::spend(const std::string& key, int writes, Duration now) {
  Bucket& bucket = bucket_of(key, now);
  bucket.tokens = std::max(bucket.tokens - writes, -kMaxOverdraftSeconds * rate(bucket));
}

double WriteBudget::per_second(const std::string& key) const {
  auto found = buckets_.find(key);
  return found == buckets_.end() ? limits_.per_second : rate(found->second);
}

}  // namespace berth::controllers
