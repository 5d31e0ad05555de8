#pragma once
// make_pod_status(): the status of a pod as kubelet reports it. Pure.

#include <cstddef>
#include <cstdint>
#include <string>

#include "agent/pod/pod_record.h"
#include "base/json/json.h"

namespace berth::agent {

struct StatusInput {
  const Value& pod;  // conditions in its status keep their transition times
  const PodRecord& record;
  Time now;
  std::string host_ip;
  bool over = false;                      // no container runs or will run: the phase is final
  std::size_t most_ephemeral = SIZE_MAX;  // the newest ephemeral containers that get a status: a pod may have thousands
};

// The fields of the status that the agent owns, without conditions of other owners.
Value make_pod_status(const StatusInput& input);

// The strategic merge patch from the pod's status to `status`, with the pod's uid as precondition; null where they are
// equal.
Value status_patch(const Value& pod, const Value& status);

std::string pod_phase(const StatusInput& input);

}  // namespace berth::agent
