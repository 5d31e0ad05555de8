#pragma once
// The phases of one container of a pod, from its start to its exit, and the events that lead from one to the next.
// Pure.
//
// A start: idle, pulling_image, configuring, starting, running. A stop: the preStop hook, the wait for the container's
// turn (sidecars stop after the containers that use them), the stop signal, SIGKILL. A start and a stop never overlap:
// a container is stopped only while its record says running, which is so from `started` to `exited`. The postStart hook
// and the probes belong to `running`.

#include <array>
#include <optional>
#include <string_view>

#include "base/phase.h"

namespace berth::agent {

enum class ContainerPhase {
  kIdle,              // not running, nothing under way; the record says what it waits for
  kPullingImage,      // the image step is looking for its image
  kConfiguring,       // the image is here: files and users are read, the runtime's spec is made
  kStarting,          // handed over to the runtime, or about to be: subPaths are bound
  kRunning,           // includes the postStart hook and the probes
  kPreStopOutOfTurn,  // the preStop hook runs; other containers are to end before this one is signalled
  kPreStop,           // the preStop hook runs, and the stop signal follows it
  kAwaitingTurn,      // the preStop hook is over, or there is none; other containers are to end first
  kSignalled,         // has the stop signal
  kKilled,            // has SIGKILL, because it has not ended within its grace period; sent again until it ends
  kKilledAtOnce,      // has SIGKILL without hook and grace period, because all containers of the pod start anew
};

enum class ContainerEvent {
  kStart,           // the plan asks for the container, and its pod's surroundings are ready
  kImageReady,      // its image is on the node
  kConfigured,      // the runtime's spec is complete
  kStarted,         // the runtime has started it
  kStartFailed,     // no image, a wrong configuration, or the runtime's refusal
  kStartAbandoned,  // its pod ends meanwhile, or its spec names another image
  kFoundRunning,    // an earlier agent started it, and had not recorded that
  kStop,            // the plan asks for its end; there is no preStop hook, or no time for one
  kStopWithHook,    // the same, with a preStop hook, which has been started
  kTurn,            // no other container is to end before it
  kPreStopDone,     // the preStop hook is over, well or not
  kDeadline,        // its grace period is over before it has been signalled
  kGraceOver,       // it has been signalled, and the time until SIGKILL is over
  kStopAtOnce,      // the plan asks for SIGKILL
  kExited,          // it has ended, or the runtime does not know it after a restart of the agent
};

inline constexpr std::array kContainerPhaseNames = std::to_array<std::string_view>(
    {"idle", "pulling_image", "configuring", "starting", "running", "pre_stop_out_of_turn", "pre_stop", "awaiting_turn",
     "signalled", "killed", "killed_at_once"});
inline constexpr std::array kContainerEventNames = std::to_array<std::string_view>(
    {"start", "image_ready", "configured", "started", "start_failed", "start_abandoned", "found_running", "stop",
     "stop_with_hook", "turn", "pre_stop_done", "deadline", "grace_over", "stop_at_once", "exited"});

constexpr std::string_view name_of(ContainerPhase phase) { return kContainerPhaseNames[static_cast<int>(phase)]; }
constexpr std::string_view name_of(ContainerEvent event) { return kContainerEventNames[static_cast<int>(event)]; }

// The phase that follows; nullopt where the event cannot happen in this phase.
constexpr std::optional<ContainerPhase> next_phase(ContainerPhase phase, ContainerEvent event) {
  using enum ContainerPhase;
  using enum ContainerEvent;
  constexpr Transition<ContainerPhase, ContainerEvent> kTable[] = {
      {kIdle, kStart, kPullingImage},
      {kIdle, kFoundRunning, kRunning},
      {kPullingImage, kImageReady, kConfiguring},
      {kPullingImage, kStartFailed, kIdle},
      {kPullingImage, kStartAbandoned, kIdle},
      {kConfiguring, kConfigured, kStarting},
      {kConfiguring, kStartFailed, kIdle},
      {kConfiguring, kStartAbandoned, kIdle},
      {kStarting, kStarted, kRunning},
      {kStarting, kStartFailed, kIdle},
      {kStarting, kStartAbandoned, kIdle},
      {kRunning, kStop, kAwaitingTurn},
      {kRunning, kStopWithHook, kPreStopOutOfTurn},
      {kRunning, kStopAtOnce, kKilledAtOnce},
      {kRunning, kExited, kIdle},
      {kPreStopOutOfTurn, kTurn, kPreStop},
      {kPreStopOutOfTurn, kPreStopDone, kAwaitingTurn},
      {kPreStopOutOfTurn, kDeadline, kSignalled},
      {kPreStopOutOfTurn, kStopAtOnce, kKilledAtOnce},
      {kPreStopOutOfTurn, kExited, kIdle},
      {kPreStop, kPreStopDone, kSignalled},
      {kPreStop, kDeadline, kSignalled},
      {kPreStop, kStopAtOnce, kKilledAtOnce},
      {kPreStop, kExited, kIdle},
      {kAwaitingTurn, kTurn, kSignalled},
      {kAwaitingTurn, kDeadline, kSignalled},
      {kAwaitingTurn, kStopAtOnce, kKilledAtOnce},
      {kAwaitingTurn, kExited, kIdle},
      // A preStop hook may outlast its container's grace period: its end changes nothing then. After kStopAtOnce its
      // result is ignored.
      {kSignalled, kPreStopDone, kSignalled},
      {kSignalled, kGraceOver, kKilled},
      {kSignalled, kStopAtOnce, kKilledAtOnce},
      {kSignalled, kExited, kIdle},
      {kKilled, kPreStopDone, kKilled},
      {kKilled, kGraceOver, kKilled},
      {kKilled, kStopAtOnce, kKilledAtOnce},
      {kKilled, kExited, kIdle},
      {kKilledAtOnce, kGraceOver, kKilledAtOnce},
      {kKilledAtOnce, kExited, kIdle},
  };
  return find_transition<ContainerPhase, ContainerEvent>(kTable, phase, event);
}

// Between the plan's request and the runtime's answer.
constexpr bool is_starting(ContainerPhase phase) {
  return phase == ContainerPhase::kPullingImage || phase == ContainerPhase::kConfiguring ||
         phase == ContainerPhase::kStarting;
}
constexpr bool is_stopping(ContainerPhase phase) { return phase >= ContainerPhase::kPreStopOutOfTurn; }
// Being stopped, and the stop signal or SIGKILL has been sent.
constexpr bool is_signalled(ContainerPhase phase) { return phase >= ContainerPhase::kSignalled; }

}  // namespace berth::agent
