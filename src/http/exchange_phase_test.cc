#include "http/exchange_phase.h"

#include <gtest/gtest.h>

#include "base/test_phase_table.h"

namespace berth::http {
namespace {

TEST(ExchangePhase, EveryTransition) {
  expect_transitions(next_phase, ExchangePhase::kDone, ExchangeEvent::kPeerGone, R"(
               unanswered      streaming      unanswered_gone streaming_gone done
    answered   done            -              done            -              -
    started    streaming       -              streaming_gone  -              -
    finished   -               done           -               done           -
    upgraded   done            -              -               -              -
    cut_off    -               done           -               done           -
    peer_gone  unanswered_gone streaming_gone unanswered_gone streaming_gone done
  )");
}

TEST(ChannelPhase, EveryTransition) {
  expect_transitions(next_phase, ChannelPhase::kClosed, ChannelEvent::kPeerGone, R"(
               open    closing closed
    close      closing -       -
    peer_gone  closed  closed  closed
  )");
}

}  // namespace
}  // namespace berth::http
