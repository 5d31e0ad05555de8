// Tokens from request to verification, with a registry in memory.
#include "main/token_authority.h"

#include "apiserver/registry/test_registry.h"
#include "base/text.h"
#include "crypto/jwt.h"

namespace berth {
namespace {

using namespace api::resources;  // NOLINT
using apiserver::registry::Answer;
using apiserver::registry::Done;
using apiserver::registry::parsed;

const std::string kIssuer = "https://kubernetes.default.svc.cluster.local";

class TokenTest : public apiserver::registry::RegistryFixture {
 protected:
  void SetUp() override {
    key_ = crypto::make_private_key(crypto::KeyKind::kEcdsa).value();
    check_ = {key_, kIssuer, {kIssuer}};
    store_ = store::open_memory_store(loop_);
    apiserver::registry::RegistryConfig config;
    config.token_issuer = kIssuer;
    config.token_signer = [this](const Value& claims) { return sign_service_account_token(key_, claims); };
    registry_ = std::make_unique<apiserver::registry::Registry>(loop_, *store_, api::schema::builtin(), config);
    bool ready = false;
    registry_->bootstrap([&] { ready = true; });
    while (!ready) loop_.run_once(1s);
    make(kServiceAccounts, R"({"metadata":{"name":"robot"}})");
    make(kNodes, R"({"metadata":{"name":"n3"}})");
    make(
        kPods,
        R"({"metadata":{"name":"p"},"spec":{"serviceAccountName":"robot","nodeName":"n3","containers":[{"name":"c","image":"i"}]}})");
    make(kSecrets, R"({"metadata":{"name":"s"}})");
  }
  Value make(const api::Resource& resource, const std::string& text) {
    Result<Answer> made = wait([&](Done done) { registry_->create(call(resource), parsed(text), std::move(done)); });
    EXPECT_TRUE(made.ok()) << made.error().message;
    return made.ok() ? made->value() : Value();
  }
  void erase(const api::Resource& resource, const std::string& name) {
    api::DeleteOptions now;
    now.grace_seconds = 0;
    EXPECT_TRUE(wait([&](Done done) { registry_->remove(call(resource, name), now, std::move(done)); }).ok());
  }
  Result<Answer> ask(const std::string& spec, const std::string& account = "robot") {
    return wait([&](Done done) {
      registry_->create(call(kServiceAccounts, account, "token"), parsed(R"({"spec":)" + spec + "}"), std::move(done));
    });
  }
  std::string token(const std::string& spec) {
    Result<Answer> answer = ask(spec);
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return answer.ok() ? answer->value()["status"]["token"].str() : "";
  }
  std::string refusal(const std::string& spec, const std::string& account = "robot") {
    return outcome(ask(spec, account));
  }
  static Value claims(const std::string& token) {
    return json::parse(base64url_decode(split(token, '.')[1]).value()).value();
  }
  Result<apiserver::rest::TokenHolder> authenticate(const std::string& token,
                                                    const std::vector<std::string>& accepted_audiences = {kIssuer},
                                                    Duration later = 0s) {
    return authenticate_service_account(check_, *registry_, token, accepted_audiences, loop_.now() + later);
  }
  // The user name, or the error.
  std::string name(const std::string& token, const std::vector<std::string>& accepted_audiences = {kIssuer},
                   Duration later = 0s) {
    Result<apiserver::rest::TokenHolder> holder = authenticate(token, accepted_audiences, later);
    return holder.ok() ? holder->user.name : "!" + holder.error().message;
  }

  const std::string kRobot = "system:serviceaccount:default:robot";
  std::string key_;
  TokenCheck check_;
};

TEST_F(TokenTest, AudiencesAreChecked) {
  EXPECT_EQ(name(token("{}")), kRobot);
  const std::string other = token(R"({"audiences":["vault.example.com","b"]})");
  EXPECT_EQ(
      name(other),
      R"(!token audiences ["vault.example.com" "b"] is invalid for the target audiences ["https://kubernetes.default.svc.cluster.local"])");
  EXPECT_EQ(name(other, {"x", "b"}), kRobot);
  EXPECT_EQ(authenticate(other, {"x", "b"})->audiences, std::vector<std::string>{"b"});
  EXPECT_EQ(name("nope"), "!");
  const std::string forged =
      sign_service_account_token(crypto::make_private_key(crypto::KeyKind::kEcdsa).value(), claims(token("{}")))
          .value();
  EXPECT_EQ(name(forged), "!");
}

TEST_F(TokenTest, ClaimsAndUsersSayWhatTheTokenIsBoundTo) {
  const Value plain = claims(token("{}"));
  EXPECT_EQ(plain["exp"].as_int() - plain["iat"].as_int(), 3600);
  EXPECT_EQ(plain["nbf"], plain["iat"]);
  EXPECT_EQ(plain["kubernetes.io"].size(), 2u);
  const std::string bound = token(R"({"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p"}})");
  EXPECT_EQ(claims(bound)["kubernetes.io"]["node"]["name"].as_string(), "n3");
  EXPECT_TRUE(claims(bound)["kubernetes.io"]["warnafter"].is_null());
  Result<apiserver::rest::TokenHolder> holder = authenticate(bound);
  ASSERT_TRUE(holder.ok());
  EXPECT_FALSE(holder->user.uid.empty());
  EXPECT_EQ(holder->user.groups,
            (std::vector<std::string>{"system:serviceaccounts", "system:serviceaccounts:default"}));
  auto extra = [&](const std::string& key) {
    return join(holder->user.extra["authentication.kubernetes.io/" + key], ",");
  };
  EXPECT_EQ(extra("credential-id"), "JTI=" + claims(bound)["jti"].str());
  EXPECT_EQ(extra("pod-name"), "p");
  EXPECT_EQ(extra("node-name"), "n3");
  EXPECT_FALSE(extra("pod-uid").empty() || extra("node-uid").empty());
  // A pod's own token is valid for a year, and says when it should have been replaced.
  const Value projected =
      claims(token(R"({"expirationSeconds":3607,"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p"}})"));
  EXPECT_EQ(projected["exp"].as_int() - projected["iat"].as_int(), 365 * 24 * 3600);
  EXPECT_EQ(projected["kubernetes.io"]["warnafter"].as_int() - projected["iat"].as_int(), 3607);
  EXPECT_EQ(claims(token(R"({"expirationSeconds":3607})"))["exp"].as_int() - projected["iat"].as_int() < 4000, true);
}

TEST_F(TokenTest, TokensEndWithWhatTheyAreBoundTo) {
  const std::string plain = token("{}"),
                    pod = token(R"({"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p"}})"),
                    secret = token(R"({"boundObjectRef":{"kind":"Secret","apiVersion":"v1","name":"s"}})"),
                    node = token(R"({"boundObjectRef":{"kind":"Node","apiVersion":"v1","name":"n3"}})");
  for (const std::string& each : {plain, pod, secret, node}) EXPECT_EQ(name(each), kRobot);
  erase(kSecrets, "s");
  EXPECT_EQ(name(secret), "!service account token has been invalidated");
  make(kSecrets, R"({"metadata":{"name":"s"}})");
  EXPECT_TRUE(name(secret).starts_with("!secret UID ("));
  erase(kPods, "p");
  EXPECT_EQ(name(pod), "!service account token has been invalidated");
  erase(kNodes, "n3");
  EXPECT_EQ(name(node), "!service account token has been invalidated");
  EXPECT_EQ(name(plain, {kIssuer}, 3600s), kRobot) << "a minute of grace for clocks";
  EXPECT_EQ(name(plain, {kIssuer}, 3700s), "!service account token has expired");
  EXPECT_EQ(name(plain, {kIssuer}, -100s), "!service account token is not valid yet");
  erase(kServiceAccounts, "robot");
  EXPECT_EQ(name(plain), "!serviceaccounts \"robot\" not found");
  make(kServiceAccounts, R"({"metadata":{"name":"robot"}})");
  EXPECT_TRUE(name(plain).starts_with("!service account UID ("));
}

TEST_F(TokenTest, RequestsAreChecked) {
  EXPECT_EQ(
      refusal(R"({"expirationSeconds":599})"),
      R"(422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes)");
  EXPECT_EQ(
      refusal(R"({"expirationSeconds":8589934592})"),
      R"(422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 8589934592: may not specify a duration larger than 2^32 seconds)");
  EXPECT_EQ(refusal(R"({"boundObjectRef":{"kind":"ConfigMap","apiVersion":"v1","name":"p"}})"),
            "400 cannot bind token to object of type /v1, Kind=ConfigMap");
  EXPECT_EQ(refusal(R"({"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"nope"}})"),
            "404 pods \"nope\" not found");
  EXPECT_EQ(
      refusal(R"({"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p","uid":"x"}})"),
      "409 Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated");
  EXPECT_EQ(refusal("{}", "nope"), "404 serviceaccounts \"nope\" not found");
  make(kServiceAccounts, R"({"metadata":{"name":"other"}})");
  EXPECT_EQ(refusal(R"({"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p"}})", "other"),
            "400 cannot bind token for serviceaccount \"other\" to pod running with different serviceaccount name.");
}

TEST_F(TokenTest, ASecretsTokenIsGoodWhileTheSecretHoldsIt) {
  const Value account =
      wait([&](Done done) { registry_->get(call(kServiceAccounts, "robot"), std::move(done)); })->value();
  Value secret = make(kSecrets, R"({"metadata":{"name":"long"}})");
  const std::string token = sign_secret_token(key_, account, secret).value();
  EXPECT_EQ(name(token), "!service account token does not match server's copy");
  secret.mut("data").set("token", base64_encode(token));
  ASSERT_TRUE(wait([&](Done done) { registry_->update(call(kSecrets, "long"), secret, std::move(done)); }).ok());
  EXPECT_EQ(name(token), kRobot);
  EXPECT_EQ(name(token, {kIssuer}, 24h * 3650), kRobot);
  EXPECT_TRUE(name(token, {"x"}).starts_with("!token audiences "));
  erase(kSecrets, "long");
  EXPECT_EQ(name(token), "!service account token has been invalidated");
}

}  // namespace
}  // namespace berth
