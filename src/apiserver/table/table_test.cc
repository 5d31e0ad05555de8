#include "apiserver/table/table.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/time/time.h"

namespace berth::apiserver::table {
namespace {

const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value parsed(std::string_view text) {
  Result<Value> value = json::parse(text);
  EXPECT_TRUE(value.ok());
  return value.ok() ? *value : Value();
}

api::schema::Kind kind(const char* group, const char* name) {
  api::schema::Kind k;
  k.group = group;
  k.version = "v1";
  k.kind = name;
  return k;
}

std::string row(const char* group, const char* name, std::string_view object) {
  std::string text;
  Value cells = table::cells(kind(group, name), parsed(object), kNow);
  for (const Value& cell : cells)
    text += (text.empty() ? "" : "|") + (cell.is_string() ? cell.str() : json::encode(cell));
  return text;
}

// Columns as a real Kubernetes 1.20 sent them. Newer ones are added here, each with the release that brought it.
TEST(Table, ColumnsAreTheRecordedOnes) {
  Value recorded = parsed(read_file(BERTH_SOURCE_DIR "/tests/data/recorded/table-columns.json").value());
  struct Row {
    const char *path, *group, *kind;
  };
  const Row rows[] = {
      {"/api/v1/namespaces/default/pods", "", "Pod"},
      {"/apis/apps/v1/namespaces/default/statefulsets", "apps", "StatefulSet"},
      {"/api/v1/namespaces/default/replicationcontrollers", "", "ReplicationController"},
      {"/api/v1/namespaces/default/podtemplates", "", "PodTemplate"},
      {"/apis/apps/v1/namespaces/default/daemonsets", "apps", "DaemonSet"},
      {"/apis/apps/v1/namespaces/default/deployments", "apps", "Deployment"},
      {"/apis/apps/v1/namespaces/default/replicasets", "apps", "ReplicaSet"},
      {"/apis/apps/v1/namespaces/default/controllerrevisions", "apps", "ControllerRevision"},
      {"/api/v1/namespaces/default/services", "", "Service"},
      {"/api/v1/namespaces/default/endpoints", "", "Endpoints"},
      {"/api/v1/namespaces/default/configmaps", "", "ConfigMap"},
      {"/api/v1/namespaces/default/secrets", "", "Secret"},
      {"/api/v1/namespaces/default/events", "", "Event"},
      {"/api/v1/namespaces/default/serviceaccounts", "", "ServiceAccount"},
      {"/api/v1/namespaces/default/persistentvolumeclaims", "", "PersistentVolumeClaim"},
      {"/api/v1/persistentvolumes", "", "PersistentVolume"},
      {"/api/v1/nodes", "", "Node"},
      {"/api/v1/namespaces", "", "Namespace"},
      {"/apis/storage.k8s.io/v1/storageclasses", "storage.k8s.io", "StorageClass"},
      {"/apis/scheduling.k8s.io/v1/priorityclasses", "scheduling.k8s.io", "PriorityClass"},
      {"/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets", "policy", "PodDisruptionBudget"},
      {"/apis/batch/v1/namespaces/default/jobs", "batch", "Job"},
      {"/apis/batch/v1beta1/namespaces/default/cronjobs", "batch", "CronJob"},
      {"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "coordination.k8s.io", "Lease"},
      {"/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices", "discovery.k8s.io", "EndpointSlice"}};
  for (const Row& r : rows) {
    std::vector<std::string> expected, found;
    for (const Value& column : recorded[r.path]) {
      std::string type = column["type"].str();
      // 1.22: the time of the last restart stands behind the count.
      if (std::string_view(r.kind) == "Pod" && column["name"].as_string() == "Restarts") type = "string";
      expected.push_back(column["name"].str() + "/" + type + "/" + column["format"].str() + "/" +
                         std::to_string(column["priority"].as_int()));
      // 1.25: a cron job's zone; 1.31: a job's status.
      if (std::string_view(r.kind) == "CronJob" && column["name"].as_string() == "Schedule")
        expected.push_back("Timezone/string//0");
      if (std::string_view(r.kind) == "Job" && column["name"].as_string() == "Name")
        expected.push_back("Status/string//0");
      // 1.29: the class of a volume's attributes.
      bool volume = std::string_view(r.kind).starts_with("PersistentVolume");
      if (volume && column["name"].as_string() == "StorageClass") expected.push_back("VolumeAttributesClass/string//0");
    }
    if (std::string_view(r.kind) == "PriorityClass") expected.push_back("PreemptionPolicy/string//0");  // 1.24
    for (const Value& column : column_definitions(kind(r.group, r.kind))) {
      found.push_back(column["name"].str() + "/" + column["type"].str() + "/" + column["format"].str() + "/" +
                      std::to_string(column["priority"].as_int()));
      EXPECT_FALSE(column["description"].as_string().empty()) << r.kind << " " << column["name"].str();
    }
    EXPECT_EQ(found, expected) << r.kind;
  }
}

TEST(Table, EveryPrinterHasACellForEachColumn) {
  for (const char* name : {"Pod", "Node", "Service", "Endpoints", "ConfigMap", "Secret", "Event", "ServiceAccount",
                           "Namespace", "PersistentVolume", "PersistentVolumeClaim", "ResourceQuota", "Bogus"}) {
    EXPECT_EQ(cells(kind("", name), Value::object(), kNow).size(), column_definitions(kind("", name)).size()) << name;
  }
  for (const char* name : {"StatefulSet", "DaemonSet", "Deployment", "ReplicaSet", "ControllerRevision"}) {
    EXPECT_EQ(cells(kind("apps", name), Value::object(), kNow).size(), column_definitions(kind("apps", name)).size())
        << name;
  }
}

TEST(Table, Quotas) {
  EXPECT_EQ(row("", "ResourceQuota", R"({"metadata":{"name":"q","creationTimestamp":"2026-01-01T00:55:00Z"},"status":{
      "hard":{"pods":"5","limits.cpu":"2","requests.cpu":"1"},"used":{"pods":"3","limits.cpu":"500m"}}})"),
            "q|pods: 3/5, requests.cpu: 0/1|limits.cpu: 500m/2|5m");
  EXPECT_EQ(row("", "LimitRange", R"({"metadata":{"name":"l","creationTimestamp":"2026-01-01T00:55:00Z"}})"),
            "l|2026-01-01T00:55:00Z");
}

std::string pod(std::string_view spec, std::string_view status, std::string_view extra = "") {
  return row("", "Pod",
             R"({"metadata":{"name":"p","creationTimestamp":"2026-01-01T00:55:00Z")" + std::string(extra) +
                 R"(},"spec":)" + std::string(spec) + R"(,"status":)" + std::string(status) + "}");
}

constexpr const char* kTwo = R"({"nodeName":"n1","containers":[{"name":"a"},{"name":"b"}]})";
constexpr const char* kInit =
    R"({"initContainers":[{"name":"i"},{"name":"s","restartPolicy":"Always"}],"containers":[{"name":"a"}]})";

TEST(Table, PodStatus) {
  EXPECT_EQ(pod(kTwo, R"({"phase":"Pending"})"), "p|0/2|Pending|0|5m|<none>|n1|<none>|<none>");
  EXPECT_EQ(pod(kTwo, R"({"phase":"Running","podIP":"10.0.0.1","containerStatuses":[
      {"name":"a","ready":true,"restartCount":2,"state":{"running":{}},"lastState":{"terminated":{"finishedAt":"2026-01-01T00:58:00Z"}}},
      {"name":"b","ready":false,"restartCount":0,"state":{"running":{}}}]})"),
            "p|1/2|Running|2 (2m ago)|5m|10.0.0.1|n1|<none>|<none>");
  EXPECT_EQ(
      pod(kTwo,
          R"({"phase":"Pending","containerStatuses":[{"name":"a","state":{"waiting":{"reason":"ContainerCreating"}}}]})"),
      "p|0/2|ContainerCreating|0|5m|<none>|n1|<none>|<none>");
  EXPECT_EQ(
      pod(kTwo, R"({"phase":"Running","containerStatuses":[{"name":"a","state":{"terminated":{"exitCode":3}}}]})"),
      "p|0/2|ExitCode:3|0|5m|<none>|n1|<none>|<none>");
  EXPECT_EQ(pod(kTwo, R"({"phase":"Running"})", R"(,"deletionTimestamp":"2026-01-01T00:59:00Z")"),
            "p|0/2|Terminating|0|5m|<none>|n1|<none>|<none>");
  EXPECT_EQ(pod(kTwo, R"({"phase":"Failed","reason":"Evicted"})"), "p|0/2|Evicted|0|5m|<none>|n1|<none>|<none>");
}

TEST(Table, PodInitialization) {
  EXPECT_EQ(
      pod(kInit,
          R"({"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"waiting":{"reason":"PodInitializing"}}}]})"),
      "p|0/2|Init:0/2|0|5m|<none>|<none>|<none>|<none>");
  EXPECT_EQ(
      pod(kInit,
          R"({"phase":"Pending","initContainerStatuses":[{"name":"i","restartCount":1,"state":{"terminated":{"exitCode":1,"reason":"Error"}}}]})"),
      "p|0/2|Init:Error|1|5m|<none>|<none>|<none>|<none>");
  EXPECT_EQ(pod(kInit, R"({"phase":"Running","conditions":[{"type":"Initialized","status":"True"}],
      "initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":0}}},{"name":"s","started":true,"ready":true,"state":{"running":{}}}],
      "containerStatuses":[{"name":"a","ready":true,"state":{"running":{}}}]})"),
            "p|2/2|Running|0|5m|<none>|<none>|<none>|<none>");
}

TEST(Table, ServicesAndStorage) {
  EXPECT_EQ(
      row("", "Service",
          R"({"metadata":{"name":"s"},"spec":{"type":"ClusterIP","clusterIP":"None","ports":[{"port":3306,"protocol":"TCP"}],"selector":{"app":"m"}}})"),
      "s|ClusterIP|None|<none>|3306/TCP|<unknown>|app=m");
  EXPECT_EQ(
      row("", "Service",
          R"({"metadata":{"name":"s"},"spec":{"type":"LoadBalancer","clusterIP":"10.96.0.7","ports":[{"port":80,"nodePort":30080,"protocol":"TCP"}]}})"),
      "s|LoadBalancer|10.96.0.7|<pending>|80:30080/TCP|<unknown>|<none>");
  EXPECT_EQ(
      row("", "PersistentVolumeClaim",
          R"({"metadata":{"name":"c"},"spec":{"volumeName":"pvc-1","storageClassName":"flash","volumeMode":"Filesystem"},
      "status":{"phase":"Bound","capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"]}})"),
      "c|Bound|pvc-1|1Gi|RWO|flash|<unset>|<unknown>|Filesystem");
  EXPECT_EQ(row("", "PersistentVolumeClaim",
                R"({"metadata":{"name":"c"},"spec":{"storageClassName":"flash"},"status":{"phase":"Pending"}})"),
            "c|Pending||||flash|<unset>|<unknown>|<unset>");
  EXPECT_EQ(
      row("", "Endpoints",
          R"({"metadata":{"name":"e"},"subsets":[{"addresses":[{"ip":"1.1.1.1"},{"ip":"1.1.1.2"},{"ip":"1.1.1.3"},{"ip":"1.1.1.4"}],"ports":[{"port":80}]}]})"),
      "e|1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more...|<unknown>");
}

TEST(Table, Workloads) {
  EXPECT_EQ(row("apps", "DaemonSet", R"({"metadata":{"name":"d","creationTimestamp":"2026-01-01T00:55:00Z"},
      "spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"spec":{"nodeSelector":{"disk":"ssd"},"containers":[{"name":"c","image":"i:1"}]}}},
      "status":{"desiredNumberScheduled":4,"currentNumberScheduled":3,"numberReady":2,"updatedNumberScheduled":1}})"),
            "d|4|3|2|1|0|disk=ssd|5m|c|i:1|a=b");
  EXPECT_EQ(
      row("", "ReplicationController", R"({"metadata":{"name":"r"},"spec":{"replicas":3,"selector":{"a":"b","c":"d"},
      "template":{"spec":{"containers":[{"name":"c","image":"i:1"},{"name":"d","image":"j"}]}}},"status":{"replicas":2,"readyReplicas":1}})"),
      "r|3|2|1|<unknown>|c,d|i:1,j|a=b,c=d");
  EXPECT_EQ(
      row("", "PodTemplate",
          R"({"metadata":{"name":"t"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}})"),
      "t|c|i|a=b");
}

TEST(Table, Jobs) {
  auto job = [](std::string_view spec, std::string_view status, std::string_view more = "") {
    return row(
        "batch", "Job",
        R"({"metadata":{"name":"j")" + std::string(more) + R"(},"spec":{)" + std::string(spec) +
            R"("template":{"spec":{"containers":[{"name":"c","image":"i"}]}},"selector":{"matchLabels":{"u":"1"}}},"status":)" +
            std::string(status) + "}");
  };
  auto with = [](std::string_view type) {
    return R"({"conditions":[{"type":")" + std::string(type) + R"(","status":"True"}]})";
  };
  EXPECT_EQ(job(R"("completions":3,)", R"({"succeeded":1,"startTime":"2026-01-01T00:58:00Z"})"),
            "j|Running|1/3|2m|<unknown>|c|i|u=1");
  EXPECT_EQ(job(R"("completions":1,)",
                R"({"succeeded":1,"startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:00:07Z",
      "conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]})"),
            "j|Complete|1/1|7s|<unknown>|c|i|u=1");
  EXPECT_EQ(job(R"("parallelism":4,)", with("Suspended")), "j|Suspended|0/1 of 4||<unknown>|c|i|u=1");
  EXPECT_EQ(job(R"("parallelism":1,)", with("Failed")), "j|Failed|0/1||<unknown>|c|i|u=1");
  EXPECT_EQ(job(R"("parallelism":1,)", with("FailureTarget")), "j|FailureTarget|0/1||<unknown>|c|i|u=1");
  EXPECT_EQ(job(R"("parallelism":1,)", with("Suspended"), R"(,"deletionTimestamp":"2026-01-01T00:59:00Z")"),
            "j|Terminating|0/1||<unknown>|c|i|u=1");
  EXPECT_EQ(row("batch", "CronJob", R"({"metadata":{"name":"c"},"spec":{"schedule":"@hourly","suspend":false,
      "jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}},"status":{}})"),
            "c|@hourly|<none>|False|0|<none>|<unknown>|c|i|<none>");
  EXPECT_EQ(row("batch", "CronJob",
                R"({"metadata":{"name":"c"},"spec":{"schedule":"@hourly","timeZone":"Europe/Rome","suspend":true},
      "status":{"active":[{},{}],"lastScheduleTime":"2026-01-01T00:00:00Z"}})"),
            "c|@hourly|Europe/Rome|True|2|60m|<unknown>|||<none>");
}

TEST(Table, WholeTable) {
  Value object = parsed(R"({"kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"b"}})");
  Value whole = make_table(kind("", "ConfigMap"), {object}, Value::object({{"resourceVersion", "7"}}),
                           IncludeObject::kMetadata, "meta.k8s.io/v1", true, kNow);
  EXPECT_EQ(whole["rows"][0]["object"]["kind"].as_string(), "PartialObjectMetadata");
  EXPECT_EQ(whole["rows"][0]["cells"], parsed(R"(["c",1,"<unknown>"])"));
  EXPECT_EQ(whole["columnDefinitions"].size(), 3u);
  Value next =
      make_table(kind("", "ConfigMap"), {object}, Value::object(), IncludeObject::kNone, "meta.k8s.io/v1", false, kNow);
  EXPECT_TRUE(next["columnDefinitions"].empty());
  EXPECT_TRUE(next["rows"][0]["object"].is_null());
}

}  // namespace
}  // namespace berth::apiserver::table
