#include <gtest/gtest.h>

#include "controllers/serviceaccount/controller.h"
#include "controllers/testing/fake_api.h"
#include "controllers/testing/test_runtime.h"

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
  controllers::testing::TestRuntime runtime;
  controllers::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  api.put(kNamespaces, make_namespace("a"));
  api.put(kNamespaces, make_namespace("gone", "Terminating"));
  Driver accounts(informers, make_account_controller(informers)), ca(informers, make_root_ca_controller(informers, "PEM"));
  runtime.advance(10ms);
  api.put(kNamespaces, make_namespace("b"));
  runtime.advance(10ms);
  EXPECT_EQ(api.count(kServiceAccounts), 2u);
  EXPECT_EQ(api.count(kConfigMaps), 2u);
  // They come back, and what somebody changed is put right.
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

}  // namespace
}  // namespace berth::controllers::serviceaccount
