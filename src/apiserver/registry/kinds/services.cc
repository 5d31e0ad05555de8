// Services (families, addresses and node ports), Endpoints and EndpointSlices.
#include <map>
#include <set>

#include "api/status.h"
#include "apiserver/registry/bootstrap.h"
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/registry/state.h"
#include "apiserver/validation/validation.h"

namespace berth::apiserver::registry {
namespace {

// The family of all addresses of the cluster.
constexpr const char* kFamily = "IPv4";

// A headless Service without a selector may ask for any families: the cluster gives it no addresses, and its endpoints
// are written by a client.
bool is_free(const Value& spec) { return spec["clusterIPs"][0].as_string() == "None" && spec["selector"].empty(); }

void check_stack(const Value& spec, std::vector<Cause>& causes) {
  const Value& policy = spec["ipFamilyPolicy"];
  if (policy.as_string() != "SingleStack") return;
  for (const char* field : {"clusterIPs", "ipFamilies"}) {
    if (spec[field].size() != 2) continue;
    causes.push_back(api::invalid_value(
        "spec.ipFamilyPolicy", policy,
        "must be RequireDualStack or PreferDualStack when multiple '" + std::string(field) + "' are specified"));
  }
}

// Derives the families from the addresses.
void infer_families(Value& spec) {
  const Value ips = spec["clusterIPs"];
  for (std::size_t i = spec["ipFamilies"].size(); i < ips.size() && ips[i].as_string() != "None"; ++i) {
    spec.mut("ipFamilies").push(ips[i].as_string().find(':') == std::string_view::npos ? "IPv4" : "IPv6");
  }
}

bool is_preferred_twice(const Value& old, const Value& spec) {
  constexpr std::string_view kPrefer = "PreferDualStack";
  if (old["ipFamilyPolicy"].as_string() != kPrefer || spec["ipFamilyPolicy"].as_string() != kPrefer ||
      old["type"] != spec["type"])
    return false;
  return old["clusterIPs"] == spec["clusterIPs"] && old["ipFamilies"] == spec["ipFamilies"];
}

// `old`: the spec that is there, or null.
std::vector<Cause> complete_families(const Value& old, Value& spec) {
  if (!spec["clusterIP"].as_string().empty() && spec["clusterIPs"].empty())
    spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
  if (spec["type"].as_string() == "ExternalName") {
    // ExternalName has no policy; an unknown one is left for validation to refuse.
    const std::string_view policy = spec["internalTrafficPolicy"].as_string();
    if (policy == "Cluster" || policy == "Local") spec.erase("internalTrafficPolicy");
    return {};
  }
  if (spec["ipFamilyPolicy"].is_null() && !old["ipFamilyPolicy"].is_null())
    spec.set("ipFamilyPolicy", old["ipFamilyPolicy"]);
  if (spec["ipFamilies"].empty() && !old["ipFamilies"].empty()) spec.set("ipFamilies", old["ipFamilies"]);
  if (is_preferred_twice(old, spec)) return {};
  if (spec["ipFamilyPolicy"].is_null()) spec.set("ipFamilyPolicy", is_free(spec) ? "RequireDualStack" : "SingleStack");
  if (std::vector<Cause> causes = validation::validate_service_addresses(spec, old["clusterIPs"]); !causes.empty())
    return causes;
  // From two stacks to one: the first address and family are retained.
  if (!old.is_null() && old["ipFamilyPolicy"].as_string() != "SingleStack" &&
      spec["ipFamilyPolicy"].as_string() == "SingleStack") {
    for (const char* list : {"clusterIPs", "ipFamilies"}) {
      if (spec[list].size() > 1 && spec[list] == old[list]) spec.set(list, Value::array({old[list][0]}));
    }
  }
  std::vector<Cause> causes;
  check_stack(spec, causes);
  infer_families(spec);
  if (is_free(spec)) {
    if (spec["ipFamilies"].empty()) spec.set("ipFamilies", Value::array({kFamily}));
    const bool dual = spec["ipFamilyPolicy"].as_string() != "SingleStack";
    if (dual && spec["ipFamilies"].size() == 1)
      spec.mut("ipFamilies").push(spec["ipFamilies"][0].as_string() == "IPv4" ? "IPv6" : "IPv4");
    return causes;
  }
  if (spec["ipFamilyPolicy"].as_string() == "RequireDualStack") {
    causes.push_back(api::invalid_value("spec.ipFamilyPolicy", spec["ipFamilyPolicy"],
                                        "this cluster is not configured for dual-stack services"));
  }
  for (std::size_t i = 0; i < spec["ipFamilies"].size(); ++i) {
    if (spec["ipFamilies"][i].as_string() == kFamily) continue;
    causes.push_back(api::invalid_value("spec.ipFamilies[" + std::to_string(i) + "]", spec["ipFamilies"][i],
                                        "not configured on this cluster"));
  }
  if (causes.empty() && spec["ipFamilies"].empty()) spec.set("ipFamilies", Value::array({kFamily}));
  return causes;
}

bool has_address(const Value& spec) { return spec["type"].as_string() != "ExternalName"; }

bool is_reached_from_outside(const Value& spec) {
  return has_node_ports(spec) || (spec["type"].as_string() == "ClusterIP" && !spec["externalIPs"].empty());
}

bool same_node_ports(const Value& before, const Value& after) {
  if (before["ports"].size() != after["ports"].size()) return false;
  for (std::size_t i = 0; i < before["ports"].size(); ++i) {
    if (before["ports"][i]["nodePort"] != after["ports"][i]["nodePort"]) return false;
  }
  return true;
}

// Retains the addresses and ports that the client did not name.
void retain_allocated(const Value& old, Value& spec) {
  if (has_address(old) && has_address(spec)) {
    if (spec["clusterIP"].as_string().empty() && !old["clusterIP"].is_null()) spec.set("clusterIP", old["clusterIP"]);
    if (spec["clusterIPs"].empty() && spec["clusterIP"] == old["clusterIP"] && !old["clusterIPs"].is_null())
      spec.set("clusterIPs", old["clusterIPs"]);
  }
  if (has_node_ports(old) && has_node_ports(spec)) {
    // By the names of ports; a number that the client gave to another port is not used twice.
    std::map<std::string, std::int64_t> numbers;
    std::set<std::int64_t> named;
    for (const Value& port : old["ports"]) numbers[port["name"].str()] = port["nodePort"].as_int();
    for (const Value& port : spec["ports"]) named.insert(port["nodePort"].as_int());
    for (std::size_t i = 0; i < spec["ports"].size(); ++i) {
      if (spec["ports"][i]["nodePort"].as_int() != 0) continue;
      auto found = numbers.find(spec["ports"][i]["name"].str());
      if (found == numbers.end() || found->second == 0 || named.contains(found->second)) continue;
      spec.mut("ports").mut(i).set("nodePort", static_cast<long>(found->second));
    }
  }
  if (has_health_port(old) && has_health_port(spec) && spec["healthCheckNodePort"].as_int() == 0 &&
      !old["healthCheckNodePort"].is_null()) {
    spec.set("healthCheckNodePort", old["healthCheckNodePort"]);
  }
}

// A client that changes clusterIP only, and does not know the list, changes the list too.
void match_addresses(const Value& old, Value& spec) {
  if (spec["clusterIP"].as_string() == old["clusterIP"].as_string()) {
    if (spec["clusterIPs"].empty() && !old["clusterIPs"].empty()) spec.set("clusterIPs", old["clusterIPs"]);
    return;
  }
  if (spec["clusterIPs"] != old["clusterIPs"]) return;
  if (spec["clusterIP"].as_string().empty()) {
    spec.erase("clusterIPs");
  } else {
    spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
  }
}

// Drops fields that only the former type of the Service has, where the client did not change them.
void drop_fields_of_former_type(const Value& before, Value& after) {
  auto drop_unchanged = [&](const char* field) {
    if (!after[field].is_null() && after[field] == before[field]) after.erase(field);
  };
  auto is = [](const Value& spec, std::string_view type) { return spec["type"].as_string() == type; };
  if (!is(before, "ExternalName") && is(after, "ExternalName")) {
    for (const char* field : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"})
      drop_unchanged(field);
  }
  if (has_node_ports(before) && !has_node_ports(after) && same_node_ports(before, after)) {
    for (std::size_t i = 0; i < after["ports"].size(); ++i) {
      if (after["ports"][i]["nodePort"].as_int() != 0) after.mut("ports").mut(i).erase("nodePort");
    }
  }
  if (has_health_port(before) && !has_health_port(after)) drop_unchanged("healthCheckNodePort");
  if (is(before, "LoadBalancer") && !is(after, "LoadBalancer")) {
    for (const char* field : {"allocateLoadBalancerNodePorts", "loadBalancerClass"}) drop_unchanged(field);
  }
  if (is_reached_from_outside(before) && !is_reached_from_outside(after)) drop_unchanged("externalTrafficPolicy");
}

Status allocate_new(Registry::State& state, Value& service, bool dry_run, ServiceAddresses::Allocation& allocation) {
  std::vector<Cause> causes = complete_families(Value(), service.mut("spec"));
  if (causes.empty() && state.addresses.allocate(service, state.runtime.random(), dry_run, allocation, causes))
    return ok_status();
  return api::invalid("", "Service", api::name_of(service), std::move(causes));
}

// Gives a Service its families, addresses and node ports (a dry run: what they could be). What it had is retained where
// the client does not name it; fields of its former type are dropped.
Status allocate_addresses(Registry::State& state, const Value& before, Value& after, bool dry_run,
                          ServiceAddresses::Allocation& allocation) {
  if (before.is_null()) return allocate_new(state, after, dry_run, allocation);
  const Value& old = before["spec"];
  Value& spec = after.mut("spec");
  retain_allocated(old, spec);
  match_addresses(old, spec);
  if (std::vector<Cause> causes = complete_families(old, spec); !causes.empty())
    return api::invalid("", "Service", api::name_of(after), std::move(causes));
  BERTH_TRY(state.addresses.update(before, after, state.runtime.random(), dry_run, allocation));
  drop_fields_of_former_type(old, after.mut("spec"));
  if (old["type"].as_string() == "LoadBalancer" && after["spec"]["type"].as_string() != "LoadBalancer")
    after.mut("status").set("loadBalancer", Value::object());
  return ok_status();
}

void prepare_service(const CreateContext&, Value& object) {
  object.set("status", Value::object({{"loadBalancer", Value::object()}}));
}

void release_former(Registry::State& state, const Value& before, const Value& after) {
  state.addresses.release_former(before, after);
}

void release_addresses(const StatePtr& state, const DeletedObject& deleted) {
  if (deleted.head) state->addresses.release(deleted.head->value);
  restore_kubernetes_service(state, deleted.last);
}

// Labels count, the rest of metadata does not.
bool slice_changes(const Value& before, const Value& after) {
  Value old = before, fresh = after;
  old.set("metadata", before["metadata"]["labels"]);
  fresh.set("metadata", after["metadata"]["labels"]);
  return old != fresh;
}

constexpr std::string_view kServiceFields[] = {"spec.clusterIP", "spec.type"};

}  // namespace

std::span<const KindStrategy> service_rows() {
  static const KindStrategy kRows[] = {
      {.group = "",
       .kind = "Service",
       .upstream_path = "services/specs",
       .selectable_fields = kServiceFields,
       .prepare_create = prepare_service,
       .status_takes_metadata = true,
       .after_update = release_former,
       .allocate = allocate_addresses,
       .delete_answer = DeleteAnswer::kLastVersion,
       .after_delete = release_addresses},
      {.group = "",
       .kind = "Endpoints",
       .deprecation = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
       .upstream_path = "services/endpoints",
       .creates_on_update = true},
      {.group = "discovery.k8s.io",
       .kind = "EndpointSlice",
       .counts_gated_fields = true,
       .changes_generation = slice_changes}};
  return kRows;
}

}  // namespace berth::apiserver::registry
