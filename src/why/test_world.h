#pragma once
// A small healthy cluster for the tests of reports: one node, and objects that the tests damage one by one.

#include <gtest/gtest.h>

#include <map>

#include "api/selector.h"
#include "why/why.h"

namespace berth::why {

inline const Time kNow = parse_time("2026-01-02T03:04:05Z").value();
inline Value from(std::string_view text) {
  Result<Value> value = json::parse(text);
  EXPECT_TRUE(value.ok()) << text;
  return value.ok() ? *value : Value();
}

class World final : public ObjectSource {
 public:
  World() {
    put(api::resources::kNodes, from(R"({"metadata":{"name":"n1","labels":{"kubernetes.io/hostname":"n1"}},"spec":{},
      "status":{"allocatable":{"cpu":"2","memory":"4Gi"},
                "conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T02:04:05Z"}]}})"));
    put(api::resources::kLeases, from(R"({"metadata":{"name":"n1","namespace":"kube-node-lease"},
      "spec":{"renewTime":"2026-01-02T03:04:00.000000Z"}})"));
    put(api::resources::kStorageClasses,
        from(R"({"metadata":{"name":"standard"},"volumeBindingMode":"WaitForFirstConsumer"})"));
  }

  Value object(const api::Resource& resource, const api::Name& name) override {
    asked.push_back(resource.resource + " " + name.to_string());
    auto found = objects_[resource].find(name);
    return found == objects_[resource].end() ? Value() : found->second;
  }
  std::vector<Value> list(const api::Resource& resource, const api::ListOptions& options) override {
    asked.push_back("list " + resource.resource + " " + options.ns);
    std::vector<Value> out;
    const auto labels = api::LabelSelector::parse(options.label_selector);
    const auto fields = api::FieldSelector::parse(options.field_selector);
    EXPECT_TRUE(labels.ok() && fields.ok()) << options.label_selector << " " << options.field_selector;
    for (const auto& [name, object] : objects_[resource]) {
      if (!options.ns.empty() && name.ns != options.ns) continue;
      if (labels->matches(api::labels_of(object)) && fields->matches(object)) out.push_back(object);
    }
    return out;
  }

  Value& put(const api::Resource& resource, Value object) {
    api::Name name = api::name_key(object);
    return objects_[resource][std::move(name)] = std::move(object);
  }
  Value& at(const api::Resource& resource, const std::string& name, const std::string& ns = "default") {
    return objects_[resource].at({ns, name});
  }
  Value& pod(const std::string& name) { return at(api::resources::kPods, name); }
  Value& node(const std::string& name) { return at(api::resources::kNodes, name, ""); }
  Value& claim(const std::string& name) { return at(api::resources::kPersistentVolumeClaims, name); }
  void erase(const api::Resource& resource, const std::string& name, const std::string& ns = "default") {
    objects_[resource].erase({ns, name});
  }

  void event(const Value& about, std::string_view type, std::string_view reason, std::string_view message,
             std::string_view path = {}, std::string_view last = "2026-01-02T03:04:00Z",
             std::string_view first = "2026-01-02T03:01:05Z", int count = 1) {
    Value event = from(R"({"metadata":{"namespace":"default"}})");
    event.mut("metadata").set("name", "event-" + std::to_string(++events_));
    event.mut("involvedObject").set("uid", api::uid_of(about)).set("fieldPath", path);
    event.set("type", type)
        .set("reason", reason)
        .set("message", message)
        .set("lastTimestamp", last)
        .set("firstTimestamp", first);
    event.set("count", count);
    put(api::resources::kEvents, std::move(event));
  }

  // A pod on n1 that runs and is ready, with one container "db" and no volumes.
  Value& ready_pod(const std::string& name) {
    Value pod = from(
        R"({"kind":"Pod","metadata":{"namespace":"default","creationTimestamp":"2026-01-02T02:34:05Z","labels":{"app":"web"}},
      "spec":{"nodeName":"n1","restartPolicy":"Always","schedulerName":"default-scheduler",
              "containers":[{"name":"db","image":"db:1"}]},
      "status":{"phase":"Running",
        "conditions":[{"type":"PodReadyToStartContainers","status":"True"},{"type":"Initialized","status":"True"},
                      {"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T02:35:05Z"},
                      {"type":"PodScheduled","status":"True"}],
        "containerStatuses":[{"name":"db","ready":true,"started":true,"restartCount":0,"lastState":{},
                              "state":{"running":{"startedAt":"2026-01-02T02:34:10Z"}}}]}})");
    pod.mut("metadata").set("name", name).set("uid", "uid-" + name);
    return put(api::resources::kPods, std::move(pod));
  }
  // Sets Ready to False, three minutes before now.
  void unready(const std::string& name, const std::string& message = "containers with unready status: [db]") {
    Value& conditions = pod(name).mut("status").mut("conditions");
    for (std::size_t i = 0; i < conditions.size(); ++i) {
      if (conditions[i]["type"].as_string() != "Ready") continue;
      conditions.mut(i).set("status", "False").set("lastTransitionTime", "2026-01-02T03:01:05Z");
      conditions.mut(i).set("reason", "ContainersNotReady").set("message", message);
    }
  }
  // The pod as the scheduler leaves it if no node fits.
  void unscheduled(const std::string& name, const std::string& message) {
    Value& pod = this->pod(name);
    pod.mut("spec").erase("nodeName");
    pod.set("status",
            from(R"({"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable",
      "lastTransitionTime":"2026-01-02T03:03:05Z"}]})"));
    pod.mut("status").mut("conditions").mut(std::size_t{0}).set("message", message);
  }
  // Adds the claim "data", bound to the volume "pv-data" on n1; the pod mounts it.
  void with_claim(const std::string& pod_name) {
    pod(pod_name).mut("spec").set("volumes", from(R"([{"name":"data","persistentVolumeClaim":{"claimName":"data"}}])"));
    put(api::resources::kPersistentVolumeClaims,
        from(
            R"({"metadata":{"name":"data","namespace":"default","uid":"uid-data","creationTimestamp":"2026-01-02T03:02:05Z",
                 "finalizers":["kubernetes.io/pvc-protection"]},
                 "spec":{"storageClassName":"standard","volumeName":"pv-data","resources":{"requests":{"storage":"1Gi"}}},
                 "status":{"phase":"Bound"}})"));
    put(api::resources::kPersistentVolumes, from(R"({"metadata":{"name":"pv-data"},
                 "spec":{"capacity":{"storage":"1Gi"},"claimRef":{"name":"data","namespace":"default"},
                   "nodeAffinity":{"required":{"nodeSelectorTerms":[
                     {"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["n1"]}]}]}}},
                 "status":{"phase":"Bound"}})"));
  }

  WhyReport explain(const api::Resource& resource, const std::string& name) {
    const Question question{resource, {"default", name}, false};
    Result<WhyReport> report = why::explain(question, *this, kNow);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return report.ok() ? std::move(*report) : WhyReport();
  }

  std::vector<std::string> asked;  // "pods default/web-0", in order

 private:
  std::map<api::Resource, std::map<api::Name, Value>> objects_;
  int events_ = 0;
};

// The line of that object, or a test failure.
inline Line line_of(const WhyReport& report, const std::string& object) {
  for (const Line& line : report.lines) {
    if (line.object == object) return line;
  }
  std::string all;
  for (const Line& line : report.lines) all += line.object + " | ";
  ADD_FAILURE() << "no line of " << object << " among " << all;
  return {};
}
inline bool has_line(const WhyReport& report, const std::string& object) {
  for (const Line& line : report.lines) {
    if (line.object == object) return true;
  }
  return false;
}

}  // namespace berth::why
