#include "apiserver/openapi/definitions.h"

namespace berth::apiserver::openapi {
namespace {

using api::schema::Field;
using api::schema::Kind;
using api::schema::ListType;
using api::schema::Shape;
using api::schema::Type;

constexpr std::string_view kQuantity = "io.k8s.apimachinery.pkg.api.resource.Quantity";
constexpr std::string_view kIntOrString = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
constexpr std::string_view kTime = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
constexpr std::string_view kMicroTime = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
constexpr std::string_view kFields = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
constexpr std::string_view kRaw = "io.k8s.apimachinery.pkg.runtime.RawExtension";

Value typed(std::string_view type, std::string_view format = {}) {
  Value made = Value::object({{"type", type}});
  if (!format.empty()) made.set("format", format);
  return made;
}

std::string patch_strategy(const Field& field) {
  if (field.patch_replace) return "replace";
  if (field.patch_merge) return field.patch_retain_keys ? "merge,retainKeys" : "merge";
  return field.patch_retain_keys ? "retainKeys" : "";
}

void add_extensions(const Field& field, Value& made) {
  if (field.has_list_type) {
    made.set("x-kubernetes-list-type", field.list_type == ListType::kMap   ? "map"
                                       : field.list_type == ListType::kSet ? "set"
                                                                           : "atomic");
  }
  if (!field.list_map_keys.empty()) {
    Value keys = Value::array();
    for (const std::string& key : field.list_map_keys) keys.push(key);
    made.set("x-kubernetes-list-map-keys", std::move(keys));
  }
  if (field.atomic_map) made.set("x-kubernetes-map-type", "atomic");
  if (!field.patch_merge_key.empty()) made.set("x-kubernetes-patch-merge-key", field.patch_merge_key);
  if (std::string strategy = patch_strategy(field); !strategy.empty()) {
    made.set("x-kubernetes-patch-strategy", strategy);
  }
}

}  // namespace

Definitions::Definitions(const api::schema::Schema& schema, Dialect dialect) : schema_(schema), dialect_(dialect) {
  auto add = [&](const Kind* kind) { kinds_[kind->type].push_back({kind->group, kind->version, kind->kind}); };
  const Type* delete_options = schema.find_type(kDeleteOptionsType);
  std::set<std::pair<std::string, std::string>> versions;
  for (const Kind* kind : schema.kinds()) {
    add(kind);
    // DeleteOptions may be sent in the name of any group.
    if (delete_options && versions.insert({kind->group, kind->version}).second) {
      kinds_[delete_options].push_back({kind->group, kind->version, "DeleteOptions"});
    }
  }
  for (const Kind* kind : schema.other_kinds()) {
    if (kind->type != delete_options) add(kind);
  }
}

Value Definitions::reference(std::string_view definition) {
  wanted_.emplace(definition);
  std::string_view prefix = dialect_ == Dialect::kV2 ? "#/definitions/" : "#/components/schemas/";
  return Value::object({{"$ref", std::string(prefix) + std::string(definition)}});
}

Value Definitions::shared(std::string_view name) const {
  auto made = [](Value value, std::string_view description) {
    value.set("description", description);
    return value;
  };
  if (name == kQuantity) {
    constexpr std::string_view kText = "An amount: a number with an optional suffix, such as 500m, 2, 1.5Gi or 10k.";
    if (dialect_ == Dialect::kV2) return made(typed("string"), kText);
    return made(Value::object({{"oneOf", Value::array({typed("string"), typed("number")})}}), kText);
  }
  if (name == kIntOrString) {
    constexpr std::string_view kText = "A whole number or a string, such as a port number or a port name.";
    if (dialect_ == Dialect::kV2) return made(typed("string", "int-or-string"), kText);
    Value either = Value::array({typed("integer"), typed("string")});
    return made(Value::object({{"format", "int-or-string"}, {"oneOf", std::move(either)}}), kText);
  }
  if (name == kTime) return made(typed("string", "date-time"), "A point in time, to the second.");
  if (name == kMicroTime) return made(typed("string", "date-time"), "A point in time, to the microsecond.");
  if (name == kFields) return made(typed("object"), "A set of fields, as a tree of their names.");
  if (name == kRaw) return made(typed("object"), "Any object.");
  if (name == kPatchType) return made(typed("object"), "A patch, in the form that its content type says.");
  return Value();
}

Value Definitions::shape(const Field& field) {
  switch (field.shape) {
    case Shape::kString: return typed("string");
    case Shape::kBool: return typed("boolean");
    case Shape::kInt32: return typed("integer", "int32");
    case Shape::kInt64: return typed("integer", "int64");
    case Shape::kDouble: return typed("number", "double");
    case Shape::kBytes: return typed("string", "byte");
    case Shape::kDuration: return typed("string");
    case Shape::kQuantity: return reference(kQuantity);
    case Shape::kIntOrString: return reference(kIntOrString);
    case Shape::kTime: return reference(kTime);
    case Shape::kMicroTime: return reference(kMicroTime);
    case Shape::kRaw: return reference(field.name == "fieldsV1" ? kFields : kRaw);
    case Shape::kObject: return reference(field.type->name);
    case Shape::kList: {
      Value made = typed("array");
      made.set("items", this->field(*field.element, false));
      return made;
    }
    case Shape::kMap: {
      Value made = typed("object");
      made.set("additionalProperties", this->field(*field.element, false));
      return made;
    }
  }
  return Value::object();
}

Value Definitions::field(const Field& field, bool with_description) {
  Value made = shape(field);
  if (!field.enum_values.empty()) {
    Value values = Value::array();
    for (const std::string& value : std::set<std::string>(field.enum_values.begin(), field.enum_values.end())) {
      values.push(value);
    }
    made.set("enum", std::move(values));
  }
  if (!with_description) return made;
  Value extra = Value::object();
  if (!field.description.empty()) extra.set("description", field.description);
  if (!field.default_value.is_null()) extra.set("default", field.default_value);
  add_extensions(field, extra);
  // Version 3 knows no neighbours of $ref.
  if (dialect_ == Dialect::kV3 && made.contains("$ref") && !extra.empty()) {
    made = Value::object({{"allOf", Value::array({made})}});
  }
  for (json::Entry entry : extra.entries()) made.set(entry.key, entry.value);
  return made;
}

Value Definitions::type(const Type& type) {
  Value made = typed("object");
  if (!type.description.empty()) made.set("description", type.description);
  Value required = Value::array();
  for (const Field& field : type.fields) {
    made.mut("properties").set(field.name, this->field(field, true));
    if (field.required) required.push(field.name);
  }
  if (!required.empty()) made.set("required", std::move(required));
  if (type.atomic) made.set("x-kubernetes-map-type", "atomic");
  if (auto at = kinds_.find(&type); at != kinds_.end()) {
    Value kinds = Value::array();
    for (const GroupVersionKind& kind : at->second) kinds.push(kind.value());
    made.set("x-kubernetes-group-version-kind", std::move(kinds));
  }
  return made;
}

Value Definitions::used() {
  Value made = Value::object();
  while (!wanted_.empty()) {  // writing one may want others
    std::string name = std::move(wanted_.extract(wanted_.begin()).value());
    if (made.contains(name)) continue;
    const Type* found = schema_.find_type(name);
    Value text = found ? type(*found) : shared(name);
    BERTH_CHECK(!text.is_null(), "a reference to a definition that does not exist");
    made.set(name, std::move(text));
  }
  return made;
}

Value Definitions::all() {
  for (const Type* type : schema_.types()) wanted_.insert(type->name);
  return used();
}

}  // namespace berth::apiserver::openapi
