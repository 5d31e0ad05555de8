#include "http/client_phase.h"

#include <gtest/gtest.h>

#include "base/test_phase_table.h"

namespace berth::http {
namespace {

TEST(ClientConnectionPhase, EveryTransition) {
  expect_transitions(next_phase, ClientConnectionPhase::kClosed, ClientConnectionEvent::kClosed, R"(
                    connecting  handshaking idle   sent   head   body      too_large upgraded closing closed
    connected       handshaking -           -      -      -      -         -         -        -       -
    ready           idle        idle        -      -      -      -         -         -        -       -
    request_sent    -           -           sent   -      -      -         -         -        -       -
    answer_bytes    -           -           -      head   head   body      -         -        -       -
    head_received   -           -           -      -      body   -         -         -        -       -
    body_too_large  -           -           -      -      -      too_large -         -        -       -
    answered        -           -           -      -      -      idle      -         -        -       -
    upgraded        -           -           -      -      -      upgraded  -         -        -       -
    channel_closed  -           -           -      -      -      -         -         closing  closing closed
    closed          closed      closed      closed closed closed closed    closed    closed   closed  -
  )");
}

TEST(PendingRequestPhase, EveryTransition) {
  expect_transitions(next_phase, PendingRequestPhase::kDone, PendingRequestEvent::kDone, R"(
                     queued        on_connection done
    assigned         on_connection -             -
    connection_lost  -             queued        -
    done             done          done          -
  )");
}

}  // namespace
}  // namespace berth::http
