#include "controllers/endpoint/api_server.h"

#include "controllers/endpoint/mirror.h"
#include "controllers/endpoint/plan.h"

namespace berth::controllers::endpoint {
namespace {

using namespace api::resources;  // NOLINT

Value named(const char* api_version, const char* kind) {
  return Value::object({{"apiVersion", api_version},
                        {"kind", kind},
                        {"metadata", Value::object({{"name", "kubernetes"}, {"namespace", "default"}})}});
}

void sync_endpoints(const Value& known, const Value& address, const Value& port, Plan& plan) {
  if (api::is_terminating(known)) return;
  const Value subsets = Value::array({Value::object(
      {{"addresses", Value::array({Value::object({{"ip", address}})})}, {"ports", Value::array({port})}})});
  // The slice is written here, too: skip mirroring.
  if (known["subsets"] == subsets && api::label_of(known, kSkipMirror) == "true") return;
  Value desired = known.is_null() ? named("v1", "Endpoints") : known;
  desired.set("subsets", subsets);
  Value& labels = desired.mut("metadata").mut("labels");
  if (labels.is_null()) labels = Value::object();
  labels.set(kSkipMirror, "true");
  plan.add(known.is_null() ? create(kEndpoints, std::move(desired)) : update(kEndpoints, std::move(desired)));
}

void sync_slice(const Value& known, const Value& address, const Value& port, Plan& plan) {
  if (api::is_terminating(known)) return;
  // addressType is immutable: delete the slice; its deletion event triggers the plan that creates a new one.
  if (!known.is_null() && known["addressType"].as_string() != "IPv4") {
    plan.add(remove(kEndpointSlices, known));
    return;
  }
  Value desired = known.is_null() ? named("discovery.k8s.io/v1", "EndpointSlice") : known;
  desired.set("addressType", "IPv4").set("ports", Value::array({port}));
  desired.set("endpoints", Value::array({Value::object({{"addresses", Value::array({address})},
                                                        {"conditions", Value::object({{"ready", true}})}})}));
  desired.mut("metadata").set("labels", Value::object({{kServiceName, "kubernetes"}}));
  if (desired == known) return;
  plan.add(known.is_null() ? create(kEndpointSlices, std::move(desired)) : update(kEndpointSlices, std::move(desired)));
}

}  // namespace

Plan plan_api_server(const ApiServerView& view, const ApiServerAddress& address) {
  Plan plan;
  const Value port = Value::object({{"name", "https"}, {"port", address.port}, {"protocol", "TCP"}});
  sync_endpoints(view.endpoints, address.ip, port, plan);
  sync_slice(view.slice, address.ip, port, plan);
  return plan;
}

}  // namespace berth::controllers::endpoint
