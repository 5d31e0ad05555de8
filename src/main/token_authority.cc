#include "main/token_authority.h"

#include "api/client.h"
#include "http/jwt.h"

namespace berth {
namespace {

Error refused(std::string why) { return error(Code::kUnauthorized, std::move(why)); }

// The object a token is bound to must still be the same one.
Status still_there(registry::Registry& registry, const api::Resource& resource, std::string_view ns, const Value& bound) {
  if (!bound.is_object()) return ok_status();
  const schema::Kind* kind = registry.schema().find(resource);
  if (kind == nullptr) return refused("unknown kind of binding");
  store::RecordPtr record = registry.store().get(registry::store_key(*kind, ns, bound["name"].as_string()));
  if (!record || api::uid_of(record->value) != bound["uid"].as_string()) {
    return refused(resource.resource + " " + bound["name"].str() + " that the token is bound to is gone");
  }
  return ok_status();
}

}  // namespace

Result<std::string> sign_service_account_token(const std::string& key_pem, const Value& claims) {
  return http::sign_token(key_pem, json::encode(claims));
}

Result<registry::User> authenticate_service_account(const std::string& key_pem, registry::Registry& registry,
                                                    std::string_view issuer, std::string_view token, Time now) {
  BERTH_ASSIGN(std::string text, http::verify_token({key_pem}, token));
  BERTH_ASSIGN(Value claims, json::parse(text));
  std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  if (claims["iss"].as_string() != issuer) return refused("the token's issuer is " + claims["iss"].str());
  if (claims["exp"].as_int() <= seconds) return refused("the token has expired");
  if (claims["nbf"].as_int() > seconds + 60) return refused("the token is not valid yet");
  const Value& kubernetes = claims["kubernetes.io"];
  std::string ns = kubernetes["namespace"].str();
  BERTH_TRY(still_there(registry, api::resources::kServiceAccounts, ns, kubernetes["serviceaccount"]));
  BERTH_TRY(still_there(registry, api::resources::kPods, ns, kubernetes["pod"]));
  BERTH_TRY(still_there(registry, api::resources::kSecrets, ns, kubernetes["secret"]));
  registry::User user;
  user.name = "system:serviceaccount:" + ns + ":" + kubernetes["serviceaccount"]["name"].str();
  user.groups = {"system:serviceaccounts", "system:serviceaccounts:" + ns};
  return user;
}

}  // namespace berth
