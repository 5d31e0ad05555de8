#include "agent/spec/resources.h"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "agent/pod/plan.h"
#include "api/containers.h"
#include "api/quantity.h"

namespace berth::agent {
namespace {

api::Quantity quantity(const Value& list, const char* name) {
  const Value& value = list[name];
  auto parsed = value.is_int() ? Result<api::Quantity>(api::Quantity::of(value.as_int()))
                               : api::Quantity::parse(value.as_string());
  return parsed.ok() ? *parsed : api::Quantity();
}

}  // namespace

std::string pod_cgroup(const std::string& parent, const std::string& pod_uid) { return parent + "/pod" + pod_uid; }

Limits container_limits(const Value& container) {
  const Value& resources = container["resources"];
  Limits out;
  out.cpu_milli_limit = quantity(resources["limits"], "cpu").milli_value();
  out.memory_bytes = quantity(resources["limits"], "memory").value();
  out.cpu_milli_request = quantity(resources["requests"], "cpu").milli_value();
  if (out.cpu_milli_request == 0 && resources["requests"]["cpu"].is_null()) out.cpu_milli_request = out.cpu_milli_limit;
  return out;
}

Limits pod_limits(const Value& pod) {
  const Value& spec = pod["spec"];
  const Value& own = spec["resources"];
  Limits sum, init;
  bool cpu = true, memory = true;
  auto add = [&](const Value& c) {
    Limits l = container_limits(c);
    cpu = cpu && l.cpu_milli_limit > 0;
    memory = memory && l.memory_bytes > 0;
    sum.cpu_milli_limit += l.cpu_milli_limit;
    sum.cpu_milli_request += l.cpu_milli_request;
    sum.memory_bytes += l.memory_bytes;
  };
  for (const Value& c : spec["containers"]) add(c);
  for (const Value& c : spec["initContainers"]) {
    if (api::is_sidecar(c)) {
      add(c);
      continue;
    }
    Limits l = container_limits(c);
    cpu = cpu && l.cpu_milli_limit > 0;
    memory = memory && l.memory_bytes > 0;
    init.cpu_milli_limit = std::max(init.cpu_milli_limit, l.cpu_milli_limit);
    init.cpu_milli_request = std::max(init.cpu_milli_request, l.cpu_milli_request);
    init.memory_bytes = std::max(init.memory_bytes, l.memory_bytes);
  }
  Limits out;
  out.cpu_milli_limit = cpu ? std::max(sum.cpu_milli_limit, init.cpu_milli_limit) : 0;
  out.memory_bytes = memory ? std::max(sum.memory_bytes, init.memory_bytes) : 0;
  out.cpu_milli_request = std::max(sum.cpu_milli_request, init.cpu_milli_request);
  if (!own["limits"]["cpu"].is_null()) out.cpu_milli_limit = quantity(own["limits"], "cpu").milli_value();
  if (!own["limits"]["memory"].is_null()) out.memory_bytes = quantity(own["limits"], "memory").value();
  if (!own["requests"]["cpu"].is_null()) out.cpu_milli_request = quantity(own["requests"], "cpu").milli_value();
  // The RuntimeClass's overhead for the sandbox.
  const Value& overhead = spec["overhead"];
  if (out.cpu_milli_limit > 0) out.cpu_milli_limit += quantity(overhead, "cpu").milli_value();
  if (out.memory_bytes > 0) out.memory_bytes += quantity(overhead, "memory").value();
  out.cpu_milli_request += quantity(overhead, "cpu").milli_value();
  return out;
}

int oom_score(const Value& pod, const Value& container, std::int64_t node_memory) {
  std::string_view qos = pod["status"]["qosClass"].as_string();
  if (qos == "Guaranteed") return -997;
  if (qos != "Burstable") return 1000;
  const auto asked_by = [](const Value& c) { return quantity(c["resources"]["requests"], "memory").value(); };
  const Value& spec = pod["spec"];
  std::int64_t asked = asked_by(container);
  if (api::is_sidecar(container)) {
    // A sidecar must not be killed before all main containers: its score is at most that of the smallest request.
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (const Value& c : spec["containers"]) least = std::min(least, asked_by(c));
    if (!spec["containers"].empty()) asked = std::max(asked, least);
  }
  if (const Value& own = spec["resources"]["requests"]["memory"]; !own.is_null()) {
    // A request at pod level beyond the containers' requests is shared equally between them.
    std::int64_t rest = quantity(spec["resources"]["requests"], "memory").value(), sharing = 0;
    for (const char* field : {"containers", "initContainers"}) {
      for (const Value& c : spec[field]) {
        if (std::string_view(field) == "initContainers" && !api::is_sidecar(c)) continue;
        rest -= asked_by(c);
        ++sharing;
      }
    }
    if (rest > 0 && sharing > 0) asked += rest / sharing;
  }
  std::int64_t score = 1000 - (1000 * asked) / std::max<std::int64_t>(1, node_memory);
  return static_cast<int>(std::clamp<std::int64_t>(score, 3, 999));
}

std::int64_t node_memory_bytes() {
  return static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

std::int64_t allocatable_memory(std::int64_t node_memory) {
  return std::max<std::int64_t>(0, node_memory - (100 << 20));
}

}  // namespace berth::agent
