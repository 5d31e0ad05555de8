#pragma once
// Streamed answers as the messages of a WebSocket: for clients (browsers above all) that can read nothing else as it
// comes.

#include <memory>
#include <string>
#include <vector>

#include "http/server.h"

namespace berth::http {

struct MessageForm {
  std::vector<std::string> protocols;  // the server's choice goes by this order; "": the client names none
  bool text = false;      // text messages. Otherwise binary ones, or base64 where the chosen protocol's name has that
  bool greeting = false;  // an empty message says that the connection stands
};

// What the client offers but for the bearer token, which travels there too.
std::vector<std::string> offered_subprotocols(const Request& request);

// The exchange itself, unless the request asks for a WebSocket. Otherwise one whose start() with status 200 shakes
// hands, whose write() sends one message and whose finish() closes; whole answers (refusals) are plain HTTP, and so are
// streams of other statuses.
std::shared_ptr<Exchange> answer_in_messages(Runtime& runtime, std::shared_ptr<Exchange> exchange, MessageForm form);

// The bearer token among the offered protocols; empty where there is none.
std::string offered_token(const Request& request);

}  // namespace berth::http
