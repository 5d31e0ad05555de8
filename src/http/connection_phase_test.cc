#include "http/connection_phase.h"

#include <gtest/gtest.h>

#include "base/test_phase_table.h"

namespace berth::http {
namespace {

TEST(ConnectionPhase, EveryTransition) {
  expect_transitions(next_phase, ConnectionPhase::kClosed, ConnectionEvent::kRemoved, R"(
                     detecting   handshaking open            half_closed closing         closing_drain draining closed
    tls_expected     handshaking -           -               -           -               -             -        -
    session_chosen   open        open        -               -           -               -             -        -
    input_ended      -           -           half_closed     -           -               -             -        -
    close            -           -           closing         closing     closing         closing_drain -        closed
    close_and_drain  -           -           closing_drain   closing     closing_drain   closing_drain -        closed
    drain_started    -           -           -               -           -               draining      -        -
    removed          closed      closed      closed          closed      closed          closed        closed   -
  )");
}

}  // namespace
}  // namespace berth::http
