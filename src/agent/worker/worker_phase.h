#pragma once
// The phases of a PodWorker, and of what is under way beside them: the pod's surroundings, and calls of which one at a
// time is in flight (a write of the pod's status, a resize). Pure.

#include <array>
#include <optional>
#include <string_view>

#include "base/phase.h"

namespace berth::agent {

enum class WorkerPhase {
  kCreated,     // not started: the runtime's containers are being adopted
  kActive,      // the pod is to run: it has been admitted, its surroundings are prepared, containers start
  kEnding,      // nothing starts; containers stop. Also a rejected pod, which has none
  kCleaningUp,  // no container runs: containers are removed, hooks clean up
  kCleanedUp,   // nothing of the pod is left on the node but logs and the record; the status is still written
  kDeleting,    // the API is asked to delete the pod's object
  kDone,        // the object is gone; logs and record are removed
  kStopped,     // the agent ends
};

enum class WorkerEvent {
  kStart,
  kEnd,             // the plan says that the pod ends
  kFoundCleanedUp,  // the same, and an earlier agent had cleaned up
  kCleanUp,
  kCleanedUp,
  kDelete,
  kDeleteFailed,  // and the pause before the next attempt is over
  kForget,        // the API has no such pod
  kStop,
};

// What the hooks have prepared for the pod's containers: volumes, network, sandbox.
enum class Surroundings {
  kUnknown,          // not prepared by this agent; the record may say that an earlier one has
  kPreparing,        // a hook's prepare() is under way
  kReady,            // containers may start
  kRefreshing,       // ready; the hooks' update() is under way
  kRefreshingStale,  // the same, and something has changed since it began
};

enum class SurroundingsEvent {
  kPrepare,
  kPrepared,
  kPrepareFailed,
  kPrepareAbandoned,  // the pod ends meanwhile
  kRefresh,           // something that the pod refers to has changed
  kRefreshed,
};

// A call of which at most one is in flight.
enum class CallPhase { kIdle, kInFlight };
enum class CallEvent { kSend, kAnswer };

inline constexpr std::array kWorkerPhaseNames = std::to_array<std::string_view>(
    {"created", "active", "ending", "cleaning_up", "cleaned_up", "deleting", "done", "stopped"});
inline constexpr std::array kWorkerEventNames = std::to_array<std::string_view>(
    {"start", "end", "found_cleaned_up", "clean_up", "cleaned_up", "delete", "delete_failed", "forget", "stop"});
inline constexpr std::array kSurroundingsNames =
    std::to_array<std::string_view>({"unknown", "preparing", "ready", "refreshing", "refreshing_stale"});
inline constexpr std::array kSurroundingsEventNames = std::to_array<std::string_view>(
    {"prepare", "prepared", "prepare_failed", "prepare_abandoned", "refresh", "refreshed"});
inline constexpr std::array kCallPhaseNames = std::to_array<std::string_view>({"idle", "in_flight"});
inline constexpr std::array kCallEventNames = std::to_array<std::string_view>({"send", "answer"});

constexpr std::string_view name_of(WorkerPhase phase) { return kWorkerPhaseNames[static_cast<int>(phase)]; }
constexpr std::string_view name_of(WorkerEvent event) { return kWorkerEventNames[static_cast<int>(event)]; }
constexpr std::string_view name_of(Surroundings phase) { return kSurroundingsNames[static_cast<int>(phase)]; }
constexpr std::string_view name_of(SurroundingsEvent event) { return kSurroundingsEventNames[static_cast<int>(event)]; }
constexpr std::string_view name_of(CallPhase phase) { return kCallPhaseNames[static_cast<int>(phase)]; }
constexpr std::string_view name_of(CallEvent event) { return kCallEventNames[static_cast<int>(event)]; }

// Each next_phase(): the phase that follows; nullopt where the event cannot happen in this phase.
constexpr std::optional<WorkerPhase> next_phase(WorkerPhase phase, WorkerEvent event) {
  using Phases = WorkerPhase;
  using Events = WorkerEvent;
  // The agent ends at any time.
  if (event == Events::kStop) return Phases::kStopped;
  constexpr Transition<WorkerPhase, WorkerEvent> kTable[] = {
      {Phases::kCreated, Events::kStart, Phases::kActive},
      {Phases::kActive, Events::kEnd, Phases::kEnding},
      {Phases::kActive, Events::kFoundCleanedUp, Phases::kCleanedUp},
      {Phases::kEnding, Events::kCleanUp, Phases::kCleaningUp},
      {Phases::kCleaningUp, Events::kCleanedUp, Phases::kCleanedUp},
      {Phases::kCleanedUp, Events::kDelete, Phases::kDeleting},
      {Phases::kCleanedUp, Events::kForget, Phases::kDone},
      {Phases::kDeleting, Events::kDeleteFailed, Phases::kCleanedUp},
      {Phases::kDeleting, Events::kForget, Phases::kDone},
  };
  return find_transition<WorkerPhase, WorkerEvent>(kTable, phase, event);
}

constexpr std::optional<Surroundings> next_phase(Surroundings phase, SurroundingsEvent event) {
  using enum Surroundings;
  using enum SurroundingsEvent;
  constexpr Transition<Surroundings, SurroundingsEvent> kTable[] = {
      {kUnknown, kPrepare, kPreparing},       {kPreparing, kPrepared, kReady},
      {kPreparing, kPrepareFailed, kUnknown}, {kPreparing, kPrepareAbandoned, kUnknown},
      {kReady, kRefresh, kRefreshing},        {kRefreshing, kRefresh, kRefreshingStale},
      {kRefreshing, kRefreshed, kReady},      {kRefreshingStale, kRefresh, kRefreshingStale},
      {kRefreshingStale, kRefreshed, kReady},
  };
  return find_transition<Surroundings, SurroundingsEvent>(kTable, phase, event);
}

constexpr std::optional<CallPhase> next_phase(CallPhase phase, CallEvent event) {
  constexpr Transition<CallPhase, CallEvent> kTable[] = {
      {CallPhase::kIdle, CallEvent::kSend, CallPhase::kInFlight},
      {CallPhase::kInFlight, CallEvent::kAnswer, CallPhase::kIdle},
  };
  return find_transition<CallPhase, CallEvent>(kTable, phase, event);
}

// Before the plan has said that the pod ends.
constexpr bool may_start_containers(WorkerPhase phase) {
  return phase == WorkerPhase::kCreated || phase == WorkerPhase::kActive;
}
constexpr bool are_ready(Surroundings phase) { return phase >= Surroundings::kReady; }

}  // namespace berth::agent
