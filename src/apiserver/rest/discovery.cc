#include "apiserver/rest/discovery.h"

#include "apiserver/registry/kind_strategy.h"
#include "base/text.h"

namespace berth::apiserver::rest {
namespace {

template <class Strings>
Value string_array(const Strings& strings) {
  Value out = Value::array();
  for (const auto& s : strings) out.push(Value(std::string_view(s)));
  return out;
}

bool listed(const api::schema::Kind& kind) { return !kind.plural.empty() && !kind.verbs.empty(); }

// Every group and version that has a collection, in the schema's order.
std::vector<api::GroupVersion> group_versions(const api::schema::Schema& schema) {
  std::vector<api::GroupVersion> out;
  for (const api::schema::Kind* kind : schema.kinds()) {
    api::GroupVersion gv{kind->group, kind->version};
    if (listed(*kind) && std::find(out.begin(), out.end(), gv) == out.end()) out.push_back(gv);
  }
  return out;
}

Value describe_group(const std::string& group, const std::vector<api::GroupVersion>& all) {
  Value versions = Value::array();
  for (const api::GroupVersion& gv : all) {
    if (gv.group == group) versions.push(Value::object({{"groupVersion", gv.to_string()}, {"version", gv.version}}));
  }
  if (versions.empty()) return nullptr;
  Value preferred = versions[0];
  return Value::object({{"name", group}, {"versions", versions}, {"preferredVersion", preferred}});
}

// By this hash clients find that two resources have one storage.
std::string storage_version_hash(const api::schema::Kind& kind) {
  const api::schema::Kind& stored = *registry::strategy_of(kind).storage_kind;
  return base64_encode(sha256(stored.group + "/" + stored.version + "/" + stored.kind).substr(0, 8));
}

Value legacy_resource(const api::schema::Kind& kind) {
  Value out = Value::object({{"name", kind.plural},
                             {"singularName", kind.singular},
                             {"namespaced", kind.namespaced},
                             {"kind", kind.kind},
                             {"verbs", string_array(kind.verbs)}});
  if (!kind.short_names.empty()) out.set("shortNames", string_array(kind.short_names));
  if (!kind.categories.empty()) out.set("categories", string_array(kind.categories));
  const bool stored = kind.has_verb("get") && kind.has_verb("create");
  if (stored) out.set("storageVersionHash", storage_version_hash(kind));
  return out;
}

Value aggregated_resource(const api::schema::Kind& kind) {
  Value out = Value::object(
      {{"resource", kind.plural},
       {"responseKind", Value::object({{"group", kind.group}, {"version", kind.version}, {"kind", kind.kind}})},
       {"scope", kind.namespaced ? "Namespaced" : "Cluster"},
       {"singularResource", kind.singular},
       {"verbs", string_array(kind.verbs)}});
  if (!kind.short_names.empty()) out.set("shortNames", string_array(kind.short_names));
  if (!kind.categories.empty()) out.set("categories", string_array(kind.categories));
  Value subresources = Value::array();
  for (const api::schema::Subresource& sub : kind.subresource_details) {
    bool own = sub.kind.empty();
    subresources.push(Value::object({{"subresource", sub.name},
                                     {"responseKind", Value::object({{"group", own ? kind.group : sub.group},
                                                                     {"version", own ? kind.version : sub.version},
                                                                     {"kind", own ? kind.kind : sub.kind}})},
                                     {"verbs", string_array(sub.verbs)}}));
  }
  if (!subresources.empty()) out.set("subresources", subresources);
  return out;
}

}  // namespace

Value api_versions(std::string_view server_address) {
  return Value::object(
      {{"kind", "APIVersions"},
       {"versions", Value::array({"v1"})},
       {"serverAddressByClientCIDRs",
        Value::array({Value::object({{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", server_address}})})}});
}

Value api_group_list(const api::schema::Schema& schema) {
  Value groups = Value::array();
  std::vector<api::GroupVersion> all = group_versions(schema);
  std::vector<std::string> seen;
  for (const api::GroupVersion& gv : all) {
    if (gv.group.empty() || std::find(seen.begin(), seen.end(), gv.group) != seen.end()) continue;
    seen.push_back(gv.group);
    groups.push(describe_group(gv.group, all));
  }
  return Value::object({{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", groups}});
}

std::optional<Value> api_group(const api::schema::Schema& schema, std::string_view group) {
  Value found = describe_group(std::string(group), group_versions(schema));
  if (group.empty() || found.is_null()) return std::nullopt;
  found.set("kind", "APIGroup").set("apiVersion", "v1");
  return found;
}

std::optional<Value> api_resource_list(const api::schema::Schema& schema, std::string_view group,
                                       std::string_view version) {
  Value resources = Value::array();
  for (const api::schema::Kind* kind : schema.kinds()) {
    if (kind->group != group || kind->version != version || !listed(*kind)) continue;
    resources.push(legacy_resource(*kind));
    for (const api::schema::Subresource& sub : kind->subresource_details) {
      Value entry = Value::object({{"name", kind->plural + "/" + sub.name},
                                   {"singularName", ""},
                                   {"namespaced", kind->namespaced},
                                   {"kind", sub.kind.empty() ? kind->kind : sub.kind},
                                   {"verbs", string_array(sub.verbs)}});
      // Only where the group and version differ from the list's.
      bool elsewhere = !sub.kind.empty() && (sub.group != kind->group || sub.version != kind->version);
      if (elsewhere) entry.set("group", sub.group).set("version", sub.version);
      resources.push(entry);
    }
  }
  if (resources.empty()) return std::nullopt;
  return Value::object({{"kind", "APIResourceList"},
                        {"apiVersion", "v1"},
                        {"groupVersion", api::GroupVersion{std::string(group), std::string(version)}.to_string()},
                        {"resources", resources}});
}

Value aggregated_discovery(const api::schema::Schema& schema, bool core, std::string_view version) {
  Value items = Value::array();
  std::vector<std::string> groups;
  for (const api::GroupVersion& gv : group_versions(schema)) {
    if (gv.group.empty() == core && std::find(groups.begin(), groups.end(), gv.group) == groups.end()) {
      groups.push_back(gv.group);
    }
  }
  for (const std::string& group : groups) {
    Value versions = Value::array();
    for (const api::GroupVersion& gv : group_versions(schema)) {
      if (gv.group != group) continue;
      Value resources = Value::array();
      for (const api::schema::Kind* kind : schema.kinds()) {
        if (kind->group == group && kind->version == gv.version && listed(*kind)) {
          resources.push(aggregated_resource(*kind));
        }
      }
      versions.push(Value::object({{"version", gv.version}, {"resources", resources}, {"freshness", "Current"}}));
    }
    Value metadata = Value::object({{"creationTimestamp", nullptr}});
    if (!group.empty()) metadata.set("name", group);
    items.push(Value::object({{"metadata", metadata}, {"versions", versions}}));
  }
  return Value::object({{"kind", "APIGroupDiscoveryList"},
                        {"apiVersion", "apidiscovery.k8s.io/" + std::string(version)},
                        {"metadata", Value::object()},
                        {"items", items}});
}

}  // namespace berth::apiserver::rest
