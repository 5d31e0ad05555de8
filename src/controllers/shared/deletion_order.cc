#include "controllers/shared/deletion_order.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>

#include "api/containers.h"
#include "api/object.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::controllers {

std::optional<Time> ready_since(const Value& pod) {
  const Value& ready = api::condition_of(pod, "Ready");
  if (ready["status"].as_string() != "True") return std::nullopt;
  const auto parsed = parse_time(ready["lastTransitionTime"].as_string());
  return parsed.ok() ? parsed.value() : Time();
}

namespace {

// The sort key of a pod.
struct Rank {
  std::tuple<bool, int, bool, std::int64_t, int> standing;  // scheduled, phase, ready, cost, few neighbours
  std::optional<Time> ready, created;
  std::pair<std::int64_t, std::int64_t> restarts;  // of containers and of sidecars: the largest count of one
  std::string uid, name;
};

std::pair<std::int64_t, std::int64_t> restarts_of(const Value& pod) {
  std::int64_t containers = 0, sidecars = 0;
  for (const Value& one : pod["status"]["containerStatuses"])
    containers = std::max(containers, one["restartCount"].as_int());
  for (const Value& one : pod["spec"]["initContainers"]) {
    if (!api::is_sidecar(one)) continue;
    for (const Value& status : pod["status"]["initContainerStatuses"]) {
      if (status["name"] == one["name"]) sidecars = std::max(sidecars, status["restartCount"].as_int());
    }
  }
  return {containers, sidecars};
}

Rank rank_of(const Value& pod, const std::map<std::string, int, std::less<>>& crowd) {
  Rank rank{};
  const std::string_view node = pod["spec"]["nodeName"].as_string(), phase = pod["status"]["phase"].as_string();
  rank.ready = ready_since(pod);
  const auto cost = parse_int(api::annotation_of(pod, "controller.kubernetes.io/pod-deletion-cost"));
  const auto neighbours = crowd.find(node);
  rank.standing = {!node.empty(),
                   phase == "Running"   ? 2
                   : phase == "Unknown" ? 1
                                        : 0,
                   rank.ready.has_value(), cost.ok() ? cost.value() : 0,
                   neighbours == crowd.end() ? 0 : -neighbours->second};
  if (const auto created = parse_time(pod["metadata"]["creationTimestamp"].as_string()); created.ok())
    rank.created = created.value();
  rank.restarts = restarts_of(pod);
  rank.uid = api::uid_of(pod);
  rank.name = api::name_of(pod);
  return rank;
}

// The age, as a power of two.
int magnitude(Time at, Time now) {
  const auto age = now - at;
  return age > Duration::zero() ? std::bit_width(static_cast<std::uint64_t>(std::chrono::nanoseconds(age).count())) : 0;
}

// Negative if the first comes first.
int compare_ages(const Rank& a, const Rank& b, Time x, Time y, Time now) {
  const int p = magnitude(x, now), q = magnitude(y, now);
  return p != q ? p - q : a.uid.compare(b.uid);
}

bool goes_before(const Rank& a, const Rank& b, Time now) {
  if (a.standing != b.standing) return a.standing < b.standing;
  if (a.ready && b.ready && *a.ready != *b.ready) return compare_ages(a, b, *a.ready, *b.ready, now) < 0;
  if (a.restarts != b.restarts) return a.restarts > b.restarts;
  if (a.created && b.created && *a.created != *b.created) return compare_ages(a, b, *a.created, *b.created, now) < 0;
  return a.name < b.name;
}

}  // namespace

void order_for_deletion(std::vector<Value>& pods, const std::vector<Value>& related, Time now) {
  std::map<std::string, int, std::less<>> crowd;
  for (const Value& pod : related) {
    const std::string_view node = pod["spec"]["nodeName"].as_string();
    if (!node.empty() && !api::is_pod_terminal(pod) && !api::is_terminating(pod)) ++crowd[std::string(node)];
  }
  std::vector<std::pair<Rank, Value>> ranked;
  for (Value& pod : pods) ranked.emplace_back(rank_of(pod, crowd), std::move(pod));
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](const auto& a, const auto& b) { return goes_before(a.first, b.first, now); });
  pods.clear();
  for (auto& [rank, pod] : ranked) pods.push_back(std::move(pod));
}

}  // namespace berth::controllers
