#pragma once
// What the agent knows of one pod and its containers beyond the API's object: the memory of a pod worker. Kept in a
// file on a memory file system, so that a new agent goes on where the old one was.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/pod/container_ends.h"
#include "base/json/json.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::agent {

struct Termination {
  int exit_code = 0;
  int signal = 0;
  std::string reason, message, container_id;
  Time started{}, finished{};
};

// The reason of a Termination of which nothing else is told: all containers of the pod began anew.
inline constexpr const char* kRestartingAll = "RestartingAllContainers";

struct ContainerRecord {
  enum class State { kWaiting, kRunning, kExited };
  State state = State::kWaiting;
  std::string id;               // of the current or latest attempt; empty before the first
  int attempt = -1;             // of `id`; what status calls restartCount
  std::string image, image_id;  // as status shows them
  Time started{};               // of the running attempt
  // Of the current attempt's first process, once it has been started; -1: not known.
  std::int64_t uid = -1, gid = -1;
  std::vector<std::int64_t> groups;
  Termination ended;                // while kExited
  std::optional<Termination> last;  // the attempt before
  std::string previous_id;          // its container, kept for its log
  // Why it does not run, while kWaiting, and while kExited where it is to run again.
  std::string waiting_reason, waiting_message;
  Time retry_at{};             // not to be tried before, where waiting for an image or after a wrong configuration
  bool post_started = false;   // the postStart hook is over, or there is none
  bool running_fully = false;  // postStart is over and the startup probe has passed: status calls it started
  bool ready = false;
  bool must_restart = false;  // a probe or a hook failed: it is being ended and runs again where the policy says so
  std::string spec_image;     // what the spec named when the current attempt was started
  bool replace = false;       // ended for a new image or size: it runs again whatever the policy
  Value in_force;             // the resources it runs with; null: what it has been granted
  // Delay before the next restart after an exit, and when it was last raised. Zero before the first restart.
  Duration back_off{};
  Time back_off_at{};
};

struct PodRecord {
  std::string uid, ns, name;
  Time started{};  // status.startTime
  std::string ip;
  bool prepared = false;     // volumes, network and sandbox are there
  bool initialized = false;  // every init container is through
  bool torn_down = false;
  bool restarting_all = false;                // a rule has asked for all containers anew, and not all have ended
  Time restarted_all{};                       // when they last began anew
  std::int64_t first_user = 0;                // of its range, where it has users of its own
  std::vector<std::string> claims;            // names of the PersistentVolumes acquired for it
  std::string failed_reason, failed_message;  // "DeadlineExceeded", "Evicted": the pod is over
  bool rejected = false;                      // refused at admission: it is over, and its status shows nothing else
  bool disruption = false;                    // evicted for the node's sake: condition DisruptionTarget
  std::map<std::string, ContainerRecord> containers;
  std::map<std::string, std::string>
      volume_images;  // by image volume: the id of what is mounted, whatever its tag names by now
  // What its containers may take (resize.h): as granted, and as the pod's own control group has it. Null: as the spec
  // says.
  Value granted, pod_in_force;
  std::string resize_refused,
      resize_message;          // "Deferred", "Infeasible": why the spec asks for something else than is granted
  bool resizing = false;       // what has been granted is not in force yet
  std::string resize_failure;  // why that takes so long

  const ContainerRecord& at(std::string_view container) const;
};

Value to_json(const PodRecord& record);
Result<PodRecord> record_from_json(const Value& value);

// Takes over what the API last knew: restart counts, last terminations, the start time. For an agent that has lost its
// own memory (the machine was restarted). What ran has ended as `ends` tells, or nobody knows how.
PodRecord record_from_status(const Value& pod, Time now, const ContainerEnds& ends = {});

// "web-0_default(<uid>)", as messages name a pod.
std::string pod_in_messages(const PodRecord& record);

}  // namespace berth::agent
