#pragma once
// One printer a kind: its columns, and the cells of an object. Internal to table/.

#include <string_view>
#include <vector>

#include "api/schema/schema.h"
#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::apiserver::table {

struct Column {
  std::string_view name;
  std::string_view type = "string";
  std::string_view format = {};
  int priority = 0;  // 1: only with -o wide
  std::string_view description = {};
};

struct Printer {
  std::string_view group, kind;
  std::vector<Column> columns;
  Value (*cells)(const Value& object, Time now);       // as many as there are columns
  Value (*conditions)(const Value& object) = nullptr;  // of the row; null, or a function that returns null: none
};

// The kind's own printer, or the one of kinds that have none (Name, Created At).
const Printer& printer_of(const api::schema::Kind& kind);

// --- cells that several kinds share (cells.cc)

Value age_of(const Value& object, Time now);  // "5m", "<unknown>"
std::string age_text(std::string_view timestamp, Time now);
Value names_of(const Value& list, std::string_view field);  // joined by commas
std::string selector_text(const Value& label_selector);     // as kubectl prints it; "<none>"
std::string map_text(const Value& map);                     // "a=b,c=d", "<none>"
std::string access_modes_text(const Value& modes);          // "RWO,ROX"
Value none_if_empty(std::string_view text);                 // "<none>"

// --- the larger kinds
Value pod_cells(const Value& pod, Time now);  // pod_cells.cc
// Of a pod that has ended, which `kubectl get` then shows grey.
Value pod_conditions(const Value& pod);
Value node_cells(const Value& node, Time now);              // node_cells.cc
Value quota_cells(const Value& quota, Time now);            // quota_cells.cc
Value autoscaler_cells(const Value& autoscaler, Time now);  // autoscaler_cells.cc
Value metrics_cells(const Value& metrics, Time now);        // metrics_cells.cc
Value service_cells(const Value& service, Time now);        // service_cells.cc
Value endpoints_cells(const Value& endpoints, Time now);
Value endpoint_slice_cells(const Value& slice, Time now);
Value job_cells(const Value& job, Time now);  // job_cells.cc
Value cron_job_cells(const Value& cron_job, Time now);

}  // namespace berth::apiserver::table
