#include <algorithm>
#include <charconv>
#include <span>

#include "base/text.h"
#include "http/connection.h"
#include "http/http1_parser.h"
#include "http/message.h"

namespace berth::http {

namespace {

// "content-type" as "Content-Type", the way HTTP/1 servers write it. Names longer than the buffer stay as they are.
std::string_view canonical(std::string_view name, std::span<char> buffer) {
  if (name.size() > buffer.size()) return name;
  bool first = true;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    buffer[i] = first && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    first = c == '-';
  }
  return {buffer.data(), name.size()};
}

constexpr std::size_t kPipelined = 64u << 10;  // input kept while a request is being answered
constexpr std::size_t kUntaken = 64u << 10;    // of answers; beyond, no further request is looked at

// HTTP/1.1, one request at a time; what the peer pipelines waits its turn.
class Http1Session final : public Session {
 public:
  explicit Http1Session(Connection& connection)
      : c_(connection),
        parser_(connection.config().max_header, connection.config().max_body),
        charge_(connection.transport().totals().unanswered) {}

  void input(std::string_view bytes) override;
  bool wants_input() const override {
    // What is kept may be one head that is not whole yet, so long as no request is under way.
    const std::size_t most = link_ ? kPipelined : std::max(kPipelined, c_.config().max_header + kPipelined / 16);
    return !ended_ && !screening_ && input_.size() < most && !choked();
  }
  void end_of_input() override;
  void command(TransportCommand& command) override;
  void fill() override;
  void wrote(std::size_t bytes) override;
  bool idle() const override { return !link_; }
  Receiving receiving() const override {
    if (link_ || !(receiving_ || !input_.empty())) return Receiving::kNothing;
    return parser_.head_complete() ? Receiving::kBody : Receiving::kHead;
  }
  bool had_request() const override { return sequence_ > 0; }
  Millis answer_deadline() const override { return link_ ? 0 : answer_deadline_; }
  void lost() override { gone(); }

 private:
  // A peer that asks on and on without reading what it gets is not listened to.
  bool choked() const { return c_.out().bytes() > kUntaken; }
  void screen();
  void proceed();
  bool recount();
  std::size_t go_on();
  std::size_t parse(std::string_view bytes);
  void hand_over();
  void fail(int status, std::string_view message);
  void respond(TransportCommand& command);
  void start(TransportCommand& command);
  void write(TransportCommand& command);
  void finish();
  void upgrade(TransportCommand& command);
  void answer_done();
  void push_head(int status, const Headers& headers, std::string_view framing);
  void gone();
  void settle(std::size_t bytes);

  Connection& c_;
  RequestParser parser_;
  std::string input_;  // not parsed yet, from parsed_ on
  std::size_t parsed_ = 0;
  BodyCharge charge_;                   // what is kept of requests: this one's body until it is answered, and input_
  bool receiving_ = false;              // a request has begun
  bool screening_ = false;              // link_ is that of a head: the loop decides whether the body is wanted
  bool wanted_ = false;                 // it is
  std::size_t body_ = 0;                // bytes of the body of the request that is being answered
  Millis answer_deadline_ = 0;          // of the last whole answer
  bool ended_ = false;                  // nothing more will be answered
  std::shared_ptr<ExchangeLink> link_;  // the request being answered
  std::uint32_t sequence_ = 0;
  bool keep_alive_ = true, head_only_ = false, old_ = false;
  // A streamed answer:
  bool started_ = false, chunked_ = false, silent_ = false;
  bool counted_ = false;
  std::uint64_t promised_ = 0;  // bytes of the announced length still to come
  std::size_t owed_ = 0;        // backlog that the loop has not been told is gone
};

void Http1Session::input(std::string_view bytes) {
  if (ended_) return;
  if (link_ || choked()) {
    input_.append(bytes);
    recount();
    return;
  }
  if (!input_.empty()) {
    input_.append(bytes);
    go_on();
    recount();
    return;
  }
  std::size_t used = parse(bytes);
  if (!ended_ && used < bytes.size()) input_.assign(bytes.substr(used));
  recount();
}

// Parses what is kept, up to the end of one request. How much that was.
std::size_t Http1Session::go_on() {
  std::string all;
  all.swap(input_);
  const std::size_t used = parse(std::string_view(all).substr(parsed_));
  if (ended_) {
    parsed_ = 0;
    return used;
  }
  parsed_ += used;
  if (parsed_ == all.size()) {
    all.clear();
    parsed_ = 0;
  } else if (!link_ || parsed_ > all.size() / 2) {
    // Not for each of a thousand small requests; but what waits for its rest is to have all the room.
    all.erase(0, parsed_);
    parsed_ = 0;
  }
  input_ = std::move(all);
  return used;
}

// Whether what is kept is still within what all connections together may keep.
bool Http1Session::recount() {
  if (ended_) return false;
  const std::size_t bytes = input_.size() + (link_ && !screening_ ? body_ : parser_.request().body.size());
  if (bytes == charge_.bytes()) return true;
  const bool more = bytes > charge_.bytes();
  const std::size_t total = charge_.set(bytes);
  if (!more || link_ || c_.peer().unix_socket || total <= c_.config().max_unanswered) return true;
  fail(429, "too many requests, please try again later");
  return false;
}

// The head is here, the body is not: it may be that nobody wants it.
void Http1Session::screen() {
  auto head = std::make_unique<Request>(parser_.request());
  head->body.clear();
  if (Status parsed = parse_target(*head); !parsed.ok()) {
    fail(400, parsed.error().message);
    return;
  }
  head->peer = c_.peer();
  screening_ = true;
  link_ = c_.make_link(++sequence_);
  c_.transport().emit(TransportEvent{TransportEvent::Kind::kHead, link_, std::move(head), {}});
}

void Http1Session::proceed() {
  if (!screening_) return;
  screening_ = false;
  wanted_ = true;
  link_.reset();
  if (parser_.expects_continue() && input_.empty()) c_.out().append("HTTP/1.1 100 Continue\r\n\r\n");
}

std::size_t Http1Session::parse(std::string_view bytes) {
  std::size_t used = parser_.feed(bytes);
  receiving_ = true;
  if (parser_.error_status() != 0) {
    fail(parser_.error_status(), parser_.error_text());
  } else if (parser_.complete()) {
    hand_over();
  } else {
    if (bytes.size() - used > c_.config().max_header + 16) fail(431, "the request header is too large");
    if (parser_.head_complete() && !wanted_) {
      if (c_.config().screen) {
        screen();
      } else {
        wanted_ = true;
        if (parser_.expects_continue() && used == bytes.size()) c_.out().append("HTTP/1.1 100 Continue\r\n\r\n");
      }
    }
    // Only empty lines so far: the connection is still at rest.
    if (!parser_.head_complete() && used == bytes.size() && trim(bytes).empty()) receiving_ = false;
  }
  return used;
}

void Http1Session::hand_over() {
  keep_alive_ = parser_.keep_alive();
  old_ = parser_.http_1_0();
  bool upgradable = parser_.upgrade() && !header(parser_.request().headers, "upgrade").empty();
  auto request = parser_.take();
  head_only_ = request->method == "HEAD";
  receiving_ = wanted_ = started_ = false;
  body_ = request->body.size();
  if (Status parsed = parse_target(*request); !parsed.ok()) {
    fail(400, parsed.error().message);
    return;
  }
  request->peer = c_.peer();
  link_ = c_.make_link(++sequence_);
  link_->upgradable = upgradable;
  c_.transport().emit(TransportEvent{TransportEvent::Kind::kRequest, link_, std::move(request), {}});
}

void Http1Session::fail(int status, std::string_view message) {
  ended_ = true;
  keep_alive_ = false;
  std::string().swap(input_);
  parsed_ = 0;
  parser_.drop();
  charge_.set(0);
  Config::Rendered rendered = render_error(c_.config(), status, message);
  Headers headers{{"content-type", rendered.content_type}};
  if (status == 429) headers.emplace_back("retry-after", "1");
  push_head(status, headers, "Content-Length: " + std::to_string(rendered.body.size()));
  if (!head_only_) c_.out().append(rendered.body);
  c_.close_after_output(true);
}

void Http1Session::end_of_input() {
  if (!link_ || screening_) {
    // Answers may still be on their way out.
    ended_ = true;
    screening_ = false;
    link_.reset();
    c_.close_after_output(false);
    return;
  }
  // The answer is still written, as far as the peer takes it; but it will not ask again.
  keep_alive_ = false;
  input_.clear();
  parsed_ = 0;
  c_.transport().emit(TransportEvent{TransportEvent::Kind::kClosed, link_, nullptr, {}});
}

void Http1Session::gone() {
  ended_ = true;
  if (link_ && !c_.input_ended())
    c_.transport().emit(TransportEvent{TransportEvent::Kind::kClosed, link_, nullptr, {}});
  link_.reset();
}

void Http1Session::command(TransportCommand& command) {
  if (!link_ || command.stream != link_->stream) return;
  if (screening_ && command.kind != TransportCommand::Kind::kProceed) {
    // The body is not wanted, so nothing after it can be understood.
    old_ = parser_.http_1_0();
    head_only_ = parser_.request().method == "HEAD";
    keep_alive_ = false;
  }
  switch (command.kind) {
    case TransportCommand::Kind::kProceed: proceed(); break;
    case TransportCommand::Kind::kRespond: respond(command); break;
    case TransportCommand::Kind::kStart: start(command); break;
    case TransportCommand::Kind::kWrite: write(command); break;
    case TransportCommand::Kind::kFinish: finish(); break;
    case TransportCommand::Kind::kUpgrade: upgrade(command); break;
    case TransportCommand::Kind::kAbandon:
      if (started_) {
        c_.abort();
      } else {
        Config::Rendered rendered = render_error(c_.config(), 500, "the request was not answered");
        TransportCommand answer{TransportCommand::Kind::kRespond,
                                command.connection,
                                command.stream,
                                500,
                                {{"content-type", rendered.content_type}},
                                {}};
        answer.pieces.push_back(SharedBytes::of(std::move(rendered.body)));
        respond(answer);
      }
      break;
    default: break;
  }
}

void Http1Session::push_head(int status, const Headers& headers, std::string_view framing) {
  // One append() for the whole head: each costs more than formatting a field does.
  thread_local std::string head;
  head.assign("HTTP/1.1 ");
  char code[12];
  head.append(code, std::to_chars(code, code + sizeof code, status).ptr);
  head.append(" ").append(reason_phrase(status)).append("\r\nDate: ").append(c_.transport().date()).append("\r\n");
  char buffer[64];
  for (const auto& [name, value] : headers) {
    if (!valid_header(name, value) || (status != 101 && iequals(name, "connection"))) continue;
    head.append(canonical(name, buffer)).append(": ").append(value).append("\r\n");
  }
  if (!framing.empty()) head.append(framing).append("\r\n");
  if (status != 101) {
    if (!keep_alive_) {
      head.append("Connection: close\r\n");
    } else if (old_) {
      head.append("Connection: keep-alive\r\n");
    }
  }
  head.append("\r\n");
  c_.out().append(head);
}

void Http1Session::respond(TransportCommand& command) {
  if (started_) return;
  std::size_t size = 0;
  for (const SharedBytes& piece : command.pieces) size += piece.bytes.size();
  char framing[48] = "Content-Length: ";
  char* end = std::to_chars(framing + 16, framing + 47, size).ptr;
  bool body = body_allowed(command.status);
  if (has_token(header(command.headers, "connection"), "close")) keep_alive_ = false;
  answer_deadline_ = c_.transport().now() +
                     std::chrono::duration_cast<std::chrono::milliseconds>(c_.config().answer_timeout).count() +
                     static_cast<Millis>(size * 1000 / c_.config().answer_bytes_per_second);
  push_head(command.status, command.headers,
            body ? std::string_view(framing, static_cast<std::size_t>(end - framing)) : std::string_view());
  if (body && !head_only_) {
    for (SharedBytes& piece : command.pieces) c_.out().push(std::move(piece));
  }
  answer_done();
}

void Http1Session::start(TransportCommand& command) {
  if (started_) return;
  started_ = true;
  std::string_view length = header(command.headers, "content-length");
  silent_ = head_only_ || !body_allowed(command.status);
  counted_ = chunked_ = false;
  answer_deadline_ = 0;
  if (has_token(header(command.headers, "connection"), "close")) keep_alive_ = false;
  if (!length.empty()) {
    counted_ = true;
    promised_ = static_cast<std::uint64_t>(std::max<long>(0, parse_int(length).ok() ? *parse_int(length) : 0));
  } else if (body_allowed(command.status)) {
    if (old_) {
      keep_alive_ = false;
    } else {
      chunked_ = true;
    }
  }
  push_head(command.status, command.headers, chunked_ ? "Transfer-Encoding: chunked" : "");
}

void Http1Session::write(TransportCommand& command) {
  if (!started_) return;
  std::size_t size = 0;
  for (const SharedBytes& piece : command.pieces) size += piece.bytes.size();
  owed_ += size;
  if (silent_ || size == 0) {
    settle(size);
    return;
  }
  if (chunked_) {
    char line[24];
    char* end = std::to_chars(line, line + 20, size, 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    c_.out().append({line, static_cast<std::size_t>(end - line)});
  }
  for (SharedBytes& piece : command.pieces) {
    if (counted_) {
      piece.bytes = piece.bytes.substr(0, promised_);
      promised_ -= piece.bytes.size();
    }
    c_.out().push(std::move(piece));
  }
  if (chunked_) c_.out().append("\r\n");
}

void Http1Session::finish() {
  if (!started_) return;
  if (counted_ && promised_ > 0 && !silent_) {
    c_.abort();  // less than was announced: the peer must see that it is not whole
    return;
  }
  if (chunked_ && !silent_) c_.out().append("0\r\n\r\n");
  answer_done();
}

void Http1Session::answer_done() {
  const bool unread = screening_ || !input_.empty();
  link_.reset();
  started_ = screening_ = false;
  owed_ = 0;
  body_ = 0;
  if (!keep_alive_) {
    ended_ = true;
    parser_.drop();
    std::string().swap(input_);
    parsed_ = 0;
    charge_.set(0);
    c_.close_after_output(unread);
  }
  recount();
}

void Http1Session::upgrade(TransportCommand& command) {
  push_head(101, command.headers, "");
  std::shared_ptr<ExchangeLink> link = std::move(link_);
  link_.reset();
  auto raw = make_raw_session(c_, std::move(link));
  if (!input_.empty()) raw->input(std::string_view(input_).substr(parsed_));
  if (c_.input_ended()) raw->end_of_input();
  c_.become(std::move(raw));
}

// Called before each write: the place to go on with pipelined requests.
void Http1Session::fill() {
  if (link_ || ended_ || input_.empty() || choked()) return;
  while (!link_ && !ended_ && !input_.empty() && !choked()) {
    if (go_on() == 0) break;
  }
  recount();
}

void Http1Session::settle(std::size_t bytes) {
  std::size_t n = std::min(bytes, owed_);
  if (n == 0 || !link_) return;
  owed_ -= n;
  if (link_->acknowledge(n)) c_.transport().emit(TransportEvent{TransportEvent::Kind::kDrained, link_, nullptr, {}});
}

void Http1Session::wrote(std::size_t bytes) {
  // Framing counts as payload here; once everything is out the account is even again.
  settle(c_.out().empty() ? owed_ : bytes);
}

// --- After an upgrade

class RawSession final : public Session {
 public:
  RawSession(Connection& connection, std::shared_ptr<ExchangeLink> link) : c_(connection), link_(std::move(link)) {}

  void input(std::string_view bytes) override {
    if (!link_) return;
    link_->unread.fetch_add(bytes.size());
    c_.transport().emit(TransportEvent{TransportEvent::Kind::kData, link_, nullptr, std::string(bytes)});
  }
  bool wants_input() const override {
    if (!link_ || link_->unread.load() < kReadWindow) return true;
    link_->read_stopped.store(true);
    // The loop may have caught up just before it could see that.
    return link_->unread.load() < kReadWindow / 2 && link_->read_stopped.exchange(false);
  }
  void end_of_input() override {
    c_.close_after_output(false);
    gone();
  }
  void command(TransportCommand& command) override {
    if (!link_ || command.stream != link_->stream) return;
    switch (command.kind) {
      case TransportCommand::Kind::kWrite:
        for (SharedBytes& piece : command.pieces) {
          owed_ += piece.bytes.size();
          c_.out().push(std::move(piece));
        }
        break;
      case TransportCommand::Kind::kClose: c_.close_after_output(true); break;
      case TransportCommand::Kind::kAbandon: c_.abort(); break;
      default: break;  // kResumeReading: the connection reads again after any command
    }
  }
  void wrote(std::size_t bytes) override {
    std::size_t n = c_.out().empty() ? owed_ : std::min(bytes, owed_);
    owed_ -= n;
    if (n > 0 && link_ && link_->acknowledge(n)) {
      c_.transport().emit(TransportEvent{TransportEvent::Kind::kDrained, link_, nullptr, {}});
    }
  }
  bool idle() const override { return false; }
  void lost() override { gone(); }

 private:
  void gone() {
    if (link_) c_.transport().emit(TransportEvent{TransportEvent::Kind::kClosed, link_, nullptr, {}});
    link_.reset();
  }
  Connection& c_;
  std::shared_ptr<ExchangeLink> link_;
  std::size_t owed_ = 0;
};

}  // namespace

std::unique_ptr<Session> make_http1_session(Connection& connection) {
  return std::make_unique<Http1Session>(connection);
}
std::unique_ptr<Session> make_raw_session(Connection& connection, std::shared_ptr<ExchangeLink> link) {
  return std::make_unique<RawSession>(connection, std::move(link));
}

}  // namespace berth::http
