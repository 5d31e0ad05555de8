#include "api/autoscaler_versions.h"
#include "api/object.h"
#include "apiserver/table/printers.h"
#include "base/text.h"

namespace berth::apiserver::table {
namespace {

std::string known(const Value& value) { return value.is_null() ? "<unknown>" : value.str(); }
std::string percent(const Value& value, const char* otherwise) {
  return value.is_int() ? std::to_string(value.as_int()) + "%" : otherwise;
}

std::string resource_text(const Value& source, const Value& status) {
  const Value &target = source["target"], &current = status["current"];
  const std::string name = source["name"].str() + ": ";
  if (!target["averageValue"].is_null())
    return name + known(current["averageValue"]) + "/" + target["averageValue"].str();
  return name + percent(current["averageUtilization"], "<unknown>") + "/" +
         percent(target["averageUtilization"], "<auto>");
}

std::string metric_text(const Value& spec, const Value& status) {
  const std::string_view type = spec["type"].as_string();
  if (type == "Resource") return resource_text(spec["resource"], status["resource"]);
  if (type == "ContainerResource") return resource_text(spec["containerResource"], status["containerResource"]);
  if (type == "Pods")
    return known(status["pods"]["current"]["averageValue"]) + "/" + spec["pods"]["target"]["averageValue"].str();
  const char* field = type == "Object" ? "object" : type == "External" ? "external" : "";
  const Value &target = spec[field]["target"], &current = status[field]["current"];
  if (*field == 0) return "<unknown type>";
  if (!target["averageValue"].is_null())
    return known(current["averageValue"]) + "/" + target["averageValue"].str() + " (avg)";
  return known(current["value"]) + "/" + target["value"].str();
}

std::string metrics_text(const Value& specs, const Value& statuses) {
  constexpr std::size_t kShown = 2;
  if (specs.empty()) return "<none>";
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < specs.size() && i < kShown; ++i) parts.push_back(metric_text(specs[i], statuses[i]));
  const std::string text = join(parts, ", ");
  return specs.size() > kShown ? text + " + " + std::to_string(specs.size() - kShown) + " more..." : text;
}

}  // namespace

Value autoscaler_cells(const Value& object, Time now) {
  const Value o = api::api_version_of(object) == "autoscaling/v1" ? api::autoscaler_to_v2(object) : object;
  const Value &spec = o["spec"], &target = spec["scaleTargetRef"];
  return Value::array({api::name_of(o), target["kind"].str() + "/" + target["name"].str(),
                       metrics_text(spec["metrics"], o["status"]["currentMetrics"]),
                       spec["minReplicas"].is_int() ? std::to_string(spec["minReplicas"].as_int()) : "<unset>",
                       spec["maxReplicas"].as_int(), o["status"]["currentReplicas"].as_int(), age_of(o, now)});
}

}  // namespace berth::apiserver::table
