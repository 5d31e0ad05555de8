#include <gtest/gtest.h>

#include "base/text.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/serviceaccount/controller.h"

namespace berth::controllers::serviceaccount {
namespace {

using namespace api::resources;  // NOLINT

Value make_namespace(const char* name, const char* phase = "Active") {
  return Value::object({{"apiVersion", "v1"},
                        {"kind", "Namespace"},
                        {"metadata", Value::object({{"name", name}})},
                        {"status", Value::object({{"phase", phase}})}});
}

TEST(ServiceAccountTest, EveryNamespaceHasItsOwn) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  api.put(kNamespaces, make_namespace("a"));
  api.put(kNamespaces, make_namespace("gone", "Terminating"));
  Driver accounts(informers, make_account_controller(informers)),
      ca(informers, make_root_ca_controller(informers, "PEM"));
  runtime.advance(10ms);
  api.put(kNamespaces, make_namespace("b"));
  runtime.advance(10ms);
  EXPECT_EQ(api.count(kServiceAccounts), 2u);
  EXPECT_EQ(api.count(kConfigMaps), 2u);
  // They are created again, and changes are reverted.
  api.erase(kServiceAccounts, {"a", "default"});
  Value changed = api.read(kConfigMaps, {"b", "kube-root-ca.crt"});
  changed.mut("data").set("ca.crt", "other");
  api.put(kConfigMaps, changed);
  runtime.advance(10ms);
  EXPECT_EQ(api.count(kServiceAccounts), 2u);
  EXPECT_EQ(api.read(kConfigMaps, {"b", "kube-root-ca.crt"})["data"]["ca.crt"].as_string(), "PEM");
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
}

Value make_secret(const char* name, const char* account) {
  return Value::object(
      {{"apiVersion", "v1"},
       {"kind", "Secret"},
       {"type", "kubernetes.io/service-account-token"},
       {"metadata",
        Value::object({{"name", name},
                       {"namespace", "a"},
                       {"annotations", Value::object({{"kubernetes.io/service-account.name", account}})}})}});
}

TEST(ServiceAccountTest, TokenSecretsAreFilledAndGoWithTheirAccount) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  Value account = Value::object({{"apiVersion", "v1"},
                                 {"kind", "ServiceAccount"},
                                 {"metadata", Value::object({{"name", "robot"}, {"namespace", "a"}})}});
  api.put(kServiceAccounts, account);
  Value other = make_secret("plain", "robot");
  other.set("type", "Opaque");
  api.put(kSecrets, other);
  api.put(kSecrets, make_secret("token", "robot"));
  api.put(kSecrets, make_secret("orphan", "nobody"));
  int signed_tokens = 0;
  Driver driver(
      informers,
      make_token_controller(informers, "PEM", [&](const Value& of, const Value& secret) -> Result<std::string> {
        ++signed_tokens;
        return "token of " + std::string(api::name_of(of)) + " in " + std::string(api::name_of(secret));
      }));
  runtime.advance(10ms);
  EXPECT_TRUE(api.read(kSecrets, {"a", "orphan"}).is_null());
  EXPECT_TRUE(api.read(kSecrets, {"a", "plain"})["data"].is_null());
  Value filled = api.read(kSecrets, {"a", "token"});
  EXPECT_EQ(base64_decode(filled["data"]["token"].as_string()).value(), "token of robot in token");
  EXPECT_EQ(base64_decode(filled["data"]["ca.crt"].as_string()).value(), "PEM");
  EXPECT_EQ(base64_decode(filled["data"]["namespace"].as_string()).value(), "a");
  const std::string uid(api::uid_of(api.read(kServiceAccounts, {"a", "robot"})));
  EXPECT_EQ(api::annotation_of(filled, "kubernetes.io/service-account.uid"), uid);
  // Removed fields are restored; the token is not changed.
  filled.mut("data").erase("ca.crt");
  api.put(kSecrets, filled);
  runtime.advance(10ms);
  EXPECT_EQ(api.read(kSecrets, {"a", "token"})["data"]["ca.crt"].as_string(), base64_encode("PEM"));
  EXPECT_EQ(signed_tokens, 1);
  // A new account of the same name has another uid.
  api.erase(kServiceAccounts, {"a", "robot"});
  runtime.advance(10ms);
  EXPECT_TRUE(api.read(kSecrets, {"a", "token"}).is_null());
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
}

}  // namespace
}  // namespace berth::controllers::serviceaccount
