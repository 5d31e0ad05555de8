#include "http/http2_phase.h"

#include <gtest/gtest.h>

#include "base/test_phase_table.h"

namespace berth::http {
namespace {

TEST(Http2Phase, EveryTransition) {
  expect_transitions(next_phase, Http2Phase::kEnded, Http2Event::kEnded, R"(
              awaiting_frame open         last_streams ended
    frame     open           open         last_streams ended
    go_away   -              last_streams last_streams -
    ended     ended          ended        ended        ended
  )");
}

TEST(StreamRequestPhase, EveryTransition) {
  expect_transitions(next_phase, StreamRequestPhase::kIgnored, StreamRequestEvent::kAnswered, R"(
                   receiving screening          screening_complete passed ignored
    head_passed    screening -                  -                  -      -
    body_accepted  receiving receiving          passed             -      -
    complete       passed    screening_complete -                  -      -
    answered       ignored   ignored            ignored            passed ignored
  )");
}

TEST(StreamAnswerPhase, EveryTransition) {
  expect_transitions(next_phase, StreamAnswerPhase::kFinished, StreamAnswerEvent::kFinished, R"(
              none      streaming deferred  finished
    started   streaming -         -         -
    starved   -         deferred  deferred  -
    written   -         streaming streaming -
    finished  finished  finished  finished  finished
  )");
}

}  // namespace
}  // namespace berth::http
