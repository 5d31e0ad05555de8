// What Kubernetes 1.36 fills in, type by type. Feature gates are at their 1.36 defaults.
#include "api/schema/default_rules.h"

#include <map>
#include <string>
#include <vector>

#include "api/resource_list.h"
#include "base/text.h"

namespace berth::api::schema {
namespace {

void fill(Value& object, std::string_view key, Value value) {
  const Value& now = object[key];
  bool empty_text = now.is_string() && now.as_string().empty() && value.is_string() && !value.as_string().empty();
  if (now.is_null() || empty_text) object.set(key, std::move(value));
}

// Of a pointer: what is given stays, the empty text too.
void fill_absent(Value& object, std::string_view key, Value value) {
  if (object[key].is_null()) object.set(key, std::move(value));
}

// Changes a member in place; the parent is touched only when the member changed.
template <class F>
void edit(Value& object, std::string_view key, F change) {
  Value copy = object[key];
  change(copy);
  if (!copy.same_node(object[key])) object.set(key, std::move(copy));
}
template <class F>
void edit_each(Value& object, std::string_view key, F change) {
  const Value& list = object[key];
  Value changed;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Value copy = list[i];
    change(copy);
    if (copy.same_node(list[i])) continue;
    if (changed.is_null()) changed = list;
    changed.mut(i) = std::move(copy);
  }
  if (!changed.is_null()) object.set(key, std::move(changed));
}

// --- Images

bool name_component(std::string_view text) {
  bool after_alnum = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!alnum && ((c != '.' && c != '_' && c != '-') || i == 0 || i + 1 == text.size())) return false;
    if (c == '.' && !after_alnum) return false;
    after_alnum = alnum;
  }
  return !text.empty();
}

// A host of a registry: letters, digits and hyphens between dots, with or without a port; or an address in brackets.
bool valid_host(std::string_view text) {
  if (text.starts_with('[')) return true;
  const Cut port = cut(text, ":");
  if (port.found && (port.after.empty() || port.after.find_first_not_of("0123456789") != std::string_view::npos))
    return false;
  for (std::string_view part : split(port.before, '.')) {
    const std::string label = lower(part);
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    if (label.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) return false;
  }
  return true;
}

bool valid_repository(std::string_view name) {
  auto parts = split(name, '/');
  std::size_t first = 0;
  if (parts.size() > 1 && valid_host(parts[0]) &&
      (parts[0].find_first_of(".:") != std::string_view::npos || parts[0] == "localhost" ||
       lower(parts[0]) != parts[0])) {
    first = 1;  // a registry host
  }
  for (std::size_t i = first; i < parts.size(); ++i) {
    if (!name_component(parts[i])) return false;
  }
  return true;
}

// Whether the tag is (or, without tag and digest, becomes) "latest". A reference that cannot be read has no tag.
bool is_latest(std::string_view image) {
  Cut digest = cut(image, "@");
  std::string_view name = digest.before, tag;
  std::size_t slash = name.rfind('/'), colon = name.rfind(':');
  bool tagged = colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash);
  if (tagged) {
    tag = name.substr(colon + 1);
    name = name.substr(0, colon);
  }
  if (!valid_repository(name)) return false;
  if (tagged) return tag == "latest";
  bool bare_id = name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return !digest.found && !bare_id;
}

void container(Value& c) {
  if (c["imagePullPolicy"].as_string().empty()) {
    c.set("imagePullPolicy", is_latest(c["image"].as_string()) ? "Always" : "IfNotPresent");
  }
  fill(c, "terminationMessagePath", "/dev/termination-log");
  fill(c, "terminationMessagePolicy", "File");
}

void image_volume(Value& v) {
  if (v["pullPolicy"].as_string().empty()) {
    v.set("pullPolicy", is_latest(v["reference"].as_string()) ? "Always" : "IfNotPresent");
  }
}

void probe(Value& p) {
  auto positive = [&](std::string_view key, int value) {
    if (p[key].as_int() == 0) p.set(key, value);
  };
  positive("timeoutSeconds", 1);
  positive("periodSeconds", 10);
  positive("successThreshold", 1);
  positive("failureThreshold", 3);
}

void http_get(Value& h) {
  fill(h, "path", "/");
  fill(h, "scheme", "HTTP");
}

// --- Volumes

void volume(Value& v) {
  for (json::Entry entry : v.entries()) {
    if (entry.key != "name" && !entry.value.is_null()) return;
  }
  v.set("emptyDir", Value::object());
}
void default_mode(Value& v) { fill(v, "defaultMode", 420); }
void token_projection(Value& v) { fill(v, "expirationSeconds", 3600); }
void field_ref(Value& v) { fill(v, "apiVersion", "v1"); }
void host_path(Value& v) { fill(v, "type", ""); }

// --- Pods

void pod_spec(Value& s) {
  fill(s, "dnsPolicy", "ClusterFirst");
  fill(s, "restartPolicy", "Always");
  fill(s, "securityContext", Value::object());
  fill(s, "terminationGracePeriodSeconds", 30);
  fill(s, "schedulerName", "default-scheduler");
  // serviceAccount is the old name of serviceAccountName; upstream always shows both alike.
  std::string account = s["serviceAccountName"].str();
  if (account.empty()) account = s["serviceAccount"].str();
  if (account.empty()) return;
  if (s["serviceAccountName"].as_string() != account) s.set("serviceAccountName", account);
  if (s["serviceAccount"].as_string() != account) s.set("serviceAccount", account);
}

void requests_from_limits(Value& c) {
  const Value& limits = c["resources"]["limits"];
  Value requests = c["resources"]["requests"];
  bool changed = false;
  for (json::Entry limit : limits.entries()) {
    if (requests.contains(limit.key)) continue;
    requests.set(limit.key, limit.value);
    changed = true;
  }
  if (changed) c.mut("resources").set("requests", std::move(requests));
}

// Requests and limits of the pod as a whole, where it states some of them.
void pod_resources(Value& spec) {
  if (!spec["resources"].is_object()) return;
  Value limits = spec["resources"]["limits"], requests = spec["resources"]["requests"];
  if (limits.empty() && requests.empty()) return;
  for (const auto& [name, amount] : api::container_resources(spec, "limits")) {
    if (name.starts_with("hugepages-") && !limits.contains(name)) limits.set(name, amount.to_string());
  }
  if (!limits.empty()) {
    for (const auto& [name, amount] : api::container_resources(spec, "requests")) {
      if (api::is_pod_level(name) && !requests.contains(name)) requests.set(name, amount.to_string());
    }
    for (json::Entry limit : limits.entries()) {
      if (api::is_pod_level(limit.key) && !requests.contains(limit.key)) requests.set(limit.key, limit.value);
    }
  }
  edit(spec, "resources", [&](Value& resources) {
    if (!limits.empty() && resources["limits"] != limits) resources.set("limits", limits);
    if (!requests.empty() && resources["requests"] != requests) resources.set("requests", requests);
  });
}

// On the host's network a container port is the host's port.
void host_ports(Value& c) {
  edit_each(c, "ports", [](Value& port) {
    if (port["hostPort"].as_int() == 0 && port["containerPort"].as_int() != 0) {
      port.set("hostPort", port["containerPort"]);
    }
  });
}

// The single address of old and the list of addresses: the list's first is the single one, which rules.
void sync_first(Value& object, std::string_view single, std::string_view list, bool wrapped) {
  std::string one = object[single].str();
  std::string first = wrapped ? object[list][0]["ip"].str() : object[list][0].str();
  if (one == first) return;
  if (one.empty()) {
    object.set(single, first);
  } else {
    object.set(list, Value::array({wrapped ? Value::object({{"ip", Value(one)}}) : Value(one)}));
  }
}

void pod(Value& p) {
  edit(p, "spec", [](Value& spec) {
    if (!spec.is_object()) return;
    edit_each(spec, "containers", requests_from_limits);
    edit_each(spec, "initContainers", requests_from_limits);
    pod_resources(spec);
    fill(spec, "enableServiceLinks", true);
    if (spec["hostNetwork"].as_bool()) {
      edit_each(spec, "containers", host_ports);
      edit_each(spec, "initContainers", host_ports);
    }
  });
  edit(p, "status", [](Value& status) { sync_first(status, "podIP", "podIPs", true); });
}

// --- Services and endpoints

void service_ports(Value& spec) {
  edit_each(spec, "ports", [](Value& port) {
    fill(port, "protocol", "TCP");
    const Value& target = port["targetPort"];
    bool unset = target.is_string() ? target.as_string().empty() : target.as_int() == 0;
    if (unset && target != port["port"]) port.set("targetPort", port["port"]);
  });
}

void service_affinity(Value& spec) {
  fill(spec, "sessionAffinity", "None");
  if (spec["sessionAffinity"].as_string() == "None") {
    if (spec.contains("sessionAffinityConfig")) spec.erase("sessionAffinityConfig");
  } else if (spec["sessionAffinity"].as_string() == "ClientIP" &&
             spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].is_null()) {
    spec.set("sessionAffinityConfig", Value::object({{"clientIP", Value::object({{"timeoutSeconds", 10800}})}}));
  }
}

void service(Value& s) {
  std::string type;
  edit(s, "spec", [&](Value& spec) {
    service_affinity(spec);
    fill(spec, "type", "ClusterIP");
    service_ports(spec);
    type = spec["type"].str();
    bool cluster_ip = type == "ClusterIP", node_port = type == "NodePort", balanced = type == "LoadBalancer";
    if (balanced || node_port || (cluster_ip && !spec["externalIPs"].empty())) {
      fill(spec, "externalTrafficPolicy", "Cluster");
    }
    if (balanced || node_port || cluster_ip) fill_absent(spec, "internalTrafficPolicy", "Cluster");
    if (balanced) fill(spec, "allocateLoadBalancerNodePorts", true);
  });
  if (type != "LoadBalancer" || s["status"]["loadBalancer"]["ingress"].empty()) return;
  edit(s, "status", [](Value& status) {
    edit(status, "loadBalancer", [](Value& balancer) {
      edit_each(balancer, "ingress", [](Value& ingress) {
        if (!ingress["ip"].as_string().empty()) fill(ingress, "ipMode", "VIP");
      });
    });
  });
}

void endpoint_port(Value& p) { fill(p, "protocol", "TCP"); }
void slice_port(Value& p) {
  fill_absent(p, "name", "");
  fill_absent(p, "protocol", "TCP");
}

// A container's limit is the maximum where nothing else is said, and its request the limit, or the minimum.
void limit_range_item(Value& item) {
  if (item["type"].as_string() != "Container") return;
  auto take = [&](std::string_view from, std::string_view to) {
    Value target = item[to];
    bool changed = false;
    for (json::Entry entry : item[from].entries()) {
      if (target.contains(entry.key)) continue;
      target.set(entry.key, entry.value);
      changed = true;
    }
    if (changed) item.set(to, std::move(target));
  };
  take("max", "default");
  take("default", "defaultRequest");
  take("min", "defaultRequest");
}

// --- Storage

void claim_spec(Value& s) { fill_absent(s, "volumeMode", "Filesystem"); }
void claim(Value& c) {
  edit(c, "status", [](Value& status) { fill(status, "phase", "Pending"); });
}
void persistent_volume(Value& v) {
  edit(v, "status", [](Value& status) { fill(status, "phase", "Pending"); });
  edit(v, "spec", [](Value& spec) {
    fill(spec, "persistentVolumeReclaimPolicy", "Retain");
    fill_absent(spec, "volumeMode", "Filesystem");
  });
}
void priority_class(Value& s) { fill_absent(s, "preemptionPolicy", "PreemptLowerPriority"); }
void storage_class(Value& s) {
  fill_absent(s, "reclaimPolicy", "Delete");
  fill_absent(s, "volumeBindingMode", "Immediate");
}

// --- Workloads

void stateful_set_spec(Value& s) {
  fill(s, "podManagementPolicy", "OrderedReady");
  edit(s, "updateStrategy", [](Value& strategy) {
    if (strategy["type"].as_string().empty()) {
      strategy.set("type", "RollingUpdate");
      fill(strategy, "rollingUpdate", Value::object());
    }
    if (strategy["type"].as_string() != "RollingUpdate" || !strategy["rollingUpdate"].is_object()) return;
    edit(strategy, "rollingUpdate", [](Value& rolling) { fill(rolling, "partition", 0); });
  });
  edit(s, "persistentVolumeClaimRetentionPolicy", [](Value& policy) {
    fill(policy, "whenDeleted", "Retain");
    fill(policy, "whenScaled", "Retain");
  });
  fill(s, "replicas", 1);
  fill(s, "revisionHistoryLimit", 10);
  edit_each(s, "volumeClaimTemplates", [](Value& claim) {
    if (claim["apiVersion"].as_string() != "v1") claim.set("apiVersion", "v1");
    if (claim["kind"].as_string() != "PersistentVolumeClaim") claim.set("kind", "PersistentVolumeClaim");
  });
}

void deployment_spec(Value& s) {
  fill(s, "replicas", 1);
  edit(s, "strategy", [](Value& strategy) {
    fill(strategy, "type", "RollingUpdate");
    if (strategy["type"].as_string() != "RollingUpdate") return;
    edit(strategy, "rollingUpdate", [](Value& rolling) {
      fill_absent(rolling, "maxUnavailable", "25%");
      fill_absent(rolling, "maxSurge", "25%");
    });
  });
  fill(s, "revisionHistoryLimit", 10);
  fill(s, "progressDeadlineSeconds", 600);
}

void daemon_set_spec(Value& s) {
  edit(s, "updateStrategy", [](Value& strategy) {
    fill(strategy, "type", "RollingUpdate");
    if (strategy["type"].as_string() != "RollingUpdate") return;
    edit(strategy, "rollingUpdate", [](Value& rolling) {
      fill_absent(rolling, "maxUnavailable", 1);
      fill_absent(rolling, "maxSurge", 0);
    });
  });
  fill(s, "revisionHistoryLimit", 10);
}

// What a replication controller does not say it takes from its template.
void replication_controller(Value& rc) {
  const Value labels = rc["spec"]["template"]["metadata"]["labels"];
  if (!labels.empty() && rc["metadata"]["labels"].empty()) rc.mut("metadata").set("labels", labels);
  edit(rc, "spec", [&](Value& spec) {
    if (!labels.empty() && spec["selector"].empty()) spec.set("selector", labels);
    fill(spec, "replicas", 1);
  });
}

void replica_set_spec(Value& s) { fill(s, "replicas", 1); }

// --- Batch

// Of the jobs that a cron job describes nothing is filled in but their pods.
void job(Value& j) {
  const Value& labels = j["spec"]["template"]["metadata"]["labels"];
  if (!labels.empty() && j["metadata"]["labels"].empty()) {
    Value copy = labels;
    j.mut("metadata").set("labels", std::move(copy));
  }
  edit(j, "spec", [](Value& s) {
    if (s["completions"].is_null() && s["parallelism"].is_null()) s.set("completions", 1);
    fill(s, "parallelism", 1);
    fill(s, "backoffLimit", s["backoffLimitPerIndex"].is_null() ? 6 : INT32_MAX);
    fill_absent(s, "completionMode", "NonIndexed");
    fill(s, "suspend", false);
    fill_absent(s, "podReplacementPolicy", s["podFailurePolicy"].is_null() ? "TerminatingOrFailed" : "Failed");
    fill(s, "manualSelector", false);
  });
}
void failure_condition(Value& p) { fill(p, "status", "True"); }
void cron_job_spec(Value& s) {
  fill(s, "concurrencyPolicy", "Allow");
  fill(s, "suspend", false);
  fill(s, "successfulJobsHistoryLimit", 3);
  fill(s, "failedJobsHistoryLimit", 1);
}

// --- The rest

void secret(Value& s) {
  fill(s, "type", "Opaque");
  if (!s.contains("stringData")) return;
  Value data = s["data"];
  for (json::Entry entry : s["stringData"].entries()) data.set(entry.key, base64_encode(entry.value.as_string()));
  if (!data.empty()) s.set("data", std::move(data));
  s.erase("stringData");
}

void namespace_(Value& n) {
  const Value& name = n["metadata"]["name"];
  if (!name.as_string().empty() && n["metadata"]["labels"]["kubernetes.io/metadata.name"] != name) {
    Value text = name;
    n.mut("metadata").mut("labels").set("kubernetes.io/metadata.name", std::move(text));
  }
  edit(n, "status", [](Value& status) { fill(status, "phase", "Active"); });
}

void node_status(Value& s) {
  if (s["allocatable"].empty() && !s["capacity"].is_null()) {
    Value capacity = s["capacity"];
    s.set("allocatable", std::move(capacity));
  }
}
void node_spec(Value& s) { sync_first(s, "podCIDR", "podCIDRs", false); }
void token_request_spec(Value& s) { fill(s, "expirationSeconds", 3600); }

}  // namespace

DefaultRule rule_of(std::string_view type_name) {
  static const std::map<std::string_view, DefaultRule> kRules = {
      {"io.k8s.api.apps.v1.DaemonSetSpec", daemon_set_spec},
      {"io.k8s.api.apps.v1.DeploymentSpec", deployment_spec},
      {"io.k8s.api.apps.v1.ReplicaSetSpec", replica_set_spec},
      {"io.k8s.api.apps.v1.StatefulSetSpec", stateful_set_spec},
      {"io.k8s.api.authentication.v1.TokenRequestSpec", token_request_spec},
      {"io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler", default_autoscaler_v1},
      {"io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", default_autoscaler_v2},
      {"io.k8s.api.batch.v1.CronJobSpec", cron_job_spec},
      {"io.k8s.api.batch.v1.Job", job},
      {"io.k8s.api.batch.v1.PodFailurePolicyOnPodConditionsPattern", failure_condition},
      {"io.k8s.api.core.v1.ConfigMapVolumeSource", default_mode},
      {"io.k8s.api.core.v1.Container", container},
      {"io.k8s.api.core.v1.DownwardAPIVolumeSource", default_mode},
      {"io.k8s.api.core.v1.EndpointPort", endpoint_port},
      {"io.k8s.api.core.v1.EphemeralContainer", container},
      {"io.k8s.api.core.v1.HTTPGetAction", http_get},
      {"io.k8s.api.core.v1.HostPathVolumeSource", host_path},
      {"io.k8s.api.core.v1.ImageVolumeSource", image_volume},
      {"io.k8s.api.core.v1.LimitRangeItem", limit_range_item},
      {"io.k8s.api.core.v1.Namespace", namespace_},
      {"io.k8s.api.core.v1.NodeSpec", node_spec},
      {"io.k8s.api.core.v1.NodeStatus", node_status},
      {"io.k8s.api.core.v1.ObjectFieldSelector", field_ref},
      {"io.k8s.api.core.v1.PersistentVolume", persistent_volume},
      {"io.k8s.api.core.v1.PersistentVolumeClaim", claim},
      {"io.k8s.api.core.v1.PersistentVolumeClaimSpec", claim_spec},
      {"io.k8s.api.core.v1.Pod", pod},
      {"io.k8s.api.core.v1.PodSpec", pod_spec},
      {"io.k8s.api.core.v1.Probe", probe},
      {"io.k8s.api.core.v1.ProjectedVolumeSource", default_mode},
      {"io.k8s.api.core.v1.ReplicationController", replication_controller},
      {"io.k8s.api.core.v1.Secret", secret},
      {"io.k8s.api.core.v1.SecretVolumeSource", default_mode},
      {"io.k8s.api.core.v1.Service", service},
      {"io.k8s.api.core.v1.ServiceAccountTokenProjection", token_projection},
      {"io.k8s.api.core.v1.Volume", volume},
      {"io.k8s.api.discovery.v1.EndpointPort", slice_port},
      {"io.k8s.api.scheduling.v1.PriorityClass", priority_class},
      {"io.k8s.api.storage.v1.StorageClass", storage_class},
  };
  auto at = kRules.find(type_name);
  return at == kRules.end() ? nullptr : at->second;
}

}  // namespace berth::api::schema
