#pragma once
// A random history: what people do to a cluster and what happens to it, all drawn from one seed; then everything heals
// and the cluster has to come to rest, right.

#include <cstdint>
#include <string>
#include <vector>

#include "controllers/statefulset/controller.h"

namespace berth::sim {

struct Outcome {
  std::vector<std::string> violations;  // empty: all is well
  std::uint64_t steps = 0;
  double virtual_seconds = 0;
  std::uint64_t changes = 0;  // writes that watchers saw
};

struct HistoryOptions {
  std::uint64_t seed = 1;
  controllers::statefulset::Planner planner = controllers::statefulset::plan_set;
  // Without faults of network and processes caches hardly lag, and the checkers are strict.
  bool faults = true;
  bool trace = false;  // prints what happens
  // Every set asks for what Kubernetes does not have, budgets count everything, and people care for little else.
  bool all_options = false;
  // Planted bugs outside the controller.
  bool disk_lies = false;
  bool alone = false;    // one controller process only, as in some histories without faults anyway
  bool upgrade = false;  // ends with one, which every eighth history does anyway
  // Asked now and then with what was seen so far; true ends the history.
  std::function<bool(const std::vector<std::string>& violations)> stop = nullptr;
  double swallowed_event = 0;  // by the scheduler's watches
  std::function<void(controllers::Plan& plan)> spoil_budgets = nullptr;
  std::function<std::vector<std::unique_ptr<controllers::Controller>>(client::InformerSet&)> more_controllers = nullptr;
};

Outcome run_history(const HistoryOptions& options);

}  // namespace berth::sim
