#include "controllers/shared/taints.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "api/object.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers {
namespace {

using TaintKeys = std::vector<std::pair<std::string_view, std::string_view>>;  // key, effect

// True for taints that follow from the node's conditions and spec.unschedulable.
bool is_managed(const Value& taint) {
  const std::string_view key = taint["key"].as_string(), effect = taint["effect"].as_string();
  if (effect == kNoExecute) return key == kNotReady || key == kUnreachable;
  if (effect != kNoSchedule) return false;
  for (std::string_view one :
       {kNotReady, kUnreachable, kUnschedulable, kMemoryPressure, kDiskPressure, kPidPressure, kNetworkUnavailable}) {
    if (key == one) return true;
  }
  return false;
}

TaintKeys managed_keys(const Value& node) {
  TaintKeys out;
  const std::string_view ready = api::condition_of(node, "Ready")["status"].as_string();
  if (ready == "False") out.insert(out.end(), {{kNotReady, kNoSchedule}, {kNotReady, kNoExecute}});
  if (ready == "Unknown") out.insert(out.end(), {{kUnreachable, kNoSchedule}, {kUnreachable, kNoExecute}});
  const std::pair<const char*, std::string_view> pressures[] = {{"MemoryPressure", kMemoryPressure},
                                                                {"DiskPressure", kDiskPressure},
                                                                {"PIDPressure", kPidPressure},
                                                                {"NetworkUnavailable", kNetworkUnavailable}};
  for (const auto& [type, key] : pressures) {
    if (api::condition_is_true(node, type)) out.emplace_back(key, kNoSchedule);
  }
  if (node["spec"]["unschedulable"].as_bool()) out.emplace_back(kUnschedulable, kNoSchedule);
  return out;
}

}  // namespace

bool tolerates(const Value& toleration, const Value& taint) {
  const std::string_view effect = toleration["effect"].as_string();
  if (!effect.empty() && effect != taint["effect"].as_string()) return false;
  const std::string_view key = toleration["key"].as_string();
  if (!key.empty() && key != taint["key"].as_string()) return false;
  const std::string_view op = toleration["operator"].as_string();
  if (op == "Exists") return true;
  if (op == "Gt" || op == "Lt") {
    const auto limit = parse_int(toleration["value"].as_string());
    const auto found = parse_int(taint["value"].as_string());
    return limit.ok() && found.ok() && (op == "Gt" ? found.value() > limit.value() : found.value() < limit.value());
  }
  return (op.empty() || op == "Equal") && !key.empty() && toleration["value"].as_string() == taint["value"].as_string();
}

bool tolerated(const Value& tolerations, const Value& taint) {
  return std::any_of(tolerations.begin(), tolerations.end(), [&](const Value& one) { return tolerates(one, taint); });
}

std::optional<Duration> tolerated_for(const Value& pod, const Value& taint) {
  for (const Value& toleration : pod["spec"]["tolerations"]) {
    if (!tolerates(toleration, taint)) continue;
    const Value& seconds = toleration["tolerationSeconds"];
    if (seconds.is_null()) return std::nullopt;
    return seconds_in(seconds);
  }
  return Duration::zero();
}

Value desired_taints(const Value& node, Time now) {
  Value out = Value::array();
  TaintKeys required = managed_keys(node);
  for (const Value& taint : node["spec"]["taints"]) {
    if (!is_managed(taint)) {
      out.push(taint);
      continue;
    }
    auto found = std::find_if(required.begin(), required.end(), [&](const auto& one) {
      return one.first == taint["key"].as_string() && one.second == taint["effect"].as_string();
    });
    if (found == required.end()) continue;
    out.push(taint);
    required.erase(found);
  }
  for (const auto& [key, effect] : required) {
    out.push(Value::object({{"key", key}, {"effect", effect}, {"timeAdded", format_time(now)}}));
  }
  return out;
}

}  // namespace berth::controllers
