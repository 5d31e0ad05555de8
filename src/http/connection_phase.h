#pragma once
// The phases of an accepted connection (connection.h) and the only transitions between them.

#include <optional>

namespace berth::http {

enum class ConnectionPhase {
  kDetecting,         // plain text: the first bytes decide between HTTP/1 and HTTP/2
  kHandshaking,       // TLS; ALPN decides
  kOpen,              // a session reads and writes
  kHalfClosed,        // the peer sends no more; the session may still write
  kClosing,           // the output queue is written, then the connection is closed
  kClosingThenDrain,  // the output queue is written, then the connection is drained
  kDraining,          // input is read and discarded for a moment; there is no session
  kClosed,            // removed from its transport, destroyed at the end of the round
};

enum class ConnectionEvent {
  kTlsExpected,    // the listener speaks TLS
  kSessionChosen,  // the protocol is known
  kInputEnded,     // the peer sends no more
  kClose,          // close once the output queue is written: the peer sends no more, or nothing of its was left unread
  kCloseAndDrain,  // close once the output queue is written; the peer may still be sending
  kDrainStarted,   // the output queue is written
  kRemoved,        // closed on either side, timed out, or displaced by a new connection
};

// The phase that follows; nothing where the event cannot happen in that phase.
constexpr std::optional<ConnectionPhase> next_phase(ConnectionPhase phase, ConnectionEvent event) {
  using enum ConnectionPhase;
  switch (event) {
    case ConnectionEvent::kTlsExpected:
      if (phase == kDetecting) return kHandshaking;
      break;
    case ConnectionEvent::kSessionChosen:
      if (phase == kDetecting || phase == kHandshaking) return kOpen;
      break;
    case ConnectionEvent::kInputEnded:
      if (phase == kOpen) return kHalfClosed;
      break;
    case ConnectionEvent::kClose:
      if (phase == kOpen || phase == kHalfClosed) return kClosing;
      if (phase == kClosing || phase == kClosingThenDrain || phase == kClosed) return phase;
      break;
    case ConnectionEvent::kCloseAndDrain:
      if (phase == kHalfClosed) return kClosing;  // nothing is left to drain
      if (phase == kOpen || phase == kClosing) return kClosingThenDrain;
      if (phase == kClosingThenDrain || phase == kClosed) return phase;
      break;
    case ConnectionEvent::kDrainStarted:
      if (phase == kClosingThenDrain) return kDraining;
      break;
    case ConnectionEvent::kRemoved:
      if (phase != kClosed) return kClosed;
      break;
  }
  return std::nullopt;
}

// A session exists and may queue output.
constexpr bool writes_answers(ConnectionPhase phase) {
  return phase == ConnectionPhase::kOpen || phase == ConnectionPhase::kHalfClosed;
}

// The output queue is written for the last time.
constexpr bool writes_the_rest(ConnectionPhase phase) {
  return phase == ConnectionPhase::kClosing || phase == ConnectionPhase::kClosingThenDrain;
}

}  // namespace berth::http
