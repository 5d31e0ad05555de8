#pragma once
// The status of a pod as kubelet reports it. Pure.

#include <cstddef>
#include <cstdint>
#include <string>

#include "agent/pod/pod_record.h"
#include "base/json/json.h"

namespace berth::agent {

struct StatusInput {
  const Value& pod;  // conditions that are there keep their transition times
  const PodRecord& record;
  Time now;
  std::string host_ip;
  bool over = false;  // nothing runs and nothing will: the phase is final
  std::size_t most_ephemeral =
      SIZE_MAX;  // of the pod's newest ephemeral containers, a status for each: there may be thousands
};

// The fields of status that the agent owns. Conditions of others are not in it.
Value make_pod_status(const StatusInput& input);

// The strategic merge patch that takes the pod's status to `status`, with the pod's uid as precondition; null where
// nothing differs.
Value status_patch(const Value& pod, const Value& status);

std::string pod_phase(const StatusInput& input);

}  // namespace berth::agent
