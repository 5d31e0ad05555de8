#pragma once
// The phases of a remote command's session (remote_command.cc) and of a forwarded port (port_forward.cc), and the only
// transitions between them. Calls that a phase has no use for (write after finish) are ignored before they become
// events.

#include <optional>

namespace berth::http {

enum class SessionPhase {
  kAwaitingStreams,  // the session owns itself: its SPDY streams have not all been opened
  kOpen,
  kFinished,  // the status is written and the connection is being closed
  kPeerGone,
};

enum class SessionEvent { kStreamsOpened, kFinished, kPeerGone };

// The phase that follows; nothing where the event cannot happen in that phase.
constexpr std::optional<SessionPhase> next_phase(SessionPhase phase, SessionEvent event) {
  switch (event) {
    case SessionEvent::kStreamsOpened:
      if (phase == SessionPhase::kAwaitingStreams) return SessionPhase::kOpen;
      break;
    case SessionEvent::kFinished:
      if (phase == SessionPhase::kOpen) return SessionPhase::kFinished;
      break;
    case SessionEvent::kPeerGone:
      if (phase != SessionPhase::kPeerGone) return SessionPhase::kPeerGone;
      break;
  }
  return std::nullopt;
}

// Each direction of a forwarded port ends by itself, as with TCP.
enum class PortPhase {
  kOpen,
  kInputEnded,   // the peer sends no more
  kOutputEnded,  // this side sends no more
  kBothEnded,
  kGone,            // the connection, or this port's stream, is gone
  kGoneAfterInput,  // gone too, after the peer had ended its input: on_end() is still called
};

enum class PortEvent { kInputEnded, kOutputEnded, kGone };

constexpr std::optional<PortPhase> next_phase(PortPhase phase, PortEvent event) {
  switch (event) {
    case PortEvent::kInputEnded:
      if (phase == PortPhase::kOpen) return PortPhase::kInputEnded;
      if (phase == PortPhase::kOutputEnded) return PortPhase::kBothEnded;
      break;
    case PortEvent::kOutputEnded:
      if (phase == PortPhase::kOpen) return PortPhase::kOutputEnded;
      if (phase == PortPhase::kInputEnded) return PortPhase::kBothEnded;
      break;
    case PortEvent::kGone:
      if (phase == PortPhase::kOpen || phase == PortPhase::kOutputEnded || phase == PortPhase::kGone)
        return PortPhase::kGone;
      return PortPhase::kGoneAfterInput;
  }
  return std::nullopt;
}

constexpr bool input_ended(PortPhase phase) {
  return phase == PortPhase::kInputEnded || phase == PortPhase::kBothEnded || phase == PortPhase::kGoneAfterInput;
}
constexpr bool is_gone(PortPhase phase) { return phase == PortPhase::kGone || phase == PortPhase::kGoneAfterInput; }
constexpr bool may_write(PortPhase phase) { return phase == PortPhase::kOpen || phase == PortPhase::kInputEnded; }

}  // namespace berth::http
