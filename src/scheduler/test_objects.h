#pragma once
// Small objects for the scheduler's tests.

#include <map>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "scheduler/filter/filter.h"

namespace berth::scheduler::testing {

inline Value from(std::string_view text) { return json::parse(text).value(); }

inline Value make_node(const std::string& name, const std::string& cpu = "4", const std::string& memory = "8Gi",
                       const std::string& pods = "110") {
  Value node = from(R"({"apiVersion":"v1","kind":"Node","metadata":{"labels":{}},"spec":{},"status":{}})");
  node.mut("metadata").set("name", name).set("uid", "node-" + name);
  node.mut("metadata").mut("labels").set("kubernetes.io/hostname", name);
  node.mut("status").set(
      "allocatable", Value::object({{"cpu", cpu}, {"memory", memory}, {"pods", pods}, {"ephemeral-storage", "10Gi"}}));
  return node;
}

inline Value make_pod(const std::string& name, const std::string& cpu = "", const std::string& memory = "") {
  Value pod = from(R"({"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default"},
                       "spec":{"schedulerName":"default-scheduler","containers":[{"name":"c"}]},"status":{"phase":"Pending"}})");
  pod.mut("metadata").set("name", name).set("uid", "pod-" + name);
  Value requests = Value::object();
  if (!cpu.empty()) requests.set("cpu", cpu);
  if (!memory.empty()) requests.set("memory", memory);
  pod.mut("spec").mut("containers").mut(0).set("resources", Value::object({{"requests", requests}}));
  return pod;
}

inline Value with_claim(Value pod, const std::string& claim) {
  Value volume = Value::object({{"name", "data"}, {"persistentVolumeClaim", Value::object({{"claimName", claim}})}});
  pod.mut("spec").set("volumes", Value::array({volume}));
  return pod;
}

inline Value make_claim(const std::string& name, const std::string& storage_class) {
  Value claim = from(R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"namespace":"default"},
      "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}},"status":{"phase":"Pending"}})");
  claim.mut("metadata").set("name", name).set("uid", "claim-" + name);
  claim.mut("spec").set("storageClassName", storage_class);
  return claim;
}

inline Value bind_claim(Value claim, const std::string& volume) {
  claim.mut("spec").set("volumeName", volume);
  claim.mut("metadata").set("annotations", Value::object({{"pv.kubernetes.io/bind-completed", "yes"}}));
  claim.mut("status").set("phase", "Bound");
  return claim;
}

inline Value make_volume(const std::string& name, const std::string& node, const std::string& storage_class = "local") {
  Value volume = from(R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{},"status":{"phase":"Available"},
      "spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"}}})");
  volume.mut("metadata").set("name", name).set("uid", "volume-" + name);
  volume.mut("spec").set("storageClassName", storage_class);
  volume.mut("spec").set("nodeAffinity", from(R"({"required":{"nodeSelectorTerms":[{"matchExpressions":[
      {"key":"kubernetes.io/hostname","operator":"In","values":[")" +
                                              node + R"("]}]}]}})"));
  return volume;
}

inline Value make_class(const std::string& name, const std::string& mode,
                        const std::string& provisioner = "berth.dev/local") {
  return Value::object({{"apiVersion", "storage.k8s.io/v1"},
                        {"kind", "StorageClass"},
                        {"metadata", Value::object({{"name", name}, {"uid", "class-" + name}})},
                        {"provisioner", provisioner},
                        {"volumeBindingMode", mode}});
}

inline Value labelled(Value object, const std::string& key, const std::string& value) {
  object.mut("metadata").mut("labels").set(key, value);
  return object;
}

inline Value with_priority(Value pod, int priority) {
  pod.mut("spec").set("priority", priority);
  return pod;
}

// `side`: podAffinity or podAntiAffinity; `term`: a JSON term.
inline Value requires_pods(Value pod, const std::string& side, const std::string& term) {
  pod.mut("spec").mut("affinity").mut(side).mut("requiredDuringSchedulingIgnoredDuringExecution").push(from(term));
  return pod;
}
inline Value prefers_pods(Value pod, const std::string& side, int weight, const std::string& term) {
  Value entry = Value::object({{"weight", weight}, {"podAffinityTerm", from(term)}});
  pod.mut("spec").mut("affinity").mut(side).mut("preferredDuringSchedulingIgnoredDuringExecution").push(entry);
  return pod;
}
inline Value spreads(Value pod, const std::string& constraint) {
  pod.mut("spec").mut("topologySpreadConstraints").push(from(constraint));
  return pod;
}

struct FakeView final : ClusterView {
  const Value& claim(const std::string& ns, const std::string& name) const override {
    return find(claims, ns + "/" + name);
  }
  const Value& volume(const std::string& name) const override { return find(known_volumes, name); }
  const Value& storage_class(const std::string& name) const override { return find(classes, name); }
  std::vector<Value> candidates(const Value&) const override {
    std::vector<Value> out;
    for (const auto& [name, volume] : known_volumes) out.push_back(volume);
    return out;
  }
  bool is_volume_used(const Value& volume) const override {
    return reserved_name == volume["metadata"]["name"].as_string();
  }
  const Value& pod(const std::string& ns, const std::string& name) const override {
    return find(pods, ns + "/" + name);
  }
  const Value& ns(const std::string& name) const override { return find(known_namespaces, name); }
  std::vector<Value> namespaces() const override {
    std::vector<Value> out;
    for (const auto& [name, object] : known_namespaces) out.push_back(object);
    return out;
  }
  std::vector<Value> services(const std::string&) const override { return known_services; }
  const Value& owner_selector(const PodInfo&) const override { return owner; }
  std::vector<Value> budgets() const override { return known_budgets; }
  Time now() const override { return Time(std::chrono::hours(24 * 365 * 56)); }
  static const Value& find(const std::map<std::string, Value>& map, const std::string& key) {
    static const Value null;
    auto found = map.find(key);
    return found == map.end() ? null : found->second;
  }
  std::map<std::string, Value> claims, known_volumes, classes, pods, known_namespaces;
  std::vector<Value> known_services, known_budgets;
  Value owner;
  std::string reserved_name;
};

}  // namespace berth::scheduler::testing
