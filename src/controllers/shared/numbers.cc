#include "controllers/shared/numbers.h"

#include <algorithm>
#include <cstdint>

#include "api/object.h"
#include "api/selector.h"
#include "base/text.h"

namespace berth::controllers {
namespace {

constexpr std::int64_t kMost = INT32_MAX;

int clamped(std::int64_t number) { return static_cast<int>(std::clamp<std::int64_t>(number, 0, kMost)); }

}  // namespace

int count_in(const Value& value, int fallback) { return value.is_int() ? clamped(value.as_int()) : fallback; }

Duration seconds_in(const Value& value, int fallback) { return std::chrono::seconds(count_in(value, fallback)); }

int part_in(const Value& value, int total, bool round_up, int fallback) {
  if (value.is_int()) return clamped(value.as_int());
  std::string_view text = value.as_string();
  if (!text.ends_with('%')) return fallback;
  text.remove_suffix(1);
  const auto percent = parse_int(text);
  if (!percent.ok()) return fallback;
  return clamped((std::clamp<std::int64_t>(percent.value(), 0, kMost) * total + (round_up ? 99 : 0)) / 100);
}

std::int64_t number_after(std::int64_t number) { return number == INT64_MAX ? number : number + 1; }

std::string why_unusable(const Value& workload) {
  const Value& spec = workload["spec"];
  for (const char* field :
       {"replicas", "parallelism", "completions", "backoffLimit", "minReadySeconds", "revisionHistoryLimit"}) {
    const Value& stored = spec[field];
    if (stored.is_null() || (stored.is_int() && stored.as_int() >= 0 && stored.as_int() <= kMost)) continue;
    return "spec." + std::string(field) + " is " + json::encode(stored) + " and has to be a number from 0 to " +
           std::to_string(kMost) + ": nothing is done about this object until that is changed";
  }
  // A ReplicationController's selector is the map of labels itself.
  const Value& selector = spec["selector"];
  if (selector.is_null() || spec["template"].is_null()) return "";
  const bool is_map = workload["kind"].as_string() == "ReplicationController";
  Result<api::LabelSelector> parsed = api::LabelSelector::of_object(selector);
  if (is_map) parsed = api::LabelSelector::of_map(selector);
  if (!parsed.ok() || parsed->matches(api::labels_of(spec["template"]))) return "";
  return "spec.selector does not match the labels of spec.template, so its pods would not be its own: nothing is done about this object "
         "until that is changed";
}

}  // namespace berth::controllers
