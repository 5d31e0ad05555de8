// STATUS, READY and RESTARTS of a pod: upstream's printPod.
#include "api/containers.h"
#include "api/object.h"
#include "apiserver/table/printers.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::table {
namespace {

struct Summary {
  std::string reason;
  int total = 0, ready = 0, restarts = 0;
  std::string last_restart;  // newest finishedAt of a former run
};

void add_restarts(const Value& status, Summary& summary) {
  summary.restarts += static_cast<int>(status["restartCount"].as_int());
  std::string finished = status["lastState"]["terminated"]["finishedAt"].str();
  if (finished > summary.last_restart) summary.last_restart = finished;
}

std::string exit_reason(const Value& terminated) {
  if (!terminated["reason"].as_string().empty()) return terminated["reason"].str();
  if (terminated["signal"].as_int() != 0) return "Signal:" + std::to_string(terminated["signal"].as_int());
  return "ExitCode:" + std::to_string(terminated["exitCode"].as_int());
}

bool names_sidecar(const Value& pod, std::string_view name) {
  for (const Value& container : pod["spec"]["initContainers"]) {
    if (container["name"].as_string() == name) return api::is_sidecar(container);
  }
  return false;
}

// Whether an init container decides the status; `summary.reason` is set then.
bool initializing(const Value& pod, Summary& summary) {
  std::size_t count = pod["spec"]["initContainers"].size();
  int index = -1;
  for (const Value& status : pod["status"]["initContainerStatuses"]) {
    ++index;
    const Value& state = status["state"];
    bool sidecar = names_sidecar(pod, status["name"].as_string());
    summary.restarts += static_cast<int>(status["restartCount"].as_int());
    if (std::string finished = status["lastState"]["terminated"]["finishedAt"].str(); finished > summary.last_restart) {
      summary.last_restart = finished;
    }
    if (state["terminated"].is_object() && state["terminated"]["exitCode"].as_int() == 0) continue;
    if (sidecar && status["started"].as_bool()) {
      if (status["ready"].as_bool()) ++summary.ready;
      continue;
    }
    if (state["terminated"].is_object()) {
      summary.reason = "Init:" + exit_reason(state["terminated"]);
    } else if (std::string_view waiting = state["waiting"]["reason"].as_string();
               !waiting.empty() && waiting != "PodInitializing") {
      summary.reason = "Init:" + std::string(waiting);
    } else {
      summary.reason = "Init:" + std::to_string(index) + "/" + std::to_string(count);
    }
    return true;
  }
  return false;
}

void summarize_containers(const Value& pod, Summary& summary) {
  bool has_running = false;
  const Value& statuses = pod["status"]["containerStatuses"];
  for (std::size_t i = statuses.size(); i-- > 0;) {
    const Value& status = statuses[i];
    const Value& state = status["state"];
    add_restarts(status, summary);
    if (!state["waiting"]["reason"].as_string().empty()) {
      summary.reason = state["waiting"]["reason"].str();
    } else if (state["terminated"].is_object()) {
      summary.reason = exit_reason(state["terminated"]);
    } else if (status["ready"].as_bool() && state["running"].is_object()) {
      has_running = true;
      ++summary.ready;
    }
  }
  // A container has completed, and another still runs: the pod is not Completed.
  if (summary.reason == "Completed" && has_running) summary.reason = api::is_pod_ready(pod) ? "Running" : "NotReady";
}

Summary summarize(const Value& pod) {
  Summary summary;
  const Value& status = pod["status"];
  summary.total = static_cast<int>(pod["spec"]["containers"].size());
  for (const Value& container : pod["spec"]["initContainers"]) {
    if (api::is_sidecar(container)) ++summary.total;
  }
  summary.reason = status["reason"].as_string().empty() ? status["phase"].str() : status["reason"].str();
  const Value& scheduled = api::condition_of(pod, "PodScheduled");
  if (scheduled["reason"].as_string() == "SchedulingGated") summary.reason = "SchedulingGated";
  bool in_init = initializing(pod, summary);
  if (!in_init || api::condition_is_true(pod, "Initialized")) {
    // Restarts of ordinary init containers no longer count once the main containers run; those of sidecars do.
    int sidecar_restarts = 0;
    for (const Value& init : status["initContainerStatuses"]) {
      if (names_sidecar(pod, init["name"].as_string()))
        sidecar_restarts += static_cast<int>(init["restartCount"].as_int());
    }
    summary.restarts = sidecar_restarts;
    summarize_containers(pod, summary);
  }
  if (api::is_terminating(pod)) {
    if (status["reason"].as_string() == "NodeLost") {
      summary.reason = "Unknown";
    } else if (!api::is_pod_terminal(pod)) {
      summary.reason = "Terminating";
    }
  }
  return summary;
}

std::string readiness_gates(const Value& pod) {
  const Value& gates = pod["spec"]["readinessGates"];
  if (gates.empty()) return "<none>";
  int met = 0;
  for (const Value& gate : gates) met += api::condition_is_true(pod, gate["conditionType"].as_string()) ? 1 : 0;
  return std::to_string(met) + "/" + std::to_string(gates.size());
}

}  // namespace

Value pod_cells(const Value& pod, Time now) {
  Summary summary = summarize(pod);
  std::string restarts = std::to_string(summary.restarts);
  if (summary.restarts != 0 && !summary.last_restart.empty())
    restarts += " (" + age_text(summary.last_restart, now) + " ago)";
  std::string ip = pod["status"]["podIP"].str();
  if (const Value& ips = pod["status"]["podIPs"]; !ips.empty()) ip = ips[0]["ip"].str();
  return Value::array({api::name_of(pod), std::to_string(summary.ready) + "/" + std::to_string(summary.total),
                       summary.reason, restarts, age_of(pod, now), none_if_empty(ip),
                       none_if_empty(pod["spec"]["nodeName"].as_string()),
                       none_if_empty(pod["status"]["nominatedNodeName"].as_string()), readiness_gates(pod)});
}

Value pod_conditions(const Value& pod) {
  if (!api::is_pod_terminal(pod)) return Value();
  const bool succeeded = pod["status"]["phase"].as_string() == "Succeeded";
  return Value::array(
      {Value::object({{"type", "Completed"},
                      {"status", "True"},
                      {"reason", succeeded ? "Succeeded" : "Failed"},
                      {"message", succeeded ? "The pod has completed successfully." : "The pod failed."}})});
}

}  // namespace berth::apiserver::table
