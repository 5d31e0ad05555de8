// What admission adds to new objects and refuses: runtime classes, Pod Security, addresses of Services, taints of
// nodes.
#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;

const api::Resource kRuntimeClasses{"node.k8s.io", "v1", "runtimeclasses"};

class AdmissionTest : public RegistryFixture {
 protected:
  Result<Answer> create(const Call& c, std::string_view text) {
    return wait([&](Done done) { registry_->create(c, parsed(text), std::move(done)); });
  }
  Result<Answer> patch(const Call& c, std::string_view text) {
    return wait([&](Done done) { registry_->patch(c, api::PatchType::kMerge, parsed(text), false, std::move(done)); });
  }
  // A pod of the class "fast" that says `more`.
  Result<Answer> fast_pod(const std::string& more) {
    return create(
        call(kPods),
        R"({"metadata":{"name":"x"},"spec":{"runtimeClassName":"fast","containers":[{"name":"c","image":"i"}])" + more +
            "}}");
  }
};

TEST_F(AdmissionTest, RuntimeClassesMustBeThere) {
  EXPECT_EQ(outcome(fast_pod("")), "403 pods \"x\" is forbidden: pod rejected: RuntimeClass \"fast\" not found");
  EXPECT_EQ(
      outcome(create(
          call(kPods),
          R"({"metadata":{"name":"x"},"spec":{"overhead":{"cpu":"1"},"containers":[{"name":"c","image":"i"}]}})")),
      "403 pods \"x\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
}

TEST_F(AdmissionTest, RuntimeClassesGiveOverheadAndScheduling) {
  ASSERT_EQ(outcome(create(call(kRuntimeClasses),
                           R"({"metadata":{"name":"fast"},"handler":"h","overhead":{"podFixed":{"cpu":"250m"}},
    "scheduling":{"nodeSelector":{"disk":"ssd"},"tolerations":[{"key":"k","operator":"Exists"},{"key":"k","value":"v"}]}})")),
            "ok");
  EXPECT_EQ(outcome(fast_pod(R"(,"overhead":{"cpu":"1"})")),
            "403 pods \"x\" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
  EXPECT_EQ(
      outcome(fast_pod(R"(,"nodeSelector":{"disk":"hdd"})")),
      "403 pods \"x\" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[disk] = ssd; pod.spec.nodeSelector[disk] = hdd");
  Result<Answer> made = fast_pod(
      R"(,"nodeSelector":{"zone":"a"},"tolerations":[{"key":"own","operator":"Exists","effect":"NoSchedule"}])");
  ASSERT_EQ(outcome(made), "ok");
  const Value spec = made->value()["spec"];
  EXPECT_EQ(spec["overhead"]["cpu"].as_string(), "250m");
  EXPECT_EQ(spec["nodeSelector"], parsed(R"({"disk":"ssd","zone":"a"})"));
  EXPECT_EQ(spec["tolerations"][0]["key"].as_string(), "own");
  ASSERT_EQ(spec["tolerations"].size(), 4u) << "two are everybody's, and the narrower one is needless";
  EXPECT_EQ(json::encode(spec["tolerations"][3]), R"({"key":"k","operator":"Exists"})");
}

TEST_F(AdmissionTest, NamespacesAskForPodSecurity) {
  EXPECT_EQ(
      outcome(create(call(kNamespaces),
                     R"({"metadata":{"name":"n","labels":{"pod-security.kubernetes.io/enforce":"none"}}})")),
      "422 namespaces \"n\" is forbidden: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"none\": must be one of "
      "privileged, baseline, restricted");
  Call ns = call(kNamespaces, "default");
  ASSERT_EQ(
      outcome(patch(
          ns,
          R"({"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/warn":"restricted"}}})")),
      "ok");
  EXPECT_EQ(
      outcome(create(call(kPods),
                     R"({"metadata":{"name":"x"},"spec":{"hostPID":true,"containers":[{"name":"c","image":"i"}]}})")),
      "403 pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)");
  Result<Answer> plain =
      create(call(kPods), R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  ASSERT_EQ(outcome(plain), "ok");
  ASSERT_EQ(plain->warnings.size(), 1u);
  EXPECT_TRUE(plain->warnings[0].starts_with(
      "would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false ("))
      << plain->warnings[0];
  EXPECT_TRUE(patch(call(kPods, "x"), R"({"metadata":{"labels":{"a":"b"}}})")->warnings.empty())
      << "a label makes no pod worse";

  Result<Answer> workload =
      create(call(kDeployments), R"({"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},
    "template":{"metadata":{"labels":{"a":"b"}},"spec":{"hostPID":true,"containers":[{"name":"c","image":"i"}]}}}})");
  ASSERT_EQ(outcome(workload), "ok") << "workloads are told, not refused";
  ASSERT_EQ(workload->warnings.size(), 1u);
  EXPECT_NE(workload->warnings[0].find("host namespaces (hostPID=true)"), std::string::npos) << workload->warnings[0];

  Result<Answer> stricter = patch(ns, R"({"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}})");
  ASSERT_EQ(outcome(stricter), "ok");
  ASSERT_EQ(stricter->warnings.size(), 2u);
  EXPECT_EQ(stricter->warnings[0],
            "existing pods in namespace \"default\" violate the new PodSecurity enforce level \"restricted:latest\"");
  EXPECT_TRUE(stricter->warnings[1].starts_with("x: allowPrivilegeEscalation != false, ")) << stricter->warnings[1];
}

TEST_F(AdmissionTest, DryRunsProposeAddressesAndKeepNone) {
  Call dry = call(kServices);
  dry.dry_run = true;
  constexpr const char* kWeb =
      R"({"metadata":{"name":"web"},"spec":{"type":"NodePort","clusterIP":"10.96.7.7","ports":[{"port":80}]}})";
  Result<Answer> shown = create(dry, kWeb);
  ASSERT_EQ(outcome(shown), "ok");
  EXPECT_GT(shown->value()["spec"]["ports"][0]["nodePort"].as_int(), 0);
  EXPECT_EQ(outcome(create(call(kServices), kWeb)), "ok") << "the address is still free";
}

TEST_F(AdmissionTest, FamiliesOfServices) {
  Value free =
      create(call(kServices), R"({"metadata":{"name":"free"},"spec":{"clusterIP":"None","ports":[{"port":80}]}})")
          ->value();
  EXPECT_EQ(free["spec"]["ipFamilyPolicy"].as_string(), "RequireDualStack")
      << "nobody but its writer knows its endpoints";
  EXPECT_EQ(free["spec"]["ipFamilies"], parsed(R"(["IPv4","IPv6"])"));
  EXPECT_EQ(
      outcome(create(
          call(kServices),
          R"({"metadata":{"name":"s"},"spec":{"ipFamilyPolicy":"RequireDualStack","selector":{"a":"b"},"ports":[{"port":80}]}})")),
      "422 Service \"s\" is invalid: spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services");
  Value name =
      create(
          call(kServices),
          R"({"metadata":{"name":"e"},"spec":{"type":"ExternalName","externalName":"a.b","internalTrafficPolicy":"Local"}})")
          ->value();
  EXPECT_TRUE(name["spec"]["internalTrafficPolicy"].is_null());
  EXPECT_TRUE(name["spec"]["ipFamilies"].is_null());
}

TEST_F(AdmissionTest, ServicesLoseWhatBelongsToTheirFormerType) {
  ASSERT_EQ(
      outcome(create(
          call(kServices),
          R"({"metadata":{"name":"s"},"spec":{"type":"LoadBalancer","selector":{"a":"b"},"ports":[{"port":80}]}})")),
      "ok");
  Result<Answer> inside = patch(call(kServices, "s"), R"({"spec":{"type":"ClusterIP"}})");
  ASSERT_EQ(outcome(inside), "ok");
  const Value spec = inside->value()["spec"];
  for (const char* gone : {"allocateLoadBalancerNodePorts", "externalTrafficPolicy"})
    EXPECT_TRUE(spec[gone].is_null()) << gone;
  EXPECT_TRUE(spec["ports"][0]["nodePort"].is_null());
  Result<Answer> outside = patch(call(kServices, "s"), R"({"spec":{"type":"ExternalName","externalName":"a.b"}})");
  ASSERT_EQ(outcome(outside), "ok");
  EXPECT_TRUE(outside->value()["spec"]["clusterIP"].is_null());
  Result<Answer> back = patch(call(kServices, "s"), R"({"spec":{"type":"NodePort","externalName":null}})");
  ASSERT_EQ(outcome(back), "ok");
  EXPECT_TRUE(back->value()["spec"]["clusterIP"].as_string().starts_with("10.96."));
}

TEST_F(AdmissionTest, ARefusedChangeOfAServiceTakesNoNumbers) {
  (void)create(call(kServices),
               R"({"metadata":{"name":"s"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30100}]}})");
  Value bad = parsed(
      R"({"metadata":{"name":"s","labels":{"a b":""}},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30101}]}})");
  const auto put = [&](const std::string& name, const Value& object) {
    return outcome(wait([&](Done done) { registry_->update(call(kServices, name), object, std::move(done)); }));
  };
  EXPECT_TRUE(put("s", bad).starts_with("422 "));
  (void)create(call(kServices),
               R"({"metadata":{"name":"other"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30101}]}})");
  bad.mut("metadata").erase("labels");
  EXPECT_EQ(
      put("s", bad),
      "422 Service \"s\" is invalid: spec.ports[0].nodePort: Invalid value: 30101: provided port is already allocated");
  bad.mut("spec").mut("ports").mut(0).set("nodePort", 30102);
  EXPECT_EQ(put("s", bad), "ok");
  bad = parsed(R"({"metadata":{"name":"other"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30100}]}})");
  EXPECT_EQ(put("other", bad), "ok") << "the number that was left is free";
}

TEST_F(AdmissionTest, ClaimsGrowWhereTheirClassLetsThem) {
  const std::string refused =
      "403 persistentvolumeclaims \"c\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that "
      "provisions the pvc must support resize";
  ASSERT_EQ(outcome(create(call(kStorageClasses),
                           R"({"metadata":{"name":"grows"},"provisioner":"a.b/c","allowVolumeExpansion":true})")),
            "ok");
  ASSERT_EQ(outcome(create(call(kStorageClasses), R"({"metadata":{"name":"stays"},"provisioner":"a.b/c"})")), "ok");
  const auto make = [&](const std::string& storage_class) {
    (void)wait([&](Done done) { registry_->remove(call(kPersistentVolumeClaims, "c"), {}, std::move(done)); });
    (void)patch(call(kPersistentVolumeClaims, "c"), R"({"metadata":{"finalizers":null}})");
    const std::string spec = R"({"accessModes":["ReadWriteOnce"],"storageClassName":")" + storage_class +
                             R"(","resources":{"requests":{"storage":"1Gi"}}})";
    const std::string created =
        outcome(create(call(kPersistentVolumeClaims), R"({"metadata":{"name":"c"},"spec":)" + spec + "}"));
    return created + outcome(patch(call(kPersistentVolumeClaims, "c", "status"), R"({"status":{"phase":"Bound"}})"));
  };
  const auto grow = [&] {
    return outcome(
        patch(call(kPersistentVolumeClaims, "c"), R"({"spec":{"resources":{"requests":{"storage":"2Gi"}}}})"));
  };
  for (const char* unable : {"stays", "missing", ""}) {
    ASSERT_EQ(make(unable), "okok");
    EXPECT_EQ(grow(), refused) << unable;
  }
  ASSERT_EQ(make("grows"), "okok");
  EXPECT_EQ(grow(), "ok");
}

TEST_F(AdmissionTest, NodesBringTheirStatusAndStartTainted) {
  Value node = create(call(kNodes), R"({"metadata":{"name":"n"},"status":{"capacity":{"cpu":"2"}}})")->value();
  EXPECT_EQ(node["status"]["allocatable"]["cpu"].as_string(), "2");
  EXPECT_EQ(node["spec"]["taints"][0]["key"].as_string(), "node.kubernetes.io/not-ready");
}

}  // namespace
}  // namespace berth::apiserver::registry
