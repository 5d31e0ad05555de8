#pragma once
// What must never happen, and what must be true at rest. Each has a planted bug in simulate_test.cc that it catches.

#include <memory>

#include "sim/truth.h"

namespace berth::sim {

// Never two live processes of one pod name, on any nodes.
std::unique_ptr<Checker> check_identity(Truth& truth);
// OrderedReady: a member is created only after all before it were ready (but for those that come back together after an
// outage of all), removed only after all behind it are gone, and replaced by an update only while no more than
// maxUnavailable are missing.
std::unique_ptr<Checker> check_order(Truth& truth);
// Never more than maxUnavailable members that were serving are down because the set itself took them down.
std::unique_ptr<Checker> check_budget(Truth& truth);
// A member is made of the current revision below the partition and of the update revision from there on, and no update
// takes a member down that it does not concern.
std::unique_ptr<Checker> check_partition(Truth& truth);
// No claim is deleted while its ordinal can return.
std::unique_ptr<Checker> check_claims(Truth& truth);
// At rest: the pods asked for exist, ready and of the right revision, and the status says exactly what is there.
std::unique_ptr<Checker> check_status(Truth& truth);
// At rest a set that does not have all it wants says so in its condition Progressing, and names the first member it
// waits for, or the last one that is too many.
std::unique_ptr<Checker> check_waits(Truth& truth);

void add_all_checkers(Truth& truth);

}  // namespace berth::sim
