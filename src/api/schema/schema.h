#pragma once
// Schema: what every kind looks like, as data. Loaded once from the embedded schema/*.schema files, immutable, any
// thread.
// Decoding, defaulting, pruning, patches, managed fields, OpenAPI, `kubectl explain` and protobuf all read from here.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::api::schema {

struct Type;

enum class Shape {
  kString,
  kBool,
  kInt32,
  kInt64,
  kDouble,
  kBytes,  // kBytes: base64 text
  kQuantity,
  kIntOrString,
  kTime,
  kMicroTime,
  kDuration,
  kObject,  // of `type`
  kList,    // of `element`
  kMap,     // string -> `element`
  kRaw,     // any JSON (RawExtension, FieldsV1, JSON)
};

// For lists: x-kubernetes-list-type and the strategic-merge strategy of 1.36's tags.
enum class ListType { kAtomic, kSet, kMap };

struct Field {
  std::string name;  // JSON
  Shape shape = Shape::kString;
  const Type* type = nullptr;      // kObject: the type; otherwise null
  std::unique_ptr<Field> element;  // kList, kMap: shape and type of an element (its name is empty)
  std::string description;         // our own words; may be empty for elements

  bool required = false;     // no +optional / omitempty upstream
  bool pointer = false;      // zero values (false, 0, "") that were given are kept, and told apart from absent ones
  bool omit_empty = true;    // not a pointer: zero values are dropped; false: they are written even where absent
  Value absent_value;        // what a Go round trip writes where nothing was given: {}, 0, ""; null: nothing
  bool null_absent = false;  // the same writes null there
  std::string gate;          // the feature gate that it is kept by; empty: always kept (feature_gates.h)
  Value default_value;       // null: none. Defaults that depend on other fields are code (defaults.h)
  std::vector<std::string> enum_values;

  ListType list_type = ListType::kAtomic;
  bool has_list_type = false;              // upstream states it (x-kubernetes-list-type)
  std::vector<std::string> list_map_keys;  // for ListType::kMap
  bool patch_merge = false;                // patchStrategy=merge
  bool patch_retain_keys = false;          // patchStrategy=retainKeys
  bool patch_replace = false;              // patchStrategy=replace: also the default of everything but objects and maps
  std::string patch_merge_key;
  bool atomic_map = false;  // +structType=atomic / +mapType=atomic

  int proto_number = 0;    // 0: not in the protobuf message (kind, apiVersion)
  int proto_outer = 0;     // for fields of an embedded message: that message's own number; 0: none
  std::string embedded;    // ... and the name of its Go type, where the schema gives it
  std::string proto_wire;  // "bytes", "varint", "fixed64"
  std::string go_type;     // as Go's JSON decoder names it in errors: "[]v1.Container", "int32"
};

struct Type {
  std::string name;  // "io.k8s.api.apps.v1.StatefulSetSpec" (the OpenAPI definition name)
  std::string description;
  std::vector<Field> fields;                        // in upstream's order; inline structs are flattened
  bool atomic = false;                              // +structType=atomic
  std::vector<std::pair<int, std::string>> embeds;  // embedded messages: number, name of the Go type
  const Field* find(std::string_view json_name) const;
  std::string_view short_name() const;  // "StatefulSetSpec"

  // Derived by the loader.
  std::vector<const Field*> by_name;             // in key order
  Value zero;                                    // what {} becomes: an object of the fields' absent values
  const struct DefaultPlan* defaults = nullptr;  // null: nothing to do in here or below
  bool gated = false;                            // a field in here or below has a gate
};

struct Subresource {
  std::string name;                  // "scale"
  std::string group, version, kind;  // "autoscaling", "v1", "Scale"
  std::vector<std::string> verbs;
};

struct Kind {
  std::string group, version, kind;
  std::string plural, singular;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  bool namespaced = true;
  std::vector<std::string> verbs;         // as discovery lists them
  std::vector<std::string> subresources;  // "status", "scale", "log", ...: the names of
  std::vector<Subresource> subresource_details;
  const Type* type = nullptr;

  api::Resource resource() const { return {group, version, plural}; }
  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  bool has_subresource(std::string_view name) const;
  bool has_verb(std::string_view verb) const;
  const Subresource* subresource(std::string_view name) const;
};

class Schema {
 public:
  virtual ~Schema() = default;
  virtual const Kind* find(const api::Resource& resource) const = 0;
  virtual const Kind* find_kind(std::string_view api_version, std::string_view kind) const = 0;
  virtual std::vector<const Kind*> kinds() const = 0;  // those with a collection, in discovery order
  // Those without one (plural is empty): Scale, Eviction, DeleteOptions, Status, and the lists (PodList, ...).
  virtual std::vector<const Kind*> other_kinds() const = 0;
  virtual const Type* find_type(std::string_view name) const = 0;
  virtual std::vector<const Type*> types() const = 0;
};

// The built-in kinds. Ends the process where an embedded file is malformed (a defect of the build).
const Schema& builtin();
// Parses schema text (docs/formats/schema.md). For tests and for the loader of builtin().
Result<std::unique_ptr<Schema>> parse_schema(const std::vector<std::pair<std::string_view, std::string_view>>& files);

// --- Decoding

struct DecodeProblems {
  std::vector<std::string> unknown;    // field paths: spec.containers[0].imag
  std::vector<std::string> duplicate;  // (of the parser)
};
// Checks `object` against its kind's type: wrong JSON types are an error (kBadRequest, worded as upstream:
// `Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field ...`), unknown
// fields are dropped and reported. Normalises what upstream's decoder does: quantities to canonical form, nulls and
// (where omitempty) empty values dropped, int-or-strings, times; field names that differ only in case are NOT accepted.
Result<Value> decode(const Kind& kind, const Value& object, DecodeProblems* problems);

// --- Defaulting: static defaults of the schema plus those that depend on other fields. Idempotent. Exactly 1.36's.
void apply_defaults(const Kind& kind, Value& object);
// Of a bare pod template or pod spec, as found inside other kinds.
void apply_pod_spec_defaults(Value& pod_spec);

}  // namespace berth::api::schema
