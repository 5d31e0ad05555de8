#pragma once
// The phases of an HTTP/2 session and of its streams (http2_session.cc) and the only transitions between them. A stream
// has two machines, since its answer may run beside the request: a request whose head is rejected still arrives.

#include <optional>

namespace berth::http {

enum class Http2Phase {
  kAwaitingFrame,  // no frame has come
  kOpen,
  kLastStreams,  // GOAWAY has been sent: open streams are completed, no new ones accepted
  kEnded,        // nothing more is sent or received, except what the output queue has
};

enum class Http2Event { kFrame, kGoAway, kEnded };

// The phase that follows; nothing where the event cannot happen in that phase.
constexpr std::optional<Http2Phase> next_phase(Http2Phase phase, Http2Event event) {
  switch (event) {
    case Http2Event::kFrame: return phase == Http2Phase::kAwaitingFrame ? Http2Phase::kOpen : phase;
    case Http2Event::kGoAway:
      if (phase == Http2Phase::kOpen || phase == Http2Phase::kLastStreams) return Http2Phase::kLastStreams;
      break;
    case Http2Event::kEnded: return Http2Phase::kEnded;
  }
  return std::nullopt;
}

enum class StreamRequestPhase {
  kReceiving,          // incomplete
  kScreening,          // the loop has the head (ServerConfig::screen); the request is incomplete
  kScreeningComplete,  // the same, and the request is complete
  kPassed,             // the loop has the complete request
  kIgnored,            // answered before it was complete or passed: the rest is discarded
};

enum class StreamRequestEvent {
  kHeadPassed,
  kBodyAccepted,
  kComplete,
  kAnswered,  // the head of the answer is submitted
};

constexpr std::optional<StreamRequestPhase> next_phase(StreamRequestPhase phase, StreamRequestEvent event) {
  using enum StreamRequestPhase;
  switch (event) {
    case StreamRequestEvent::kHeadPassed:
      if (phase == kReceiving) return kScreening;
      break;
    case StreamRequestEvent::kBodyAccepted:
      if (phase == kReceiving || phase == kScreening) return kReceiving;
      if (phase == kScreeningComplete) return kPassed;
      break;
    case StreamRequestEvent::kComplete:
      if (phase == kReceiving) return kPassed;
      if (phase == kScreening) return kScreeningComplete;
      break;
    case StreamRequestEvent::kAnswered: return phase == kPassed ? kPassed : kIgnored;
  }
  return std::nullopt;
}

enum class StreamAnswerPhase {
  kNone,
  kStreaming,
  kDeferred,  // like kStreaming; nghttp2 has found no bytes and asks again after nghttp2_session_resume_data() only
  kFinished,  // all of the answer is queued
};

enum class StreamAnswerEvent {
  kStarted,
  kStarved,  // nghttp2 has found no bytes
  kWritten,
  kFinished,
};

constexpr std::optional<StreamAnswerPhase> next_phase(StreamAnswerPhase phase, StreamAnswerEvent event) {
  using enum StreamAnswerPhase;
  switch (event) {
    case StreamAnswerEvent::kStarted:
      if (phase == kNone) return kStreaming;
      break;
    case StreamAnswerEvent::kStarved:
      if (phase == kStreaming || phase == kDeferred) return kDeferred;
      break;
    case StreamAnswerEvent::kWritten:
      if (phase == kStreaming || phase == kDeferred) return kStreaming;
      break;
    case StreamAnswerEvent::kFinished: return kFinished;
  }
  return std::nullopt;
}

}  // namespace berth::http
