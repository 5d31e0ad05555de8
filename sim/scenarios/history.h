#pragma once
// A random history: users' actions and faults, all drawn from one seed; then everything is healed and the cluster must
// come to rest in the right state.

#include <cstdint>
#include <string>
#include <vector>

#include "controllers/statefulset/controller.h"

namespace berth::sim {

struct HistoryOutcome {
  std::vector<std::string> violations;  // empty: no violation
  std::uint64_t steps = 0;
  double virtual_seconds = 0;
  std::uint64_t changes = 0;  // writes that watches reported
};

struct HistoryOptions {
  std::uint64_t seed = 1;
  controllers::statefulset::PlanFunction planner = controllers::statefulset::plan_set;
  // Without faults caches hardly lag, and the checkers are strict.
  bool faults = true;
  bool trace = false;  // prints all changes
  // Every set uses Berth's options, budgets count everything, and users change little else.
  bool all_options = false;
  // Planted bugs outside the controller.
  bool disk_lies = false;
  bool alone = false;    // one controller process only, as in some histories without faults anyway
  bool upgrade = false;  // ends with an upgrade, as every eighth history does anyway
  // Called now and then with the violations so far; true ends the history.
  std::function<bool(const std::vector<std::string>& violations)> stop = nullptr;
  double swallowed_event = 0;  // of the scheduler's watches
  std::function<void(controllers::Plan& plan)> tamper_budgets = nullptr;
  std::function<std::vector<std::unique_ptr<controllers::Controller>>(client::InformerSet&)> more_controllers = nullptr;
};

HistoryOutcome run_history(const HistoryOptions& options);

}  // namespace berth::sim
