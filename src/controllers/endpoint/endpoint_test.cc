#include <gtest/gtest.h>

#include <algorithm>

#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/endpoint/controller.h"
#include "controllers/endpoint/mirror.h"
#include "controllers/endpoint/plan.h"

namespace berth::controllers::endpoint {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = Time(std::chrono::hours(24 * 365 * 56));

Value make_service(bool headless = true) {
  Value out = from(
      R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"default","uid":"svc","labels":{"x":"y"}},
      "spec":{"selector":{"app":"web"},"ports":[{"port":80,"targetPort":"http","protocol":"TCP"}],"ipFamilies":["IPv4"]}})");
  out.mut("spec").set("clusterIP", headless ? "None" : "10.96.0.9");
  return out;
}

Value make_pod(int i, bool ready = true) {
  const std::string name = "web-" + std::to_string(i);
  Value out = from(R"({"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","labels":{"app":"web"}},
      "spec":{"nodeName":"n1","subdomain":"web","containers":[{"name":"c","ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}]}]},
      "status":{"phase":"Running"}})");
  out.mut("metadata").set("name", name).set("uid", "uid-" + name);
  out.mut("spec").set("hostname", name);
  const std::string ip = "10.0." + std::to_string(i / 200) + "." + std::to_string(i % 200 + 1);
  out.mut("status").set("podIP", ip).set("podIPs", Value::array({Value::object({{"ip", ip}})}));
  out.mut("status").set("conditions",
                        Value::array({Value::object({{"type", "Ready"}, {"status", ready ? "True" : "False"}})}));
  return out;
}

TEST(SlicesTest, SayWhereThePodsAre) {
  ServiceView view;
  view.service = make_service();
  view.pods = {make_pod(1, false), make_pod(0)};
  view.zone_of = [](std::string_view) { return "z1"; };
  const Plan plan = plan_slices(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  const Value& slice = plan.chains[0][0].object;
  EXPECT_EQ(api::labels_of(slice),
            from(R"({"x":"y","kubernetes.io/service-name":"web","endpointslice.kubernetes.io/managed-by":
      "endpointslice-controller.k8s.io","service.kubernetes.io/headless":""})"));
  EXPECT_EQ(slice["ports"], from(R"([{"name":"","port":8080,"protocol":"TCP"}])"));
  EXPECT_EQ(slice["endpoints"][0],
            from(R"({"addresses":["10.0.0.1"],"conditions":{"ready":true,"serving":true,"terminating":false},
      "hostname":"web-0","nodeName":"n1","zone":"z1","targetRef":{"kind":"Pod","namespace":"default","name":"web-0","uid":"uid-web-0"}})"));
  EXPECT_FALSE(slice["endpoints"][1]["conditions"]["ready"].as_bool(true));
  EXPECT_EQ(api::controller_of(slice)["kind"].as_string(), "Service");
  view.slices = {slice};
  EXPECT_TRUE(plan_slices(view, kNow + 1h).empty());
}

TEST(SlicesTest, ConditionsOfLeavingAndPublishedPods) {
  ServiceView view;
  view.service = make_service();
  view.pods = {make_pod(0)};
  view.pods[0].mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  auto conditions = [&] { return plan_slices(view, kNow).chains[0][0].object["endpoints"][0]["conditions"]; };
  EXPECT_EQ(conditions(), from(R"({"ready":false,"serving":true,"terminating":true})"));
  view.service.mut("spec").set("publishNotReadyAddresses", true);
  EXPECT_EQ(conditions(), from(R"({"ready":true,"serving":true,"terminating":true})"));
}

TEST(SlicesTest, PlaceholderWhileNobodyServes) {
  ServiceView view;
  view.service = make_service();
  view.pods = {make_pod(0), make_pod(1)};
  view.pods[0].set("status", from(R"({"phase":"Pending"})"));
  view.pods[1].mut("status").set("phase", "Succeeded");
  Plan plan = plan_slices(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_TRUE(plan.chains[0][0].object["endpoints"].empty());
  view.slices = {plan.chains[0][0].object};
  EXPECT_TRUE(plan_slices(view, kNow).empty());
  view.pods = {make_pod(0)};
  plan = plan_slices(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);  // the placeholder is reused
  EXPECT_EQ(plan.chains[0][0].verb, Action::Verb::kUpdate);
  EXPECT_EQ(plan.chains[0][0].object["ports"].size(), 1u);
  view.service.mut("spec").set("type", "ExternalName");
  EXPECT_TRUE(plan_slices(view, kNow).empty());
}

TEST(SlicesTest, PodsKeepTheirSlice) {
  ServiceView view;
  view.service = make_service();
  for (int i = 0; i < 150; ++i) view.pods.push_back(make_pod(i));
  Plan plan = plan_slices(view, kNow);
  ASSERT_EQ(plan.chains.size(), 2u);
  EXPECT_EQ(plan.chains[0][0].object["endpoints"].size(), 100u);
  view.slices = {plan.chains[0][0].object, plan.chains[1][0].object};
  EXPECT_NE(api::name_of(view.slices[0]), api::name_of(view.slices[1]));
  view.pods.erase(view.pods.begin());
  plan = plan_slices(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["endpoints"].size(), 99u);
  view.pods.push_back(make_pod(150));
  plan = plan_slices(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);  // the new endpoint fills the free space
  EXPECT_EQ(plan.chains[0][0].object["endpoints"].size(), 100u);
}

TEST(SlicesTest, AnotherPortChangesTheSlice) {
  ServiceView view;
  view.service = make_service();
  view.pods = {make_pod(0)};
  view.slices = {plan_slices(view, kNow).chains[0][0].object};
  view.service.mut("spec").mut("ports").mut(0).set("targetPort", 99);
  const Plan plan = plan_slices(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["ports"][0]["port"].as_int(), 99);
  EXPECT_EQ(plan.chains[0][0].name.name, api::name_of(view.slices[0]));
}

TEST(SlicesTest, PodsWithOtherPortsHaveTheirOwn) {
  ServiceView view;
  view.service = make_service();
  view.pods = {make_pod(0), make_pod(1)};
  view.pods[1].mut("spec").mut("containers").mut(0).mut("ports").mut(0).set("containerPort", 9090);
  EXPECT_EQ(plan_slices(view, kNow).chains.size(), 2u);
  EXPECT_EQ(target_port(view.pods[0], from(R"({"port":80})")), 80);
  EXPECT_EQ(target_port(view.pods[0], from(R"({"port":80,"targetPort":81})")), 81);
  EXPECT_EQ(target_port(view.pods[0], from(R"({"port":80,"targetPort":"none"})")), 0);
}

TEST(EndpointsTest, Subsets) {
  ServiceView view;
  view.service = make_service();
  view.pods = {make_pod(10), make_pod(2), make_pod(3, false), make_pod(4)};
  view.pods[3].mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  Plan plan = plan_endpoints(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  const Value made = plan.chains[0][0].object;
  ASSERT_EQ(made["subsets"].size(), 1u);
  const Value& subset = made["subsets"][0];
  EXPECT_EQ(subset["addresses"][0]["ip"].as_string(), "10.0.0.3");
  EXPECT_EQ(subset["addresses"][1], from(R"({"ip":"10.0.0.11","hostname":"web-10","nodeName":"n1",
      "targetRef":{"kind":"Pod","namespace":"default","name":"web-10","uid":"uid-web-10"}})"));
  EXPECT_EQ(subset["notReadyAddresses"].size(), 1u);
  EXPECT_EQ(subset["ports"], from(R"([{"port":8080,"protocol":"TCP"}])"));
  EXPECT_EQ(api::label_of(made, "endpoints.kubernetes.io/managed-by"), "endpoint-controller");
  view.endpoints = made;
  EXPECT_TRUE(plan_endpoints(view, kNow + 1h).empty());
  view.service = Value();
  EXPECT_EQ(plan_endpoints(view, kNow).chains[0][0].verb, Action::Verb::kDelete);
  view.endpoints.mut("metadata").erase("labels");
  EXPECT_TRUE(plan_endpoints(view, kNow).empty());  // written by another client
}

TEST(MirrorTest, EndpointsThatOthersWriteHaveSlicesToo) {
  MirrorView view;
  view.service = make_service();
  view.service.mut("spec").erase("selector");
  view.endpoints = from(
      R"({"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web","namespace":"default","uid":"e","labels":{"a":"b"}},
      "subsets":[{"addresses":[{"ip":"10.0.0.1","nodeName":"n1"}],"notReadyAddresses":[{"ip":"fd00::1"}],"ports":[{"port":5432,"protocol":"TCP"}]}]})");
  Plan plan = plan_mirror(view, kNow);
  ASSERT_EQ(plan.chains.size(), 2u);  // one each address family
  const Value slice = plan.chains[0][0].object;
  EXPECT_EQ(api::label_of(slice, kManagedBy), kMirrorManager);
  EXPECT_EQ(api::label_of(slice, "a"), "b");
  EXPECT_EQ(slice["ports"], from(R"([{"name":"","port":5432,"protocol":"TCP"}])"));
  EXPECT_EQ(slice["endpoints"], from(R"([{"addresses":["10.0.0.1"],"conditions":{"ready":true},"nodeName":"n1"}])"));
  EXPECT_EQ(api::controller_of(slice)["kind"].as_string(), "Endpoints");
  view.slices = {slice, plan.chains[1][0].object};
  EXPECT_TRUE(plan_mirror(view, kNow + 1h).empty());

  view.endpoints.mut("subsets").mut(0).erase("notReadyAddresses");
  view.endpoints.mut("subsets").mut(0).mut("addresses").mut(0).set("ip", "10.0.0.2");
  plan = plan_mirror(view, kNow);
  ASSERT_EQ(plan.chains.size(), 2u);
  EXPECT_EQ(plan.chains[0][0].verb, Action::Verb::kUpdate);
  EXPECT_EQ(plan.chains[1][0].verb, Action::Verb::kDelete);
  // With a selector, without a service, or with the skip label nothing is mirrored.
  view.service = make_service();
  EXPECT_EQ(plan_mirror(view, kNow).chains.size(), 2u);
  view.slices.clear();
  EXPECT_TRUE(plan_mirror(view, kNow).empty());
  view.service.mut("spec").erase("selector");
  view.endpoints.mut("metadata").mut("labels").set(kSkipMirror, "true");
  EXPECT_TRUE(plan_mirror(view, kNow).empty());
}

TEST(EndpointControllersTest, FollowThePods) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  api.put(kServices, make_service());
  api.put(kPods, make_pod(0, false));
  Driver slices(informers, make_slice_controller(informers)),
      endpoints(informers, make_endpoints_controller(informers));
  runtime.advance(10ms);
  EXPECT_EQ(api.count(kEndpointSlices), 1u);
  api.put(kPods, make_pod(0));
  runtime.advance(10ms);
  EXPECT_TRUE(informers.get(kEndpointSlices).list()[0]["endpoints"][0]["conditions"]["ready"].as_bool());
  EXPECT_EQ(api.read(kEndpoints, {"default", "web"})["subsets"][0]["addresses"].size(), 1u);
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
  api.erase(kServices, {"default", "web"});
  runtime.advance(10ms);
  EXPECT_EQ(api.count(kEndpoints), 0u);
}

TEST(ApiServerTest, KubernetesLeadsToTheServer) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  const api::Name name{"default", "kubernetes"};
  api.put(kServices, from(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"kubernetes","namespace":"default"},
      "spec":{"clusterIP":"10.96.0.1","ports":[{"name":"https","port":443,"targetPort":443,"protocol":"TCP"}]}})"));
  // Endpoints and slice of an earlier start at another address.
  api.put(
      kEndpoints,
      from(
          R"({"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"kubernetes","namespace":"default","labels":{"mine":"1"}},
      "subsets":[{"addresses":[{"ip":"10.9.9.9"}],"ports":[{"name":"https","port":1,"protocol":"TCP"}]}]})"));
  api.put(
      kEndpointSlices,
      from(
          R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"kubernetes","namespace":"default"},
      "addressType":"IPv6","endpoints":[]})"));
  Driver driver(informers, make_api_server_controller(informers, {"10.244.0.1", 6443}));
  Driver mirror(informers, make_mirror_controller(informers)),
      endpoints(informers, make_endpoints_controller(informers));
  const Value subsets =
      from(R"([{"addresses":[{"ip":"10.244.0.1"}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]}])");
  auto expect_right = [&] {
    runtime.advance(10ms);
    EXPECT_EQ(api.read(kEndpoints, name)["subsets"], subsets);
    EXPECT_EQ(api::label_of(api.read(kEndpoints, name), kSkipMirror), "true");
    const Value slice = api.read(kEndpointSlices, name);
    EXPECT_EQ(slice["addressType"].as_string(), "IPv4");
    EXPECT_EQ(slice["endpoints"], from(R"([{"addresses":["10.244.0.1"],"conditions":{"ready":true}}])"));
    EXPECT_EQ(slice["ports"], from(R"([{"name":"https","port":6443,"protocol":"TCP"}])"));
    EXPECT_EQ(api::labels_of(slice), from(R"({"kubernetes.io/service-name":"kubernetes"})"));
    EXPECT_EQ(api.count(kEndpointSlices), 1u);  // not mirrored as well
  };
  expect_right();
  // The type of a slice's addresses cannot be updated.
  EXPECT_NE(std::find(api.calls.begin(), api.calls.end(), "delete endpointslices default/kubernetes"), api.calls.end());
  EXPECT_TRUE(
      plan_api_server({api.read(kEndpoints, name), api.read(kEndpointSlices, name)}, {"10.244.0.1", 6443}).empty());
  EXPECT_EQ(api::label_of(api.read(kEndpoints, name), "mine"), "1");
  api.erase(kEndpoints, name);
  expect_right();
  api.erase(kEndpointSlices, name);
  expect_right();
  Value wrong = api.read(kEndpoints, name);
  wrong.mut("subsets").push(wrong["subsets"][0]);
  api.put(kEndpoints, wrong);
  expect_right();
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
}

}  // namespace
}  // namespace berth::controllers::endpoint
