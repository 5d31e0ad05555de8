#pragma once
// For tests of the checkers: a planted bug that a checker must detect.

#include <string>

#include "sim/scenarios/history.h"

namespace berth::sim {

// Returns true if with one of the seeds the checker of that name reports a violation that contains `words`. Prints the
// seed and the violation.
bool is_caught(const std::string& checker, HistoryOptions options, const std::string& words = {});
// The same for a wrong planner, in histories without faults.
bool is_caught(const std::string& checker, const controllers::statefulset::PlanFunction& planner,
               const std::string& words = {});
// The same, with sets that use Berth's options.
bool is_caught_in_options(const std::string& checker, const controllers::statefulset::PlanFunction& planner,
                          const std::string& words);

}  // namespace berth::sim
