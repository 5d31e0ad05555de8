// The proxy subresources of pods, services and nodes: refused as upstream refuses them; what would go through is not
// served yet.
#include "api/plain_error.h"
#include "api/status.h"
#include "apiserver/rest/context.h"
#include "base/text.h"

namespace berth::apiserver::rest {
namespace {

// "https:web:80": a scheme, a name and a port, the first and the last of them optional.
struct ProxyTarget {
  std::string scheme, name, port;
  bool valid = true;
};

ProxyTarget parse_target(std::string_view text) {
  std::vector<std::string_view> parts = split(text, ':');
  if (parts.size() == 1) return {"", std::string(parts[0]), ""};
  if (parts.size() == 2) return {"", std::string(parts[0]), std::string(parts[1])};
  bool known = parts.size() == 3 && (parts[0] == "http" || parts[0] == "https" || parts[0].empty());
  if (!known) return {"", std::string(text), "", false};
  return {std::string(parts[0]), std::string(parts[1]), std::string(parts[2])};
}

store::RecordPtr find(const Context& context, const api::Resource& resource, std::string_view ns,
                      std::string_view name) {
  const api::schema::Kind* kind = context.registry->schema().find(resource);
  return kind == nullptr ? nullptr : context.registry->store().get(registry::store_key(*kind, ns, name));
}

bool has_ready_endpoint(const Context& context, const std::string& service) {
  store::RecordPtr record = find(context, {"", "v1", "endpoints"}, context.call.ns, service);
  if (!record) return false;
  for (const Value& subset : record->value["subsets"]) {
    if (!subset["addresses"].empty()) return true;
  }
  return false;
}

Status check_target(const Context& context, const ProxyTarget& target) {
  const api::schema::Kind& kind = *context.call.kind;
  std::string what = lower(kind.kind);
  if (!target.valid) return error(Code::kBadRequest, "invalid " + what + " request " + quoted(target.name));
  store::RecordPtr record = find(context, kind.resource(), context.call.ns, target.name);
  if (!record) return api::not_found(kind.resource(), target.name);
  if (what == "pod" && record->value["status"]["podIP"].as_string().empty())
    return error(Code::kBadRequest, "address not allowed");
  if (what == "node" && record->value["status"]["addresses"].empty()) {
    return api::plain_error("no preferred addresses found; known addresses: []");
  }
  if (what == "service" && !has_ready_endpoint(context, target.name)) {
    return error(Code::kUnavailable, "no endpoints available for service " + quoted(target.name));
  }
  return error(Code::kUnimplemented, "the proxy subresource is not served; use kubectl port-forward");
}

}  // namespace

void handle_proxy(const ContextPtr& context) {
  Status refused = check_target(*context, parse_target(context->call.name));
  answer_error(context, refused.error());
}

}  // namespace berth::apiserver::rest
