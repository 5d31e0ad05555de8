#include <gtest/gtest.h>

#include "api/schema/given_empty.h"
#include "api/schema/schema.h"

namespace berth::api::schema {
namespace {

Value json_of(std::string_view text) {
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? *parsed : Value();
}

const Kind& kind_of(const Value& object) {
  const Kind* kind = builtin().find_kind(object["apiVersion"].as_string(), object["kind"].as_string());
  EXPECT_NE(kind, nullptr) << json::encode(object);
  return *kind;
}

Value decoded(std::string_view text, DecodeProblems* problems = nullptr) {
  Value in = json_of(text);
  auto out = decode(kind_of(in), in, problems);
  EXPECT_TRUE(out.ok()) << (out.ok() ? "" : out.error().message);
  return out.ok() ? *out : Value();
}

std::string refusal(std::string_view text) {
  Value in = json_of(text);
  auto out = decode(kind_of(in), in, nullptr);
  EXPECT_FALSE(out.ok()) << text;
  if (out.ok()) return "";
  EXPECT_EQ(out.error().code, Code::kBadRequest);
  return out.error().message;
}

std::string pod_with(std::string_view spec) {
  return R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":)" + std::string(spec) + R"(,"status":{}})";
}

TEST(Decode, WhatIsCanonicalIsTheSameNode) {
  Value in = json_of(pod_with(R"({"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"250m",
    "memory":"64Mi"}},"livenessProbe":{"httpGet":{"port":"http"}}}]})"));
  auto out = decode(kind_of(in), in, nullptr);
  ASSERT_TRUE(out.ok());
  EXPECT_TRUE(out->same_node(in));
}

TEST(Decode, WritesWhatAGoRoundTripWrites) {
  EXPECT_EQ(decoded(R"({"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"image":"i"}]}})"),
            json_of(R"({"apiVersion":"v1","kind":"Pod","metadata":{},"spec":{"containers":[{"name":"","image":"i",
              "resources":{}}]},"status":{}})"));
  EXPECT_EQ(decoded(R"({"apiVersion":"apps/v1","kind":"StatefulSet"})")["spec"],
            json_of(R"({"serviceName":"","template":{"metadata":{},"spec":{}},"updateStrategy":{}})"));
  EXPECT_EQ(decoded(R"({"apiVersion":"apps/v1","kind":"StatefulSet"})")["status"],
            json_of(R"({"availableReplicas":0,"replicas":0})"));
  EXPECT_EQ(decoded(R"({"apiVersion":"v1","kind":"Service","spec":{"ports":[{"port":80}]}})")["spec"]["ports"],
            json_of(R"([{"port":80,"targetPort":0}])"));
}

TEST(Decode, DropsNullsAndEmptyValuesWhereGoWould) {
  Value out = decoded(pod_with(R"({"hostname":"","hostNetwork":false,"priority":0,"runtimeClassName":"",
    "nodeSelector":{},"tolerations":[],"affinity":null,"securityContext":{},"terminationGracePeriodSeconds":0,
    "containers":[{"name":"c","resources":null,"args":[""],"env":[{"name":"A","value":""}],"stdin":false}]})"));
  EXPECT_EQ(out["spec"], json_of(R"({"priority":0,"runtimeClassName":"","securityContext":{},
    "terminationGracePeriodSeconds":0,
    "containers":[{"name":"c","resources":{},"args":[""],"env":[{"name":"A"}]}]})"));
}

TEST(Decode, EmptyListsAndMapsThatWereGivenCanBeKept) {
  const Value in =
      json_of(pod_with(R"({"volumes":[],"nodeSelector":{},"containers":[{"name":"c","image":"","env":[]}]})"));
  bool any = false;
  auto kept = decode_with_empty(kind_of(in), in, nullptr, any);
  ASSERT_TRUE(kept.ok());
  EXPECT_TRUE(any);
  EXPECT_EQ((*kept)["spec"],
            json_of(R"({"volumes":[],"nodeSelector":{},"containers":[{"name":"c","env":[],"resources":{}}]})"));
  const Value plain = without_empty(kind_of(in), *kept);
  EXPECT_EQ(plain, decode(kind_of(in), in, nullptr).value());
  ASSERT_TRUE(decode_with_empty(kind_of(in), plain, nullptr, any).ok());
  EXPECT_FALSE(any);
}

TEST(Decode, NullElementsBecomeZeroes) {
  EXPECT_EQ(decoded(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"a":null}},"data":{"k":null}})"),
            json_of(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"a":""}},"data":{"k":""}})"));
  EXPECT_EQ(decoded(pod_with(R"({"containers":[null],"initContainers":[{"name":"i","args":[null],
      "resources":{"limits":{"cpu":null}}}]})"))["spec"],
            json_of(R"({"containers":[{"name":"","resources":{}}],"initContainers":[{"name":"i","args":[""],
      "resources":{"limits":{"cpu":"0"}}}]})"));
}

TEST(Decode, CanonicalQuantities) {
  Value out = decoded(pod_with(R"({"overhead":{"a":"1024Mi","b":"0.5","c":1,"d":"1000","e":"1500m","f":1.5,"g":"0",
    "h":"0100m","i":"1e3","j":"999k","k":"1024Ki"}})"));
  EXPECT_EQ(out["spec"]["overhead"], json_of(R"({"a":"1Gi","b":"500m","c":"1","d":"1k","e":"1500m","f":"1500m","g":"0",
    "h":"100m","i":"1e3","j":"999k","k":"1Mi"})"));
}

TEST(Decode, TimesAreUtcAndWhole) {
  Value out = decoded(R"({"apiVersion":"v1","kind":"Event","metadata":{"creationTimestamp":"2026-01-02T03:04:05+01:00"},
    "involvedObject":{},"firstTimestamp":"2026-01-31T23:59:59.9Z","lastTimestamp":null,
    "eventTime":"2026-01-02T04:04:05.123456+01:00"})");
  EXPECT_EQ(out["metadata"]["creationTimestamp"].as_string(), "2026-01-02T02:04:05Z");
  EXPECT_EQ(out["firstTimestamp"].as_string(), "2026-01-31T23:59:59Z");
  EXPECT_EQ(out["eventTime"].as_string(), "2026-01-02T03:04:05.123456Z");
  EXPECT_TRUE(out.contains("lastTimestamp") && out["lastTimestamp"].is_null());  // as Go writes a zero time
  Value zero =
      decoded(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"creationTimestamp":"0001-01-01T00:00:00Z"}})");
  EXPECT_EQ(zero["metadata"], Value::object());
}

TEST(Decode, UnknownFieldsAreDroppedAndNamed) {
  DecodeProblems problems;
  Value out = decoded(R"({"apiVersion":"v1","kind":"Pod","sepc":1,"metadata":{"Name":"x","labels":{"any":"thing"}},
    "spec":{"containers":[{"name":"a","imag":"b"},{"name":"c","resources":{"limits":{"cpu":"1"},"limit":{}}}]}})",
                      &problems);
  EXPECT_EQ(problems.unknown, (std::vector<std::string>{"metadata.Name", "sepc", "spec.containers[0].imag",
                                                        "spec.containers[1].resources.limit"}));
  EXPECT_EQ(out["metadata"], json_of(R"({"labels":{"any":"thing"}})"));
  EXPECT_EQ(out["spec"]["containers"][0], json_of(R"({"name":"a","resources":{}})"));
}

TEST(Decode, RawFieldsAreLeftAlone) {
  Value out = decoded(R"({"apiVersion":"apps/v1","kind":"ControllerRevision","revision":3,
    "data":{"spec":{"a":null,"b":"","x":[]}}})");
  EXPECT_EQ(out["data"], json_of(R"({"spec":{"a":null,"b":"","x":[]}})"));
  EXPECT_EQ(out["revision"], Value(3));
}

TEST(Decode, RefusalsReadLikeGos) {
  const std::string pod = "Pod in version \"v1\" cannot be handled as a Pod: ";
  EXPECT_EQ(refusal(pod_with(R"({"containers":"x"})")),
            pod + "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container");
  EXPECT_EQ(refusal(pod_with(R"({"containers":[{"image":5}]})")),
            pod + "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string");
  EXPECT_EQ(refusal(pod_with(R"({"containers":[{"args":[true]}]})")),
            pod + "json: cannot unmarshal bool into Go struct field Container.spec.containers.args of type string");
  EXPECT_EQ(refusal(pod_with(R"({"dnsPolicy":{}})")),
            pod + "json: cannot unmarshal object into Go struct field PodSpec.spec.dnsPolicy of type v1.DNSPolicy");
  EXPECT_EQ(refusal(pod_with(R"({"priority":1.5})")),
            pod + "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32");
  EXPECT_EQ(refusal(pod_with(R"({"priority":2147483648})")),
            pod + "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32");
  EXPECT_EQ(refusal(pod_with("7")),
            pod + "json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec");
  EXPECT_EQ(refusal(pod_with(R"({"nodeSelector":[1]})")),
            pod +
                "json: cannot unmarshal array into Go struct field PodSpec.spec.nodeSelector of type "
                "map[string]string");
  EXPECT_EQ(refusal(pod_with(R"({"overhead":{"cpu":"abc"}})")),
            pod + "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  EXPECT_EQ(refusal(pod_with(R"({"containers":[{"livenessProbe":{"tcpSocket":{"port":true}}}]})")),
            pod +
                "json: cannot unmarshal bool into Go struct field "
                "TCPSocketAction.spec.containers.livenessProbe.ProbeHandler.tcpSocket.port of type int32");
  EXPECT_EQ(refusal(R"({"apiVersion":"apps/v1","kind":"Deployment","spec":{"paused":"x"}})"),
            "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go "
            "struct field DeploymentSpec.spec.paused of type bool");
  EXPECT_EQ(refusal(R"({"apiVersion":"v1","kind":"Secret","data":{"a":"***"}})"),
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0");
  EXPECT_EQ(refusal(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"creationTimestamp":"x"}})"),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: parsing time \"x\" as "
            "\"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"");
  EXPECT_EQ(
      refusal(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"creationTimestamp":5}})"),
      "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct "
      "field ObjectMeta.metadata.creationTimestamp of type string");
}

TEST(Decode, RefusedTimesNameThePiece) {
  const std::string head = R"(ConfigMap in version "v1" cannot be handled as a ConfigMap: parsing time )";
  const std::string layout = R"( as "2006-01-02T15:04:05Z07:00": cannot parse )";
  const std::pair<const char*, std::string> cases[] = {
      {"", R"("")" + layout + R"("" as "2006")"},
      {"2020-01-01", R"("2020-01-01")" + layout + R"("" as "T")"},
      {"2020-13-01T00:00:00Z", R"("2020-13-01T00:00:00Z": month out of range)"},
      {"2021-02-29T00:00:00Z", R"("2021-02-29T00:00:00Z": day out of range)"},
      {"2020-01-01T00:00:00", R"("2020-01-01T00:00:00")" + layout + R"("" as "Z07:00")"},
      {"2020-01-01T00:00:00Z ", R"("2020-01-01T00:00:00Z ": extra text: " ")"},
  };
  for (const auto& [text, words] : cases) {
    EXPECT_EQ(refusal(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"creationTimestamp":")" + std::string(text) +
                      "\"}}"),
              head + words);
  }
  EXPECT_EQ(
      refusal(R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","spec":{"renewTime":"2020-01-01T00:00:00Z"}})"),
      "Lease in version \"v1\" cannot be handled as a Lease: parsing time \"2020-01-01T00:00:00Z\" as "
      "\"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \".000000\"");
}

TEST(Decode, RefusedBase64NamesTheByte) {
  auto byte_of = [](std::string_view data) {
    const std::string text =
        refusal(R"({"apiVersion":"v1","kind":"Secret","data":{"a":")" + std::string(data) + "\"}}");
    return text.substr(text.rfind(' ') + 1);
  };
  EXPECT_EQ(byte_of("a"), "0");
  EXPECT_EQ(byte_of("aaaaa"), "4");
  EXPECT_EQ(byte_of("1.5"), "1");
  EXPECT_EQ(byte_of("aa=a"), "2");
  EXPECT_EQ(byte_of("aa==a"), "4");
}

TEST(Decode, NoObjectAtAll) {
  auto out = decode(*builtin().find_kind("v1", "Pod"), json_of("[1]"), nullptr);
  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().message,
            "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal array into Go value of type "
            "v1.Pod");
}

TEST(Decode, BytesAreCanonicalBase64) {
  EXPECT_EQ(decoded(R"({"apiVersion":"v1","kind":"Secret","data":{"a":"Yg\n==","e":"","n":null}})")["data"],
            json_of(R"({"a":"Yg==","e":"","n":""})"));
}

TEST(Decode, IsIdempotent) {
  Value once = decoded(pod_with(R"({"hostname":"","overhead":{"cpu":"1000m"},"containers":[{"image":"x"},null]})"));
  auto twice = decode(kind_of(once), once, nullptr);
  ASSERT_TRUE(twice.ok());
  EXPECT_TRUE(twice->same_node(once));
}

}  // namespace
}  // namespace berth::api::schema
