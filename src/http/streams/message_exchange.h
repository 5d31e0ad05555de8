#pragma once
// Streamed answers as the messages of a WebSocket, for clients (browsers above all) that cannot read an HTTP answer
// before it is complete.

#include <memory>
#include <string>
#include <vector>

#include "http/server.h"

namespace berth::http {

struct MessageForm {
  std::vector<std::string> protocols;  // the server's choice goes by this order; "": the client names none
  bool text = false;      // text messages. Otherwise binary ones, or base64 where the chosen protocol's name has that
  bool greeting = false;  // an empty message is sent first
};

// The protocols that the client offers, without the one that carries its bearer token.
std::vector<std::string> offered_subprotocols(const Request& request);

// The exchange itself, unless the request asks for a WebSocket. Otherwise one whose start() with status 200 answers the
// handshake, whose write() sends one message and whose finish() closes. Answers by respond() (refusals) and streams of
// other statuses are plain HTTP.
std::shared_ptr<Exchange> answer_in_messages(Runtime& runtime, std::shared_ptr<Exchange> exchange, MessageForm form);

// The bearer token among the offered protocols; empty where there is none.
std::string offered_token(const Request& request);

}  // namespace berth::http
