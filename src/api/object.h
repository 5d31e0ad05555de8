#pragma once
// Reading and writing the parts of an API object that every kind has. Thin names over json::Value, no copies.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json/json.h"
#include "base/time/time.h"

namespace berth::api {

// "apps/v1" or, for the core group, "v1".
struct GroupVersion {
  std::string group;
  std::string version;
  std::string to_string() const { return group.empty() ? version : group + "/" + version; }
  static GroupVersion parse(std::string_view api_version);
  auto operator<=>(const GroupVersion&) const = default;
};

// A collection: {"apps", "v1", "statefulsets"}.
struct Resource {
  std::string group;
  std::string version;
  std::string resource;  // plural, lower case
  auto operator<=>(const Resource&) const = default;
  std::string group_resource() const { return group.empty() ? resource : resource + "." + group; }
};

// One object of a collection known from the context.
struct Name {
  std::string ns;  // empty for cluster-scoped kinds
  std::string name;
  auto operator<=>(const Name&) const = default;
  std::string to_string() const { return ns.empty() ? name : ns + "/" + name; }
};

inline std::string_view name_of(const Value& object) { return object["metadata"]["name"].as_string(); }
inline std::string_view namespace_of(const Value& object) { return object["metadata"]["namespace"].as_string(); }
inline std::string_view uid_of(const Value& object) { return object["metadata"]["uid"].as_string(); }
inline std::string_view kind_of(const Value& object) { return object["kind"].as_string(); }
inline std::string_view api_version_of(const Value& object) { return object["apiVersion"].as_string(); }
inline std::string_view resource_version_of(const Value& object) {
  return object["metadata"]["resourceVersion"].as_string();
}
inline const Value& labels_of(const Value& object) { return object["metadata"]["labels"]; }
inline std::string_view label_of(const Value& object, std::string_view key) {
  return object["metadata"]["labels"][key].as_string();
}
inline std::string_view annotation_of(const Value& object, std::string_view key) {
  return object["metadata"]["annotations"][key].as_string();
}
inline bool is_terminating(const Value& object) { return !object["metadata"]["deletionTimestamp"].is_null(); }
inline Name name_key(const Value& object) {
  return Name{std::string(namespace_of(object)), std::string(name_of(object))};
}

// The owner reference with controller: true, or null.
const Value& controller_of(const Value& object);
bool is_controlled_by(const Value& object, std::string_view owner_uid);
// {apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true}
Value controller_reference(const Value& owner, std::string_view api_version, std::string_view kind);

// The element of status.conditions with this type, or null.
const Value& condition_of(const Value& object, std::string_view type);
bool condition_is_true(const Value& object, std::string_view type);
// Sets a condition in `conditions` (an array, created when null), moving lastTransitionTime only when its status
// changed. Returns whether anything changed.
bool set_condition(Value& conditions, std::string_view type, std::string_view status, std::string_view reason,
                   std::string_view message, Time now);

bool is_pod_ready(const Value& pod);     // condition Ready is True
bool is_pod_terminal(const Value& pod);  // phase Succeeded or Failed

}  // namespace berth::api
