#include "agent/worker/container_phase.h"

#include <gtest/gtest.h>

#include <string>

#include "base/test_phase_table.h"

namespace berth::agent {
namespace {

TEST(ContainerPhase, EachPairOfPhaseAndEvent) {
  expect_transitions(next_phase, ContainerPhase::kKilledAtOnce, ContainerEvent::kExited, R"(
                    idle    pulling     configuring starting running      hook_early hook      awaiting  signalled killed  at_once
    start           pulling -           -           -        -            -          -         -         -         -       -
    image_ready     -       configuring -           -        -            -          -         -         -         -       -
    configured      -       -           starting    -        -            -          -         -         -         -       -
    started         -       -           -           running  -            -          -         -         -         -       -
    start_failed    -       idle        idle        idle     -            -          -         -         -         -       -
    start_abandoned -       idle        idle        idle     -            -          -         -         -         -       -
    found_running   running -           -           -        -            -          -         -         -         -       -
    stop            -       -           -           -        awaiting     -          -         -         -         -       -
    stop_with_hook  -       -           -           -        hook_early   -          -         -         -         -       -
    turn            -       -           -           -        -            hook       -         signalled -         -       -
    pre_stop_done   -       -           -           -        -            awaiting   signalled -         signalled killed  -
    deadline        -       -           -           -        -            signalled  signalled signalled -         -       -
    grace_over      -       -           -           -        -            -          -         -         killed    killed  at_once
    stop_at_once    -       -           -           -        at_once      at_once    at_once   at_once   at_once   at_once -
    exited          -       -           -           -        idle         idle       idle      idle      idle      idle    idle
  )");
}

template <class Predicate>
std::string phases_that(Predicate holds) {
  std::string out;
  for (std::size_t i = 0; i < kContainerPhaseNames.size(); ++i)
    out += holds(static_cast<ContainerPhase>(i)) ? '1' : '0';
  return out;
}

TEST(ContainerPhase, StartingStoppingAndSignalledPhases) {
  EXPECT_EQ(phases_that(is_starting), "01110000000");
  EXPECT_EQ(phases_that(is_stopping), "00000111111");
  EXPECT_EQ(phases_that(is_signalled), "00000000111");
}

TEST(ContainerPhase, EachPhaseAndEventHasAName) {
  EXPECT_EQ(name_of(ContainerPhase::kIdle), "idle");
  EXPECT_EQ(name_of(ContainerPhase::kKilledAtOnce), "killed_at_once");
  EXPECT_EQ(kContainerPhaseNames.back(), name_of(ContainerPhase::kKilledAtOnce));
  EXPECT_EQ(name_of(ContainerEvent::kStart), "start");
  EXPECT_EQ(kContainerEventNames.back(), name_of(ContainerEvent::kExited));
}

TEST(ContainerPhaseDeathTest, AnImpossibleEventEndsTheProcess) {
  Phase<ContainerPhase, ContainerEvent> phase(ContainerPhase::kIdle);
  phase.apply(ContainerEvent::kStart);
  EXPECT_EQ(phase, ContainerPhase::kPullingImage);
  EXPECT_DEATH(phase.apply(ContainerEvent::kExited), "exited in phase pulling_image");
}

}  // namespace
}  // namespace berth::agent
