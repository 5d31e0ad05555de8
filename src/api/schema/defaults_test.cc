// Replays what a real Kubernetes 1.20 made of minimal objects (tests/data/recorded/defaults.jsonl), with the
// differences of 1.36 listed, and checks by hand what that recording does not hold.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "api/schema/schema.h"
#include "base/text.h"

namespace berth::api::schema {
namespace {

Value json_of(std::string_view text) {
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? *parsed : Value();
}

// Decoded and defaulted.
Value completed(const Value& in) {
  const Kind* kind = builtin().find_kind(in["apiVersion"].as_string(), in["kind"].as_string());
  EXPECT_NE(kind, nullptr) << json::encode(in);
  if (!kind) return Value();
  DecodeProblems problems;
  auto out = decode(*kind, in, &problems);
  EXPECT_TRUE(out.ok()) << (out.ok() ? "" : out.error().message);
  EXPECT_TRUE(problems.unknown.empty()) << join(problems.unknown, " ");
  if (!out.ok()) return Value();
  apply_defaults(*kind, *out);
  return *out;
}
Value made_of(std::string_view text) { return completed(json_of(text)); }

Value without_nulls(const Value& in) {
  if (in.is_array()) {
    Value out = Value::array();
    for (const Value& element : in) out.push(without_nulls(element));
    return out;
  }
  if (!in.is_object()) return in;
  Value out = Value::object();
  for (json::Entry entry : in.entries()) {
    if (!entry.value.is_null()) out.set(entry.key, without_nulls(entry.value));
  }
  return out;
}

// What the registry, admission and the allocators put in, not the decoder and the defaults.
Value without_assigned(Value object) {
  object = without_nulls(object);
  Value& metadata = object.mut("metadata");
  for (const char* key : {"uid", "creationTimestamp", "managedFields", "resourceVersion", "generation", "namespace",
                          "finalizers", "selfLink"}) {
    metadata.erase(key);
  }
  std::string_view kind = object["kind"].as_string();
  if (kind == "Namespace") object.mut("spec").erase("finalizers");
  if (kind == "Service") {
    object.mut("spec").erase("clusterIPs");
    for (std::size_t i = 0; i < object["spec"]["ports"].size(); ++i) {
      object.mut("spec").mut("ports").mut(i).erase("nodePort");
    }
  }
  if (kind == "Job") {  // the labels and the selector by which it knows its pods
    metadata.erase("labels");
    object.mut("spec").erase("selector");
    object.mut("spec").mut("template").mut("metadata").erase("labels");
  }
  if (kind != "Pod") return object;
  object.set("status", Value::object());
  Value& spec = object.mut("spec");
  for (const char* key : {"serviceAccount", "serviceAccountName", "tolerations", "priority", "preemptionPolicy"}) {
    spec.erase(key);
  }
  spec.mut("volumes").erase(spec["volumes"].size() - 1);  // the service account's token
  for (const char* list : {"containers", "initContainers"}) {
    for (std::size_t i = 0; i < spec[list].size(); ++i) {
      Value& c = spec.mut(list).mut(i);
      std::size_t mounts = c["volumeMounts"].size();
      if (mounts > 1) {
        c.mut("volumeMounts").erase(mounts - 1);
      } else {
        c.erase("volumeMounts");
      }
    }
  }
  return object;
}

// Where 1.36 answers otherwise than the recorded 1.20. `path` ends in the member that is added.
struct Difference {
  const char* kind;
  const char* name;  // empty: all
  std::vector<const char*> path;
  const char* value;
  const char* reason;
};
const Difference kDifferences[] = {
    {"Namespace",
     "",
     {"metadata", "labels", "kubernetes.io/metadata.name"},
     "\"n1\"",
     "since 1.21 a namespace carries its name as a label"},
    {"Job", "j", {"spec", "completionMode"}, "\"NonIndexed\"", "field of 1.21"},
    {"Job", "j", {"spec", "suspend"}, "false", "field of 1.21"},
    {"Job", "j", {"spec", "manualSelector"}, "false", "shown since 1.29"},
    {"Job", "j", {"spec", "podReplacementPolicy"}, "\"TerminatingOrFailed\"", "field of 1.28"},
    {"Service", "sv", {"spec", "internalTrafficPolicy"}, "\"Cluster\"", "field of 1.21"},
    {"Service", "h", {"spec", "internalTrafficPolicy"}, "\"Cluster\"", "field of 1.21"},
    {"Service", "np", {"spec", "internalTrafficPolicy"}, "\"Cluster\"", "field of 1.21"},
};
// Recorded kinds that Berth does not serve.
const std::set<std::string> kNotServed = {
    "NetworkPolicy", "Ingress",    "MutatingWebhookConfiguration", "CustomResourceDefinition",
    "ClusterRole",   "RoleBinding"};

TEST(Defaults, AsRecorded) {
  std::ifstream file(std::string(BERTH_SOURCE_DIR) + "/tests/data/recorded/defaults.jsonl");
  ASSERT_TRUE(file.good());
  int replayed = 0;
  std::size_t used = 0;
  std::set<std::string> skipped;
  for (std::string line; std::getline(file, line);) {
    Value record = json_of(line);
    Value request = record["request"], expected = record["response"];
    if (kNotServed.contains(request["kind"].str())) {
      skipped.insert(request["kind"].str());
      continue;
    }
    if (request["apiVersion"].as_string() == "batch/v1beta1") {  // v1 in 1.36, the same otherwise
      request.set("apiVersion", "batch/v1");
      expected.set("apiVersion", "batch/v1");
    }
    if (request["apiVersion"].as_string() == "policy/v1beta1") {  // v1 in 1.36, the same otherwise
      request.set("apiVersion", "policy/v1");
      expected.set("apiVersion", "policy/v1");
    }
    expected = without_assigned(expected);
    for (const Difference& difference : kDifferences) {
      if (request["kind"].as_string() != difference.kind) continue;
      if (*difference.name && request["metadata"]["name"].as_string() != difference.name) continue;
      Value* at = &expected;
      for (const char* key : difference.path) at = &at->mut(key);
      ASSERT_TRUE(at->is_null()) << difference.kind << ": " << difference.reason;
      *at = json_of(difference.value);
      ++used;
    }
    EXPECT_EQ(json::encode_pretty(completed(request)), json::encode_pretty(expected)) << line.substr(0, 200);
    ++replayed;
  }
  EXPECT_GE(replayed, 17);
  EXPECT_EQ(skipped, kNotServed);
  EXPECT_EQ(used, std::size(kDifferences));
}

TEST(Defaults, TwiceIsOnce) {
  std::ifstream file(std::string(BERTH_SOURCE_DIR) + "/tests/data/recorded/defaults.jsonl");
  for (std::string line; std::getline(file, line);) {
    Value request = json_of(line)["request"];
    const Kind* kind = builtin().find_kind(request["apiVersion"].as_string(), request["kind"].as_string());
    if (!kind) continue;
    Value once = completed(request);
    auto decoded = decode(*kind, once, nullptr);
    ASSERT_TRUE(decoded.ok()) << decoded.error().message;
    EXPECT_TRUE(decoded->same_node(once)) << kind->kind;
    Value twice = once;
    apply_defaults(*kind, twice);
    EXPECT_TRUE(twice.same_node(once)) << kind->kind << ": nothing may be copied where nothing changes";
  }
}

TEST(Defaults, StatefulSet) {
  Value set = made_of(R"({"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"web"},"spec":{
    "selector":{"matchLabels":{"a":"b"}},"serviceName":"web",
    "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x:1"}]}},
    "volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],
      "resources":{"requests":{"storage":"1Gi"}}}}]}})");
  EXPECT_EQ(json::encode_pretty(set["spec"]), json::encode_pretty(json_of(R"({
    "replicas":1,"selector":{"matchLabels":{"a":"b"}},"serviceName":"web","podManagementPolicy":"OrderedReady",
    "updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":0}},"revisionHistoryLimit":10,
    "persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain","whenScaled":"Retain"},
    "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x:1","resources":{},
      "terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File",
      "imagePullPolicy":"IfNotPresent"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,
      "dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}},
    "volumeClaimTemplates":[{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},
      "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"volumeMode":"Filesystem"},
      "status":{"phase":"Pending"}}]})")));
}

TEST(Defaults, StatefulSetStrategiesGiven) {
  auto strategy = [](std::string_view given) {
    return made_of(R"({"apiVersion":"apps/v1","kind":"StatefulSet","spec":{"updateStrategy":)" + std::string(given) +
                   "}}")["spec"]["updateStrategy"];
  };
  EXPECT_EQ(strategy(R"({"type":"OnDelete"})"), json_of(R"({"type":"OnDelete"})"));
  EXPECT_EQ(strategy(R"({"type":"RollingUpdate"})"), json_of(R"({"type":"RollingUpdate"})"));
  EXPECT_EQ(strategy(R"({"rollingUpdate":{"maxUnavailable":2}})"),
            json_of(R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":2,"partition":0}})"));
}

TEST(Defaults, DeploymentRecreateHasNoRollingUpdate) {
  Value made = made_of(R"({"apiVersion":"apps/v1","kind":"Deployment",
    "spec":{"strategy":{"type":"Recreate"},"replicas":0}})");
  EXPECT_EQ(made["spec"]["strategy"], json_of(R"({"type":"Recreate"})"));
  EXPECT_EQ(made["spec"]["replicas"], Value(0));
}

TEST(Defaults, DaemonSetStrategies) {
  auto spec = [](std::string_view given) {
    return made_of(R"({"apiVersion":"apps/v1","kind":"DaemonSet","spec":)" + std::string(given) + "}")["spec"];
  };
  EXPECT_EQ(spec("{}")["updateStrategy"],
            json_of(R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":0}})"));
  EXPECT_EQ(spec("{}")["revisionHistoryLimit"], Value(10));
  EXPECT_EQ(spec(R"({"updateStrategy":{"rollingUpdate":{"maxSurge":"10%"}}})")["updateStrategy"],
            json_of(R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":"10%"}})"));
  const Value on_delete = spec(R"({"updateStrategy":{"type":"OnDelete"},"revisionHistoryLimit":0})");
  EXPECT_EQ(on_delete["updateStrategy"], json_of(R"({"type":"OnDelete"})"));
  EXPECT_EQ(on_delete["revisionHistoryLimit"], Value(0));
}

TEST(Defaults, PullPolicyFollowsTheTag) {
  const std::pair<const char*, const char*> cases[] = {
      {"nginx", "Always"},
      {"nginx:latest", "Always"},
      {"nginx:1.2", "IfNotPresent"},
      {"registry.example:5000/a/b", "Always"},
      {"registry.example:5000/a/b:1", "IfNotPresent"},
      {"Registry/a/b", "Always"},
      {"nginx@sha256:aaaa", "IfNotPresent"},
      {"nginx:latest@sha256:aaaa", "Always"},
      {"nginx:1@sha256:aaaa", "IfNotPresent"},
      {"Nginx", "IfNotPresent"},  // not a valid name: no tag is read from it
      {"a//b", "IfNotPresent"},
      {"", "IfNotPresent"},
  };
  for (const auto& [image, policy] : cases) {
    Value pod = Value::object({{"apiVersion", "v1"}, {"kind", "Pod"}});
    pod.mut("spec").set("containers", Value::array({Value::object({{"name", "c"}, {"image", image}})}));
    EXPECT_EQ(completed(pod)["spec"]["containers"][0]["imagePullPolicy"].as_string(), policy) << image;
  }
}

TEST(Defaults, PodsGetRequestsFromLimitsTemplatesDoNot) {
  const std::string spec = R"({"containers":[{"name":"c","image":"x:1","resources":{"limits":{"cpu":"1","memory":"1Gi"},
    "requests":{"cpu":"100m"}}}]})";
  Value pod = made_of(R"({"apiVersion":"v1","kind":"Pod","spec":)" + spec + "}");
  EXPECT_EQ(pod["spec"]["containers"][0]["resources"]["requests"], json_of(R"({"cpu":"100m","memory":"1Gi"})"));
  Value set = made_of(R"({"apiVersion":"apps/v1","kind":"ReplicaSet","spec":{"template":{"spec":)" + spec + "}}}");
  const Value& in_template = set["spec"]["template"]["spec"];
  EXPECT_EQ(in_template["containers"][0]["resources"]["requests"], json_of(R"({"cpu":"100m"})"));
  EXPECT_FALSE(in_template.contains("enableServiceLinks"));
  Value bare = json_of(spec);
  apply_pod_spec_defaults(bare);
  EXPECT_EQ(bare["dnsPolicy"].as_string(), "ClusterFirst");
  EXPECT_FALSE(bare.contains("enableServiceLinks"));
}

TEST(Defaults, ResourcesOfThePodAsAWhole) {
  auto resources = [](std::string_view given, std::string_view first, std::string_view sidecar, std::string_view init) {
    return made_of(R"({"apiVersion":"v1","kind":"Pod","spec":{"resources":)" + std::string(given) +
                   R"(,"containers":[{"name":"a","image":"x:1","resources":{"requests":)" + std::string(first) +
                   R"(}}],"initContainers":[{"name":"s","image":"x:1","restartPolicy":"Always",
                   "resources":{"requests":)" +
                   std::string(sidecar) + R"(}},{"name":"i","image":"x:1","resources":{"requests":)" +
                   std::string(init) + "}}]}}")["spec"]["resources"];
  };
  EXPECT_EQ(resources(R"({"limits":{"cpu":"2","memory":"1Gi"}})", R"({"cpu":"500m"})", R"({"cpu":"100m"})", "{}"),
            json_of(R"({"limits":{"cpu":"2","memory":"1Gi"},"requests":{"cpu":"600m","memory":"1Gi"}})"));
  EXPECT_EQ(resources(R"({"limits":{"cpu":"2"}})", R"({"cpu":"500m"})", R"({"cpu":"100m"})", R"({"cpu":"1"})"),
            json_of(R"({"limits":{"cpu":"2"},"requests":{"cpu":"1100m"}})"));
  EXPECT_EQ(resources(R"({"requests":{"cpu":"2"}})", R"({"memory":"1Gi"})", "{}", "{}"),
            json_of(R"({"requests":{"cpu":"2"}})"));
}

TEST(Defaults, PodBits) {
  Value pod = made_of(R"({"apiVersion":"v1","kind":"Pod","status":{"podIP":"10.0.0.1"},"spec":{
    "hostNetwork":true,"serviceAccount":"old","overhead":{"cpu":"1500u"},
    "volumes":[{"name":"none"},{"name":"i","image":{"reference":"r/a:1"}},
      {"name":"r","rbd":{"monitors":["m"],"image":"i"}},
      {"name":"eph","ephemeral":{"volumeClaimTemplate":{"spec":{}}}}],
    "containers":[{"name":"c","image":"x:1","ports":[{"containerPort":80},{"containerPort":81,"hostPort":8}],
      "livenessProbe":{"grpc":{"port":1},"periodSeconds":3},"startupProbe":{"httpGet":{"port":1,"path":"/x"}}}]}})");
  const Value& spec = pod["spec"];
  EXPECT_EQ(spec["serviceAccountName"].as_string(), "old");
  EXPECT_EQ(spec["overhead"]["cpu"].as_string(), "2m");
  EXPECT_EQ(spec["volumes"][0], json_of(R"({"name":"none","emptyDir":{}})"));
  EXPECT_EQ(spec["volumes"][1]["image"]["pullPolicy"].as_string(), "IfNotPresent");
  EXPECT_EQ(spec["volumes"][2]["rbd"],
            json_of(R"({"monitors":["m"],"image":"i","pool":"rbd","user":"admin","keyring":"/etc/ceph/keyring"})"));
  EXPECT_EQ(spec["volumes"][3]["ephemeral"]["volumeClaimTemplate"],
            json_of(R"({"metadata":{},"spec":{"resources":{},"volumeMode":"Filesystem"}})"));
  EXPECT_EQ(spec["containers"][0]["ports"], json_of(R"([{"containerPort":80,"hostPort":80,"protocol":"TCP"},
    {"containerPort":81,"hostPort":8,"protocol":"TCP"}])"));
  EXPECT_EQ(spec["containers"][0]["livenessProbe"], json_of(R"({"grpc":{"port":1,"service":""},"periodSeconds":3,
    "timeoutSeconds":1,"successThreshold":1,"failureThreshold":3})"));
  EXPECT_EQ(spec["containers"][0]["startupProbe"]["httpGet"], json_of(R"({"port":1,"path":"/x","scheme":"HTTP"})"));
  EXPECT_EQ(pod["status"]["podIPs"], json_of(R"([{"ip":"10.0.0.1"}])"));
}

TEST(Defaults, ServiceBits) {
  Value made = made_of(R"({"apiVersion":"v1","kind":"Service","spec":{"type":"LoadBalancer",
    "sessionAffinity":"ClientIP","ports":[{"port":80,"targetPort":""},{"port":81,"targetPort":"web"}]},
    "status":{"loadBalancer":{"ingress":[{"ip":"1.2.3.4"},{"hostname":"h"}]}}})");
  EXPECT_EQ(made["spec"], json_of(R"({"type":"LoadBalancer","sessionAffinity":"ClientIP",
    "sessionAffinityConfig":{"clientIP":{"timeoutSeconds":10800}},"externalTrafficPolicy":"Cluster",
    "internalTrafficPolicy":"Cluster","allocateLoadBalancerNodePorts":true,
    "ports":[{"port":80,"protocol":"TCP","targetPort":80},{"port":81,"protocol":"TCP","targetPort":"web"}]})"));
  EXPECT_EQ(made["status"]["loadBalancer"]["ingress"],
            json_of(R"([{"ip":"1.2.3.4","ipMode":"VIP"},{"hostname":"h"}])"));
  Value none = made_of(R"({"apiVersion":"v1","kind":"Service","spec":{"sessionAffinity":"None",
    "sessionAffinityConfig":{"clientIP":{"timeoutSeconds":5}},"externalIPs":["1.1.1.1"]}})");
  EXPECT_EQ(none["spec"], json_of(R"({"type":"ClusterIP","sessionAffinity":"None","externalTrafficPolicy":"Cluster",
    "internalTrafficPolicy":"Cluster","externalIPs":["1.1.1.1"]})"));
}

TEST(Defaults, OtherKinds) {
  EXPECT_EQ(made_of(R"({"apiVersion":"v1","kind":"Node","status":{"capacity":{"cpu":"2"}}})")["status"]["allocatable"],
            json_of(R"({"cpu":"2"})"));
  EXPECT_EQ(made_of(R"({"apiVersion":"v1","kind":"Node","spec":{"podCIDR":"10.0.0.0/24"}})")["spec"]["podCIDRs"],
            json_of(R"(["10.0.0.0/24"])"));
  EXPECT_EQ(made_of(R"({"apiVersion":"v1","kind":"Secret","data":{"a":"Yg==","z":"Yg=="},"stringData":{"a":"c"}})"),
            json_of(R"({"apiVersion":"v1","kind":"Secret","metadata":{},"type":"Opaque",
              "data":{"a":"Yw==","z":"Yg=="}})"));
  EXPECT_EQ(made_of(R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4",
    "ports":[{}]})")["ports"],
            json_of(R"([{"name":"","protocol":"TCP"}])"));
  EXPECT_EQ(made_of(R"({"apiVersion":"v1","kind":"Endpoints","subsets":[{"ports":[{"port":1}]}]})")["subsets"],
            json_of(R"([{"ports":[{"port":1,"protocol":"TCP"}]}])"));
  EXPECT_EQ(made_of(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest"})")["spec"]["expirationSeconds"],
            Value(3600));
  EXPECT_EQ(made_of(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"generateName":"x-"}})")["metadata"],
            json_of(R"({"generateName":"x-"})"));
}

}  // namespace
}  // namespace berth::api::schema
