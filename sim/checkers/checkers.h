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

// What sets and budgets ask for by annotation:
// No pod is made for an ordinal that is not wanted; at rest exactly the ordinals wanted are there, without those
// skipped.
std::unique_ptr<Checker> check_places(Truth& truth);
// With ordered teardown no member of a set that is being deleted is ended while one behind it is still there.
std::unique_ptr<Checker> check_teardown(Truth& truth);
// A pod is made of its revision's template with its ordinal's overrides over it; at rest of the newest ones.
std::unique_ptr<Checker> check_overrides(Truth& truth);
// With Recreate no member is made while one of another revision, that the update concerns too, is still there.
std::unique_ptr<Checker> check_recreate(Truth& truth);
// Changed claim templates: claims grow from the last member to the first, each done before the next, and at rest have
// what their templates ask for and are mounted; those of a removed template are never deleted.
std::unique_ptr<Checker> check_growth(Truth& truth);
// With budget-everything no deletion of a healthy pod leaves fewer healthy ones than the budget wants.
std::unique_ptr<Checker> check_disruption(Truth& truth);
// A claim in use notes the set that uses it, and that a set takes up an earlier one's claim is told.
std::unique_ptr<Checker> check_reuse(Truth& truth);

// No member is replaced by its set more often than what it is made of changes; and none is made again and again without
// a reason, whoever takes it away.
std::unique_ptr<Checker> check_churn(Truth& truth);

void add_all_checkers(Truth& truth);

}  // namespace berth::sim
