#pragma once
// The phases of an HTTP/1.1 session (http1_session.cc) and the only transitions between them.
//
// One machine covers the request and its answer: a session reads one request at a time, and an answer starts before
// its request is complete only where the loop rejects the request by its head.

#include <optional>

namespace berth::http {

enum class Http1Phase {
  kIdle,       // no part of a request has been parsed; earlier answers may still wait in the output queue
  kHead,       // the head of a request is incomplete
  kScreening,  // the loop has the head and decides whether the body is read (ServerConfig::screen)
  kBody,       // the body of a request is incomplete
  kAnswering,  // the loop has the complete request; no part of the answer has come
  kStreaming,  // the head of a streamed answer is written, its body is not complete
  kRejecting,  // like kStreaming, but in answer to a head: the body of the request is never read
  kUpgraded,   // a raw session replaces this one
  kEnded,      // no further request is read or answered; what the output queue has is still written
};

enum class Http1Event {
  kHeadIncomplete,     // bytes of a head have been parsed, the rest has not come
  kHeadPassed,         // the complete head goes to the loop, for ServerConfig::screen
  kBodyAccepted,       // the body is to be read: ServerConfig::screen wants it, or there is none
  kRequestPassed,      // the complete request goes to the loop
  kAnswerStarted,      // the head of a streamed answer is written
  kAnsweredKeepAlive,  // the answer is complete; the next request may follow
  kAnsweredLast,       // the answer is complete; the connection closes after it
  kUpgraded,           // the answer is 101
  kRefused,            // the session itself answers with an error and closes the connection
  kInputEnded,         // the peer sends no more
  kLost,               // the connection is gone
};

// The phase that follows; nothing where the event cannot happen in that phase.
constexpr std::optional<Http1Phase> next_phase(Http1Phase phase, Http1Event event) {
  using enum Http1Phase;
  const bool reads_head = phase == kIdle || phase == kHead;
  switch (event) {
    case Http1Event::kHeadIncomplete:
      if (reads_head) return kHead;
      break;
    case Http1Event::kHeadPassed:
      if (reads_head) return kScreening;
      break;
    case Http1Event::kBodyAccepted:
      if (reads_head || phase == kScreening) return kBody;
      break;
    case Http1Event::kRequestPassed:
      if (reads_head || phase == kBody) return kAnswering;
      break;
    case Http1Event::kAnswerStarted:
      if (phase == kAnswering) return kStreaming;
      if (phase == kScreening) return kRejecting;
      break;
    case Http1Event::kAnsweredKeepAlive:
      if (phase == kAnswering || phase == kStreaming) return kIdle;
      break;
    case Http1Event::kAnsweredLast:
      if (phase == kAnswering || phase == kStreaming || phase == kScreening || phase == kRejecting) return kEnded;
      break;
    case Http1Event::kUpgraded:
      if (phase == kAnswering) return kUpgraded;
      break;
    case Http1Event::kRefused:
      if (reads_head || phase == kBody) return kEnded;
      break;
    case Http1Event::kInputEnded:
      // A complete request is still answered: its peer may read.
      if (phase == kAnswering || phase == kStreaming) return phase;
      if (phase != kUpgraded) return kEnded;
      break;
    case Http1Event::kLost:
      if (phase != kUpgraded) return kEnded;
      break;
  }
  return std::nullopt;
}

// Bytes from the peer may be parsed.
constexpr bool reads_request(Http1Phase phase) {
  return phase == Http1Phase::kIdle || phase == Http1Phase::kHead || phase == Http1Phase::kBody;
}

// The loop has an exchange for a head whose body has not been read.
constexpr bool withholds_body(Http1Phase phase) {
  return phase == Http1Phase::kScreening || phase == Http1Phase::kRejecting;
}

constexpr bool answer_started(Http1Phase phase) {
  return phase == Http1Phase::kStreaming || phase == Http1Phase::kRejecting;
}

// The loop has an exchange, for a head or for a complete request.
constexpr bool exchange_open(Http1Phase phase) {
  return withholds_body(phase) || phase == Http1Phase::kAnswering || phase == Http1Phase::kStreaming;
}

}  // namespace berth::http
