#include "apiserver/registry/kinds/token.h"

#include "api/status.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/state.h"
#include "base/ids.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

constexpr std::int64_t kLeastSeconds = 600, kMostSeconds = std::int64_t{1} << 32, kDefaultSeconds = 3600;
// A projected token of a pod is valid for a year, for clients that read it only once; its `warnafter` says from when on
// it should have been read again.
constexpr std::int64_t kProjectedSeconds = 3607, kExtendedSeconds = 365 * 24 * 3600;

Value named(const Value& object) {
  return Value::object({{"name", api::name_of(object)}, {"uid", api::uid_of(object)}});
}

struct BoundObject {
  Value claims;  // to be added to "kubernetes.io"
  bool pod = false;
};

// The object that the token is bound to.
Result<BoundObject> find_bound(const Registry::State& state, const Call& call, const Value& reference) {
  BoundObject bound{Value::object(), false};
  if (!reference.is_object()) return bound;
  const std::string kind = reference["kind"].str(), version = reference["apiVersion"].str(),
                    name = reference["name"].str();
  const bool core = version.find('/') == std::string::npos;
  const api::Resource* resource = nullptr;
  if (core && kind == "Pod") resource = &api::resources::kPods;
  if (core && kind == "Secret") resource = &api::resources::kSecrets;
  if (core && kind == "Node") resource = &api::resources::kNodes;
  if (resource == nullptr) {
    return error(Code::kBadRequest,
                 "cannot bind token to object of type " + (core ? "/" + version : version) + ", Kind=" + kind);
  }
  store::RecordPtr target = state.find(*resource, kind == "Node" ? "" : call.ns, name);
  if (!target) return api::not_found(*resource, name);
  bound.pod = kind == "Pod";
  if (bound.pod && target->value["spec"]["serviceAccountName"].as_string() != call.name) {
    return error(Code::kBadRequest, "cannot bind token for serviceaccount " + quoted(call.name) +
                                        " to pod running with different serviceaccount name.");
  }
  if (std::string_view uid = reference["uid"].as_string(); !uid.empty() && uid != api::uid_of(target->value)) {
    Error e = error(Code::kConflict,
                    "Operation cannot be fulfilled on " + kind + " " + quoted(name) +
                        ": the UID in the bound object reference (" + std::string(uid) +
                        ") does not match the UID in record. The object might have been deleted and then recreated");
    auto details = std::make_shared<ErrorDetails>();
    details->name = name;
    details->kind = kind;
    e.details = details;
    return e;
  }
  bound.claims.set(lower(kind), named(target->value));
  if (std::string_view node = target->value["spec"]["nodeName"].as_string(); bound.pod && !node.empty()) {
    store::RecordPtr record = state.find(api::resources::kNodes, "", node);
    bound.claims.set("node", record ? named(record->value) : Value::object({{"name", node}}));
  }
  return bound;
}

}  // namespace

void request_token(const StatePtr& state, const Call& call, Value request, Done done) {
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  Value& spec = request.mut("spec");
  std::int64_t seconds = spec["expirationSeconds"].as_int(kDefaultSeconds);
  if (seconds < kLeastSeconds || seconds > kMostSeconds) {
    const char* why = seconds < kLeastSeconds ? "may not specify a duration less than 10 minutes"
                                              : "may not specify a duration larger than 2^32 seconds";
    return refuse(api::invalid("authentication.k8s.io", "TokenRequest", "",
                               {api::invalid_value("spec.expirationSeconds", static_cast<long>(seconds), why)}));
  }
  store::RecordPtr account = state->find(api::resources::kServiceAccounts, call.ns, call.name);
  if (!account) return refuse(api::not_found(api::resources::kServiceAccounts, call.name));
  if (!state->config.token_signer)
    return refuse(error(Code::kUnimplemented, "this server has no key to sign service-account tokens with"));
  Result<BoundObject> bound = find_bound(*state, call, spec["boundObjectRef"]);
  if (!bound.ok()) return refuse(bound.error());
  if (spec["audiences"].empty()) spec.set("audiences", Value::array({state->config.token_issuer}));
  spec.set("expirationSeconds", static_cast<long>(seconds));
  auto unix_seconds = [](Time time) {
    return static_cast<long>(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
  };
  const Time now = state->runtime.now(), ends = now + std::chrono::seconds(seconds);
  const bool extended =
      bound->pod && seconds == kProjectedSeconds && spec["audiences"] == Value::array({state->config.token_issuer});
  Value kubernetes = std::move(bound->claims);
  kubernetes.set("namespace", call.ns).set("serviceaccount", named(account->value));
  if (extended) kubernetes.set("warnafter", unix_seconds(ends));
  Value claims = Value::object({{"iss", state->config.token_issuer},
                                {"sub", "system:serviceaccount:" + call.ns + ":" + call.name},
                                {"aud", spec["audiences"]},
                                {"iat", unix_seconds(now)},
                                {"nbf", unix_seconds(now)},
                                {"exp", unix_seconds(extended ? now + std::chrono::seconds(kExtendedSeconds) : ends)},
                                {"jti", new_uid(state->runtime)},
                                {"kubernetes.io", kubernetes}});
  Result<std::string> token = state->config.token_signer(claims);
  if (!token.ok()) return refuse(token.error());
  request.set("kind", "TokenRequest").set("apiVersion", "authentication.k8s.io/v1");
  request.mut("metadata")
      .set("name", call.name)
      .set("namespace", call.ns)
      .set("uid", new_uid(state->runtime))
      .set("creationTimestamp", format_time(now));
  request.set("status", Value::object({{"token", *token}, {"expirationTimestamp", format_time(ends)}}));
  Answer answer;
  answer.http = 201;
  answer.object = std::move(request);
  answer_later(*state, std::move(done), std::move(answer));
}

}  // namespace berth::apiserver::registry
