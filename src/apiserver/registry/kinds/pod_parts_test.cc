// pods/ephemeralcontainers and pods/resize.
#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

constexpr const char* kPod = R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{
  "initContainers":[{"name":"i","image":"x"},{"name":"s","image":"x","restartPolicy":"Always"}],
  "containers":[{"name":"c","image":"x","resources":{"requests":{"cpu":"100m","memory":"32Mi"},"limits":{"memory":"64Mi"}}}]}})";

class PodPartsTest : public RegistryValues {
 protected:
  void SetUp() override {
    RegistryFixture::SetUp();
    create(api::resources::kPods, kPod);
  }
  Result<Answer> send(const char* part, std::string_view text) {
    return wait([&](Done done) {
      registry_->patch(call(api::resources::kPods, "p", part), api::PatchType::kStrategic, parsed(text), false,
                       std::move(done));
    });
  }
  std::string outcome_of(const char* part, std::string_view text) { return outcome(send(part, text)); }
  Value pod() { return get(call(api::resources::kPods, "p")); }
  void bind(std::string_view node) {
    value(wait([&](Done done) {
      registry_->create(call(api::resources::kPods, "p", "binding"),
                        Value::object({{"apiVersion", "v1"},
                                       {"kind", "Binding"},
                                       {"metadata", Value::object({{"name", "p"}})},
                                       {"target", Value::object({{"kind", "Node"}, {"name", node}})}}),
                        std::move(done));
    }));
  }
};

TEST_F(PodPartsTest, EphemeralContainersAreAddedAndNothingElseIsTaken) {
  Value after = value(send("ephemeralcontainers", R"({"metadata":{"labels":{"a":"b"}},"spec":{"hostname":"h",
      "ephemeralContainers":[{"name":"d","image":"y","targetContainerName":"c"}]}})"));
  EXPECT_EQ(after["spec"]["ephemeralContainers"][0]["terminationMessagePath"], "/dev/termination-log");
  EXPECT_TRUE(after["spec"]["hostname"].is_null());
  EXPECT_TRUE(after["metadata"]["labels"].is_null());
  EXPECT_EQ(after["metadata"]["generation"], 2);
  EXPECT_EQ(outcome_of("ephemeralcontainers", R"({"spec":{"ephemeralContainers":[{"name":"e","image":"y"}]}})"), "ok");
  EXPECT_EQ(pod()["spec"]["ephemeralContainers"].size(), 2u);
}

TEST_F(PodPartsTest, EphemeralContainersStayAsTheyAre) {
  ASSERT_EQ(outcome_of("ephemeralcontainers", R"({"spec":{"ephemeralContainers":[{"name":"d","image":"y"}]}})"), "ok");
  EXPECT_EQ(
      outcome_of("ephemeralcontainers", R"({"spec":{"ephemeralContainers":[{"name":"d","$patch":"delete"}]}})"),
      "422 Pod \"p\" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n");
  const std::string changed =
      outcome_of("ephemeralcontainers", R"({"spec":{"ephemeralContainers":[{"name":"d","image":"z"}]}})");
  EXPECT_NE(changed.find("existing ephemeral containers \"d\" may not be changed\n"), std::string::npos) << changed;
  EXPECT_NE(outcome_of("", R"({"spec":{"ephemeralContainers":[{"name":"e","image":"z"}]}})"), "ok");
}

TEST_F(PodPartsTest, StaticPodsHaveNeither) {
  create(api::resources::kPods,
         R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"}},
             "spec":{"nodeName":"n1","containers":[{"name":"c","image":"x"}]}})");
  for (auto [part, why] : {std::pair{"ephemeralcontainers", "static pods do not support ephemeral containers"},
                           std::pair{"resize", "static pods cannot be resized"}}) {
    Result<Answer> answer = wait([&, part = part](Done done) {
      registry_->patch(call(api::resources::kPods, "m", part), api::PatchType::kMerge, parsed("{}"), false,
                       std::move(done));
    });
    EXPECT_NE(outcome(answer).find(why), std::string::npos) << outcome(answer);
  }
}

TEST_F(PodPartsTest, ResizeChangesCpuAndMemoryOnly) {
  Value after = value(send(
      "resize",
      R"({"spec":{"hostname":"h","containers":[{"name":"c","image":"y","resources":{"requests":{"cpu":"0.2"}}}]}})"));
  EXPECT_EQ(after["spec"]["containers"][0]["resources"]["requests"]["cpu"], "200m");
  EXPECT_EQ(after["spec"]["containers"][0]["image"], "x");
  EXPECT_TRUE(after["spec"]["hostname"].is_null());
  EXPECT_EQ(after["metadata"]["generation"], 2);
  bool owned = false;
  for (const Value& entry : after["metadata"]["managedFields"]) owned = owned || entry["subresource"] == "resize";
  EXPECT_TRUE(owned);
}

TEST_F(PodPartsTest, ResizeIsRefused) {
  auto why = [&](std::string_view text) { return outcome_of("resize", text); };
  const std::string invalid = "422 Pod \"p\" is invalid: ";
  EXPECT_EQ(why(R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":null}}}]}})"),
            invalid + "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed");
  EXPECT_EQ(
      why(R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1","memory":"64Mi"},"limits":{"cpu":"1"}}}],
                    "initContainers":[{"name":"i","resources":{"limits":{"cpu":"1","memory":"64Mi"}}},
                                      {"name":"s","resources":{"limits":{"cpu":"1","memory":"64Mi"}}}]}})"),
      invalid + "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing");
  EXPECT_EQ(why(R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"ephemeral-storage":"1Gi"}}}]}})"),
            invalid + "spec: Forbidden: only cpu and memory resources are mutable");
  EXPECT_EQ(why(R"({"spec":{"containers":[{"name":"d","image":"x"}]}})"),
            invalid + "spec.containers: Forbidden: containers may not be added or removed on resize");
  EXPECT_EQ(
      why(R"({"spec":{"containers":[{"name":"c","resizePolicy":[{"resourceName":"cpu","restartPolicy":"RestartContainer"}]}]}})"),
      invalid + "spec: Forbidden: only cpu and memory resources are mutable");
  EXPECT_EQ(
      outcome_of("", R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}})").substr(0, 60),
      (invalid + "spec: Forbidden: pod updates may not change fields").substr(0, 60));
}

TEST_F(PodPartsTest, ResizeOfABoundPodNeedsItsNode) {
  bind("n1");
  const std::string larger = R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"3"}}}]}})";
  EXPECT_EQ(outcome_of("resize", larger), "403 pods \"p\" is forbidden: node \"n1\" not found");
  create(api::resources::kNodes, R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},
      "status":{"allocatable":{"cpu":"2","memory":"4Gi"}}})");
  EXPECT_EQ(
      outcome_of("resize", larger),
      "403 pods \"p\" is forbidden: node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000");
  EXPECT_EQ(
      outcome_of("resize", R"({"spec":{"resources":{"requests":{"cpu":"1","memory":"64Mi"}}}})"),
      "403 pods \"p\" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling which are not available on node "
      "\"n1\"");
  EXPECT_EQ(outcome_of("resize", R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}})"),
            "ok");
}

TEST_F(PodPartsTest, ResizeOfAnInitContainerNeedsAFeatureOfTheNode) {
  bind("n1");
  create(
      api::resources::kNodes,
      R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"status":{"allocatable":{"cpu":"2","memory":"4Gi"}}})");
  auto resize = [&](const std::string& container) {
    return outcome_of("resize", R"({"spec":{"initContainers":[{"name":")" + container +
                                    R"(","resources":{"requests":{"cpu":"1"}}}]}})");
  };
  EXPECT_EQ(resize("s"), "ok") << "a sidecar";
  EXPECT_EQ(
      resize("i"),
      "403 pods \"p\" is forbidden: pod update requires features InPlacePodVerticalScalingInitContainers which are not available on node \"n1\"");
  patch(call(api::resources::kNodes, "n1", "status"),
        R"({"status":{"declaredFeatures":["InPlacePodVerticalScalingInitContainers"]}})");
  EXPECT_EQ(resize("i"), "ok");
}

TEST_F(PodPartsTest, ResizeStaysInTheBoundsOfItsNamespace) {
  create({"", "v1", "limitranges"}, R"({"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"l"},
      "spec":{"limits":[{"type":"Pod","max":{"memory":"1Gi"}}]}})");
  EXPECT_EQ(
      outcome_of(
          "resize",
          R"({"spec":{"containers":[{"name":"c","resources":{"requests":{"memory":"48Mi"},"limits":{"memory":"2Gi"}}}]}})"),
      "403 pods \"p\" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 2Gi");
}

TEST_F(RegistryValues, AnnotatedAppArmorProfilesBecomeFields) {
  Result<Answer> answer = wait([&](Done done) {
    registry_->create(call(api::resources::kPods),
                      parsed(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":{
        "container.apparmor.security.beta.kubernetes.io/c":"localhost/x","container.apparmor.security.beta.kubernetes.io/d":"unconfined"}},
        "spec":{"containers":[{"name":"c","image":"i"},{"name":"d","image":"i","securityContext":{"appArmorProfile":{"type":"Unconfined"}}}]}})"),
                      std::move(done));
  });
  const Value pod = value(answer);
  EXPECT_EQ(json::encode(pod["spec"]["containers"][0]["securityContext"]["appArmorProfile"]),
            R"({"localhostProfile":"x","type":"Localhost"})");
  ASSERT_EQ(answer->warnings.size(), 1u);
  EXPECT_EQ(
      answer->warnings[0],
      "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the \"appArmorProfile\" field instead");
}

TEST_F(RegistryValues, UnknownFieldsAreNamedInTheOrderOfTheText) {
  const std::string text =
      R"({"kind":"ConfigMap","apiVersion":"v1","zz":1,"metadata":{"name":"o","q":[{"a":1}],"name":"o"},"data":{"a":"1"},"aa":2})";
  Call c = call(api::resources::kConfigMaps);
  json::ParseOptions options;
  options.duplicates = &c.duplicates;
  Value object = json::parse(text, options).value();
  Result<Answer> answer = wait([&](Done done) { registry_->create(c, object, std::move(done), text); });
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->warnings, (std::vector<std::string>{"unknown field \"zz\"", "unknown field \"metadata.q\"",
                                                        "duplicate field \"metadata.name\"", "unknown field \"aa\""}));
}

}  // namespace
}  // namespace berth::apiserver::registry
