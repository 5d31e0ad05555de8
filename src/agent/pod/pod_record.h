#pragma once
// PodRecord: what a pod worker knows of its pod and the containers beyond the API's object. It is saved as a file on a
// memory file system, from which the next agent continues. Its format (to_json) must stay readable for later agents.

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

// The reason of a Termination that stands for a restart of all containers; status has nothing else of it.
inline constexpr const char* kRestartingAll = "RestartingAllContainers";

struct ContainerRecord {
  enum class State { kWaiting, kRunning, kExited };
  State state = State::kWaiting;
  std::string id;               // of the current or latest attempt; empty before the first
  int attempt = -1;             // of `id`; what status calls restartCount
  std::string image, image_id;  // as in status
  Time started{};               // of the running attempt
  // Of the current attempt's first process, once it has started; -1: not known.
  std::int64_t uid = -1, gid = -1;
  std::vector<std::int64_t> groups;
  Termination ended;                // while kExited
  std::optional<Termination> last;  // the attempt before
  std::string previous_id;          // of the attempt before
  // Why the container does not run: while kWaiting, and while kExited if it is to run again.
  std::string waiting_reason, waiting_message;
  Time retry_at{};            // the earliest next start, after a missing image or a wrong configuration
  bool post_started = false;  // the postStart hook is over, or there is none
  bool startup_done = false;  // postStart is over and the startup probe has passed: status.started
  bool ready = false;
  bool must_restart = false;  // a probe or a hook has failed: it is stopped, and runs again where its policy says so
  std::string spec_image;     // as the spec named it when the current attempt started
  bool replace = false;       // stopped for a new image or new resources: it runs again whatever its policy
  Value in_force;             // the resources that it runs with; null: as granted
  // Delay before the next restart after an exit, and when it was last raised. Zero before the first restart.
  Duration back_off{};
  Time back_off_at{};
};

struct PodRecord {
  std::string uid, ns, name;
  Time started{};  // status.startTime
  std::string ip;
  bool prepared = false;     // volumes, network and sandbox have been made
  bool initialized = false;  // every init container has succeeded, every sidecar has started
  bool cleaned_up = false;
  bool restarting_all = false;                // a rule has asked to restart all containers, and not all have ended
  Time restarted_all{};                       // when all containers were last restarted
  std::int64_t first_user = 0;                // of its range of user ids, where it has a user namespace
  std::vector<std::string> claims;            // names of the PersistentVolumes acquired for the pod
  std::string failed_reason, failed_message;  // "DeadlineExceeded", "Evicted": the pod fails with it
  bool rejected = false;                      // failed at admission: its status has nothing of its containers
  bool disruption = false;                    // evicted because the node is short of disk: condition DisruptionTarget
  std::map<std::string, ContainerRecord> containers;
  std::map<std::string, std::string>
      volume_images;  // by image volume: the id of the mounted image, which its tag may no longer name
  // Resources (resize.h): as granted, and as the pod's control group has them. Null: as in the spec.
  Value granted, pod_in_force;
  std::string resize_refused,
      resize_message;          // "Deferred", "Infeasible": why the spec's resources are not granted
  bool resizing = false;       // the granted resources are not in force yet
  std::string resize_failure;  // of the latest attempt to put them in force

  const ContainerRecord& at(std::string_view container) const;
};

Value to_json(const PodRecord& record);
Result<PodRecord> record_from_json(const Value& value);

// A record from the pod's status: restart counts, last terminations, the start time. For an agent whose records are
// lost with a restart of the machine. Containers that ran have ended as `ends` says, otherwise with reason Unknown.
PodRecord record_from_status(const Value& pod, Time now, const ContainerEnds& ends = {});

// "web-0_default(<uid>)": the pod in kubelet's messages.
std::string pod_in_messages(const PodRecord& record);

}  // namespace berth::agent
