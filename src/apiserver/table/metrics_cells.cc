#include "api/object.h"
#include "api/resource_list.h"
#include "apiserver/table/printers.h"

namespace berth::apiserver::table {
namespace {

std::string amount(const api::ResourceList& usage, std::string_view name) {
  auto at = usage.find(name);
  return at == usage.end() ? "0" : at->second.to_string();
}

}  // namespace

Value metrics_cells(const Value& metrics, Time) {
  api::ResourceList usage = api::resource_list(metrics["usage"]);
  for (const Value& container : metrics["containers"]) api::add(usage, api::resource_list(container["usage"]));
  return Value::array(
      {api::name_of(metrics), amount(usage, "cpu"), amount(usage, "memory"), metrics["window"].as_string()});
}

}  // namespace berth::apiserver::table
