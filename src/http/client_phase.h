#pragma once
// The phases of a client's connections and requests (client.cc) and the only transitions between them.

#include <optional>

namespace berth::http {

enum class ClientConnectionPhase {
  kConnecting,
  kHandshaking,      // TLS
  kIdle,             // usable, without a request
  kSent,             // has a request, which may still be on its way out; no part of the answer has come
  kAnswerHead,       // the head of the answer is incomplete
  kAnswerBody,       // the head has been passed on
  kAnswerTooLarge,   // more than ClientRequest::max_body has come
  kUpgraded,         // belongs to a channel
  kUpgradedClosing,  // the channel is closed: the output queue is still written
  kClosed,
};

enum class ClientConnectionEvent {
  kConnected,  // TLS follows
  kReady,      // connected without TLS, or the handshake is complete
  kRequestSent,
  kAnswerBytes,
  kHeadReceived,
  kBodyTooLarge,
  kAnswered,  // completely; the connection can be used again
  kUpgraded,
  kChannelClosed,  // by its owner
  kClosed,         // on either side, timed out, aborted, or not to be used again
};

// The phase that follows; nothing where the event cannot happen in that phase.
constexpr std::optional<ClientConnectionPhase> next_phase(ClientConnectionPhase phase, ClientConnectionEvent event) {
  using enum ClientConnectionPhase;
  switch (event) {
    case ClientConnectionEvent::kConnected:
      if (phase == kConnecting) return kHandshaking;
      break;
    case ClientConnectionEvent::kReady:
      if (phase == kConnecting || phase == kHandshaking) return kIdle;
      break;
    case ClientConnectionEvent::kRequestSent:
      if (phase == kIdle) return kSent;
      break;
    case ClientConnectionEvent::kAnswerBytes:
      if (phase == kSent) return kAnswerHead;
      if (phase == kAnswerHead || phase == kAnswerBody) return phase;
      break;
    case ClientConnectionEvent::kHeadReceived:
      if (phase == kAnswerHead) return kAnswerBody;
      break;
    case ClientConnectionEvent::kBodyTooLarge:
      if (phase == kAnswerBody) return kAnswerTooLarge;
      break;
    case ClientConnectionEvent::kAnswered:
      if (phase == kAnswerBody) return kIdle;
      break;
    case ClientConnectionEvent::kUpgraded:
      if (phase == kAnswerBody) return kUpgraded;
      break;
    case ClientConnectionEvent::kChannelClosed:
      if (phase == kUpgraded) return kUpgradedClosing;
      if (phase == kUpgradedClosing || phase == kClosed) return phase;
      break;
    case ClientConnectionEvent::kClosed:
      if (phase != kClosed) return kClosed;
      break;
  }
  return std::nullopt;
}

// A request that failed in such a phase has not reached the server.
constexpr bool is_unconnected(ClientConnectionPhase phase) {
  return phase == ClientConnectionPhase::kConnecting || phase == ClientConnectionPhase::kHandshaking;
}

enum class PendingRequestPhase {
  kQueued,        // no connection has it: it is being assigned to one, or opening one failed
  kOnConnection,  // a connection has it
  kDone,          // answered, failed or aborted: no callback follows
};

enum class PendingRequestEvent {
  kAssigned,
  kConnectionLost,  // before any part of the answer: the request is sent once more
  kDone,
};

constexpr std::optional<PendingRequestPhase> next_phase(PendingRequestPhase phase, PendingRequestEvent event) {
  using enum PendingRequestPhase;
  switch (event) {
    case PendingRequestEvent::kAssigned:
      if (phase == kQueued) return kOnConnection;
      break;
    case PendingRequestEvent::kConnectionLost:
      if (phase == kOnConnection) return kQueued;
      break;
    case PendingRequestEvent::kDone:
      if (phase != kDone) return kDone;
      break;
  }
  return std::nullopt;
}

}  // namespace berth::http
