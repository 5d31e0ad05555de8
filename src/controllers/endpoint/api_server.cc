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

void keep_endpoints(const Value& known, const Value& address, const Value& port, Plan& plan) {
  if (api::is_terminating(known)) return;
  const Value subsets = Value::array({Value::object(
      {{"addresses", Value::array({Value::object({{"ip", address}})})}, {"ports", Value::array({port})}})});
  // Its slice is written here too, so it is not to be mirrored.
  if (known["subsets"] == subsets && api::label_of(known, kSkipMirror) == "true") return;
  Value wanted = known.is_null() ? named("v1", "Endpoints") : known;
  wanted.set("subsets", subsets);
  Value& labels = wanted.mut("metadata").mut("labels");
  if (labels.is_null()) labels = Value::object();
  labels.set(kSkipMirror, "true");
  plan.add(known.is_null() ? create(kEndpoints, std::move(wanted)) : update(kEndpoints, std::move(wanted)));
}

void keep_slice(const Value& known, const Value& address, const Value& port, Plan& plan) {
  if (api::is_terminating(known)) return;
  // The type of a slice's addresses cannot change. Its deletion is an event, and brings the next plan.
  if (!known.is_null() && known["addressType"].as_string() != "IPv4") {
    plan.add(remove(kEndpointSlices, known));
    return;
  }
  Value wanted = known.is_null() ? named("discovery.k8s.io/v1", "EndpointSlice") : known;
  wanted.set("addressType", "IPv4").set("ports", Value::array({port}));
  wanted.set("endpoints", Value::array({Value::object({{"addresses", Value::array({address})},
                                                       {"conditions", Value::object({{"ready", true}})}})}));
  wanted.mut("metadata").set("labels", Value::object({{kServiceName, "kubernetes"}}));
  if (wanted == known) return;
  plan.add(known.is_null() ? create(kEndpointSlices, std::move(wanted)) : update(kEndpointSlices, std::move(wanted)));
}

}  // namespace

Plan plan_api_server(const ApiServerView& view, const ApiServerAddress& address) {
  Plan plan;
  const Value port = Value::object({{"name", "https"}, {"port", address.port}, {"protocol", "TCP"}});
  keep_endpoints(view.endpoints, address.ip, port, plan);
  keep_slice(view.slice, address.ip, port, plan);
  return plan;
}

}  // namespace berth::controllers::endpoint
