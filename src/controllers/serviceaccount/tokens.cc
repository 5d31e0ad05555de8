// Secrets of type kubernetes.io/service-account-token: long-lived tokens, requested by creating such a Secret.
#include "base/text.h"
#include "controllers/serviceaccount/controller.h"

namespace berth::controllers::serviceaccount {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::string_view kType = "kubernetes.io/service-account-token";
constexpr std::string_view kAccountName = "kubernetes.io/service-account.name";
constexpr std::string_view kAccountUid = "kubernetes.io/service-account.uid";

bool is_token_secret(const Value& secret) {
  return secret["type"].as_string() == kType && !api::annotation_of(secret, kAccountName).empty();
}

class TokenController final : public Controller {
 public:
  TokenController(InformerSet& informers, std::string ca, SignToken sign)
      : ca_(std::move(ca)),
        sign_(std::move(sign)),
        secrets_(informers.get(kSecrets)),
        accounts_(informers.get(kServiceAccounts)) {}
  std::string name() const override { return "serviceaccount-token"; }
  std::string component() const override { return "tokens-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(secrets_, [](const Value&, const Value& after, Keys& keys) {
      if (is_token_secret(after)) keys.push_back(key_of(after));
    }));
    out.push_back(watch_mapped(accounts_, [this](const Value& before, const Value& after, Keys& keys) {
      if (!before.is_null() && !after.is_null() && api::uid_of(before) == api::uid_of(after)) return;
      const Value& account = after.is_null() ? before : after;
      for (const Value& secret : secrets_.list(api::namespace_of(account))) {
        if (is_token_secret(secret) && api::annotation_of(secret, kAccountName) == api::name_of(account))
          keys.push_back(key_of(secret));
      }
    }));
    return out;
  }

  Plan plan(const std::string& key, Time) override {
    const api::Name name = name_of_key(key);
    const Value& secret = secrets_.get(name);
    if (secret.is_null()) return {};
    return plan_token(secret, accounts_.get(name.ns, api::annotation_of(secret, kAccountName)), ca_, sign_);
  }

 private:
  std::string ca_;
  SignToken sign_;
  Informer& secrets_;
  Informer& accounts_;
};

}  // namespace

Plan plan_token(const Value& secret, const Value& account, const std::string& ca, const SignToken& sign) {
  Plan plan;
  if (!is_token_secret(secret) || api::is_terminating(secret)) return plan;
  const std::string_view uid = api::annotation_of(secret, kAccountUid);
  if (account.is_null() || (!uid.empty() && uid != api::uid_of(account))) {
    plan.add(remove(kSecrets, secret));
    return plan;
  }
  const Value& data = secret["data"];
  const std::string wanted_ca = base64_encode(ca), wanted_ns = base64_encode(api::namespace_of(secret));
  const bool complete = !data["token"].as_string().empty() && data["ca.crt"].as_string() == wanted_ca &&
                        data["namespace"].as_string() == wanted_ns;
  if (complete && !uid.empty()) return plan;
  Value filled = secret;
  if (data["token"].as_string().empty()) {
    Result<std::string> token = sign(account, secret);
    if (!token.ok()) {
      plan.problem = token.error().message;
      return plan;
    }
    filled.mut("data").set("token", base64_encode(*token));
  }
  filled.mut("data").set("ca.crt", wanted_ca).set("namespace", wanted_ns);
  filled.mut("metadata").mut("annotations").set(kAccountUid, api::uid_of(account));
  plan.add(update(kSecrets, std::move(filled)));
  return plan;
}

std::unique_ptr<Controller> make_token_controller(InformerSet& informers, std::string ca, SignToken sign) {
  return std::make_unique<TokenController>(informers, std::move(ca), std::move(sign));
}

}  // namespace berth::controllers::serviceaccount
