// Rules of the kinds beside pods and workloads: one object and what is said of it, per rule.
#include <gtest/gtest.h>

#include "api/schema/schema.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

// What a create is refused with, line by line.
std::string causes(std::string_view api_version, std::string_view kind_name, std::string_view text) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind(api_version, kind_name);
  Value object = json::parse(text).value();
  if (object["metadata"]["name"].is_null()) object.mut("metadata").set("name", "x");
  if (kind.namespaced) object.mut("metadata").set("namespace", "default");
  api::schema::apply_defaults(kind, object);
  std::vector<std::string> lines;
  for (const Cause& cause : validate_create(kind, object)) lines.push_back(cause.field + ": " + cause.message);
  return join(lines, "\n");
}

std::string service(std::string_view spec) {
  Value whole =
      json::parse(
          R"({"metadata":{"name":"x"},"spec":{"ipFamilyPolicy":"SingleStack","ipFamilies":["IPv4"],"ports":[{"port":80}]}})")
          .value();
  const Value parts = json::parse(spec).value();
  for (auto [key, value] : parts.entries()) whole.mut("spec").set(key, value);
  return causes("v1", "Service", json::encode(whole));
}

TEST(KindRules, Services) {
  EXPECT_EQ(service("{}"), "");
  EXPECT_EQ(service(R"({"ports":[]})"), "spec.ports: Required value");
  EXPECT_EQ(service(R"({"ports":[{"port":0,"targetPort":"a"}]})"),
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive");
  EXPECT_EQ(service(R"({"ports":[{"port":80,"name":"a"},{"port":81,"name":"a"}]})"),
            "spec.ports[1].name: Duplicate value: \"a\"");
  EXPECT_EQ(service(R"({"internalTrafficPolicy":""})"),
            "spec.internalTrafficPolicy: Unsupported value: \"\": supported values: \"Cluster\", \"Local\"");
  EXPECT_EQ(service(R"({"type":"ExternalName","ports":null,"ipFamilies":null,"ipFamilyPolicy":null})"),
            "spec.externalName: Required value");
}

TEST(KindRules, EndpointsAndSlices) {
  EXPECT_EQ(causes("v1", "Endpoints", R"({"subsets":[{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"port":80}]}]})"), "");
  EXPECT_EQ(causes("v1", "Endpoints", R"({"subsets":[{"ports":[{"port":80}]}]})"),
            "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`");
  EXPECT_EQ(causes("discovery.k8s.io/v1", "EndpointSlice", R"({"endpoints":[]})"), "addressType: Required value");
  EXPECT_EQ(causes("discovery.k8s.io/v1", "EndpointSlice",
                   R"({"addressType":"IPv4","endpoints":[],"ports":[{"protocol":""}]})"),
            "ports[0].protocol: Unsupported value: \"\": supported values: \"SCTP\", \"TCP\", \"UDP\"");
}

TEST(KindRules, Storage) {
  const auto volume = [](std::string_view more) {
    return causes(
        "v1", "PersistentVolume",
        R"({"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],)" + std::string(more) + "}}");
  };
  EXPECT_EQ(volume(R"("hostPath":{"path":"/a"})"), "");
  EXPECT_EQ(volume(R"("hostPath":{"path":"/a"},"nfs":{"server":"s","path":"/"})"),
            "spec.nfs: Forbidden: may not specify more than 1 volume type");
  EXPECT_EQ(volume(R"("local":{"path":"/a"})"),
            "spec.nodeAffinity: Required value: Local volume requires node affinity");
  EXPECT_EQ(volume(R"("csi":{"driver":"","volumeHandle":"h","nodeStageSecretRef":{}})"),
            "spec.csi.driver: Required value");
  EXPECT_EQ(volume(R"("csi":{"driver":"berth.dev/local","volumeHandle":"h"})"), "")
      << "what the built-in provisioner makes";
  EXPECT_NE(volume(R"("csi":{"driver":"example.com/local","volumeHandle":"h"})"), "");
  EXPECT_EQ(volume(R"("hostPath":{"path":"/a"},"volumeMode":"")"),
            "spec.volumeMode: Unsupported value: \"\": supported values: \"Block\", \"Filesystem\"");
  EXPECT_EQ(causes("storage.k8s.io/v1", "StorageClass", R"({"provisioner":"p","allowedTopologies":[{}]})"),
            "allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\"");
  EXPECT_EQ(causes("v1", "PersistentVolumeClaim", R"({"spec":{"accessModes":["ReadWriteOnce"]}})"),
            "spec.resources[storage]: Required value");
}

TEST(KindRules, TheRest) {
  EXPECT_EQ(causes("scheduling.k8s.io/v1", "PriorityClass", R"({"value":1,"preemptionPolicy":"x"})"),
            "preemptionPolicy: Unsupported value: \"x\": supported values: \"PreemptLowerPriority\", \"Never\"");
  EXPECT_EQ(causes("scheduling.k8s.io/v1", "PriorityClass", R"({"value":1,"preemptionPolicy":""})"),
            "preemptionPolicy: Required value");
  EXPECT_EQ(causes("node.k8s.io/v1", "RuntimeClass", R"({"handler":"a_b"})").substr(0, 46),
            "handler: Invalid value: \"a_b\": a lowercase RFC");
  EXPECT_EQ(causes("node.k8s.io/v1", "RuntimeClass", R"({"handler":"h","overhead":{"podFixed":{"cpu":"-1"}}})"),
            "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0");
  EXPECT_EQ(causes("coordination.k8s.io/v1", "Lease", R"({"spec":{"leaseDurationSeconds":0}})"),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0");
  EXPECT_EQ(causes("v1", "Event", R"({"involvedObject":{"namespace":"other"}})").substr(0, 25),
            "involvedObject.namespace:");
}

TEST(KindRules, OverheadIsNotRounded) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("node.k8s.io/v1", "RuntimeClass");
  Value object = json::parse(R"({"handler":"h","overhead":{"podFixed":{"cpu":"1000100u"}}})").value();
  api::schema::apply_defaults(kind, object);
  EXPECT_EQ(object["overhead"]["podFixed"]["cpu"].as_string(), "1000100u");
}

}  // namespace
}  // namespace berth::apiserver::validation
