#include "agent/spec/downward.h"

#include <unistd.h>

#include "agent/pod/container_lists.h"
#include "agent/spec/resources.h"
#include "api/object.h"
#include "api/quantity.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::int64_t kKeptMemory = 100 << 20;  // of the node's memory, not allocatable (node_object.cc)

// Labels or annotations as text: a="1"\nb="2", sorted by key.
std::string whole_map(const Value& map) {
  std::string out;
  for (auto [key, value] : map.entries()) {
    if (!out.empty()) out += "\n";
    out += std::string(key) + "=" + quoted(value.as_string());
  }
  return out;
}

const Value* container_named(const Value& pod, std::string_view name) {
  for (const char* field : kContainerLists) {
    for (const Value& c : pod["spec"][field]) {
      if (c["name"].as_string() == name) return &c;
    }
  }
  return nullptr;
}

}  // namespace

Result<std::string> field_value(const PodContext& context, const std::string& path) {
  const Value& pod = context.pod;
  const Value& metadata = pod["metadata"];
  for (const char* map : {"labels", "annotations"}) {
    std::string prefix = std::string("metadata.") + map;
    if (path == prefix) return whole_map(metadata[map]);
    if (path.starts_with(prefix + "['") && path.ends_with("']")) {
      return metadata[map][path.substr(prefix.size() + 2, path.size() - prefix.size() - 4)].str();
    }
  }
  const AgentConfig& config = context.services.config;
  if (path == "metadata.name") return metadata["name"].str();
  if (path == "metadata.namespace") return metadata["namespace"].str();
  if (path == "metadata.uid") return metadata["uid"].str();
  if (path == "spec.nodeName") return config.node_name;
  if (path == "spec.serviceAccountName") return pod["spec"]["serviceAccountName"].str();
  if (path == "status.hostIP" || path == "status.hostIPs") return config.node_ip;
  if (path == "status.podIP" || path == "status.podIPs") return context.record.ip;
  return error(Code::kInvalid, "unsupported fieldPath: " + path);
}

Result<std::string> resource_value(const PodContext& context, const Value& selector,
                                   const std::string& default_container) {
  std::string name = selector["containerName"].str(default_container);
  const Value* container = container_named(context.pod, name);
  if (!container) return error(Code::kInvalid, "container " + name + " not found");
  std::string resource = selector["resource"].str();
  Cut parts = cut(resource, ".");
  std::string of(parts.after);
  bool limit = parts.before == "limits";
  api::Quantity divisor = api::Quantity::of(1);
  if (auto given = api::Quantity::parse(selector["divisor"].as_string()); given.ok() && given->sign() > 0)
    divisor = *given;
  const Value& list = (*container)["resources"][limit ? "limits" : "requests"];
  auto asked = api::Quantity::parse(list[of].as_string());
  api::Quantity amount = asked.ok() ? *asked : api::Quantity();
  if (limit && !asked.ok()) {
    if (of == "cpu") amount = api::Quantity::of(::sysconf(_SC_NPROCESSORS_ONLN));
    if (of == "memory") amount = api::Quantity::of(std::max<std::int64_t>(0, node_memory_bytes() - kKeptMemory));
  }
  if (of == "cpu") {
    std::int64_t by = divisor.milli_value();
    return std::to_string((amount.milli_value() + by - 1) / by);
  }
  std::int64_t by = std::max<std::int64_t>(1, divisor.value());
  return std::to_string((amount.value() + by - 1) / by);
}

}  // namespace berth::agent
