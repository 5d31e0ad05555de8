#include <algorithm>

#include "apiserver/registry/state.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

struct SelectableFields {
  std::string_view group, kind;
  std::vector<std::string_view> fields;
};

const std::vector<SelectableFields>& selectable() {
  static const std::vector<SelectableFields> kList = {
      {"",
       "Pod",
       {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"}},
      {"",
       "Event",
       {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type"}},
      {"events.k8s.io",
       "Event",
       {"regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "reason", "reportingController",
        "type"}},
      {"", "Node", {"spec.unschedulable"}},
      {"", "Namespace", {"status.phase"}},
      {"", "Secret", {"type"}},
      {"", "Service", {"spec.clusterIP", "spec.type"}},
      {"apps", "ReplicaSet", {"status.replicas"}},
      {"batch", "Job", {"status.successful"}},
      {"", "ReplicationController", {"status.replicas"}},
  };
  return kList;
}

bool supported(const api::schema::Kind& kind, std::string_view field) {
  if (field == "metadata.name") return true;
  if (field == "metadata.namespace") return true;
  for (const SelectableFields& row : selectable()) {
    if (row.kind == kind.kind && row.group == kind.group)
      return std::find(row.fields.begin(), row.fields.end(), field) != row.fields.end();
  }
  return false;
}

// Kinds without labels of their own are refused by the general conversion, which words it differently.
Error unknown_field(const api::schema::Kind& kind, const std::string& field) {
  for (const SelectableFields& row : selectable()) {
    if (row.kind == kind.kind && row.group == kind.group)
      return error(Code::kBadRequest, "field label not supported: " + field);
  }
  return error(Code::kBadRequest,
               quoted(field) + " is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
}

bool is_core(const api::schema::Kind& kind, std::string_view name) { return kind.group.empty() && kind.kind == name; }

// Field labels that are not simply the path of a text in the object, put as ones that are.
std::string as_paths(const api::schema::Kind& kind, const api::FieldSelector& fields, const std::string& text) {
  std::string out;
  bool changed = false;
  for (const auto& requirement : fields.requirements()) {
    std::string field = requirement.field, value = requirement.value;
    bool equal = requirement.equal;
    if (is_core(kind, "Event") && field == "source") {
      field = "source.component";
      changed = true;
    } else if (is_core(kind, "Node") && field == "spec.unschedulable" && value == "false") {
      // A node that can be scheduled to does not have the field.
      value = "true";
      equal = !equal;
      changed = true;
    }
    if (kind.group == "batch" && field == "status.successful") {
      field = "status.succeeded";
      if (value == "0") value.clear();  // not written
      changed = true;
    }
    for (const char* special : {"\\", ",", "="})
      value = replace_all(std::move(value), special, "\\" + std::string(special));
    out.append(out.empty() ? "" : ",").append(field).append(equal ? "=" : "!=").append(value);
  }
  return changed ? out : text;
}

}  // namespace

Result<Selection> parse_selection(const api::schema::Kind& kind, const std::string& label_text,
                                  const std::string& field_text) {
  Selection selection;
  Result<api::LabelSelector> labels = api::LabelSelector::parse(label_text);
  if (!labels.ok()) return error(Code::kBadRequest, labels.error().message);
  Result<api::FieldSelector> fields = api::FieldSelector::parse(field_text);
  if (!fields.ok()) return error(Code::kBadRequest, fields.error().message);
  for (const auto& requirement : fields->requirements()) {
    if (!supported(kind, requirement.field)) return unknown_field(kind, requirement.field);
  }
  selection.labels = std::move(*labels);
  BERTH_ASSIGN(selection.fields, api::FieldSelector::parse(as_paths(kind, *fields, field_text)));
  return selection;
}

}  // namespace berth::apiserver::registry
