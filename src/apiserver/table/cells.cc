#include <algorithm>

#include "api/object.h"
#include "api/selector.h"
#include "apiserver/table/printers.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::table {

std::string age_text(std::string_view timestamp, Time now) {
  if (timestamp.empty()) return "<unknown>";
  Result<Time> time = parse_time(timestamp);
  return time.ok() ? human_duration(now - *time) : "<unknown>";
}

Value age_of(const Value& object, Time now) {
  return age_text(object["metadata"]["creationTimestamp"].as_string(), now);
}

Value names_of(const Value& list, std::string_view field) {
  std::vector<std::string> names;
  for (const Value& element : list) names.push_back(element[field].str());
  return join(names, ",");
}

std::string map_text(const Value& map) {
  std::vector<std::string> parts;
  for (auto [key, value] : map.entries()) parts.push_back(std::string(key) + "=" + value.str());
  return parts.empty() ? "<none>" : join(parts, ",");
}

std::string selector_text(const Value& label_selector) {
  Result<api::LabelSelector> selector = api::LabelSelector::of_object(label_selector);
  if (!selector.ok()) return "<error>";
  std::string text = selector->to_string();
  return text.empty() ? "<none>" : text;
}

std::string access_modes_text(const Value& modes) {
  std::vector<std::string> shorts;
  auto has = [&](std::string_view wanted) {
    return std::any_of(modes.begin(), modes.end(), [&](const Value& mode) { return mode.as_string() == wanted; });
  };
  if (has("ReadWriteOnce")) shorts.emplace_back("RWO");
  if (has("ReadOnlyMany")) shorts.emplace_back("ROX");
  if (has("ReadWriteMany")) shorts.emplace_back("RWX");
  if (has("ReadWriteOncePod")) shorts.emplace_back("RWOP");
  return join(shorts, ",");
}

Value none_if_empty(std::string_view text) { return text.empty() ? Value("<none>") : Value(text); }

}  // namespace berth::apiserver::table
