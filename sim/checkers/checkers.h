#pragma once
// The checkers: properties that hold always, and properties that hold at rest. Each has a planted bug in
// simulate_test.cc that it detects.

#include <memory>

#include "sim/truth.h"

namespace berth::sim {

// At any time at most one process of a pod name is alive, on all nodes.
std::unique_ptr<Checker> check_identity(Truth& truth);
// OrderedReady: a pod is created only after all lower ordinals were ready (except those that restart together after an
// outage of all pods), removed only after all higher ones are gone, and replaced by an update only while at most
// maxUnavailable are missing.
std::unique_ptr<Checker> check_order(Truth& truth);
// At most maxUnavailable pods that were available are down because their set deleted them.
std::unique_ptr<Checker> check_budget(Truth& truth);
// A pod below the partition has the current revision, others the update revision; an update deletes only pods that it
// must replace.
std::unique_ptr<Checker> check_partition(Truth& truth);
// No claim is deleted while its ordinal can return.
std::unique_ptr<Checker> check_claims(Truth& truth);
// At rest: the expected pods exist, ready and of the right revision, and the status has exactly the right counts.
std::unique_ptr<Checker> check_status(Truth& truth);
// At rest a set that is not complete says so in its condition Progressing, with the first replica that it waits for, or
// the last surplus one.
std::unique_ptr<Checker> check_waits(Truth& truth);

// --- Options of sets and budgets (annotations)
// No pod is created for an ordinal that is not expected; at rest exactly the expected ordinals exist, without skipped
// ones.
std::unique_ptr<Checker> check_places(Truth& truth);
// With ordered teardown no pod of a set that is being deleted is ended while a pod with a higher ordinal exists.
std::unique_ptr<Checker> check_teardown(Truth& truth);
// A pod has its revision's template with its ordinal's overrides; at rest the newest ones.
std::unique_ptr<Checker> check_overrides(Truth& truth);
// With Recreate no pod is created while one of another revision exists that the update must replace, too.
std::unique_ptr<Checker> check_recreate(Truth& truth);
// Changed claim templates: claims grow from the last ordinal to the first, each complete before the next; at rest
// claims have the sizes of their templates and are mounted; claims of removed templates are never deleted.
std::unique_ptr<Checker> check_growth(Truth& truth);
// With budget-everything no deletion of a healthy pod leaves fewer healthy pods than the budget requires.
std::unique_ptr<Checker> check_disruption(Truth& truth);
// A claim in use is annotated with its set, and reusing the claim of an earlier set emits an event.
std::unique_ptr<Checker> check_reuse(Truth& truth);

// A set replaces no pod more often than its template and options change; and no pod is created again and again without
// a reason, whichever controller deletes it.
std::unique_ptr<Checker> check_churn(Truth& truth);

void add_all_checkers(Truth& truth);

}  // namespace berth::sim
