#include <algorithm>
#include <charconv>
#include <span>

#include "base/phase.h"
#include "base/text.h"
#include "http/connection.h"
#include "http/http1_parser.h"
#include "http/http1_phase.h"
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

constexpr std::size_t kMaxPipelined = 64u << 10;  // input kept while a request is being answered
constexpr std::size_t kMaxOutput = 64u << 10;     // bytes of answers; beyond, no further request is parsed

// How the peer finds the end of a streamed answer's body.
enum class BodyFraming {
  kNone,       // there is no body (HEAD, 204, 304): what the loop writes is discarded
  kLength,     // Content-Length
  kChunked,    // Transfer-Encoding: chunked
  kUntilClose  // HTTP/1.0
};

// HTTP/1.1, one request at a time; what the peer pipelines is parsed after the answer.
class Http1Session final : public Session {
 public:
  explicit Http1Session(Connection& connection)
      : connection_(connection),
        parser_(connection.config().max_header, connection.config().max_body),
        charge_(connection.transport().totals().unanswered) {}

  void input(std::string_view bytes) override;
  bool wants_input() const override {
    // Unparsed input may be one incomplete head, but only between requests: room for the largest.
    const std::size_t limit = exchange_open(phase_)
                                  ? kMaxPipelined
                                  : std::max(kMaxPipelined, connection_.config().max_header + kMaxPipelined / 16);
    return phase_ != Http1Phase::kEnded && !withholds_body(phase_) && input_.size() < limit && !output_full();
  }
  void end_of_input() override;
  void command(TransportCommand& command) override;
  void fill() override;
  void wrote(std::size_t bytes) override;
  bool idle() const override { return !exchange_open(phase_); }
  Receiving receiving() const override {
    switch (phase_) {
      case Http1Phase::kIdle: return input_.empty() ? Receiving::kNothing : Receiving::kHead;
      case Http1Phase::kHead: return Receiving::kHead;
      case Http1Phase::kBody: return Receiving::kBody;
      default: return Receiving::kNothing;
    }
  }
  bool had_request() const override { return sequence_ > 0; }
  Millis answer_deadline() const override { return exchange_open(phase_) ? 0 : answer_deadline_; }
  void lost() override;

 private:
  void advance(Http1Event event) { phase_.apply(event); }
  // A peer that sends requests without reading the answers is not read from.
  bool output_full() const { return connection_.out().bytes() > kMaxOutput; }
  void pass_head();
  void accept_body();
  void pass_request();
  bool update_charge();
  std::size_t parse_input();
  std::size_t parse(std::string_view bytes);
  void refuse(int status, std::string_view message);
  void respond(TransportCommand& command);
  void start(TransportCommand& command);
  void write(TransportCommand& command);
  void finish();
  void upgrade(TransportCommand& command);
  void complete_answer();
  void push_head(int status, const Headers& headers, std::string_view framing);
  void acknowledge(std::size_t bytes);

  Connection& connection_;
  Phase<Http1Phase, Http1Event> phase_{Http1Phase::kIdle};
  RequestParser parser_;
  std::string input_;  // not parsed yet, from parsed_ on
  std::size_t parsed_ = 0;
  BodyCharge charge_;                   // of requests in memory: the body of this one until it is answered, and input_
  std::size_t body_ = 0;                // bytes of the body of the request that is being answered
  Millis answer_deadline_ = 0;          // of the last complete answer
  std::shared_ptr<ExchangeLink> link_;  // while exchange_open(phase_)
  std::uint32_t sequence_ = 0;
  // Properties of the request that is being answered, independent of the phase:
  bool keep_alive_ = true;  // both sides keep the connection
  bool head_only_ = false;  // HEAD
  int http_version_ = 11;   // 10: HTTP/1.0
  // A streamed answer:
  BodyFraming framing_ = BodyFraming::kNone;
  std::uint64_t length_left_ = 0;   // kLength: bytes still to come
  std::size_t unacknowledged_ = 0;  // bytes of ExchangeLink::backlog that this session has not subtracted yet
};

void Http1Session::input(std::string_view bytes) {
  if (phase_ == Http1Phase::kEnded) return;
  if (exchange_open(phase_) || output_full()) {
    input_.append(bytes);
    update_charge();
    return;
  }
  if (!input_.empty()) {
    input_.append(bytes);
    parse_input();
    update_charge();
    return;
  }
  std::size_t used = parse(bytes);
  if (phase_ != Http1Phase::kEnded && used < bytes.size()) input_.assign(bytes.substr(used));
  update_charge();
}

// Parses input_ up to the end of one request. Returns the number of bytes.
std::size_t Http1Session::parse_input() {
  std::string all;
  all.swap(input_);
  const std::size_t used = parse(std::string_view(all).substr(parsed_));
  if (phase_ == Http1Phase::kEnded) {
    parsed_ = 0;
    return used;
  }
  parsed_ += used;
  if (parsed_ == all.size()) {
    all.clear();
    parsed_ = 0;
  } else if (reads_request(phase_) || parsed_ > all.size() / 2) {
    // Not after each of a thousand small requests, which would be quadratic; but an incomplete request needs all the
    // room of input_ for its rest.
    all.erase(0, parsed_);
    parsed_ = 0;
  }
  input_ = std::move(all);
  return used;
}

// Charges the bytes of requests in memory to ServerTotals::unanswered. False: that exceeds
// ServerConfig::max_unanswered, and the request has been refused.
bool Http1Session::update_charge() {
  if (phase_ == Http1Phase::kEnded) return false;
  const bool answering = exchange_open(phase_) && !withholds_body(phase_);
  const std::size_t bytes = input_.size() + (answering ? body_ : parser_.request().body.size());
  if (bytes == charge_.bytes()) return true;
  const bool more = bytes > charge_.bytes();
  const std::size_t total = charge_.set(bytes);
  if (!more || exchange_open(phase_) || connection_.peer().unix_socket || total <= connection_.config().max_unanswered)
    return true;
  refuse(429, "too many requests, please try again later");
  return false;
}

// Passes a head whose body has not come to the loop, which may reject the request without reading the body.
void Http1Session::pass_head() {
  auto head = std::make_unique<Request>(parser_.request());
  head->body.clear();
  if (Status parsed = parse_target(*head); !parsed.ok()) {
    refuse(400, parsed.error().message);
    return;
  }
  head->peer = connection_.peer();
  advance(Http1Event::kHeadPassed);
  link_ = connection_.make_link(++sequence_);
  connection_.transport().emit(TransportEvent{TransportEvent::Kind::kHead, link_, std::move(head), {}});
}

void Http1Session::accept_body() {
  advance(Http1Event::kBodyAccepted);
  link_.reset();
  if (parser_.expects_continue() && input_.empty()) connection_.out().append("HTTP/1.1 100 Continue\r\n\r\n");
}

std::size_t Http1Session::parse(std::string_view bytes) {
  std::size_t used = parser_.feed(bytes);
  if (parser_.error_status() != 0) {
    refuse(parser_.error_status(), parser_.error_text());
  } else if (parser_.complete()) {
    pass_request();
  } else if (bytes.size() - used > connection_.config().max_header + 16) {
    refuse(431, "the request header is too large");
  } else if (!parser_.head_complete()) {
    const bool empty_lines_only = used == bytes.size() && trim(bytes).empty();
    if (!empty_lines_only) advance(Http1Event::kHeadIncomplete);
  } else if (phase_ != Http1Phase::kBody) {
    if (connection_.config().screen) {
      pass_head();
    } else {
      advance(Http1Event::kBodyAccepted);
      if (parser_.expects_continue() && used == bytes.size()) connection_.out().append("HTTP/1.1 100 Continue\r\n\r\n");
    }
  }
  return used;
}

void Http1Session::pass_request() {
  keep_alive_ = parser_.keep_alive();
  http_version_ = parser_.http_1_0() ? 10 : 11;
  bool upgradable = parser_.upgrade() && !header(parser_.request().headers, "upgrade").empty();
  auto request = parser_.release();
  head_only_ = request->method == "HEAD";
  body_ = request->body.size();
  if (Status parsed = parse_target(*request); !parsed.ok()) {
    refuse(400, parsed.error().message);
    return;
  }
  request->peer = connection_.peer();
  advance(Http1Event::kRequestPassed);
  link_ = connection_.make_link(++sequence_);
  link_->upgradable = upgradable;
  connection_.transport().emit(TransportEvent{TransportEvent::Kind::kRequest, link_, std::move(request), {}});
}

void Http1Session::refuse(int status, std::string_view message) {
  advance(Http1Event::kRefused);
  keep_alive_ = false;
  if (parser_.request().method == "HEAD") head_only_ = true;
  std::string().swap(input_);
  parsed_ = 0;
  parser_.reset();
  charge_.set(0);
  ServerConfig::Rendered rendered = render_error(connection_.config(), status, message);
  Headers headers{{"content-type", rendered.content_type}};
  if (status == 429) headers.emplace_back("retry-after", "1");
  push_head(status, headers, "Content-Length: " + std::to_string(rendered.body.size()));
  if (!head_only_) connection_.out().append(rendered.body);
  connection_.close_after_output(true);
}

void Http1Session::end_of_input() {
  advance(Http1Event::kInputEnded);
  if (phase_ == Http1Phase::kEnded) {
    link_.reset();
    // Earlier answers may still be in the output queue.
    connection_.close_after_output(false);
    return;
  }
  // The answer is still written, since the peer may read; it is the last one.
  keep_alive_ = false;
  input_.clear();
  parsed_ = 0;
  connection_.transport().emit(TransportEvent{TransportEvent::Kind::kClosed, link_, nullptr, {}});
}

void Http1Session::lost() {
  advance(Http1Event::kLost);
  if (link_ && !connection_.input_ended())  // else end_of_input() has emitted it
    connection_.transport().emit(TransportEvent{TransportEvent::Kind::kClosed, link_, nullptr, {}});
  link_.reset();
}

void Http1Session::command(TransportCommand& command) {
  if (!link_ || command.stream != link_->stream) return;
  if (withholds_body(phase_) && command.kind != TransportCommand::Kind::kProceed) {
    // The body stays unread, so a request after it could not be found.
    http_version_ = parser_.http_1_0() ? 10 : 11;
    head_only_ = parser_.request().method == "HEAD";
    keep_alive_ = false;
  }
  switch (command.kind) {
    case TransportCommand::Kind::kProceed: accept_body(); break;
    case TransportCommand::Kind::kRespond: respond(command); break;
    case TransportCommand::Kind::kStart: start(command); break;
    case TransportCommand::Kind::kWrite: write(command); break;
    case TransportCommand::Kind::kFinish: finish(); break;
    case TransportCommand::Kind::kUpgrade: upgrade(command); break;
    case TransportCommand::Kind::kAbandon:
      if (answer_started(phase_)) {
        connection_.abort();
      } else {
        ServerConfig::Rendered rendered = render_error(connection_.config(), 500, "the request was not answered");
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
  // One append() for the complete head: each costs more than formatting a field does.
  thread_local std::string head;
  head.assign("HTTP/1.1 ");
  char code[12];
  head.append(code, std::to_chars(code, code + sizeof code, status).ptr);
  head.append(" ").append(reason_phrase(status)).append("\r\nDate: ").append(connection_.transport().date());
  head.append("\r\n");
  char buffer[64];
  for (const auto& [name, value] : headers) {
    if (!valid_header(name, value) || (status != 101 && iequals(name, "connection"))) continue;
    head.append(canonical(name, buffer)).append(": ").append(value).append("\r\n");
  }
  if (!framing.empty()) head.append(framing).append("\r\n");
  if (status != 101) {
    if (!keep_alive_) {
      head.append("Connection: close\r\n");
    } else if (http_version_ < 11) {
      head.append("Connection: keep-alive\r\n");
    }
  }
  head.append("\r\n");
  connection_.out().append(head);
}

void Http1Session::respond(TransportCommand& command) {
  if (answer_started(phase_)) return;
  std::size_t size = 0;
  for (const SharedBytes& piece : command.pieces) size += piece.bytes.size();
  char framing[48] = "Content-Length: ";
  char* end = std::to_chars(framing + 16, framing + 47, size).ptr;
  bool body = body_allowed(command.status);
  if (has_token(header(command.headers, "connection"), "close")) keep_alive_ = false;
  answer_deadline_ =
      connection_.transport().now() +
      std::chrono::duration_cast<std::chrono::milliseconds>(connection_.config().answer_timeout).count() +
      static_cast<Millis>(size * 1000 / connection_.config().answer_bytes_per_second);
  push_head(command.status, command.headers,
            body ? std::string_view(framing, static_cast<std::size_t>(end - framing)) : std::string_view());
  if (body && !head_only_) {
    for (SharedBytes& piece : command.pieces) connection_.out().push(std::move(piece));
  }
  complete_answer();
}

void Http1Session::start(TransportCommand& command) {
  if (answer_started(phase_)) return;
  advance(Http1Event::kAnswerStarted);
  answer_deadline_ = 0;
  if (has_token(header(command.headers, "connection"), "close")) keep_alive_ = false;
  framing_ = BodyFraming::kNone;
  if (std::string_view length = header(command.headers, "content-length"); !length.empty()) {
    framing_ = BodyFraming::kLength;
    length_left_ = static_cast<std::uint64_t>(std::max<long>(0, parse_int(length).ok() ? *parse_int(length) : 0));
  } else if (body_allowed(command.status)) {
    framing_ = http_version_ < 11 ? BodyFraming::kUntilClose : BodyFraming::kChunked;
  }
  if (framing_ == BodyFraming::kUntilClose) keep_alive_ = false;
  push_head(command.status, command.headers, framing_ == BodyFraming::kChunked ? "Transfer-Encoding: chunked" : "");
  // The head of the answer to a HEAD is that of a GET; the body is left out.
  if (head_only_ || !body_allowed(command.status)) framing_ = BodyFraming::kNone;
}

void Http1Session::write(TransportCommand& command) {
  if (!answer_started(phase_)) return;
  std::size_t size = 0;
  for (const SharedBytes& piece : command.pieces) size += piece.bytes.size();
  unacknowledged_ += size;
  if (framing_ == BodyFraming::kNone || size == 0) {
    acknowledge(size);
    return;
  }
  if (framing_ == BodyFraming::kChunked) {
    char line[24];
    char* end = std::to_chars(line, line + 20, size, 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    connection_.out().append({line, static_cast<std::size_t>(end - line)});
  }
  for (SharedBytes& piece : command.pieces) {
    if (framing_ == BodyFraming::kLength) {
      piece.bytes = piece.bytes.substr(0, length_left_);
      length_left_ -= piece.bytes.size();
    }
    connection_.out().push(std::move(piece));
  }
  if (framing_ == BodyFraming::kChunked) connection_.out().append("\r\n");
}

void Http1Session::finish() {
  if (!answer_started(phase_)) return;
  if (framing_ == BodyFraming::kLength && length_left_ > 0) {
    connection_.abort();  // less than was announced: the peer must see that the body is incomplete
    return;
  }
  if (framing_ == BodyFraming::kChunked) connection_.out().append("0\r\n\r\n");
  complete_answer();
}

void Http1Session::complete_answer() {
  const bool unread = withholds_body(phase_) || !input_.empty();
  advance(keep_alive_ ? Http1Event::kAnsweredKeepAlive : Http1Event::kAnsweredLast);
  link_.reset();
  unacknowledged_ = 0;
  body_ = 0;
  head_only_ = false;
  if (phase_ == Http1Phase::kEnded) {
    parser_.reset();
    std::string().swap(input_);
    parsed_ = 0;
    charge_.set(0);
    connection_.close_after_output(unread);
  }
  update_charge();
}

void Http1Session::upgrade(TransportCommand& command) {
  push_head(101, command.headers, "");
  advance(Http1Event::kUpgraded);
  auto raw = make_raw_session(connection_, std::move(link_));
  // The peer may have sent bytes of the new protocol right behind its request.
  if (!input_.empty()) raw->input(std::string_view(input_).substr(parsed_));
  if (connection_.input_ended()) raw->end_of_input();
  connection_.replace_session(std::move(raw));
}

// Called before each write: parses pipelined requests once the output queue has room for their answers.
void Http1Session::fill() {
  if (!reads_request(phase_) || input_.empty() || output_full()) return;
  while (reads_request(phase_) && !input_.empty() && !output_full()) {
    if (parse_input() == 0) break;
  }
  update_charge();
}

void Http1Session::acknowledge(std::size_t bytes) {
  std::size_t n = std::min(bytes, unacknowledged_);
  if (n == 0 || !link_) return;
  unacknowledged_ -= n;
  if (link_->acknowledge(n))
    connection_.transport().emit(TransportEvent{TransportEvent::Kind::kDrained, link_, nullptr, {}});
}

void Http1Session::wrote(std::size_t bytes) {
  // `bytes` includes framing, so acknowledge() runs ahead of the body; an empty queue makes the two equal again.
  acknowledge(connection_.out().empty() ? unacknowledged_ : bytes);
}

// --- After an upgrade

class RawSession final : public Session {
 public:
  RawSession(Connection& connection, std::shared_ptr<ExchangeLink> link)
      : connection_(connection), link_(std::move(link)) {}

  void input(std::string_view bytes) override {
    if (!link_) return;
    link_->unread.fetch_add(bytes.size());
    connection_.transport().emit(TransportEvent{TransportEvent::Kind::kData, link_, nullptr, std::string(bytes)});
  }
  bool wants_input() const override {
    if (!link_ || link_->unread.load() < kReadWindow) return true;
    link_->read_stopped.store(true);
    // The loop may have received the bytes before it could see read_stopped: then it sends no kResumeReading.
    return link_->unread.load() < kReadWindow / 2 && link_->read_stopped.exchange(false);
  }
  void end_of_input() override {
    connection_.close_after_output(false);
    emit_closed();
  }
  void command(TransportCommand& command) override {
    if (!link_ || command.stream != link_->stream) return;
    switch (command.kind) {
      case TransportCommand::Kind::kWrite:
        for (SharedBytes& piece : command.pieces) {
          unacknowledged_ += piece.bytes.size();
          connection_.out().push(std::move(piece));
        }
        break;
      case TransportCommand::Kind::kClose: connection_.close_after_output(true); break;
      case TransportCommand::Kind::kAbandon: connection_.abort(); break;
      default: break;  // kResumeReading: the connection reads again after any command
    }
  }
  void wrote(std::size_t bytes) override {
    std::size_t n = connection_.out().empty() ? unacknowledged_ : std::min(bytes, unacknowledged_);
    unacknowledged_ -= n;
    if (n > 0 && link_ && link_->acknowledge(n)) {
      connection_.transport().emit(TransportEvent{TransportEvent::Kind::kDrained, link_, nullptr, {}});
    }
  }
  bool idle() const override { return false; }
  void lost() override { emit_closed(); }

 private:
  void emit_closed() {
    if (link_) connection_.transport().emit(TransportEvent{TransportEvent::Kind::kClosed, link_, nullptr, {}});
    link_.reset();
  }
  Connection& connection_;
  std::shared_ptr<ExchangeLink> link_;
  std::size_t unacknowledged_ = 0;
};

}  // namespace

std::unique_ptr<Session> make_http1_session(Connection& connection) {
  return std::make_unique<Http1Session>(connection);
}
std::unique_ptr<Session> make_raw_session(Connection& connection, std::shared_ptr<ExchangeLink> link) {
  return std::make_unique<RawSession>(connection, std::move(link));
}

}  // namespace berth::http
