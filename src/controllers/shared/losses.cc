#include "controllers/shared/losses.h"

#include <algorithm>

#include "api/object.h"

namespace berth::controllers {
namespace {

constexpr Duration kOneWave = 1s;

bool is_young(const Value& pod, Time now) {
  const auto made = parse_time(pod["metadata"]["creationTimestamp"].as_string());
  return made.ok() && made.value() + kYoung > now;
}

bool is_same(const Value& before, const Value& after) {
  return !before.is_null() && api::uid_of(before) == api::uid_of(after);
}

bool has_failed(const Value& pod) { return pod["status"]["phase"].as_string() == "Failed"; }

}  // namespace

Duration back_off(int count) {
  if (count <= 1) return Duration::zero();
  return std::min<Duration>(std::chrono::seconds(1LL << std::min(count - 2, 20)), 300s);
}

bool is_disrupted_young(const Value& before, const Value& after, Time now) {
  const Value& target = api::condition_of(after, "DisruptionTarget");
  if (target["status"].as_string() != "True" || target["reason"].as_string() == "EvictionByEvictionAPI") return false;
  if (is_same(before, after) && api::condition_is_true(before, "DisruptionTarget")) return false;
  return is_young(after, now);
}

bool is_lost_young(const Value& before, const Value& after, Time now) {
  if (is_disrupted_young(before, after, now)) return true;
  return has_failed(after) && !(is_same(before, after) && has_failed(before)) && !api::is_terminating(after) &&
         is_young(after, now);
}

void Losses::record_loss(const std::string& owner, int size, Time now) {
  Entry& entry = owners_[owner];
  if (entry.last + kLossesForgotten < now) entry = Entry{};
  entry.last = now;
  const bool same_wave = entry.waves > 0 && now < std::max(entry.until, entry.started + kOneWave);
  if (same_wave) {
    ++entry.pods;
    if (entry.waves == 1 && entry.pods > size) entry.until = std::max(entry.until, entry.started + kOneWave);
    return;
  }
  ++entry.waves;
  entry.pods = 1;
  entry.started = now;
  entry.until = now + back_off(entry.waves);
  entry.reported = false;
}

Time Losses::held_until(const std::string& owner, Time now) const {
  const auto found = owners_.find(owner);
  if (found == owners_.end() || found->second.last + kLossesForgotten < now) return Time{};
  return found->second.until;
}

int Losses::count(const std::string& owner) const {
  const auto found = owners_.find(owner);
  return found == owners_.end() ? 0 : found->second.waves;
}

bool Losses::should_report(const std::string& owner) {
  const auto found = owners_.find(owner);
  return found != owners_.end() && !std::exchange(found->second.reported, true);
}

}  // namespace berth::controllers
