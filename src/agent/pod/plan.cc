#include "agent/pod/plan.h"

#include <algorithm>

#include "agent/pod/container_lists.h"
#include "agent/pod/resize.h"
#include "api/containers.h"
#include "api/object.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;

constexpr std::string_view kRestartAll = "RestartAllContainers";

// A container has ended with an exit code for which a rule of its own asks to restart all containers.
bool asks_to_restart_all(const PlanInput& in) {
  for (const char* list : {"initContainers", "containers"}) {
    for (const Value& container : in.pod["spec"][list]) {
      const ContainerRecord& r = in.record.at(container["name"].as_string());
      if (r.state != State::kExited || r.replace) continue;
      const Value* rule = matching_rule(container, r.ended.exit_code);
      if (rule != nullptr && (*rule)["action"].as_string() == kRestartAll) return true;
    }
  }
  return false;
}

struct Planner {
  const PlanInput& in;
  const Value& spec;
  PodPlan plan;

  const ContainerRecord& record(const Value& container) const { return in.record.at(container["name"].as_string()); }

  void sync_at(Time at) {
    if (!plan.next_sync || at < *plan.next_sync) plan.next_sync = at;
  }

  void stop(const Value& container, std::int64_t grace, bool to_restart) {
    plan.stop.push_back({container["name"].str(), grace, to_restart});
  }

  // Starts the container, or sets the time of the sync that will.
  void start(const Value& container) {
    const ContainerRecord& r = record(container);
    if (r.retry_at > in.now) return sync_at(r.retry_at);
    if (r.state == State::kExited) {
      Duration delay = restart_delay(r);
      if (r.ended.finished + delay > in.now) {
        plan.back_offs.push_back({container["name"].str(), delay});
        return sync_at(r.ended.finished + delay);
      }
    }
    plan.start.push_back(container["name"].str());
  }

  // The spec may name a new image for a running container: main containers and sidecars are then replaced.
  bool has_new_image(const Value& container, bool init) const {
    const ContainerRecord& r = record(container);
    return (!init || api::is_sidecar(container)) && !r.spec_image.empty() &&
           container["image"].as_string() != r.spec_image;
  }

  // Stops the container if a probe or hook has marked it for a restart, or if its image or its resources have changed.
  // True where it runs on.
  bool keep_running(const Value& container, bool init) {
    if (has_new_image(container, init)) {
      stop(container, spec["terminationGracePeriodSeconds"].as_int(30), true);
      plan.stop.back().new_image = true;
      return false;
    }
    if (!init || api::is_sidecar(container)) {
      const Value &from = in_force_for(in.record, container), &to = granted_to(in.record, container);
      if (from != to && resize_restarts(container, from, to)) {
        stop(container, spec["terminationGracePeriodSeconds"].as_int(30), true);
        plan.stop.back().resize = true;
        return false;
      }
    }
    if (!record(container).must_restart) return true;
    std::int64_t grace = spec["terminationGracePeriodSeconds"].as_int(30);
    const ContainerRecord& r = record(container);
    for (const char* probe : {"livenessProbe", "startupProbe"}) {
      const Value& own = container[probe]["terminationGracePeriodSeconds"];
      if (own.is_int() && (r.startup_done == (std::string_view(probe) == "livenessProbe"))) grace = own.as_int();
    }
    stop(container, grace, true);
    return false;
  }

  // RestartAllContainers: SIGKILL to each container that runs, without its preStop hook and without a grace period.
  // True when nothing runs.
  bool kill_everything() {
    bool running = false;
    for (const char* list : kContainerLists) {
      for (const Value& c : spec[list]) {
        if (record(c).state != State::kRunning) continue;
        stop(c, 0, false);
        plan.stop.back().at_once = running = true;
      }
    }
    return !running;
  }

  // Stops every container. The turn of a sidecar comes after all main containers and after the sidecars behind it. True
  // when nothing runs.
  bool stop_everything(std::int64_t grace) {
    bool running = false, awaited = false;
    auto stop_if_running = [&](const Value& container, bool turn) {
      if (record(container).state != State::kRunning) return false;
      stop(container, grace, false);
      plan.stop.back().turn = turn;
      return running = true;
    };
    for (const Value& c : spec["containers"]) awaited = stop_if_running(c, true) || awaited;
    for (const Value& c : spec["ephemeralContainers"]) stop_if_running(c, true);
    const Value& inits = spec["initContainers"];
    for (std::size_t i = inits.size(); i-- > 0;) {
      if (!api::is_sidecar(inits[i])) {
        stop_if_running(inits[i], true);
      } else {
        awaited = stop_if_running(inits[i], !awaited) || awaited;
      }
    }
    return !running;
  }

  void run_inits() {
    bool all_started = true;  // of the init containers so far: succeeded, or sidecars that have started
    for (const Value& c : spec["initContainers"]) {
      const ContainerRecord& r = record(c);
      if (api::is_sidecar(c)) {
        if (r.state == State::kRunning) {
          keep_running(c, true);
          all_started = all_started && r.startup_done;
        } else if (all_started || in.record.initialized) {
          start(c);
          all_started = false;
        }
        continue;
      }
      if (in.record.initialized || (r.state == State::kExited && r.ended.exit_code == 0)) continue;
      if (!all_started) continue;
      all_started = false;
      if (r.state == State::kRunning) {
        keep_running(c, true);
      } else {
        start(c);
      }
    }
    plan.initialized = all_started || in.record.initialized;
  }

  // Each runs once, and does not wait for other containers: it may be there to find out why they do not start.
  void run_ephemeral() {
    for (const Value& c : spec["ephemeralContainers"]) {
      if (record(c).state == State::kWaiting) start(c);
    }
  }

  void run_mains() {
    for (const Value& c : spec["containers"]) {
      const ContainerRecord& r = record(c);
      if (r.state == State::kRunning) {
        keep_running(c, false);
      } else if (r.state == State::kWaiting || r.replace || restarts(in.pod, c, false, r.ended.exit_code)) {
        start(c);
      }
    }
  }
};

}  // namespace

const Value* matching_rule(const Value& container, int exit_code) {
  for (const Value& rule : container["restartPolicyRules"]) {
    const Value& codes = rule["exitCodes"];
    bool named = false;
    for (const Value& code : codes["values"]) named = named || code.as_int() == exit_code;
    if (named == (codes["operator"].as_string() == "In")) return &rule;
  }
  return nullptr;
}

bool may_restart_all(const Value& pod) {
  for (const char* list : {"initContainers", "containers"}) {
    for (const Value& container : pod["spec"][list]) {
      for (const Value& rule : container["restartPolicyRules"]) {
        if (rule["action"].as_string() == kRestartAll) return true;
      }
    }
  }
  return false;
}

bool restarts(const Value& pod, const Value& container, bool init, int exit_code) {
  if (init && api::is_sidecar(container)) return true;
  if (matching_rule(container, exit_code) != nullptr) return true;
  std::string_view policy = container["restartPolicy"].as_string(pod["spec"]["restartPolicy"].as_string("Always"));
  if (init) return exit_code != 0 && policy != "Never";
  return policy == "Always" || (policy == "OnFailure" && exit_code != 0);
}

bool work_is_over(const Value& pod, const PodRecord& record) {
  const Value& spec = pod["spec"];
  if (record.restarting_all) return false;  // containers that were killed for that start anew
  if (!record.initialized) {
    for (const Value& c : spec["initContainers"]) {
      const ContainerRecord& r = record.at(c["name"].as_string());
      if (api::is_sidecar(c) || r.state != State::kExited || r.ended.exit_code == 0) continue;
      if (!restarts(pod, c, true, r.ended.exit_code)) return true;
    }
  }
  if (spec["containers"].empty()) return false;
  for (const Value& c : spec["containers"]) {
    const ContainerRecord& r = record.at(c["name"].as_string());
    if (r.state != State::kExited || r.replace || restarts(pod, c, false, r.ended.exit_code)) return false;
  }
  return true;
}

std::int64_t grace_seconds(const Value& pod) {
  const Value& deleted = pod["metadata"]["deletionGracePeriodSeconds"];
  if (deleted.is_int()) return deleted.as_int();
  return pod["spec"]["terminationGracePeriodSeconds"].as_int(30);
}

Duration restart_delay(const ContainerRecord& r) {
  if (r.back_off == Duration::zero() || r.ended.finished - r.back_off_at > 2 * kLongestBackOff) return Duration::zero();
  return r.back_off;
}

void raise_back_off(ContainerRecord& r, Time now) {
  bool forgotten = r.ended.finished - r.back_off_at > 2 * kLongestBackOff;
  r.back_off =
      r.back_off == Duration::zero() || forgotten ? kFirstBackOff : std::min<Duration>(2 * r.back_off, kLongestBackOff);
  r.back_off_at = now;
}

PodPlan plan_pod(const PlanInput& in) {
  Planner planner{in, in.pod["spec"], {}};
  PodPlan& plan = planner.plan;
  bool over = work_is_over(in.pod, in.record);
  plan.ending = in.object_deleted || api::is_terminating(in.pod) || !in.record.failed_reason.empty() ||
                in.record.cleaned_up || over;
  if (!plan.ending) {
    const Value& limit = planner.spec["activeDeadlineSeconds"];
    if (limit.is_int() && in.record.started != Time{}) {
      Time end = in.record.started + std::chrono::seconds(limit.as_int());
      if (end <= in.now) {
        plan.fail_reason = "DeadlineExceeded";
        plan.fail_message = "Pod was active on the node longer than the specified deadline";
        plan.ending = true;
      } else {
        planner.sync_at(end);
      }
    }
  }
  if (plan.ending) {
    plan.initialized = in.record.initialized;
    // An evicted pod uses the scarce resource until it ends: one second of grace, as kubelet.
    const bool short_grace = in.object_deleted || in.record.failed_reason == "Evicted";
    bool all_stopped =
        planner.stop_everything(short_grace ? std::min<std::int64_t>(1, grace_seconds(in.pod)) : grace_seconds(in.pod));
    plan.clean_up = all_stopped && !in.record.cleaned_up;
    return plan;
  }
  // PodWorker::sync() prepares by its own Surroundings phase, which after a restart of the agent is behind the record.
  if (!in.record.prepared) return plan;
  if (in.record.restarting_all || asks_to_restart_all(in)) {
    plan.restart_all = true;
    plan.initialized = in.record.initialized;
    plan.reset_containers = planner.kill_everything();
    return plan;
  }
  planner.run_ephemeral();
  planner.run_inits();
  if (plan.initialized) planner.run_mains();
  return plan;
}

}  // namespace berth::agent
