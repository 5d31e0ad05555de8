#pragma once
// What to do next for one pod. Pure: from the pod, the record of its containers and the time to a plan. The worker
// carries it out and asks again whenever anything changed.

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
  bool gone = false;  // the API has no such pod any more (or one of the same name with another uid)
};

struct PodPlan {
  bool prepare = false;            // volumes, network, sandbox
  std::vector<std::string> start;  // containers, in no particular order
  struct Stop {
    std::string container;
    std::int64_t grace_seconds;  // from the moment the container was first told to stop
    bool to_restart = false;     // because of a probe, a new image or a resize, not because the pod ends
    bool new_image = false;      // the spec names another image than the one it was started from
    bool resize = false;         // it has been granted other resources, and is to be restarted for that
    bool turn = true;            // false: a sidecar that others are to end before
    bool at_once = false;        // without a hook, and killed
  };
  std::vector<Stop> stop;
  struct Wait {  // in CrashLoopBackOff
    std::string container;
    Duration delay;
  };
  std::vector<Wait> backing_off;
  bool restart_all = false;               // a rule asks for all containers anew: nothing is started while any runs
  bool reset = false;                     // then, when none runs: they all begin again
  bool initialized = false;               // all init containers are through: to be remembered
  bool ending = false;                    // nothing is to be started any more
  bool tear_down = false;                 // nothing runs: sandbox, network and volumes go
  std::string fail_reason, fail_message;  // the pod is to be failed
  std::optional<Time> look_again;
};

PodPlan plan_pod(const PlanInput& input);

inline constexpr Duration kFirstBackOff = 10s, kLongestBackOff = 300s;
// The delay from an exit to the next start, as kubelet reckons: none for the first restart; forgotten when the
// container had run for ten minutes.
Duration restart_delay(const ContainerRecord& record);
// To be called when the container is started again.
void raise_back_off(ContainerRecord& record, Time now);

// The first of a container's restartPolicyRules that names the exit code; null: none does.
const Value* matching_rule(const Value& container, int exit_code);
bool may_restart_all(const Value& pod);  // some rule asks for it
// Whether a container that ended so is to run again.
bool restarts(const Value& pod, const Value& container, bool init, int exit_code);
// Every main container is over for good, or an init container is: the pod will be Succeeded or Failed.
bool work_is_over(const Value& pod, const PodRecord& record);
// The pod's termination grace period: as deleted, otherwise as the spec says.
std::int64_t grace_seconds(const Value& pod);

}  // namespace berth::agent
