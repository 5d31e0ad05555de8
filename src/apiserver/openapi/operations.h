#pragma once
// Inside the openapi module: the paths the server answers, in a form both versions of OpenAPI are written from.

#include <string>
#include <string_view>
#include <vector>

#include "api/schema/schema.h"

namespace berth::apiserver::openapi {

struct GroupVersionKind {
  std::string group, version, kind;
  Value value() const;  // {"group": ..., "kind": ..., "version": ...}
};

struct Parameter {
  std::string_view name;
  std::string_view type;  // "string", "boolean", "integer"
  std::string_view description;
  bool in_path = false;  // required; all others are optional and in the query
};

struct Operation {
  std::string method;  // "get", "put", "post", "delete", "patch"
  std::string action;  // "list", "deletecollection", "connect", ... or the method
  std::string id;      // "listCoreV1NamespacedPod"
  std::string description;
  GroupVersionKind kind;  // what x-kubernetes-group-version-kind says
  std::vector<const Parameter*> parameters;
  std::string body;  // definition name; empty: none
  bool body_required = true;
  std::string response;    // definition name; empty: text
  std::vector<int> codes;  // of success
};

struct Path {
  std::string path;  // "/api/v1/namespaces/{namespace}/pods/{name}"
  std::vector<const Parameter*> parameters;
  std::vector<Operation> operations;
};

inline constexpr std::string_view kPatchType = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
inline constexpr std::string_view kStatusType = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
inline constexpr std::string_view kDeleteOptionsType = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

// "api/v1", "apis/apps/v1": where the kind's group and version are served, without slashes around.
std::string root_of(const api::schema::Kind& kind);
// "core_v1", "apps_v1"
std::string tag_of(const api::schema::Kind& kind);

// The paths of one kind that has a collection.
std::vector<Path> paths_of(const api::schema::Schema& schema, const api::schema::Kind& kind);

}  // namespace berth::apiserver::openapi
