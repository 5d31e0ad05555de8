// Admission over objects in a map: namespaces, limits, quotas, priorities, budgets, Pod Security.
#include <gtest/gtest.h>

#include <map>

#include "api/status.h"
#include "apiserver/admission/disruption_budget.h"
#include "apiserver/admission/limit_ranges.h"
#include "apiserver/admission/namespaces.h"
#include "apiserver/admission/pod_security.h"
#include "apiserver/admission/pods.h"
#include "apiserver/admission/priority.h"
#include "apiserver/admission/quota.h"
#include "apiserver/admission/storage.h"
#include "base/loop.h"

namespace berth::apiserver::admission {
namespace {

using namespace api::resources;

Value parsed(std::string_view text) { return json::parse(text).value(); }

// Objects by collection, namespace and name. All versions are durable.
class Objects final : public ObjectReader {
 public:
  void add(const api::Resource& resource, std::string_view text) {
    Value object = parsed(text);
    const std::string key = std::string(resource.resource) + "/" + std::string(api::namespace_of(object)) + "/";
    const std::string name(api::name_of(object));
    records_[key][name] = std::make_shared<store::Record>(key + name, std::move(object), 1, 1);
  }
  store::RecordPtr find(const api::Resource& resource, std::string_view ns, std::string_view name) const override {
    for (const store::RecordPtr& record : list(resource, ns)) {
      if (api::name_of(record->value) == name) return record;
    }
    return nullptr;
  }
  std::vector<store::RecordPtr> list(const api::Resource& resource, std::string_view ns) const override {
    std::vector<store::RecordPtr> out;
    const auto found = records_.find(std::string(resource.resource) + "/" + std::string(ns) + "/");
    if (found == records_.end()) return out;
    for (const auto& [name, record] : found->second) out.push_back(record);
    return out;
  }
  std::vector<store::RecordPtr> list_newest(const api::Resource& resource, std::string_view ns) const override {
    return list(resource, ns);
  }

 private:
  std::map<std::string, std::map<std::string, store::RecordPtr>> records_;
};

class AdmissionTest : public ::testing::Test {
 protected:
  Request request(const api::Resource& resource, std::string_view subresource = "", std::string_view name = "") {
    return {objects_, loop_, *api::schema::builtin().find(resource), subresource, "default", name};
  }
  static std::string outcome(const Status& status) {
    return status.ok() ? "ok" : std::to_string(api::http_code(status.error().code)) + " " + status.error().message;
  }
  std::string checked(Check check, const Request& request, const Value& before, const Value& after) {
    warnings_.clear();
    return outcome(check({request, before, after, after, warnings_}));
  }

  Loop loop_{1};
  Objects objects_;
  std::vector<std::string> warnings_;
};

TEST_F(AdmissionTest, NamespacesMustExistAndNotBeTerminating) {
  const Request pods = request(kPods);
  EXPECT_EQ(outcome(check_namespace(pods, false)), "404 namespaces \"default\" not found");
  objects_.add(kNamespaces, R"({"metadata":{"name":"default"},"status":{"phase":"Active"}})");
  EXPECT_EQ(outcome(check_namespace(pods, false)), "ok");
  objects_.add(kNamespaces, R"({"metadata":{"name":"default"},"status":{"phase":"Terminating"}})");
  EXPECT_NE(outcome(check_namespace(pods, false)).find("because it is being terminated"), std::string::npos);
  EXPECT_EQ(outcome(check_namespace(pods, true)), "ok");
  EXPECT_EQ(outcome(check_namespace(request(kNodes), false)), "ok") << "nodes have no namespace";
}

TEST_F(AdmissionTest, SomeNamespacesAndClassesStay) {
  for (const char* name : {"default", "kube-system", "kube-public"})
    EXPECT_EQ(outcome(check_namespace_deletion(request(kNamespaces, "", name))),
              "403 namespaces \"" + std::string(name) + "\" is forbidden: this namespace may not be deleted");
  EXPECT_EQ(outcome(check_namespace_deletion(request(kNamespaces, "", "mine"))), "ok");
  EXPECT_FALSE(check_priority_class_deletion(request(kPriorityClasses, "", "system-node-critical")).ok());
  EXPECT_TRUE(check_priority_class_deletion(request(kPriorityClasses, "", "mine")).ok());
}

TEST_F(AdmissionTest, PodsGetWhatTheirNamespaceGives) {
  objects_.add(kServiceAccounts,
               R"({"metadata":{"name":"default","namespace":"default"},"imagePullSecrets":[{"name":"s"}]})");
  objects_.add(kLimitRanges, R"({"metadata":{"name":"l","namespace":"default"},
      "spec":{"limits":[{"type":"Container","defaultRequest":{"cpu":"100m"}}]}})");
  objects_.add(kPriorityClasses, R"({"metadata":{"name":"all"},"globalDefault":true,"value":7})");
  Value pod = parsed(R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  ASSERT_EQ(outcome(admit_pod(request(kPods), pod)), "ok");
  const Value& spec = pod["spec"];
  EXPECT_EQ(spec["serviceAccountName"].as_string(), "default");
  EXPECT_EQ(spec["imagePullSecrets"][0]["name"].as_string(), "s");
  EXPECT_EQ(spec["containers"][0]["resources"]["requests"]["cpu"].as_string(), "100m");
  EXPECT_EQ(spec["priority"].as_int(), 7);
  EXPECT_EQ(spec["tolerations"].size(), 2u);
  EXPECT_EQ(spec["containers"][0]["volumeMounts"][0]["name"], spec["volumes"][0]["name"]);
  EXPECT_EQ(pod["status"]["qosClass"].as_string(), "Burstable");
  Value other = parsed(R"({"metadata":{"name":"p"},"spec":{"serviceAccountName":"ghost"}})");
  EXPECT_EQ(outcome(admit_pod(request(kPods), other)),
            "403 pods \"p\" is forbidden: error looking up service account default/ghost: serviceaccount \"ghost\" not "
            "found");
}

TEST_F(AdmissionTest, LimitsBoundNewAndResizedPodsAndAnyClaim) {
  objects_.add(kLimitRanges, R"({"metadata":{"name":"l","namespace":"default"},"spec":{"limits":[
      {"type":"Container","max":{"cpu":"1"}},{"type":"PersistentVolumeClaim","max":{"storage":"1Gi"}}]}})");
  const Value big = parsed(R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","resources":{
      "limits":{"cpu":"2"}}}],"resources":{"requests":{"storage":"2Gi"}}}})");
  const std::string refused = "403 pods \"x\" is forbidden: maximum cpu usage per Container is 1, but limit is 2";
  EXPECT_EQ(checked(check_pod_limits, request(kPods), Value(), big), refused);
  EXPECT_EQ(checked(check_pod_limits, request(kPods), big, big), "ok");
  EXPECT_EQ(checked(check_pod_limits, request(kPods, "resize"), big, big), refused);
  EXPECT_NE(checked(check_claim_limits, request(kPersistentVolumeClaims), Value(), big), "ok");
  EXPECT_EQ(checked(check_claim_limits, request(kPersistentVolumeClaims), big, big), "ok") << "it holds that already";
}

TEST_F(AdmissionTest, QuotasAreChargedOrRefuse) {
  const Request request = this->request(kConfigMaps);
  const Value object = parsed(R"({"metadata":{"name":"c","namespace":"default"}})");
  auto charge = [&] { return check_quota({request, Value(), object, object, warnings_}); };
  EXPECT_TRUE(charge()->empty());
  objects_.add(kResourceQuotas, R"({"metadata":{"name":"q","namespace":"default"},
      "status":{"hard":{"configmaps":"1"},"used":{"configmaps":"0"}}})");
  Result<std::vector<QuotaCharge>> charges = charge();
  ASSERT_TRUE(charges.ok());
  ASSERT_EQ(charges->size(), 1u);
  EXPECT_EQ((*charges)[0].after["status"]["used"]["configmaps"].as_string(), "1");
  objects_.add(kResourceQuotas, R"({"metadata":{"name":"q","namespace":"default"},
      "status":{"hard":{"configmaps":"1"},"used":{"configmaps":"1"}}})");
  EXPECT_EQ(charge().error().message,
            "configmaps \"c\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: "
            "configmaps=1");
}

TEST_F(AdmissionTest, ClaimsGetTheNewestDefaultClass) {
  for (auto [name, day] : {std::pair("old", "01"), std::pair("new", "02")})
    objects_.add(kStorageClasses,
                 R"({"metadata":{"name":")" + std::string(name) + R"(","creationTimestamp":"2026-01-)" + day +
                     R"(T00:00:00Z","annotations":{"storageclass.kubernetes.io/is-default-class":"true"}}})");
  Value claim = parsed(R"({"metadata":{"name":"c"},"spec":{}})"), chosen = claim;
  ASSERT_TRUE(admit_claim(request(kPersistentVolumeClaims), claim).ok());
  EXPECT_EQ(claim["spec"]["storageClassName"].as_string(), "new");
  EXPECT_EQ(claim["metadata"]["finalizers"][0].as_string(), "kubernetes.io/pvc-protection");
  chosen.mut("spec").set("storageClassName", "");
  ASSERT_TRUE(admit_claim(request(kPersistentVolumeClaims), chosen).ok());
  EXPECT_EQ(chosen["spec"]["storageClassName"].as_string(), "");
}

TEST_F(AdmissionTest, PodSecurityRefusesPodsAndWarnsOfTemplates) {
  objects_.add(kNamespaces, R"({"metadata":{"name":"default","labels":{
      "pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/warn":"baseline"}}})");
  const Value pod = parsed(R"({"metadata":{"name":"p"},"spec":{"hostPID":true,"containers":[{"name":"c"}]}})");
  EXPECT_EQ(checked(check_pod_security, request(kPods), Value(), pod),
            "403 pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)");
  EXPECT_EQ(checked(check_pod_security, request(kPods), pod, pod), "ok") << "nothing of weight has changed";
  EXPECT_EQ(checked(check_pod_security, request(kPods, "status"), Value(), pod), "ok");
  const Request workload = request(kDeployments);
  warn_of_template_security({workload, Value(), pod, pod, warnings_}, pod);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_TRUE(warnings_[0].starts_with("would violate PodSecurity \"baseline:latest\"")) << warnings_[0];
}

TEST_F(AdmissionTest, BudgetsCountTheirPods) {
  objects_.add(kPodDisruptionBudgets, R"({"metadata":{"name":"b","namespace":"default","generation":1},
      "spec":{"selector":{"matchLabels":{"a":"b"}}},"status":{"observedGeneration":1,"disruptionsAllowed":1}})");
  const Value pod = parsed(R"({"metadata":{"name":"p","namespace":"default","labels":{"a":"b"}}})");
  const std::vector<store::RecordPtr> budgets = budgets_of(objects_, pod);
  ASSERT_EQ(budgets.size(), 1u);
  EXPECT_TRUE(check_budget(budgets[0]->value, "no").ok());
  const Value used = with_disruption(budgets[0]->value, "p", Time{});
  EXPECT_TRUE(used["status"]["disruptedPods"].contains("p"));
  EXPECT_EQ(outcome(check_budget(used, "no")), "429 no");
  EXPECT_FALSE(counts_deletions(used));
  EXPECT_TRUE(budgets_of(objects_, parsed(R"({"metadata":{"name":"p","namespace":"default"}})")).empty());
}

}  // namespace
}  // namespace berth::apiserver::admission
