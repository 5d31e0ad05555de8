#pragma once
// The phases of an exchange and of a channel as the loop has them (server.cc) and the only transitions between them.
// Calls that a phase has no use for (respond() after respond(), write() after close()) are ignored before they become
// events.

#include <optional>

namespace berth::http {

enum class ExchangePhase {
  kUnanswered,
  kStreaming,           // start() has been called
  kUnansweredPeerGone,  // like kUnanswered, but the peer sends no more or is gone; an answer is still sent, as it may
                        // read
  kStreamingPeerGone,
  kDone,  // answered, upgraded or cut off
};

enum class ExchangeEvent {
  kAnswered,  // respond(), or the request's body is accepted
  kStarted,
  kFinished,
  kUpgraded,
  kCutOff,  // the peer does not read, and there is no memory to wait for it
  kPeerGone,
};

// The phase that follows; nothing where the event cannot happen in that phase.
constexpr std::optional<ExchangePhase> next_phase(ExchangePhase phase, ExchangeEvent event) {
  using enum ExchangePhase;
  const bool unanswered = phase == kUnanswered || phase == kUnansweredPeerGone;
  const bool streaming = phase == kStreaming || phase == kStreamingPeerGone;
  switch (event) {
    case ExchangeEvent::kAnswered:
      if (unanswered) return kDone;
      break;
    case ExchangeEvent::kStarted:
      if (unanswered) return phase == kUnanswered ? kStreaming : kStreamingPeerGone;
      break;
    case ExchangeEvent::kFinished:
    case ExchangeEvent::kCutOff:
      if (streaming) return kDone;
      break;
    case ExchangeEvent::kUpgraded:
      if (phase == kUnanswered) return kDone;
      break;
    case ExchangeEvent::kPeerGone:
      if (unanswered) return kUnansweredPeerGone;
      if (streaming) return kStreamingPeerGone;
      return kDone;
  }
  return std::nullopt;
}

constexpr bool is_unanswered(ExchangePhase phase) {
  return phase == ExchangePhase::kUnanswered || phase == ExchangePhase::kUnansweredPeerGone;
}
constexpr bool is_streaming(ExchangePhase phase) {
  return phase == ExchangePhase::kStreaming || phase == ExchangePhase::kStreamingPeerGone;
}
constexpr bool is_peer_gone(ExchangePhase phase) {
  return phase == ExchangePhase::kUnansweredPeerGone || phase == ExchangePhase::kStreamingPeerGone;
}

enum class ChannelPhase {
  kOpen,
  kClosing,  // the transport has been asked to close, after what was written or at once
  kClosed,   // nothing more comes; bytes that came before may still be undelivered
};

enum class ChannelEvent {
  kCloseRequested,
  kPeerGone,  // twice where the peer ends its input while the upgrade is under way
};

constexpr std::optional<ChannelPhase> next_phase(ChannelPhase phase, ChannelEvent event) {
  switch (event) {
    case ChannelEvent::kCloseRequested:
      if (phase == ChannelPhase::kOpen) return ChannelPhase::kClosing;
      break;
    case ChannelEvent::kPeerGone: return ChannelPhase::kClosed;
  }
  return std::nullopt;
}

}  // namespace berth::http
