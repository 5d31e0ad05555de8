#pragma once
// plan_pod(): what a pod worker is to do next for one pod. Pure: a function of the pod, its record and the time. The
// worker carries the plan out and asks for the next one whenever anything has changed.

#include <optional>
#include <string>
#include <vector>

#include "agent/pod/pod_record.h"
#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::agent {

struct PlanInput {
  const Value& pod;
  const PodRecord& record;
  Time now;
  bool object_deleted = false;  // the API has no such pod, or one of the same name with another uid
};

struct PodPlan {
  struct Stop {
    std::string container;
    std::int64_t grace_seconds;  // from the first order to stop the container
    bool to_restart = false;     // because of a probe, a new image or a resize, not because the pod ends
    bool new_image = false;      // the spec names another image than the one that the container was started from
    bool resize = false;         // the container has been granted other resources, and restarts for that
    bool turn = true;            // false: a sidecar, which waits until containers that use it have ended
    bool at_once = false;        // by SIGKILL, without a hook
  };
  struct BackOff {  // CrashLoopBackOff
    std::string container;
    Duration delay;
  };
  std::vector<std::string> start;  // containers, in no particular order
  std::vector<Stop> stop;
  std::vector<BackOff> back_offs;         // containers that wait for their next start
  bool restart_all = false;               // a rule asks for a restart of all containers: none starts while any runs
  bool reset_containers = false;          // for restart_all, when none runs: all of them wait for their start
  bool initialized = false;               // all init containers have succeeded, sidecars have started; for the record
  bool ending = false;                    // nothing starts; true in all later plans, too
  bool clean_up = false;                  // nothing runs: sandbox, network and volumes are to be removed
  std::string fail_reason, fail_message;  // not empty: the pod is to fail, then to be planned anew
  std::optional<Time> next_sync;          // when the plan may change because of the time alone
};

PodPlan plan_pod(const PlanInput& input);

inline constexpr Duration kFirstBackOff = 10s, kLongestBackOff = 300s;
// The delay from an exit to the next start, by kubelet's rule: none for the first restart, and none after the container
// has run for ten minutes.
Duration restart_delay(const ContainerRecord& record);
// Called at each restart of the container.
void raise_back_off(ContainerRecord& record, Time now);

// The first of a container's restartPolicyRules that names the exit code; null: none does.
const Value* matching_rule(const Value& container, int exit_code);
bool may_restart_all(const Value& pod);  // a rule of some container asks for it
// Whether a container that ended with the exit code is to run again.
bool restarts(const Value& pod, const Value& container, bool init, int exit_code);
// Every main container has ended for good, or an init container has failed for good: the pod will be Succeeded or
// Failed.
bool work_is_over(const Value& pod, const PodRecord& record);
// The pod's termination grace period: of its deletion, otherwise of its spec.
std::int64_t grace_seconds(const Value& pod);

}  // namespace berth::agent
