// What a new Service is given before it is looked at: families, addresses and node ports.
#include "api/registry/state.h"
#include "api/status.h"
#include "api/validation/validation.h"

namespace berth::registry {
namespace {

// This cluster has addresses of one family.
constexpr const char* kFamily = "IPv4";

// What a headless Service without a selector asks for is its own affair: whoever writes its endpoints knows.
bool is_free(const Value& spec) { return spec["clusterIPs"][0].as_string() == "None" && spec["selector"].empty(); }

void check_stack(const Value& spec, std::vector<Cause>& causes) {
  const Value& policy = spec["ipFamilyPolicy"];
  if (policy.as_string() != "SingleStack") return;
  for (const char* field : {"clusterIPs", "ipFamilies"}) {
    if (spec[field].size() != 2) continue;
    causes.push_back(api::invalid_value("spec.ipFamilyPolicy", policy,
                                        "must be RequireDualStack or PreferDualStack when multiple '" + std::string(field) + "' are specified"));
  }
}

// Each address says what family it is of.
void infer_families(Value& spec) {
  const Value ips = spec["clusterIPs"];
  for (std::size_t i = spec["ipFamilies"].size(); i < ips.size() && ips[i].as_string() != "None"; ++i) {
    spec.mut("ipFamilies").push(ips[i].as_string().find(':') == std::string_view::npos ? "IPv4" : "IPv6");
  }
}

std::vector<Cause> settle_families(Value& spec) {
  if (!spec["clusterIP"].as_string().empty() && spec["clusterIPs"].empty()) spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
  if (spec["type"].as_string() == "ExternalName") {
    // No policy belongs to it; one that nobody knows is still complained of.
    const std::string_view policy = spec["internalTrafficPolicy"].as_string();
    if (policy == "Cluster" || policy == "Local") spec.erase("internalTrafficPolicy");
    return {};
  }
  if (spec["ipFamilyPolicy"].is_null()) spec.set("ipFamilyPolicy", is_free(spec) ? "RequireDualStack" : "SingleStack");
  if (std::vector<Cause> causes = validation::validate_service_addresses(spec); !causes.empty()) return causes;
  std::vector<Cause> causes;
  check_stack(spec, causes);
  infer_families(spec);
  if (is_free(spec)) {
    if (spec["ipFamilies"].empty()) spec.set("ipFamilies", Value::array({kFamily}));
    const bool dual = spec["ipFamilyPolicy"].as_string() != "SingleStack";
    if (dual && spec["ipFamilies"].size() == 1) spec.mut("ipFamilies").push(spec["ipFamilies"][0].as_string() == "IPv4" ? "IPv6" : "IPv4");
    return causes;
  }
  if (spec["ipFamilyPolicy"].as_string() == "RequireDualStack") {
    causes.push_back(api::invalid_value("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], "this cluster is not configured for dual-stack services"));
  }
  for (std::size_t i = 0; i < spec["ipFamilies"].size(); ++i) {
    if (spec["ipFamilies"][i].as_string() == kFamily) continue;
    causes.push_back(api::invalid_value("spec.ipFamilies[" + std::to_string(i) + "]", spec["ipFamilies"][i], "not configured on this cluster"));
  }
  if (causes.empty() && spec["ipFamilies"].empty()) spec.set("ipFamilies", Value::array({kFamily}));
  return causes;
}

}  // namespace

Status settle_new_service(Registry::State& state, Value& service, bool dry_run) {
  std::vector<Cause> causes = settle_families(service.mut("spec"));
  if (causes.empty()) {
    const std::uint64_t chance = state.runtime.random();
    dry_run ? state.addresses.propose(Value(), service, chance, causes) : state.addresses.allocate(Value(), service, chance, causes);
  }
  if (causes.empty()) return ok_status();
  return api::invalid("", "Service", api::name_of(service), std::move(causes));
}

}  // namespace berth::registry
