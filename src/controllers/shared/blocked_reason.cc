#include "controllers/shared/blocked_reason.h"

#include "api/object.h"
#include "base/text.h"

namespace berth::controllers {
namespace {

// Waiting reasons of containers that will not start by themselves, or not soon.
bool is_blocking(std::string_view reason) {
  for (const char* one : {"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
                          "ImageInspectError", "CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError",
                          "RunContainerError", "PostStartHookError"}) {
    if (reason == one) return true;
  }
  return false;
}

std::string pod_command(std::string_view verb, const Value& pod) {
  std::string command = "kubectl " + std::string(verb) + " " + std::string(api::name_of(pod));
  if (api::namespace_of(pod) != "default") command += " -n " + std::string(api::namespace_of(pod));
  return command;
}

// Texts do not use the container's waiting message if it changes with each attempt (time until the next one).
BlockedReason container_reason(const Value& pod, const Value& status) {
  const Value& waiting = status["state"]["waiting"];
  const std::string_view reason = waiting["reason"].as_string();
  if (!is_blocking(reason)) return {};
  const std::string container = "container " + quoted(status["name"].as_string());
  BlockedReason out{std::string(reason), "", "", pod_command("describe pod", pod)};
  if (reason == "CrashLoopBackOff") {
    const Value& last = status["lastState"]["terminated"];
    out.text = container + " ends again and again";
    if (!last.is_null()) {
      out.text += " (exit code " + std::to_string(last["exitCode"].as_int());
      if (last["reason"].as_string() == "OOMKilled") out.text += ", out of memory";
      out.text += ")";
    }
    out.hint = pod_command("logs", pod) + " -c " + std::string(status["name"].as_string()) + " --previous";
  } else if (reason == "ImagePullBackOff" || reason == "ErrImagePull") {
    out.reason = "ImagePullBackOff";
    out.text = "the image " + quoted(status["image"].as_string()) + " of " + container + " cannot be had";
  } else {
    out.text = container + ": " + std::string(waiting["message"].as_string(reason));
  }
  return out;
}

}  // namespace

BlockedReason blocked_reason_of(const Value& pod) {
  const Value& scheduled = api::condition_of(pod, "PodScheduled");
  if (scheduled["status"].as_string() == "False") {
    const bool gated = scheduled["reason"].as_string() == "SchedulingGated";
    return {scheduled["reason"].str("Unschedulable"),
            gated ? "it is held back by its scheduling gates" : "no node can take it: " + scheduled["message"].str(),
            scheduled["lastTransitionTime"].str(), pod_command("describe pod", pod)};
  }
  for (const char* list : {"initContainerStatuses", "containerStatuses"}) {
    for (const Value& status : pod["status"][list]) {
      if (BlockedReason found = container_reason(pod, status)) {
        found.since = api::condition_of(pod, "Ready")["lastTransitionTime"].str();
        return found;
      }
    }
  }
  return {};
}

}  // namespace berth::controllers
