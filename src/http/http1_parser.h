#pragma once
// HTTP/1.1 messages from bytes, in parts of any size. Only these two classes use Boost.Beast's parser.

#include <memory>
#include <string>
#include <string_view>

#include "base/function.h"
#include "http/client.h"
#include "http/server.h"

namespace berth::http {

// One request after another. The caller passes the unconsumed rest of a feed() again, together with the bytes after it.
class RequestParser {
 public:
  RequestParser(std::size_t max_header, std::size_t max_body);
  ~RequestParser();

  // Consumes bytes of the current request, never beyond its end. Returns how many.
  std::size_t feed(std::string_view bytes);
  bool head_complete() const;
  bool complete() const;
  int error_status() const;  // 0: no error
  const std::string& error_text() const;
  // Valid once the head is complete:
  bool keep_alive() const;
  bool upgrade() const;  // asks for another protocol
  bool expects_continue() const;
  bool http_1_0() const;

  const Request& request() const;
  std::unique_ptr<Request> release();  // of a complete request; ready for the next one afterwards
  void reset();                        // discards an incomplete request; ready for the next one afterwards

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// One answer.
class ResponseParser {
 public:
  // `no_body`: the answer to a HEAD.
  ResponseParser(bool no_body, Function<void(std::string_view)> data);
  ~ResponseParser();

  std::size_t feed(std::string_view bytes);  // returns once after the head, before any byte of the body
  void end_of_input();                       // completes an answer that lasts until close, fails any other
  bool head_complete() const;
  bool complete() const;
  bool failed() const;
  const std::string& error_text() const;
  bool keep_alive() const;
  Response& head();  // status and headers

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::http
