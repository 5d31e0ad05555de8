#pragma once
// For tests of the checkers: a planted bug that one of them has to see.

#include <string>

#include "sim/scenarios/history.h"

namespace berth::sim {

// Some seed out of a few makes the checker of that name speak, with these words. Prints which and what.
bool caught(const std::string& checker, HistoryOptions options, const std::string& words = {});
// The same of a wrong planner, in histories without faults.
bool caught(const std::string& checker, const controllers::statefulset::Planner& planner,
            const std::string& words = {});
// ... in which sets ask for what Kubernetes does not have.
bool caught_in_options(const std::string& checker, const controllers::statefulset::Planner& planner,
                       const std::string& words);

}  // namespace berth::sim
