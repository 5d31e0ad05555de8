#include "agent/node/node_object.h"

#include <sys/utsname.h>
#include <unistd.h>

#include "agent/disk/disk_space.h"
#include "agent/spec/resources.h"
#include "api/object.h"
#include "api/quantity.h"
#include "base/files.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

std::string file_line(const std::string& path) {
  auto text = read_file(path);
  return text.ok() ? std::string(trim(*text)) : "";
}

std::string os_name() {
  auto text = read_file("/etc/os-release");
  if (!text.ok()) return "Linux";
  for (auto line : split(*text, '\n')) {
    Cut parts = cut(line, "=");
    if (parts.before == "PRETTY_NAME") return replace_all(std::string(parts.after), "\"", "");
  }
  return "Linux";
}

std::string kibibytes(std::int64_t bytes) { return std::to_string(bytes / 1024) + "Ki"; }

Value condition(const Value& before, std::string_view type, bool is, std::string_view reason, std::string_view message,
                Time now) {
  std::string_view status = is ? "True" : "False";
  const Value& old = api::condition_of(before, type);
  bool same = old["status"].as_string() == status;
  return Value::object({{"type", type},
                        {"status", status},
                        {"reason", reason},
                        {"message", message},
                        {"lastHeartbeatTime", format_time(now)},
                        {"lastTransitionTime", same ? old["lastTransitionTime"] : Value(format_time(now))}});
}

}  // namespace

NodeFacts read_node_facts(const std::string& data_dir) {
  NodeFacts out;
  out.cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  out.memory_bytes = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  if (auto text = read_file("/proc/meminfo"); text.ok()) {
    for (auto line : split(*text, '\n')) {
      Cut parts = cut(line, ":");
      if (parts.before != "MemAvailable") continue;
      if (auto number = parse_int(cut(trim(parts.after), " ").before); number.ok())
        out.memory_available = *number * 1024;
    }
  }
  DiskSpace disk = read_disk_space(data_dir);
  out.ephemeral_bytes = disk.total;
  out.ephemeral_free = disk.free;
  utsname name{};
  ::uname(&name);
  out.kernel = name.release;
  out.architecture = std::string_view(name.machine) == "x86_64"    ? "amd64"
                     : std::string_view(name.machine) == "aarch64" ? "arm64"
                                                                   : name.machine;
  out.machine_id = file_line("/etc/machine-id");
  out.boot_id = file_line("/proc/sys/kernel/random/boot_id");
  out.os_image = os_name();
  out.runtime_version = "berth://crun";
  return out;
}

Value node_labels(const AgentConfig& config, const NodeFacts& facts) {
  Value labels = Value::object({{"kubernetes.io/hostname", config.node_name},
                                {"kubernetes.io/os", "linux"},
                                {"kubernetes.io/arch", facts.architecture},
                                {"beta.kubernetes.io/os", "linux"},
                                {"beta.kubernetes.io/arch", facts.architecture}});
  if (!config.zone.empty()) labels.set("topology.kubernetes.io/zone", config.zone);
  if (!config.region.empty()) labels.set("topology.kubernetes.io/region", config.region);
  for (const auto& [name, value] : config.labels) labels.set(name, value);
  return labels;
}

Value make_node(const AgentConfig& config, const NodeFacts& facts) {
  return Value::object(
      {{"apiVersion", "v1"},
       {"kind", "Node"},
       {"metadata", Value::object({{"name", config.node_name}, {"labels", node_labels(config, facts)}})},
       {"spec", Value::object()}});
}

Value make_node_status(const AgentConfig& config, const NodeFacts& facts, const Value& before, const Value& images,
                       Time now) {
  std::string pods = std::to_string(config.max_pods);
  Value capacity = Value::object({{"cpu", std::to_string(facts.cpus)},
                                  {"memory", kibibytes(facts.memory_bytes)},
                                  {"pods", pods},
                                  {"ephemeral-storage", kibibytes(facts.ephemeral_bytes)},
                                  {"hugepages-1Gi", "0"},
                                  {"hugepages-2Mi", "0"}});
  // What kubelet holds back before it evicts: 100Mi of memory, a tenth of the disk.
  Value allocatable = capacity;
  allocatable.set("memory", kibibytes(allocatable_memory(facts.memory_bytes)));
  allocatable.set("ephemeral-storage", std::to_string(facts.ephemeral_bytes - facts.ephemeral_bytes / 10));
  bool memory_low = facts.memory_available > 0 && facts.memory_available < (100 << 20);
  Value conditions = Value::array();
  conditions.push(memory_low ? condition(before, "MemoryPressure", true, "KubeletHasInsufficientMemory",
                                         "kubelet has insufficient memory available", now)
                             : condition(before, "MemoryPressure", false, "KubeletHasSufficientMemory",
                                         "kubelet has sufficient memory available", now));
  conditions.push(
      facts.disk_pressure
          ? condition(before, "DiskPressure", true, "KubeletHasDiskPressure", "kubelet has disk pressure", now)
          : condition(before, "DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure", now));
  conditions.push(
      condition(before, "PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available", now));
  conditions.push(condition(before, "Ready", true, "KubeletReady", "kubelet is posting ready status", now));
  Value status = Value::object({{"capacity", std::move(capacity)},
                                {"allocatable", std::move(allocatable)},
                                {"conditions", std::move(conditions)}});
  status.set("addresses", Value::array({Value::object({{"type", "InternalIP"}, {"address", config.node_ip}}),
                                        Value::object({{"type", "Hostname"}, {"address", config.node_name}})}));
  status.set("daemonEndpoints", Value::object({{"kubeletEndpoint", Value::object({{"Port", config.kubelet_port}})}}));
  status.set("nodeInfo", Value::object({{"machineID", facts.machine_id},
                                        {"systemUUID", facts.machine_id},
                                        {"bootID", facts.boot_id},
                                        {"kernelVersion", facts.kernel},
                                        {"osImage", facts.os_image},
                                        {"containerRuntimeVersion", facts.runtime_version},
                                        {"kubeletVersion", config.version},
                                        {"kubeProxyVersion", ""},
                                        {"operatingSystem", "linux"},
                                        {"architecture", facts.architecture}}));
  Value features = Value::object({{"recursiveReadOnlyMounts", true}, {"userNamespaces", true}});
  status.set("runtimeHandlers", Value::array({Value::object({{"name", ""}, {"features", features}}),
                                              Value::object({{"name", "crun"}, {"features", features}})}));
  status.set("declaredFeatures",
             Value::array({"InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers",
                           "RestartAllContainersOnContainerExits"}));
  status.set("features", Value::object({{"supplementalGroupsPolicy", true}}));
  status.set("images", images);
  return status;
}

Value node_allocatable(const AgentConfig& config, const NodeFacts& facts) {
  return make_node_status(config, facts, Value(), Value(), Time{})["allocatable"];
}

bool node_status_differs(const Value& before, const Value& after) {
  for (const char* field : {"capacity", "allocatable", "addresses", "daemonEndpoints", "nodeInfo", "images",
                            "runtimeHandlers", "features", "declaredFeatures"}) {
    if (before[field] != after[field] && !(before[field].is_null() && after[field].empty())) return true;
  }
  Value holder = Value::object({{"status", before}});
  for (const Value& condition : after["conditions"]) {
    const Value& old = api::condition_of(holder, condition["type"].as_string());
    for (const char* field : {"status", "reason", "message"}) {
      if (old[field] != condition[field]) return true;
    }
  }
  return false;
}

}  // namespace berth::agent
