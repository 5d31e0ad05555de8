#include "main/token_authority.h"

#include <algorithm>

#include "base/text.h"
#include "base/time/time.h"
#include "client/client.h"
#include "crypto/jwt.h"

namespace berth {
namespace {

constexpr std::string_view kLegacyIssuer = "kubernetes/serviceaccount";
constexpr std::string_view kLegacy = "kubernetes.io/serviceaccount/";
constexpr std::int64_t kLeewaySeconds = 60;  // as upstream: clocks differ, and deleted objects may finish their work

Error refused(std::string why) { return error(Code::kUnauthorized, std::move(why)); }
Error invalidated() { return refused("service account token has been invalidated"); }

std::int64_t unix_seconds(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::vector<std::string> audiences_of(const Value& aud) {
  std::vector<std::string> out;
  if (aud.is_string()) out.push_back(aud.str());
  for (const Value& one : aud) out.push_back(one.str());
  return out;
}

std::string go_list(const std::vector<std::string>& list) {
  std::string out = "[";
  for (const std::string& one : list) out += (out.size() > 1 ? " " : "") + quoted(one);
  return out + "]";
}

class TokenChecker {
 public:
  TokenChecker(apiserver::registry::Registry& registry, const Value& claims, Time now)
      : registry_(registry), claims_(claims), now_(now) {}

  Status check_times() const {
    const std::int64_t seconds = unix_seconds(now_);
    const Value& ends = claims_["exp"];
    if (ends.is_number() && ends.as_int() < seconds - kLeewaySeconds)
      return refused("service account token has expired");
    if (claims_["nbf"].as_int() > seconds + kLeewaySeconds) return refused("service account token is not valid yet");
    return ok_status();
  }

  // The account and the other objects that the token is bound to must exist with the same uids.
  Result<apiserver::registry::User> check_bound() const {
    const Value& kubernetes = claims_["kubernetes.io"];
    const std::string ns = kubernetes["namespace"].str();
    const Value& account = kubernetes["serviceaccount"];
    BERTH_TRY(check_account(ns, account["name"].as_string(), account["uid"].as_string()));
    BERTH_TRY(check_object(api::resources::kSecrets, ns, kubernetes["secret"], "secret UID (",
                           ") does not match service account secret ref claim ("));
    BERTH_TRY(check_object(api::resources::kPods, ns, kubernetes["pod"], "pod UID (",
                           ") does not match service account pod ref claim ("));
    const Value& pod = kubernetes["pod"];
    const Value& node = kubernetes["node"];
    // If the token is bound to a pod, the node only says where the pod runs.
    if (!pod.is_object()) {
      BERTH_TRY(check_object(api::resources::kNodes, "", node, "node UID (",
                             ") does not match service account node ref claim ("));
    }
    apiserver::registry::User user = user_of(ns, account["name"].str(), account["uid"].str());
    auto add = [&user](const char* key, const Value& value) {
      if (!value.as_string().empty()) user.extra[std::string("authentication.kubernetes.io/") + key] = {value.str()};
    };
    if (!claims_["jti"].as_string().empty()) add("credential-id", Value("JTI=" + claims_["jti"].str()));
    add("pod-name", pod["name"]);
    add("pod-uid", pod["uid"]);
    add("node-name", node["name"]);
    add("node-uid", node["uid"]);
    return user;
  }

  // The token of a Secret: the Secret must still contain it.
  Result<apiserver::registry::User> check_secret(std::string_view token) const {
    auto claim = [this](std::string_view name) { return claims_[std::string(kLegacy) + std::string(name)].str(); };
    const std::string ns = claim("namespace"), name = claim("service-account.name"), uid = claim("service-account.uid");
    if (claims_["sub"].as_string() != "system:serviceaccount:" + ns + ":" + name)
      return refused("sub claim is invalid");
    store::RecordPtr secret = find(api::resources::kSecrets, ns, claim("secret.name"));
    if (!secret || api::is_terminating(secret->value)) return refused("service account token has been invalidated");
    if (secret->value["data"]["token"].as_string() != base64_encode(token))
      return refused("service account token does not match server's copy");
    BERTH_TRY(check_account(ns, name, uid));
    return user_of(ns, name, uid);
  }

 private:
  static apiserver::registry::User user_of(const std::string& ns, const std::string& name, const std::string& uid) {
    return {
        "system:serviceaccount:" + ns + ":" + name, {"system:serviceaccounts", "system:serviceaccounts:" + ns}, uid};
  }

  store::RecordPtr find(const api::Resource& resource, std::string_view ns, std::string_view name) const {
    if (name.empty()) return nullptr;
    return registry_.store().get(apiserver::registry::store_key(*registry_.schema().find(resource), ns, name));
  }

  bool deleted_long_ago(const Value& object) const {
    const Value& when = object["metadata"]["deletionTimestamp"];
    if (when.is_null()) return false;
    Result<Time> deleted = parse_time(when.as_string());
    return deleted.ok() && *deleted < now_ - std::chrono::seconds(kLeewaySeconds);
  }

  Status check_account(const std::string& ns, std::string_view name, std::string_view uid) const {
    store::RecordPtr account = find(api::resources::kServiceAccounts, ns, name);
    if (!account) return refused("serviceaccounts " + quoted(name) + " not found");
    if (deleted_long_ago(account->value))
      return refused("service account " + ns + "/" + std::string(name) + " has been deleted");
    if (std::string_view real = api::uid_of(account->value); real != uid) {
      return refused("service account UID (" + std::string(real) + ") does not match claim (" + std::string(uid) + ")");
    }
    return ok_status();
  }

  Status check_object(const api::Resource& resource, std::string_view ns, const Value& bound, const char* before,
                      const char* between) const {
    if (!bound.is_object()) return ok_status();
    store::RecordPtr record = find(resource, ns, bound["name"].as_string());
    if (!record || deleted_long_ago(record->value)) return invalidated();
    if (std::string_view real = api::uid_of(record->value); real != bound["uid"].as_string()) {
      return refused(before + std::string(real) + between + bound["uid"].str() + ")");
    }
    return ok_status();
  }

  apiserver::registry::Registry& registry_;
  const Value& claims_;
  Time now_;
};

}  // namespace

Result<std::string> sign_service_account_token(const std::string& key_pem, const Value& claims) {
  return crypto::sign_token(key_pem, json::encode(claims));
}

Result<std::string> sign_secret_token(const std::string& key_pem, const Value& account, const Value& secret) {
  auto claim = [](std::string_view name) { return std::string(kLegacy) + std::string(name); };
  const std::string ns = std::string(api::namespace_of(account)), name = std::string(api::name_of(account));
  return sign_service_account_token(key_pem, Value::object({{"iss", kLegacyIssuer},
                                                            {"sub", "system:serviceaccount:" + ns + ":" + name},
                                                            {claim("namespace"), ns},
                                                            {claim("secret.name"), api::name_of(secret)},
                                                            {claim("service-account.name"), name},
                                                            {claim("service-account.uid"), api::uid_of(account)}}));
}

Result<apiserver::rest::TokenHolder> authenticate_service_account(const TokenCheck& check,
                                                                  apiserver::registry::Registry& registry,
                                                                  std::string_view token,
                                                                  const std::vector<std::string>& accepted_audiences,
                                                                  Time now) {
  Result<std::string> text = crypto::verify_token({check.key_pem}, token);
  if (!text.ok()) return refused("");
  Result<Value> claims = json::parse(*text);
  if (!claims.ok()) return refused("");
  const bool legacy = (*claims)["iss"].as_string() == kLegacyIssuer;
  if (!legacy && (*claims)["iss"].as_string() != check.issuer) return refused("");
  std::vector<std::string> audiences = audiences_of((*claims)["aud"]);
  if (audiences.empty()) audiences = check.audiences;
  apiserver::rest::TokenHolder holder;
  for (const std::string& audience : audiences) {
    if (std::find(accepted_audiences.begin(), accepted_audiences.end(), audience) != accepted_audiences.end())
      holder.audiences.push_back(audience);
  }
  if (holder.audiences.empty()) {
    return refused("token audiences " + go_list(audiences) + " is invalid for the target audiences " +
                   go_list(accepted_audiences));
  }
  const TokenChecker checker(registry, *claims, now);
  if (legacy) {
    BERTH_ASSIGN(holder.user, checker.check_secret(token));
    return holder;
  }
  BERTH_TRY(checker.check_times());
  BERTH_ASSIGN(holder.user, checker.check_bound());
  return holder;
}

}  // namespace berth
