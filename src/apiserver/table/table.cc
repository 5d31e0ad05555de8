#include "apiserver/table/table.h"

#include "apiserver/table/printers.h"

namespace berth::apiserver::table {

Value column_definitions(const api::schema::Kind& kind) {
  Value out = Value::array();
  for (const Column& column : printer_of(kind).columns) {
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
  return printer_of(kind).cells(object, now);
}

Value make_table(const api::schema::Kind& kind, const std::vector<Value>& objects, Value list_metadata,
                 IncludeObject include, std::string_view api_version, bool with_columns, Time now) {
  const Printer& printer = printer_of(kind);
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
    if (printer.conditions != nullptr) {
      if (Value conditions = printer.conditions(object); !conditions.is_null())
        row.set("conditions", std::move(conditions));
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
