// LimitRanges and ResourceQuotas at work in the registry.
#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;

class QuotaTest : public RegistryFixture {
 protected:
  Result<Answer> create(const api::Resource& resource, std::string_view text, bool dry_run = false) {
    Call c = call(resource);
    c.dry_run = dry_run;
    return wait([&](Done done) { registry_->create(c, parsed(text), std::move(done)); });
  }
  Result<Answer> patch(const Call& c, std::string_view text) {
    return wait([&](Done done) { registry_->patch(c, api::PatchType::kMerge, parsed(text), false, std::move(done)); });
  }
  Value get(const api::Resource& resource, std::string name) {
    return wait([&](Done done) { registry_->get(call(resource, name), std::move(done)); })->value();
  }
  static std::string pod(const std::string& name, const std::string& resources = "{}") {
    return R"({"metadata":{"name":")" + name + R"("},"spec":{"containers":[{"name":"c","image":"i","resources":)" +
           resources + "}]}}";
  }
  // A quota as the controller has seen it once.
  void make_quota(const std::string& name, const std::string& hard, const std::string& used,
                  const std::string& more = "") {
    ASSERT_EQ(outcome(create(kResourceQuotas,
                             R"({"metadata":{"name":")" + name + R"("},"spec":{"hard":)" + hard + more + "}}")),
              "ok");
    ASSERT_EQ(outcome(patch(call(kResourceQuotas, name, "status"),
                            R"({"status":{"hard":)" + hard + R"(,"used":)" + used + "}}")),
              "ok");
  }
  std::string used(const std::string& name) { return json::encode(get(kResourceQuotas, name)["status"]["used"]); }
};

TEST_F(QuotaTest, LimitRangesFillInWhatContainersDoNotSay) {
  ASSERT_TRUE(
      create(kLimitRanges,
             R"({"metadata":{"name":"l"},"spec":{"limits":[{"type":"Container","default":{"cpu":"1","memory":"1Gi"},
      "defaultRequest":{"cpu":"100m"}}]}})")
          .ok());
  Value made = create(kPods, R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"a","image":"i"},
      {"name":"b","image":"i","resources":{"limits":{"cpu":"2"},"requests":{"memory":"5Mi"}}}],"initContainers":[{"name":"z","image":"i"}]}})")
                   ->value();
  const Value& containers = made["spec"]["containers"];
  EXPECT_EQ(json::encode(containers[0]["resources"]),
            R"({"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m","memory":"1Gi"}})");
  EXPECT_EQ(json::encode(containers[1]["resources"]),
            R"({"limits":{"cpu":"2","memory":"1Gi"},"requests":{"cpu":"2","memory":"5Mi"}})");
  EXPECT_EQ(
      api::annotation_of(made, "kubernetes.io/limit-ranger"),
      "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; memory limit for container b; "
      "cpu, memory request for init container z; cpu, memory limit for init container z");
  EXPECT_EQ(made["status"]["qosClass"].as_string(), "Burstable");
}

TEST_F(QuotaTest, LimitRangesRefuseWhatIsOutOfBounds) {
  ASSERT_TRUE(create(kLimitRanges, R"({"metadata":{"name":"l"},"spec":{"limits":[
      {"type":"Container","min":{"cpu":"50m"},"max":{"cpu":"1","memory":"1Gi"},"default":{"cpu":"100m"},"defaultRequest":{"cpu":"100m"},"maxLimitRequestRatio":{"cpu":"2"}},
      {"type":"Pod","max":{"cpu":"1500m"}},{"type":"PersistentVolumeClaim","min":{"storage":"1Gi"},"max":{"storage":"2Gi"}}]}})")
                  .ok());
  EXPECT_EQ(outcome(create(kPods, pod("ok"))), "ok");
  EXPECT_EQ(
      outcome(create(kPods, pod("p", R"({"limits":{"cpu":"3"},"requests":{"cpu":"10m"}})"))),
      "403 pods \"p\" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum cpu usage per Container is 1, but limit is 3, "
      "cpu max limit to request ratio per Container is 2, but provided ratio is 300.000000, maximum cpu usage per Pod is 1500m, but limit is 3]");
  EXPECT_EQ(outcome(create(kPods, pod("p", R"({"limits":{"memory":"2Gi"}})"))),
            "403 pods \"p\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi");
  const char* kClaim =
      R"({"metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"SIZE"}}}})";
  auto claim = [&](const std::string& size) {
    return std::string(kClaim).replace(std::string(kClaim).find("SIZE"), 4, size);
  };
  EXPECT_EQ(
      outcome(create(kPersistentVolumeClaims, claim("1Mi"))),
      "403 persistentvolumeclaims \"c\" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi");
  EXPECT_EQ(
      outcome(create(kPersistentVolumeClaims, claim("3Gi"))),
      "403 persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi");
  EXPECT_EQ(outcome(create(kPersistentVolumeClaims, claim("2Gi"))), "ok");
  EXPECT_EQ(
      outcome(create(
          kLimitRanges,
          R"({"metadata":{"name":"bad"},"spec":{"limits":[{"type":"Pod","default":{"cpu":"1"}},{"type":"Pod","min":{"cpu":"2"},"max":{"cpu":"1"}},
      {"type":"What","max":{"cpu":"1"}},{"type":"PersistentVolumeClaim"},{"type":"Container","max":{"pods":"1"},"maxLimitRequestRatio":{"cpu":"500m"}}]}})")),
      "422 LimitRange \"bad\" is invalid: [spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod', "
      "spec.limits[1].type: Duplicate value: \"Pod\", spec.limits[1].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1, "
      "spec.limits[2].type: Invalid value: \"What\": must be a standard limit type or fully qualified, "
      "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided, "
      "spec.limits[4].max[pods]: Invalid value: \"pods\": must be a standard resource for containers, "
      "spec.limits[4].default[pods]: Invalid value: \"pods\": must be a standard resource for containers, "
      "spec.limits[4].defaultRequest[pods]: Invalid value: \"pods\": must be a standard resource for containers, "
      "spec.limits[4].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1]");
}

TEST_F(QuotaTest, NoMoreIsAdmittedThanThereIs) {
  make_quota("q", R"({"pods":"3","requests.cpu":"250m"})", R"({"pods":"0","requests.cpu":"0"})");
  // All at once, before any of them is durable.
  int admitted = 0, refused = 0;
  for (int i = 0; i < 6; ++i) {
    registry_->create(call(kPods), parsed(pod("p" + std::to_string(i), R"({"requests":{"cpu":"50m"}})")),
                      [&](Result<Answer> answer) {
                        if (answer.ok()) return void(++admitted);
                        ++refused;
                        EXPECT_EQ(answer.error().message.substr(answer.error().message.find("exceeded")),
                                  "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3");
                      });
  }
  while (admitted + refused < 6) loop_.run_once(1s);
  EXPECT_EQ(admitted, 3);
  EXPECT_EQ(used("q"), R"({"pods":"3","requests.cpu":"150m"})");
  EXPECT_EQ(outcome(patch(call(kResourceQuotas, "q", "status"), R"({"status":{"used":{"pods":"0"}}})")), "ok");
  EXPECT_EQ(
      outcome(create(kPods, pod("big", R"({"requests":{"cpu":"200m"}})"))),
      "403 pods \"big\" is forbidden: exceeded quota: q, requested: requests.cpu=200m, used: requests.cpu=150m, limited: requests.cpu=250m");
  EXPECT_EQ(outcome(create(kPods, pod("none"))),
            "403 pods \"none\" is forbidden: failed quota: q: must specify requests.cpu for: c");
  EXPECT_EQ(outcome(create(kPods, pod("dry", R"({"requests":{"cpu":"1m"}})"), true)), "ok");
  EXPECT_EQ(used("q"), R"({"pods":"0","requests.cpu":"150m"})");
}

TEST_F(QuotaTest, QuotasThatNobodyHasCountedYet) {
  make_quota("half", R"({"configmaps":"1","secrets":"1"})", R"({"secrets":"0"})");
  EXPECT_EQ(outcome(create(kConfigMaps, R"({"metadata":{"name":"c"}})")),
            "403 configmaps \"c\" is forbidden: status unknown for quota: half, resources: configmaps");
  EXPECT_EQ(outcome(create(kSecrets, R"({"metadata":{"name":"s"}})")), "ok");
  EXPECT_EQ(used("half"), R"({"secrets":"1"})");
  // Before the controller has accepted its bounds, a quota refuses nothing.
  ASSERT_TRUE(
      create(kResourceQuotas,
             R"({"metadata":{"name":"new"},"spec":{"hard":{"services":"0"}},"status":{"hard":{"services":"0"}}})")
          .ok());
  EXPECT_EQ(outcome(create(kServices, R"({"metadata":{"name":"s"},"spec":{"ports":[{"port":1}]}})")), "ok");
}

TEST_F(QuotaTest, ChangesAreChargedToo) {
  ASSERT_TRUE(create(kServices, R"({"metadata":{"name":"s"},"spec":{"ports":[{"port":1}]}})").ok());
  make_quota("q", R"({"services":"1","services.nodeports":"1","requests.storage":"3Gi"})",
             R"({"services":"1","services.nodeports":"0","requests.storage":"0"})");
  EXPECT_EQ(outcome(patch(call(kServices, "s"), R"({"spec":{"type":"NodePort"}})")), "ok");
  EXPECT_EQ(used("q"), R"({"requests.storage":"0","services":"1","services.nodeports":"1"})");
  EXPECT_EQ(
      outcome(patch(call(kServices, "s"), R"({"spec":{"ports":[{"port":1,"name":"a"},{"port":2,"name":"b"}]}})")),
      "403 services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1");
  ASSERT_TRUE(
      create(
          kPersistentVolumeClaims,
          R"({"metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}})")
          .ok());
  ASSERT_TRUE(patch(call(kPersistentVolumeClaims, "c", "status"),
                    R"({"status":{"phase":"Bound","capacity":{"storage":"1Gi"}}})")
                  .ok());
  EXPECT_EQ(
      outcome(patch(call(kPersistentVolumeClaims, "c"), R"({"spec":{"resources":{"requests":{"storage":"4Gi"}}}})"))
          .substr(0, 60),
      "403 persistentvolumeclaims \"c\" is forbidden: exceeded quota:");
  EXPECT_EQ(used("q"), R"({"requests.storage":"1Gi","services":"1","services.nodeports":"1"})");
}

TEST_F(QuotaTest, ScopesChooseWhatCounts) {
  make_quota("q", R"({"pods":"0"})", R"({"pods":"0"})", R"(,"scopes":["BestEffort"])");
  EXPECT_EQ(outcome(create(kPods, pod("a", R"({"requests":{"cpu":"1m"}})"))), "ok");
  EXPECT_EQ(outcome(create(kPods, pod("b"))),
            "403 pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0");
  EXPECT_EQ(outcome(patch(call(kResourceQuotas, "q"), R"({"spec":{"scopes":["NotBestEffort"]}})")),
            "422 ResourceQuota \"q\" is invalid: spec.scopes: Invalid value: [\"NotBestEffort\"]: field is immutable");
  EXPECT_EQ(
      outcome(create(
          kResourceQuotas,
          R"({"metadata":{"name":"x"},"spec":{"hard":{"pods":"1500m","what":"1","services":"-1"},"scopes":["BestEffort","NotBestEffort","Odd"]}})")),
      "422 ResourceQuota \"x\" is invalid: [spec.hard[pods]: Invalid value: \"1500m\": must be an integer, "
      "spec.hard[services]: Invalid value: \"-1\": must be greater than or equal to 0, spec.hard[what]: Invalid value: \"what\": must be a standard resource type or fully "
      "qualified, spec.hard[what]: Invalid value: \"what\": must be a standard resource for quota, "
      "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope applied to resource, "
      "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope, "
      "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: conflicting scopes]");
  EXPECT_EQ(
      outcome(create(kResourceQuotas,
                     R"({"metadata":{"name":"x"},"spec":{"hard":{"pods":"1"},"scopeSelector":{"matchExpressions":[
      {"scopeName":"Terminating","operator":"In"},{"scopeName":"PriorityClass","operator":"Exists","values":["a"]}]}}})")),
      "422 ResourceQuota \"x\" is invalid: [spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' when scope is any of "
      "ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
      "ResourceQuotaScopeCrossNamespacePodAffinity, spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when "
      "`operator` is 'In' or 'NotIn' for scope selector, spec.scopeSelector.matchExpressions.values: Invalid value: [\"a\"]: must be no value when "
      "`operator` is 'Exist' or 'DoesNotExist' for scope selector]");
}

}  // namespace
}  // namespace berth::apiserver::registry
