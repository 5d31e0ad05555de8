#include "controllers/hpa/limits.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "controllers/shared/numbers.h"

namespace berth::controllers::hpa {
namespace {

constexpr int kDownWindow = 300;  // seconds; upstream's default
constexpr const char* kUpText =
    "recent recommendations were lower than current one, applying the lowest recent recommendation";
constexpr const char* kDownText =
    "recent recommendations were higher than current one, applying the highest recent recommendation";

struct Windows {
  std::int64_t up, down;  // seconds
};

Windows windows_of(const Value& behavior) {
  return {count_in(behavior["scaleUp"]["stabilizationWindowSeconds"]),
          count_in(behavior["scaleDown"]["stabilizationWindowSeconds"], kDownWindow)};
}

// The result lies between the lowest recommendation in the scale-up window and the highest in the scale-down window.
int stabilised(const Windows& windows, bool behaves, int current, int recommended, ScalingHistory& history, Time now) {
  int low = recommended, high = recommended;
  const Time up_from = now - std::chrono::seconds(windows.up), down_from = now - std::chrono::seconds(windows.down);
  for (const ScalingHistory::Entry& entry : history.recommendations) {
    if (entry.at > up_from) low = std::min(low, entry.value);
    if (entry.at > down_from) high = std::max(high, entry.value);
  }
  std::erase_if(history.recommendations,
                [&](const ScalingHistory::Entry& entry) { return entry.at < up_from && entry.at < down_from; });
  history.recommendations.push_back({now, recommended});
  if (!behaves) return high;
  return std::min(std::max(current, low), high);
}

// By how many replicas the target was scaled within the period.
int changed_within(std::int64_t seconds, const std::vector<ScalingHistory::Entry>& events, Time now) {
  int sum = 0;
  for (const ScalingHistory::Entry& event : events) {
    if (event.at > now - std::chrono::seconds(seconds)) sum += event.value;
  }
  return sum;
}

// The size that the policies of one direction allow at most.
int rate_limit(const Value& rules, bool up, int current, const ScalingHistory& history, Time now) {
  const std::string_view select = rules["selectPolicy"].as_string("Max");
  if (select == "Disabled") return current;
  const bool furthest = select != "Min", largest = furthest == up;
  int result = largest ? std::numeric_limits<int>::min() : std::numeric_limits<int>::max();
  for (const Value& policy : rules["policies"]) {
    const int period = count_in(policy["periodSeconds"]);
    const std::int64_t value = count_in(policy["value"]);
    const int start = current - changed_within(period, history.ups, now) + changed_within(period, history.downs, now);
    double proposed = static_cast<double>(up ? start + value : start - value);
    if (policy["type"].as_string() == "Percent") {
      const double part = static_cast<double>(value) / 100;
      proposed = up ? std::ceil(start * (1 + part)) : std::trunc(start * (1 - part));
    }
    const int one = static_cast<int>(std::clamp(proposed, -2e9, 2e9));
    result = largest ? std::max(result, one) : std::min(result, one);
  }
  return result;
}

void limit_to(LimitedReplicas& out, int replicas, const char* reason, const char* message) {
  out.replicas = replicas;
  out.limited = true;
  out.reason = reason;
  out.message = message;
}

void limit_above(LimitedReplicas& out, int most, int rate) {
  if (most > rate) {
    if (out.replicas > rate)
      limit_to(out, rate, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
  } else if (out.replicas > most) {
    limit_to(out, most, "TooManyReplicas", "the desired replica count is more than the maximum replica count");
  }
}

void limit_below(LimitedReplicas& out, int least, int rate) {
  if (least < rate) {
    if (out.replicas < rate)
      limit_to(out, rate, "ScaleDownLimit",
               "the desired replica count is decreasing faster than the maximum scale rate");
  } else if (out.replicas < least) {
    limit_to(out, least, "TooFewReplicas", "the desired replica count is less than the minimum replica count");
  }
}

}  // namespace

LimitedReplicas limit(const Value& behavior, const ReplicaBounds& bounds, int current, int recommended,
                      ScalingHistory& history, Time now) {
  const bool behaves = behavior.is_object();
  LimitedReplicas out;
  out.replicas = stabilised(windows_of(behavior), behaves, current, recommended, history, now);
  if (out.replicas == recommended) {
    out.able_reason = "ReadyForNewScale";
    out.able_message = "recommended size matches current size";
  } else {
    const bool up = behaves && recommended >= current;
    out.able_reason = up ? "ScaleUpStabilized" : "ScaleDownStabilized";
    out.able_message = up ? kUpText : kDownText;
  }
  out.reason = "DesiredWithinRange";
  out.message = "the desired count is within the acceptable range";
  if (!behaves) {
    limit_below(out, bounds.least, bounds.least);
    // A single wrong measurement must not create hundreds of pods.
    if (!out.limited) limit_above(out, bounds.most, std::max(2 * current, 4));
  } else if (out.replicas > current) {
    limit_above(out, bounds.most, std::max(current, rate_limit(behavior["scaleUp"], true, current, history, now)));
  } else if (out.replicas < current) {
    limit_below(out, bounds.least, std::min(current, rate_limit(behavior["scaleDown"], false, current, history, now)));
  }
  return out;
}

void record_scaling(const Value& behavior, int before, int after, ScalingHistory& history, Time now) {
  if (!behavior.is_object() || before == after) return;
  const bool up = after > before;
  std::int64_t longest = 0;
  for (const Value& policy : behavior[up ? "scaleUp" : "scaleDown"]["policies"])
    longest = std::max<std::int64_t>(longest, count_in(policy["periodSeconds"]));
  // The other direction's rates count these changes, too.
  for (const Value& policy : behavior[up ? "scaleDown" : "scaleUp"]["policies"])
    longest = std::max<std::int64_t>(longest, count_in(policy["periodSeconds"]));
  std::vector<ScalingHistory::Entry>& events = up ? history.ups : history.downs;
  std::erase_if(events,
                [&](const ScalingHistory::Entry& event) { return event.at < now - std::chrono::seconds(longest); });
  events.push_back({now, std::abs(after - before)});
}

}  // namespace berth::controllers::hpa
