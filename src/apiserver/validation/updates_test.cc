// What may change of an object, where no recorded update shows it: one object, a change, and what is said of it.
#include <gtest/gtest.h>

#include "api/schema/schema.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

struct Row {
  const char *api_version, *kind, *subresource, *before, *change, *complaints;
};

std::string lines(const std::vector<Cause>& causes) {
  std::vector<std::string> out;
  for (const Cause& cause : causes)
    out.push_back(cause.field + ": " + cause.message.substr(0, cause.message.find('\n')));
  return join(out, "\n");
}

void merge(Value& into, const Value& change) {
  for (auto [key, value] : change.entries()) {
    if (value.is_null()) {
      into.erase(key);
    } else if (value.is_object() && into[key].is_object()) {
      merge(into.mut(key), value);
    } else {
      into.set(key, value);
    }
  }
}

TEST(ValidateUpdates, WhatTheRecordingsDoNotShow) {
  constexpr const char* kVolume =
      R"({"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"csi":{"driver":"a.b","volumeHandle":"h"},"nodeAffinity":{"required":{
        "nodeSelectorTerms":[{"matchExpressions":[{"key":"failure-domain.beta.kubernetes.io/zone","operator":"In","values":["z"]}]}]}}}})";
  constexpr const char* kClaim =
      R"({"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-class":"sc"}},"spec":{"accessModes":["ReadWriteOnce"],
        "resources":{"requests":{"storage":"2Gi"}},"volumeAttributesClassName":"v"},
        "status":{"phase":"Bound","capacity":{"storage":"1Gi"},"currentVolumeAttributesClassName":"v"}})";
  constexpr const char* kSized =
      R"({"spec":{"resources":{"requests":{"cpu":"4"}},"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}})";
  constexpr const char* kSlice = R"({"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}]})";
  constexpr const char* kBudget =
      R"({"spec":{"minAvailable":1},"status":{"disruptionsAllowed":0,"currentHealthy":0,"desiredHealthy":0,"expectedPods":0}})";
  constexpr const char* kPod =
      R"({"spec":{"containers":[{"name":"c","image":"i"}],"resourceClaims":[{"name":"r","resourceClaimName":"x"}]},"status":{}})";
  constexpr const char* kBalanced =
      R"({"spec":{"type":"LoadBalancer","ports":[{"port":80}]},"status":{"loadBalancer":{"ingress":[{"ip":"01.2.3.4","ipMode":"VIP"}]}}})";
  constexpr const char* kNode = R"({"spec":{"podCIDRs":["10.1.0.0/24"]},"status":{}})";
  constexpr const char* kEvent =
      R"({"eventTime":"2026-01-01T00:00:00.000000Z","type":"Normal","reason":"r","action":"a","reportingController":"c","reportingInstance":"i",
      "regarding":{"namespace":"default"}})";
  const Row rows[] = {
      {"v1", "PersistentVolume", "", kVolume,
       R"({"spec":{"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["z"]}]}]}}}})",
       ""},
      {"v1", "PersistentVolume", "", kVolume,
       R"({"spec":{"csi":{"controllerExpandSecretRef":{"name":"s","namespace":"n"}}}})", ""},
      {"v1", "PersistentVolume", "", kVolume,
       R"({"spec":{"csi":{"nodeExpandSecretRef":{"name":"s","namespace":"n"}}}})",
       "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"},
      {"v1", "PersistentVolumeClaim", "", kClaim,
       R"({"metadata":{"annotations":null},"spec":{"storageClassName":"sc"}})", ""},
      {"v1", "PersistentVolumeClaim", "", kClaim,
       R"({"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-class":"other"}}})",
       "metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: \"other\": field is immutable"},
      {"v1", "PersistentVolumeClaim", "", kClaim, R"({"spec":{"storageClassName":"other"}})",
       "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"},
      {"v1", "PersistentVolumeClaim", "", kClaim, R"({"spec":{"resources":{"requests":{"storage":"1500Mi"}}}})", ""},
      {"v1", "PersistentVolumeClaim", "", kClaim, R"({"spec":{"resources":{"requests":{"storage":"1Gi"}}}})",
       "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"},
      {"v1", "PersistentVolumeClaim", "", kClaim, R"({"spec":{"volumeAttributesClassName":null}})",
       "spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil"},
      {"v1", "PersistentVolumeClaim", "status", kClaim,
       R"({"status":{"allocatedResourceStatuses":{"storage":"NodeResizePending","a.b/c":"NodeResizePending"}}})", ""},
      {"discovery.k8s.io/v1", "EndpointSlice", "", kSlice, R"({"endpoints":[{"addresses":["10.0.0.1","127.0.0.1"]}]})",
       "endpoints[0].addresses[1]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"},
      {"policy/v1", "PodDisruptionBudget", "status", kBudget,
       R"({"status":{"conditions":[{"type":"T","status":"True","reason":"a reason","lastTransitionTime":"2026-01-01T00:00:00Z","message":""},
         {"type":"T","status":"True","reason":"Good","lastTransitionTime":"2026-01-01T00:00:00Z","message":""}]}})",
       "status.conditions[0].reason: Invalid value: \"a reason\": a condition reason must start with alphabetic character, optionally followed by a string of "
       "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or "
       "'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')\n"
       "status.conditions[1].type: Duplicate value: \"T\""},
      {"v1", "Pod", "status", kPod, R"({"status":{"nominatedNodeName":"A"}})",
       "status.nominatedNodeName: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
       "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
       "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"},
      {"v1", "Pod", "status", kPod,
       R"({"status":{"podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}],"resourceClaimStatuses":[{"name":"r","resourceClaimName":"x"}]}})",
       ""},
      {"v1", "Pod", "status", kPod, R"({"status":{"resourceClaimStatuses":[{"name":"r"},{"name":"r"}]}})",
       "status.resourceClaimStatuses[1].name: Duplicate value: \"r\""},
      {"v1", "Service", "status", kBalanced, R"({"metadata":{"labels":{"a":"b"}}})", ""},
      {"v1", "Service", "status", kBalanced, R"({"status":{"loadBalancer":{"ingress":[{"hostname":"1.2.3.4"}]}}})",
       "status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"},
      {"v1", "Service", "status", R"({"spec":{"type":"ClusterIP"}})",
       R"({"status":{"loadBalancer":{"ingress":[{"ip":"1.2.3.4"}]}}})",
       "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"},
      {"v1", "Node", "status", kNode, R"({"status":{"declaredFeatures":["MyFeature/mySubFeature"]}})", ""},
      {"v1", "Node", "", kNode, R"({"spec":{"podCIDRs":["10.1.0.0/24","fd00::/64"]}})",
       "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"},
      {"events.k8s.io/v1", "Event", "", kEvent,
       R"({"series":{"count":2,"lastObservedTime":"2026-01-01T00:00:01.000000Z"}})", ""},
      {"events.k8s.io/v1", "Event", "", kEvent, R"({"deprecatedCount":1,"eventTime":"2026-01-01T00:00:01.000000Z"})",
       "eventTime: Invalid value: \"2026-01-01T00:00:01.000000Z\": field is immutable\ncount: Invalid value: 1: field is immutable"},
      {"v1", "Event", "", R"({"involvedObject":{"namespace":"default"}})", R"({"reason":"other","message":"more"})",
       ""},
      {"v1", "Pod", "status",
       R"({"spec":{"containers":[{"name":"c","image":"i"}]},"status":{"podIPs":[{"ip":"010.0.0.1"}]}})",
       R"({"status":{"phase":"Running"}})", ""},
      {"batch/v1", "Job", "status",
       R"({"status":{"startTime":"2026-01-01T00:00:00Z","terminating":1,"conditions":[{"type":"FailureTarget","status":"True"}]}})",
       R"({"status":{"conditions":[{"type":"FailureTarget","status":"True"},{"type":"Failed","status":"True"}]}})",
       "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job"},
      {"v1", "Pod", "resize", kSized,
       R"({"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"2"}}}]}})", ""},
      {"v1", "Pod", "resize", kSized, R"({"spec":{"resources":null}})",
       "spec.resources: Forbidden: pod-level resources cannot be removed"},
      {"v1", "Pod", "resize",
       R"({"spec":{"containers":[{"name":"c","image":"i"}]},"status":{"containerStatuses":[{"name":"c","state":{"running":{}}}]}})",
       "{}", "spec: Forbidden: Pod running on node without support for resize"},
      {"v1", "Pod", "resize", R"({"spec":{"os":{"name":"windows"},"containers":[{"name":"c","image":"i"}]}})", "{}",
       ": Forbidden: windows pods cannot be resized"},
  };
  for (const Row& row : rows) {
    const api::schema::Kind& kind = *api::schema::builtin().find_kind(row.api_version, row.kind);
    Value before = json::parse(row.before).value();
    before.mut("metadata").set("name", "x");
    if (kind.namespaced) before.mut("metadata").set("namespace", "default");
    api::schema::apply_defaults(kind, before);
    Value after = before;
    merge(after, json::parse(row.change).value());
    api::schema::apply_defaults(kind, after);
    EXPECT_EQ(lines(validate_update(kind, before, after, row.subresource)), row.complaints)
        << row.kind << " " << row.change;
  }
}

}  // namespace
}  // namespace berth::apiserver::validation
