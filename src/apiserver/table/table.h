#pragma once
// meta.k8s.io Tables: what `kubectl get` prints. Columns and cells as Kubernetes 1.36's printers make them.

#include <string>
#include <vector>

#include "api/schema/schema.h"
#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::apiserver::table {

// The "columnDefinitions" array of a kind (name, type, format, description, priority).
Value column_definitions(const api::schema::Kind& kind);
// The "cells" array of one object; as many as there are columns.
Value cells(const api::schema::Kind& kind, const Value& object, Time now);

enum class IncludeObject { kNone, kMetadata, kObject };
// A whole Table of these objects. `list_metadata`: the list's metadata. `api_version`: "meta.k8s.io/v1" or
// ".../v1beta1". `with_columns` is false for later events of a watch (columnDefinitions empty there).
Value make_table(const api::schema::Kind& kind, const std::vector<Value>& objects, Value list_metadata,
                 IncludeObject include, std::string_view api_version, bool with_columns, Time now);

}  // namespace berth::apiserver::table
