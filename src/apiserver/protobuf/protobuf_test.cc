#include "apiserver/protobuf/protobuf.h"

#include <gtest/gtest.h>

namespace berth::apiserver::protobuf {
namespace {

// A message, written by hand.
struct Message {
  std::string bytes;
  Message& varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    bytes += static_cast<char>(value);
    return *this;
  }
  Message& number(int field, std::uint64_t value) {
    return varint(static_cast<std::uint64_t>(field) << 3).varint(value);
  }
  Message& text(int field, std::string_view value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 2).varint(value.size());
    bytes += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes); }
};

std::string envelope(std::string_view api_version, std::string_view kind, const Message& object) {
  Message unknown;
  unknown.message(1, Message().text(1, api_version).text(2, kind)).message(2, object).text(3, "").text(4, "");
  return std::string("k8s\0", 4) + unknown.bytes;
}

std::string decoded(const std::string& bytes) {
  Result<Value> value = decode(api::schema::builtin(), bytes);
  return value.ok() ? json::encode(*value) : "error: " + value.error().message;
}

// As Go's encoder writes it: every string, also the empty ones.
Message metadata(std::string_view name) {
  return Message().text(1, name).text(2, "").text(3, "").text(4, "").text(5, "").text(6, "").number(7, 0).message(
      8, Message());
}

TEST(Protobuf, ConfigMap) {
  Message map;
  map.message(1, metadata("c").message(11, Message().text(1, "app").text(2, "x")));
  map.message(2, Message().text(1, "a").text(2, "1")).message(2, Message().text(1, "empty").text(2, ""));
  map.message(3, Message().text(1, "bin").text(2, std::string("\0\xff", 2))).number(4, 1);
  EXPECT_EQ(
      decoded(envelope("v1", "ConfigMap", map)),
      R"({"apiVersion":"v1","binaryData":{"bin":"AP8="},"data":{"a":"1","empty":""},"immutable":true,"kind":"ConfigMap",)"
      R"("metadata":{"generation":0,"labels":{"app":"x"},"name":"c"}})");
}

TEST(Protobuf, StructsThatGoEmbeds) {
  // Volume{1: name, 2: VolumeSource{2: EmptyDirVolumeSource{}, 19: ConfigMapVolumeSource{1: {1: name}, 4: optional}}}
  Message source;
  source.message(19, Message().message(1, Message().text(1, "settings")).number(4, 0));
  Message probe;  // Probe{1: ProbeHandler{2: HTTPGetAction{1: path, 2: port 80}}, 4: periodSeconds}
  probe
      .message(
          1, Message().message(2, Message().text(1, "/z").message(2, Message().number(1, 0).number(2, 80).text(3, ""))))
      .number(4, 3);
  Message container;
  container.text(1, "c").text(2, "i").message(10, probe);
  Message spec;
  spec.message(1, Message().text(1, "v").message(2, source)).message(2, container);
  Result<Value> pod =
      decode(api::schema::builtin(), envelope("v1", "Pod", Message().message(1, metadata("p")).message(2, spec)));
  ASSERT_TRUE(pod.ok()) << pod.error().message;
  EXPECT_EQ(json::encode((*pod)["spec"]["volumes"]),
            R"([{"configMap":{"name":"settings","optional":false},"name":"v"}])");
  EXPECT_EQ(json::encode((*pod)["spec"]["containers"][0]["livenessProbe"]),
            R"({"httpGet":{"path":"/z","port":80},"periodSeconds":3})");
}

TEST(Protobuf, QuantitiesTimesAndNegatives) {
  Message claim_spec;
  claim_spec.text(1, "ReadWriteOnce")
      .message(2, Message().message(2, Message().text(1, "storage").message(2, Message().text(1, "1Gi"))));
  Message meta = metadata("p");
  meta.message(9, Message().number(1, 1'700'000'000).number(2, 0));
  Result<Value> claim = decode(api::schema::builtin(), envelope("v1", "PersistentVolumeClaim",
                                                                Message().message(1, meta).message(2, claim_spec)));
  ASSERT_TRUE(claim.ok()) << claim.error().message;
  EXPECT_EQ((*claim)["spec"]["resources"]["requests"]["storage"].as_string(), "1Gi");
  EXPECT_EQ((*claim)["metadata"]["deletionTimestamp"].as_string(), "2023-11-14T22:13:20Z");
  Message set;  // StatefulSetSpec.replicas -1, as ten bytes
  set.message(2, Message().number(1, static_cast<std::uint64_t>(-1)));
  EXPECT_EQ(decoded(envelope("apps/v1", "StatefulSet", set)),
            R"({"apiVersion":"apps/v1","kind":"StatefulSet","spec":{"replicas":-1}})");
}

TEST(Protobuf, DeleteOptionsOfAnyGroup) {
  Message options;
  options.number(1, 5).message(2, Message().text(1, "u")).text(4, "Background");
  EXPECT_EQ(
      decoded(envelope("apps/v1", "DeleteOptions", options)),
      R"({"apiVersion":"apps/v1","gracePeriodSeconds":5,"kind":"DeleteOptions","preconditions":{"uid":"u"},"propagationPolicy":"Background"})");
}

TEST(Protobuf, SkipsWhatItDoesNotKnow) {
  Message map;
  map.text(99, "future").number(100, 7).message(1, metadata("c"));
  EXPECT_EQ(decoded(envelope("v1", "ConfigMap", map)),
            R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"generation":0,"name":"c"}})");
}

// What real servers answered, as JSON: encoded and decoded again it is the same, but for what is empty.
Value without_empty(const Value& value) {
  if (value.is_array()) {
    Value out = Value::array();
    for (const Value& element : value) out.push(without_empty(element));
    return out;
  }
  if (!value.is_object()) return value;
  Value out = Value::object();
  for (auto [key, member] : value.entries()) {
    Value kept = without_empty(member);
    const bool nothing = kept.is_null() || (kept.is_string() && kept.as_string().empty()) ||
                         (kept.is_object() && kept.empty()) || (kept.is_array() && kept.empty());
    if (!nothing) out.set(key, std::move(kept));
  }
  return out;
}

TEST(Protobuf, WhatIsEncodedIsDecodedAsItWas) {
  const char* const objects[] = {
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"a":"b"},
          "managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1",
          "fieldsV1":{"f:spec":{"f:x":{}}}}],"ownerReferences":[{"apiVersion":"v1","kind":"K","name":"n","uid":"u","controller":true}]},
          "spec":{"volumes":[{"name":"v","configMap":{"name":"c","optional":false,"defaultMode":420}}],
          "containers":[{"name":"c","image":"i","livenessProbe":{"httpGet":{"path":"/","port":"http"},"periodSeconds":3},
          "ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}]},
          "status":{"phase":"Running","containerStatuses":[{"name":"c","ready":true,"restartCount":2,"image":"i","imageID":"x",
          "state":{"running":{"startedAt":"2026-01-02T03:04:05Z"}}}]}})",
      R"({"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"s"},"spec":{"replicas":-1,"serviceName":"s",
          "updateStrategy":{"rollingUpdate":{"maxUnavailable":"25%","partition":0}}}})",
      R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"AP8=","b":"eA=="},"type":"Opaque"})",
      R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},
          "spec":{"holderIdentity":"h","leaseDurationSeconds":40,"renewTime":"2026-01-02T03:04:05.123456Z"}})",
      R"({"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"7","remainingItemCount":3},
          "items":[{"metadata":{"name":"a"},"data":{"x":"y"}},{"metadata":{"name":"b"}}]})",
      R"({"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","message":"m","code":404,
          "details":{"name":"n","kind":"configmaps","causes":[{"reason":"r","message":"m","field":"f"}]}})",
  };
  for (const char* text : objects) {
    const Value object = json::parse(text).value();
    Result<std::string> bytes = encode(api::schema::builtin(), object);
    ASSERT_TRUE(bytes.ok()) << bytes.error().message;
    Result<Value> again = decode(api::schema::builtin(), *bytes);
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(json::encode(without_empty(*again)), json::encode(without_empty(object)));
  }
  EXPECT_TRUE(encode(api::schema::builtin(), Value::object({{"apiVersion", "meta.k8s.io/v1"}, {"kind", "Table"}}))
                  .failed_with(Code::kNotAcceptable));
}

TEST(Protobuf, EveryKindThatIsStoredHasAProtobufForm) {
  for (const api::schema::Kind* kind : api::schema::builtin().kinds())
    EXPECT_TRUE(can_encode(*kind->type)) << kind->api_version() << " " << kind->kind;
}

TEST(Protobuf, AnEventsLengthIsThatOfAllThatFollows) {
  const std::string object(300, 'x'), head = encode_event_head("ADDED", object.size()), frame = head + object;
  ASSERT_GT(head.size(), 4u);
  const std::size_t told = static_cast<unsigned char>(frame[2]) << 8 | static_cast<unsigned char>(frame[3]);
  EXPECT_EQ(told, frame.size() - 4);
  EXPECT_EQ(frame.substr(4, 7), std::string("\x0a\x05"
                                            "ADDED",
                                            7));
}

TEST(Protobuf, RefusesDamage) {
  EXPECT_FALSE(decode(api::schema::builtin(), "{}").ok());
  EXPECT_FALSE(decode(api::schema::builtin(), "").ok());
  EXPECT_FALSE(decode(api::schema::builtin(), envelope("v1", "Nonsense", Message())).ok());
  EXPECT_FALSE(
      decode(api::schema::builtin(), envelope("v1", "ConfigMap", Message().message(2, Message().text(1, "\xff"))))
          .ok());
  // Every truncation is an error or a shorter object, and never more than that.
  Message map;
  map.message(1, metadata("c")).message(2, Message().text(1, "a").text(2, "1"));
  const std::string whole = envelope("v1", "ConfigMap", map);
  int refused = 0;
  for (std::size_t n = 0; n < whole.size(); ++n)
    refused += decode(api::schema::builtin(), whole.substr(0, n)).ok() ? 0 : 1;
  EXPECT_GT(refused, static_cast<int>(whole.size()) / 2);
}

}  // namespace
}  // namespace berth::apiserver::protobuf
