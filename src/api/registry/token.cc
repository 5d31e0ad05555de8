// serviceaccounts/token: a signed token for a service account, bound to a pod where asked for.
#include "api/registry/state.h"
#include "api/status.h"
#include "base/ids.h"
#include "base/time/time.h"

namespace berth::registry {
namespace {

constexpr std::int64_t kLeastSeconds = 600, kDefaultSeconds = 3600;

}  // namespace

void request_token(const std::shared_ptr<Registry::State>& state, const Call& call, Value request, Done done) {
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  store::RecordPtr account = state->find(api::resources::kServiceAccounts, call.ns, call.name);
  if (!account) return refuse(api::not_found(api::resources::kServiceAccounts, call.name));
  if (!state->config.token_signer) return refuse(error(Code::kUnimplemented, "this server has no key to sign service-account tokens with"));
  Value& spec = request.mut("spec");
  std::int64_t seconds = spec["expirationSeconds"].as_int(kDefaultSeconds);
  if (seconds < kLeastSeconds) {
    return refuse(api::invalid("authentication.k8s.io", "TokenRequest", call.name,
                               {api::invalid_value("spec.expirationSeconds", static_cast<long>(seconds), "may not specify a duration less than 10 minutes")}));
  }
  if (spec["audiences"].empty()) spec.set("audiences", Value::array({state->config.token_issuer}));
  spec.set("expirationSeconds", static_cast<long>(seconds));
  Value bound = Value::object({{"namespace", call.ns}, {"serviceaccount", Value::object({{"name", call.name}, {"uid", api::uid_of(account->value)}})}});
  if (const Value reference = spec["boundObjectRef"]; reference.is_object()) {
    bool pod = reference["kind"].as_string() == "Pod";
    const api::Resource& resource = pod ? api::resources::kPods : api::resources::kSecrets;
    store::RecordPtr target = state->find(resource, call.ns, reference["name"].as_string());
    if (!target) return refuse(api::not_found(resource, reference["name"].as_string()));
    if (std::string_view uid = reference["uid"].as_string(); !uid.empty() && uid != api::uid_of(target->value)) {
      return refuse(api::conflict({"authentication.k8s.io", "v1", "TokenRequest"}, call.name,
                                  "the UID in the bound object reference (" + std::string(uid) + ") does not match the UID in record. The object might have been deleted and then recreated"));
    }
    bound.set(pod ? "pod" : "secret", Value::object({{"name", reference["name"]}, {"uid", api::uid_of(target->value)}}));
  }
  auto unix_seconds = [](Time time) { return static_cast<long>(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count()); };
  Time now = state->runtime.now(), ends = now + std::chrono::seconds(seconds);
  Value claims = Value::object({{"iss", state->config.token_issuer},
                                {"sub", "system:serviceaccount:" + call.ns + ":" + call.name},
                                {"aud", spec["audiences"]},
                                {"iat", unix_seconds(now)},
                                {"nbf", unix_seconds(now)},
                                {"exp", unix_seconds(ends)},
                                {"jti", new_uid(state->runtime)},
                                {"kubernetes.io", bound}});
  Result<std::string> token = state->config.token_signer(claims);
  if (!token.ok()) return refuse(token.error());
  request.set("kind", "TokenRequest").set("apiVersion", "authentication.k8s.io/v1");
  request.mut("metadata").set("name", call.name).set("namespace", call.ns).set("creationTimestamp", format_time(now));
  request.set("status", Value::object({{"token", *token}, {"expirationTimestamp", format_time(ends)}}));
  Answer answer;
  answer.http = 201;
  answer.object = std::move(request);
  answer_later(*state, std::move(done), std::move(answer));
}

}  // namespace berth::registry
