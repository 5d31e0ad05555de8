#include "apiserver/table/table.h"

#include "api/object.h"
#include "apiserver/table/printers.h"

namespace berth::apiserver::table {

Value column_definitions(const api::schema::Kind& kind) {
  Value out = Value::array();
  for (const Column& column : printer_of(kind.group, kind.kind).columns) {
    out.push(Value::object({{"name", column.name},
                            {"type", column.type},
                            {"format", column.format},
                            {"description", column.description},
                            {"priority", column.priority}}));
  }
  return out;
}

// A bookmark and other bare objects have no cells worth printing, but must have as many as there are columns.
Value cells(const api::schema::Kind& kind, const Value& object, Time now) {
  return printer_of(kind.group, kind.kind).cells(object, now);
}

Value make_table(const api::schema::Kind& kind, const std::vector<Value>& objects, Value list_metadata,
                 IncludeObject include, std::string_view api_version, bool with_columns, Time now) {
  const Printer& printer = printer_of(kind.group, kind.kind);
  std::vector<Value> rows;
  rows.reserve(objects.size());
  for (const Value& object : objects) {
    Value row = Value::object({{"cells", printer.cells(object, now)}});
    if (include == IncludeObject::kMetadata) {
      row.set("object",
              Value::object(
                  {{"kind", "PartialObjectMetadata"}, {"apiVersion", api_version}, {"metadata", object["metadata"]}}));
    } else if (include == IncludeObject::kObject) {
      row.set("object", object);
    } else {
      row.set("object", nullptr);
    }
    // Where a pod has come to its end, `kubectl get` shows it grey: upstream's row condition.
    if (kind.kind == "Pod" && api::is_pod_terminal(object)) {
      bool succeeded = object["status"]["phase"].as_string() == "Succeeded";
      row.set("conditions", Value::array({Value::object({{"type", "Completed"},
                                                         {"status", "True"},
                                                         {"reason", succeeded ? "Succeeded" : "Failed"},
                                                         {"message", succeeded ? "The pod has completed successfully."
                                                                               : "The pod failed."}})}));
    }
    rows.push_back(std::move(row));
  }
  return Value::object({{"kind", "Table"},
                        {"apiVersion", api_version},
                        {"metadata", std::move(list_metadata)},
                        {"columnDefinitions", with_columns ? column_definitions(kind) : Value()},
                        {"rows", Value::array(std::move(rows))}});
}

}  // namespace berth::apiserver::table
