#pragma once
// HTTP/1.1 messages from bytes, fed as they come. The only users of Boost.Beast's parser are these two classes.

#include <memory>
#include <string>
#include <string_view>

#include "base/function.h"
#include "http/client.h"
#include "http/server.h"

namespace berth::http {

// One request after another. The unconsumed rest of a feed must be given again, with what comes after it.
class RequestParser {
 public:
  RequestParser(std::size_t max_header, std::size_t max_body);
  ~RequestParser();

  // Consumes bytes of the current request, never beyond its end. Returns how many.
  std::size_t feed(std::string_view bytes);
  bool head_complete() const;
  bool complete() const;
  int error_status() const;  // 0 while all is well
  const std::string& error_text() const;
  // Valid once the head is complete:
  bool keep_alive() const;
  bool upgrade() const;  // asks for another protocol
  bool expects_continue() const;
  bool http_1_0() const;

  const Request& request() const;
  std::unique_ptr<Request> take();  // of a complete request; ready for the next one afterwards
  void drop();                      // forgets what there is of a request

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One answer.
class ResponseParser {
 public:
  // `no_body`: the answer to a HEAD.
  ResponseParser(bool no_body, Function<void(std::string_view)> data);
  ~ResponseParser();

  std::size_t feed(std::string_view bytes);  // stops after the head once, so that the caller can look at it
  void end_of_input();                       // completes an answer that lasts until close, fails any other
  bool head_complete() const;
  bool complete() const;
  bool failed() const;
  const std::string& error_text() const;
  bool keep_alive() const;
  Response& head();  // status and headers

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::http
