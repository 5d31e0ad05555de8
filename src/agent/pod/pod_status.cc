#include "agent/pod/pod_status.h"

#include <algorithm>

#include "agent/pod/plan.h"
#include "agent/pod/resize.h"
#include "api/containers.h"
#include "api/object.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;
constexpr std::string_view kScheme = "berth://";

Value terminated(const Termination& t) {
  Value out = Value::object({{"exitCode", t.exit_code}, {"reason", t.reason}});
  // A termination for a restart of all containers has no times: kubelet has removed the container and does not know
  // them.
  if (t.reason != kRestartingAll)
    out.set("startedAt", format_time(t.started)).set("finishedAt", format_time(t.finished));
  if (t.signal != 0) out.set("signal", t.signal);
  if (!t.message.empty()) out.set("message", t.message);
  if (!t.container_id.empty()) out.set("containerID", std::string(kScheme) + t.container_id);
  return out;
}

Value waiting(const std::string& reason, const std::string& message) {
  Value out = Value::object({{"reason", reason}});
  if (!message.empty()) out.set("message", message);
  return out;
}

// The reason of a waiting container that has not run yet; PodInitializing also after the last init container.
std::string_view starting_reason(const Value& pod) {
  return pod["spec"]["initContainers"].empty() ? "ContainerCreating" : "PodInitializing";
}

Value mount_statuses(const Value& container) {
  Value out = Value::array();
  for (const Value& mount : container["volumeMounts"]) {
    Value status = Value::object({{"name", mount["name"]}, {"mountPath", mount["mountPath"]}});
    if (mount["readOnly"].as_bool()) {
      status.set("readOnly", true);
      std::string_view below = mount["recursiveReadOnly"].as_string();
      status.set("recursiveReadOnly", below == "Enabled" || below == "IfPossible" ? "Enabled" : "Disabled");
    }
    out.push(std::move(status));
  }
  return out;
}

Value container_status(const Value& container, bool init, const StatusInput& in) {
  const ContainerRecord& r = in.record.at(container["name"].as_string());
  bool sidecar = init && api::is_sidecar(container);
  Value state = Value::object(), last = Value::object();
  if (r.state == State::kRunning) {
    state.set("running", Value::object({{"startedAt", format_time(r.started)}}));
    if (r.last) last.set("terminated", terminated(*r.last));
  } else if (r.state == State::kExited && (r.waiting_reason.empty() || in.over)) {
    state.set("terminated", terminated(r.ended));
    if (r.last) last.set("terminated", terminated(*r.last));
  } else if (r.state == State::kExited) {
    state.set("waiting", waiting(r.waiting_reason, r.waiting_message));
    last.set("terminated", terminated(r.ended));
  } else {
    state.set("waiting", waiting(r.waiting_reason.empty() ? std::string(starting_reason(in.pod)) : r.waiting_reason,
                                 r.waiting_message));
    if (r.last) last.set("terminated", terminated(*r.last));
  }
  bool running = r.state == State::kRunning;
  bool ready = running && r.startup_done && r.ready;
  if (init && !sidecar) ready = r.state == State::kExited && r.ended.exit_code == 0;
  Value out = Value::object({{"name", container["name"]},
                             {"state", std::move(state)},
                             {"lastState", std::move(last)},
                             {"ready", ready},
                             {"restartCount", std::max(0, r.attempt)},
                             {"image", r.image.empty() ? container["image"].str() : r.image},
                             {"imageID", r.image_id},
                             {"started", running && r.startup_done && !(init && !sidecar)}});
  if (!r.id.empty()) {
    out.set("containerID", std::string(kScheme) + r.id);
    const Value &resources = in_force_for(in.record, container), &granted = granted_to(in.record, container);
    out.set("resources", resources.is_null() ? Value::object() : resources);
    if (!granted["requests"].empty()) out.set("allocatedResources", granted["requests"]);
  }
  if (r.uid >= 0) {
    Value groups = Value::array({r.gid});
    for (std::int64_t group : r.groups) {
      if (group != r.gid) groups.push(group);
    }
    out.set(
        "user",
        Value::object(
            {{"linux", Value::object({{"uid", r.uid}, {"gid", r.gid}, {"supplementalGroups", std::move(groups)}})}}));
  }
  if (Value mounts = mount_statuses(container); !mounts.empty()) out.set("volumeMounts", std::move(mounts));
  return out;
}

Value container_statuses(const char* field, bool init, const StatusInput& in) {
  Value out = Value::array();
  for (const Value& container : in.pod["spec"][field]) out.push(container_status(container, init, in));
  return out;
}

// Ephemeral containers are never ready, and their status has no `started`.
Value ephemeral_statuses(const StatusInput& in) {
  Value out = Value::array();
  const Value& containers = in.pod["spec"]["ephemeralContainers"];
  for (std::size_t i = containers.size() - std::min(containers.size(), in.most_ephemeral); i < containers.size(); ++i) {
    Value status = container_status(containers[i], false, in);
    status.set("ready", false);
    status.erase("started");
    out.push(std::move(status));
  }
  return out;
}

struct Verdict {
  bool good;
  std::string reason, message;
};

Verdict initialized(const StatusInput& in, const std::string& phase) {
  const Value& inits = in.pod["spec"]["initContainers"];
  if (inits.empty()) return {true, phase == "Succeeded" ? "PodCompleted" : "", ""};
  std::vector<std::string> incomplete;
  for (const Value& c : inits) {
    const ContainerRecord& r = in.record.at(c["name"].as_string());
    bool done = api::is_sidecar(c) ? r.startup_done || in.record.initialized
                                   : r.state == State::kExited && r.ended.exit_code == 0;
    if (!done && !in.record.initialized) incomplete.push_back(c["name"].str());
  }
  if (phase == "Succeeded") return {true, "PodCompleted", ""};
  if (incomplete.empty()) return {true, "", ""};
  return {false, "ContainersNotInitialized", "containers with incomplete status: [" + join(incomplete, " ") + "]"};
}

Verdict containers_ready(const StatusInput& in, const Value& statuses, const Value& init_statuses,
                         const std::string& phase) {
  if (phase == "Succeeded") return {false, "PodCompleted", ""};
  if (phase == "Failed") return {false, "PodFailed", ""};
  std::vector<std::string> unready;
  const Value& inits = in.pod["spec"]["initContainers"];
  for (std::size_t i = 0; i < inits.size(); ++i) {
    if (api::is_sidecar(inits[i]) && !init_statuses[i]["ready"].as_bool()) unready.push_back(inits[i]["name"].str());
  }
  for (const Value& s : statuses) {
    if (!s["ready"].as_bool()) unready.push_back(s["name"].str());
  }
  if (unready.empty()) return {true, "", ""};
  return {false, "ContainersNotReady", "containers with unready status: [" + join(unready, " ") + "]"};
}

Verdict pod_ready(const StatusInput& in, const Verdict& containers) {
  if (!containers.good) return containers;
  std::vector<std::string> words;
  for (const Value& gate : in.pod["spec"]["readinessGates"]) {
    std::string_view type = gate["conditionType"].as_string();
    const Value& condition = api::condition_of(in.pod, type);
    if (condition.is_null()) {
      words.push_back("corresponding condition of pod readiness gate " + quoted(type) + " does not exist.");
    } else if (condition["status"].as_string() != "True") {
      words.push_back("the status of pod readiness gate " + quoted(type) + " is not \"True\", but " +
                      condition["status"].str());
    }
  }
  if (words.empty()) return {true, "", ""};
  return {false, "ReadinessGatesNotReady", join(words, ", ")};
}

Verdict all_restarting(const StatusInput& in, const std::string& phase) {
  if (phase == "Succeeded") return {false, "PodCompleted", ""};
  if (phase == "Failed") return {false, "PodFailed", ""};
  if (!in.record.restarting_all) return {false, "", ""};
  return {true, "RestartAllContainersStarted", "container exited with restart policy rule"};
}

Value condition(const StatusInput& in, std::string_view type, const Verdict& verdict) {
  const Value& before = api::condition_of(in.pod, type);
  std::string_view status = verdict.good ? "True" : "False";
  bool same = before["status"].as_string() == status;
  Value out = Value::object({{"type", type},
                             {"status", status},
                             {"lastProbeTime", nullptr},
                             {"lastTransitionTime", same ? before["lastTransitionTime"] : Value(format_time(in.now))}});
  if (!verdict.reason.empty()) out.set("reason", verdict.reason);
  if (!verdict.message.empty()) out.set("message", verdict.message);
  if (std::int64_t generation = in.pod["metadata"]["generation"].as_int(); generation > 0)
    out.set("observedGeneration", generation);
  return out;
}

// Terminal only when every container has ended: a controller creates the successor of a terminal pod, and may delete
// it.
bool has_failed(const PodRecord& record) {
  if (record.failed_reason.empty()) return false;
  return std::none_of(record.containers.begin(), record.containers.end(),
                      [](const auto& entry) { return entry.second.state == State::kRunning; });
}

// Whether the server would store the same value: it writes null for an absent time, and may leave out what is empty.
bool same_stored(const Value& a, const Value& b) {
  if (a.is_object() && b.is_object()) {
    for (auto [key, value] : a.entries()) {
      if (!same_stored(value, b[key])) return false;
    }
    for (auto [key, value] : b.entries()) {
      if (!a.contains(key) && !same_stored(Value(), value)) return false;
    }
    return true;
  }
  if (a.is_array() && b.is_array()) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!same_stored(a[i], b[i])) return false;
    }
    return true;
  }
  auto nothing = [](const Value& v) { return v.is_null() || ((v.is_object() || v.is_array()) && v.empty()); };
  return a == b || (nothing(a) && nothing(b));
}

}  // namespace

std::string pod_phase(const StatusInput& in) {
  const Value& spec = in.pod["spec"];
  // A terminal phase is final.
  std::string_view now = in.pod["status"]["phase"].as_string();
  if (now == "Succeeded" || now == "Failed") return std::string(now);
  if (has_failed(in.record)) return "Failed";
  int waiting = 0, running = 0, stopped = 0, succeeded = 0;
  for (const Value& c : spec["containers"]) {
    const ContainerRecord& r = in.record.at(c["name"].as_string());
    if (r.state == State::kRunning) {
      ++running;
    } else if (r.state == State::kExited) {
      ++stopped;
      if (r.ended.exit_code == 0) ++succeeded;
    } else if (r.last) {
      ++stopped;
    } else {
      ++waiting;
    }
  }
  if (in.over) {
    bool failed_init = !in.record.initialized && !spec["initContainers"].empty() && work_is_over(in.pod, in.record);
    if (failed_init || stopped != succeeded) return "Failed";
    return stopped > 0 && waiting == 0 ? "Succeeded" : "Failed";
  }
  if (!spec["initContainers"].empty() && !in.record.initialized)
    return work_is_over(in.pod, in.record) ? "Failed" : "Pending";
  if (waiting > 0) return "Pending";
  if (running > 0) return "Running";
  if (stopped == 0) return "Pending";
  if (work_is_over(in.pod, in.record)) {
    bool sidecars_run = false;
    for (const Value& c : spec["initContainers"]) {
      sidecars_run = sidecars_run || in.record.at(c["name"].as_string()).state == State::kRunning;
    }
    if (sidecars_run) return "Running";
    return stopped == succeeded ? "Succeeded" : "Failed";
  }
  return "Running";
}

Value make_pod_status(const StatusInput& in) {
  std::string phase = pod_phase(in);
  Value out = Value::object({{"phase", phase}});
  if (std::int64_t generation = in.pod["metadata"]["generation"].as_int(); generation > 0)
    out.set("observedGeneration", generation);
  if (has_failed(in.record)) {
    out.set("reason", in.record.failed_reason);
    out.set("message", in.record.failed_message);
  }
  if (in.record.started != Time{}) out.set("startTime", format_time(in.record.started));
  if (!in.host_ip.empty()) {
    out.set("hostIP", in.host_ip);
    out.set("hostIPs", Value::array({Value::object({{"ip", in.host_ip}})}));
  }
  if (!in.record.ip.empty()) {
    out.set("podIP", in.record.ip);
    out.set("podIPs", Value::array({Value::object({{"ip", in.record.ip}})}));
  }
  if (in.record.rejected) return out;
  Value statuses = container_statuses("containers", false, in);
  Value init_statuses = container_statuses("initContainers", true, in);
  Verdict ready = containers_ready(in, statuses, init_statuses, phase);
  Value conditions = Value::array();
  if (!in.record.resize_refused.empty())
    conditions.push(condition(in, "PodResizePending", {true, in.record.resize_refused, in.record.resize_message}));
  if (in.record.resizing)
    conditions.push(condition(in, "PodResizeInProgress",
                              {true, in.record.resize_failure.empty() ? "" : "Error", in.record.resize_failure}));
  conditions.push(condition(in, "PodReadyToStartContainers", {in.record.prepared && !in.record.cleaned_up, "", ""}));
  conditions.push(condition(in, "Initialized", initialized(in, phase)));
  conditions.push(condition(in, "Ready", pod_ready(in, ready)));
  conditions.push(condition(in, "ContainersReady", ready));
  conditions.push(condition(in, "PodScheduled", {true, "", ""}));
  if (may_restart_all(in.pod)) conditions.push(condition(in, "AllContainersRestarting", all_restarting(in, phase)));
  if (in.record.disruption) {
    conditions.push(condition(in, "DisruptionTarget", {true, "TerminationByKubelet", in.record.failed_message}));
  }
  out.set("conditions", std::move(conditions));
  out.set("containerStatuses", std::move(statuses));
  if (const Value& granted = in.record.granted["pod"], &in_force = in.record.pod_in_force["pod"]; granted.is_object()) {
    if (!granted["requests"].empty()) out.set("allocatedResources", granted["requests"]);
    if (in_force.is_object()) out.set("resources", in_force);
  }
  if (!init_statuses.empty()) out.set("initContainerStatuses", std::move(init_statuses));
  if (Value ephemeral = ephemeral_statuses(in); !ephemeral.empty() || in.most_ephemeral == 0)
    out.set("ephemeralContainerStatuses", std::move(ephemeral));
  if (std::size_t all = in.pod["spec"]["ephemeralContainers"].size();
      all > in.most_ephemeral && !has_failed(in.record)) {
    out.set("message", "the statuses of " + std::to_string(all - in.most_ephemeral) + " of " + std::to_string(all) +
                           " ephemeral containers are left out: the pod would be larger than what can be stored");
  }
  return out;
}

Value status_patch(const Value& pod, const Value& status) {
  const Value& before = pod["status"];
  Value changed = Value::object();
  for (auto [key, value] : status.entries()) {
    if (key == "conditions" || same_stored(before[key], value)) continue;
    Value list = value;
    // podIPs are merged by "ip": without $patch: replace an old address would stay.
    if ((key == "podIPs" || key == "hostIPs") && !before[key].empty())
      list.push(Value::object({{"$patch", "replace"}}));
    changed.set(key, std::move(list));
  }
  Value conditions = Value::array(), order = Value::array();
  for (const Value& condition : status["conditions"]) {
    order.push(Value::object({{"type", condition["type"]}}));
    Value old = api::condition_of(pod, condition["type"].as_string());
    // An absent lastProbeTime is the same as null.
    Value now = condition;
    now.erase("lastProbeTime");
    if (!old.is_null()) old.erase("lastProbeTime");
    if (same_stored(old, now)) continue;
    Value patch = condition;
    for (const char* optional : {"reason", "message"}) {
      if (!old[optional].is_null() && condition[optional].is_null()) patch.set(optional, nullptr);
    }
    conditions.push(std::move(patch));
  }
  // Conditions of a resize that is over.
  for (const char* type : {"PodResizePending", "PodResizeInProgress"}) {
    const bool present = std::any_of(order.begin(), order.end(),
                                     [&](const Value& condition) { return condition["type"].as_string() == type; });
    if (present || status["conditions"].empty() || api::condition_of(pod, type).is_null()) continue;
    conditions.push(Value::object({{"$patch", "delete"}, {"type", type}}));
  }
  if (!conditions.empty()) {
    for (const Value& other : before["conditions"]) {
      bool ours = false;
      for (const Value& mine : order) ours = ours || mine["type"] == other["type"];
      for (const Value& gone : conditions) ours = ours || (gone.contains("$patch") && gone["type"] == other["type"]);
      if (!ours) order.push(Value::object({{"type", other["type"]}}));
    }
    changed.set("conditions", std::move(conditions));
    changed.set("$setElementOrder/conditions", std::move(order));
  }
  if (changed.empty()) return nullptr;
  return Value::object(
      {{"metadata", Value::object({{"uid", pod["metadata"]["uid"]}})}, {"status", std::move(changed)}});
}

}  // namespace berth::agent
