#include "agent/worker/worker_phase.h"

#include <gtest/gtest.h>

#include <string>

#include "base/test_phase_table.h"

namespace berth::agent {
namespace {

TEST(WorkerPhase, EachPairOfPhaseAndEvent) {
  expect_transitions(next_phase, WorkerPhase::kStopped, WorkerEvent::kStop, R"(
                     created active     ending      cleaning_up cleaned_up deleting   done    stopped
    start            active  -          -           -           -          -          -       -
    end              -       ending     -           -           -          -          -       -
    found_cleaned_up -       cleaned_up -           -           -          -          -       -
    clean_up         -       -          cleaning_up -           -          -          -       -
    cleaned_up       -       -          -           cleaned_up  -          -          -       -
    delete           -       -          -           -           deleting   -          -       -
    delete_failed    -       -          -           -           -          cleaned_up -       -
    forget           -       -          -           -           done       done       -       -
    stop             stopped stopped    stopped     stopped     stopped    stopped    stopped stopped
  )");
}

TEST(WorkerPhase, OnlyCreatedAndActiveWorkersStartContainers) {
  std::string may;
  for (std::size_t i = 0; i < kWorkerPhaseNames.size(); ++i)
    may += may_start_containers(static_cast<WorkerPhase>(i)) ? '1' : '0';
  EXPECT_EQ(may, "11000000");
}

TEST(Surroundings, EachPairOfPhaseAndEvent) {
  expect_transitions(next_phase, Surroundings::kRefreshingStale, SurroundingsEvent::kRefreshed, R"(
                      unknown   preparing ready      refreshing stale
    prepare           preparing -         -          -          -
    prepared          -         ready     -          -          -
    prepare_failed    -         unknown   -          -          -
    prepare_abandoned -         unknown   -          -          -
    refresh           -         -         refreshing stale      stale
    refreshed         -         -         -          ready      ready
  )");
}

TEST(Surroundings, ContainersStartWhileTheyAreRefreshed) {
  std::string ready;
  for (std::size_t i = 0; i < kSurroundingsNames.size(); ++i)
    ready += are_ready(static_cast<Surroundings>(i)) ? '1' : '0';
  EXPECT_EQ(ready, "00111");
}

TEST(CallPhase, EachPairOfPhaseAndEvent) {
  expect_transitions(next_phase, CallPhase::kInFlight, CallEvent::kAnswer, R"(
           idle      in_flight
    send   in_flight -
    answer -         idle
  )");
}

TEST(WorkerPhase, EachStateAndEventHasAName) {
  EXPECT_EQ(kWorkerPhaseNames.back(), name_of(WorkerPhase::kStopped));
  EXPECT_EQ(kWorkerEventNames.back(), name_of(WorkerEvent::kStop));
  EXPECT_EQ(kSurroundingsNames.back(), name_of(Surroundings::kRefreshingStale));
  EXPECT_EQ(kSurroundingsEventNames.back(), name_of(SurroundingsEvent::kRefreshed));
  EXPECT_EQ(kCallPhaseNames.back(), name_of(CallPhase::kInFlight));
  EXPECT_EQ(kCallEventNames.back(), name_of(CallEvent::kAnswer));
}

}  // namespace
}  // namespace berth::agent
