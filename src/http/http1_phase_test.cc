#include "http/http1_phase.h"

#include <gtest/gtest.h>

#include "base/test_phase_table.h"

namespace berth::http {
namespace {

TEST(Http1Phase, EveryTransition) {
  expect_transitions(next_phase, Http1Phase::kEnded, Http1Event::kLost, R"(
                     idle      head      screening body      answering streaming rejecting upgraded ended
    head_incomplete  head      head      -         -         -         -         -         -        -
    head_passed      screening screening -         -         -         -         -         -        -
    body_accepted    body      body      body      -         -         -         -         -        -
    request_passed   answering answering -         answering -         -         -         -        -
    answer_started   -         -         rejecting -         streaming -         -         -        -
    keep_alive       -         -         -         -         idle      idle      -         -        -
    answered_last    -         -         ended     -         ended     ended     ended     -        -
    upgraded         -         -         -         -         upgraded  -         -         -        -
    refused          ended     ended     -         ended     -         -         -         -        -
    input_ended      ended     ended     ended     ended     answering streaming ended     -        ended
    lost             ended     ended     ended     ended     ended     ended     ended     -        ended
  )");
}

TEST(Http1Phase, EachPhaseReadsOrHasAnExchangeOrIsOver) {
  for (int n = 0; n <= static_cast<int>(Http1Phase::kEnded); ++n) {
    const auto phase = static_cast<Http1Phase>(n);
    const bool over = phase == Http1Phase::kUpgraded || phase == Http1Phase::kEnded;
    EXPECT_EQ(reads_request(phase) + exchange_open(phase) + over, 1) << n;
    EXPECT_LE(withholds_body(phase), exchange_open(phase)) << n;
    EXPECT_LE(answer_started(phase), exchange_open(phase)) << n;
  }
}

}  // namespace
}  // namespace berth::http
