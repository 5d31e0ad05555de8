#include "http/streams/session_phase.h"

#include <gtest/gtest.h>

#include "base/test_phase_table.h"

namespace berth::http {
namespace {

TEST(SessionPhase, EveryTransition) {
  expect_transitions(next_phase, SessionPhase::kPeerGone, SessionEvent::kPeerGone, R"(
                    awaiting_streams open      finished  peer_gone
    streams_opened  open             -         -         -
    finished        -                finished  -         -
    peer_gone       peer_gone        peer_gone peer_gone -
  )");
}

TEST(PortPhase, EveryTransition) {
  expect_transitions(next_phase, PortPhase::kGoneAfterInput, PortEvent::kGone, R"(
                  open         input_ended      output_ended both_ended       gone gone_after_input
    input_ended   input_ended  -                both_ended   -                -    -
    output_ended  output_ended both_ended       -            -                -    -
    gone          gone         gone_after_input gone         gone_after_input gone gone_after_input
  )");
}

}  // namespace
}  // namespace berth::http
