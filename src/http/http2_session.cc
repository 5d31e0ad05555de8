#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "base/phase.h"
#include "base/text.h"
#include "http/connection.h"
#include "http/http2_phase.h"
#include "http/message.h"

namespace berth::http {

namespace {

constexpr std::uint32_t kMaxStreams = 250;
constexpr int kMaxOpenExchanges = 2 * kMaxStreams;  // exchanges that exist on the loop, including reset ones
constexpr std::int32_t kStreamWindow = 256 << 10;
constexpr std::int32_t kConnectionWindow = 2 << 20;
constexpr std::size_t kMaxBodies = 32u << 20;   // bytes of unfinished requests on one connection
constexpr std::size_t kMaxOutput = 256u << 10;  // beyond, no input is read that could add to it
constexpr double kResetBurst = 1000, kResetsPerSecond = 200;
constexpr Millis kCheckEvery = 5'000;
// A head larger than so many times ServerConfig::max_header ends the connection: above max_header it is still read,
// since header compression needs all of it, and answered 431.
constexpr std::size_t kEndlessHead = 8;

Millis millis(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }

struct Stream {
  explicit Stream(Transport& transport) : charge(transport.totals().unanswered), began(transport.now()) {}
  std::unique_ptr<Request> request = std::make_unique<Request>();
  BodyCharge charge;  // the body, until it is answered
  std::string authority;
  std::size_t header_bytes = 0;
  int refusal = 0;                     // not 0: answer with this status once the head is complete
  std::shared_ptr<ExchangeLink> link;  // once the request or its head has been passed to the loop
  OutQueue body;
  Phase<StreamRequestPhase, StreamRequestEvent> request_phase{StreamRequestPhase::kReceiving};
  Phase<StreamAnswerPhase, StreamAnswerEvent> answer_phase{StreamAnswerPhase::kNone};
  // Properties of the request:
  bool head_only = false;         // HEAD
  bool expects_continue = false;  // the peer waits for "100 Continue"
  Millis began;                   // when the request began, or when the socket last took bytes of a streamed answer
  Millis answer_deadline = 0;     // of a complete answer

  void advance(StreamRequestEvent event) { request_phase.apply(event); }
  void advance(StreamAnswerEvent event) { answer_phase.apply(event); }
  // More of the request is read, and not discarded.
  bool receives() const {
    return request_phase != StreamRequestPhase::kPassed && request_phase != StreamRequestPhase::kIgnored;
  }
  bool is_answered() const { return answer_phase != StreamAnswerPhase::kNone; }
  bool is_finished() const { return answer_phase == StreamAnswerPhase::kFinished; }
};

class Http2Session final : public Session {
 public:
  explicit Http2Session(Connection& connection);
  ~Http2Session() override { nghttp2_session_del(session_); }

  void input(std::string_view bytes) override;
  bool wants_input() const override { return c_.out().bytes() < kMaxOutput; }
  void end_of_input() override;
  void command(TransportCommand& command) override;
  void fill() override;
  bool idle() const override { return streams_.empty(); }
  // Streams have deadlines of their own (check_deadlines).
  Receiving receiving() const override {
    return phase_ == Http2Phase::kAwaitingFrame ? Receiving::kHead : Receiving::kNothing;
  }
  Millis next_check() const override { return next_check_; }
  void check_deadlines() override;
  void lost() override;
  void announce_end() override;

 private:
  friend struct Callbacks;
  void advance(Http2Event event) { phase_.apply(event); }
  bool ended() const { return phase_ == Http2Phase::kEnded; }
  Stream* find(std::int32_t id) {
    auto at = streams_.find(id);
    return at == streams_.end() ? nullptr : at->second.get();
  }
  void head_received(std::int32_t id, Stream& stream);
  void screen(std::int32_t id, Stream& stream);
  void body_received(std::int32_t id, Stream& stream, std::string_view bytes);
  void request_received(std::int32_t id, Stream& stream);
  void pass_request(std::int32_t id, Stream& stream);
  void add_header(Stream& stream, std::string_view name, std::string_view value);
  void respond(std::int32_t id, Stream& stream, TransportCommand& command);
  void refuse(std::int32_t id, Stream& stream, int status, std::string_view message);
  void submit_head(std::int32_t id, Stream& stream, int status, const Headers& headers, const std::string& length,
                   bool with_body);
  void stream_closed(std::int32_t id);
  void proceed(std::int32_t id, Stream& stream);
  Millis deadline_of(const Stream& stream) const;
  // To be called when a stream gets a deadline: check_deadlines() runs soon enough for it.
  void check_soon() {
    if (next_check_ == 0)
      next_check_ = c_.transport().now() + std::min(kCheckEvery, millis(c_.config().answer_timeout));
  }
  bool too_many_resets();

  Connection& c_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;
  std::size_t bodies_ = 0;
  Phase<Http2Phase, Http2Event> phase_{Http2Phase::kAwaitingFrame};
  std::vector<std::int32_t> unscreened_;  // heads of this input whose bodies had not come with them
  Millis next_check_ = 0;
  double resets_left_ = kResetBurst;  // a token bucket: how many streams the peer may reset
  Millis resets_at_ = 0;              // when resets_left_ was last refilled
};

// The callbacks that nghttp2 calls with the session.
struct Callbacks {
  static Http2Session& self(void* user) { return *static_cast<Http2Session*>(user); }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Http2Session& s = self(user);
    if (s.c_.open_exchanges()->count.load() + static_cast<int>(s.streams_.size()) > kMaxOpenExchanges) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    s.streams_[frame->hd.stream_id] = std::make_unique<Stream>(s.c_.transport());
    s.check_soon();
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Http2Session& s = self(user);
    if (Stream* stream = s.find(frame->hd.stream_id)) {
      s.add_header(*stream, {reinterpret_cast<const char*>(name), name_size},
                   {reinterpret_cast<const char*>(value), value_size});
      // No client sends such a head by mistake.
      if (stream->header_bytes / kEndlessHead > s.c_.config().max_header) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Session& s = self(user);
    s.advance(Http2Event::kFrame);
    if (frame->hd.type == NGHTTP2_RST_STREAM && s.too_many_resets()) {
      log_warning("http", "closing a connection that resets streams too often", {{"peer", s.c_.peer().address}});
      nghttp2_session_terminate_session(s.session_, NGHTTP2_ENHANCE_YOUR_CALM);
      return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Stream* stream = s.find(frame->hd.stream_id);
    if (!stream) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      s.head_received(frame->hd.stream_id, *stream);
    }
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
      s.request_received(frame->hd.stream_id, *stream);
    } else if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      s.unscreened_.push_back(frame->hd.stream_id);
    }
    return 0;
  }

  static int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                        void* user) {
    Http2Session& s = self(user);
    if (Stream* stream = s.find(id)) {
      s.body_received(id, *stream, {reinterpret_cast<const char*>(data), size});
    }
    return 0;
  }

  // After a complete answer to an incomplete request, RST_STREAM with NO_ERROR stops the rest (RFC 9113, 8.1).
  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int stream_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
    self(user).stream_closed(id);
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, std::int32_t id, std::uint8_t*, std::size_t room, std::uint32_t* flags,
                           nghttp2_data_source*, void* user) {
    Stream* stream = self(user).find(id);
    if (!stream) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    std::size_t n = std::min(room, stream->body.bytes());
    if (n == 0 && !stream->is_finished()) {
      stream->advance(StreamAnswerEvent::kStarved);
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (stream->is_finished() && n == stream->body.bytes()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }

  static int send_body(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head, std::size_t size,
                       nghttp2_data_source*, void* user) {
    Http2Session& s = self(user);
    Stream* stream = s.find(frame->hd.stream_id);
    if (!stream) return NGHTTP2_ERR_CALLBACK_FAILURE;
    s.c_.out().append({reinterpret_cast<const char*>(head), 9});
    stream->body.move_to(s.c_.out(), size);
    stream->began = s.c_.transport().now();
    if (size > 0 && stream->link && stream->link->backlog.load() >= size && stream->link->acknowledge(size)) {
      s.c_.transport().emit(TransportEvent{TransportEvent::Kind::kDrained, stream->link, nullptr, {}});
    }
    return 0;
  }

  static nghttp2_session_callbacks* table() {
    static nghttp2_session_callbacks* callbacks = [] {
      nghttp2_session_callbacks* c = nullptr;
      nghttp2_session_callbacks_new(&c);
      nghttp2_session_callbacks_set_on_begin_headers_callback(c, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(c, header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(c, frame_received);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, data_chunk);
      nghttp2_session_callbacks_set_on_frame_send_callback(c, frame_sent);
      nghttp2_session_callbacks_set_on_stream_close_callback(c, stream_close);
      nghttp2_session_callbacks_set_send_data_callback(c, send_body);
      return c;
    }();
    return callbacks;
  }
};

Http2Session::Http2Session(Connection& connection) : c_(connection) {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, 500);
  nghttp2_option_set_stream_reset_rate_limit(option, static_cast<std::uint64_t>(kResetBurst),
                                             static_cast<std::uint64_t>(kResetsPerSecond));
  nghttp2_session_server_new2(&session_, Callbacks::table(), this, option);
  nghttp2_option_del(option);
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxStreams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(connection.config().max_header)},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  resets_at_ = connection.transport().now();
}

void Http2Session::input(std::string_view bytes) {
  if (ended()) return;
  ssize_t n = nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (n < 0) {
    // Protocol errors queue a GOAWAY by themselves. After a fatal error of the library none can be sent: close the
    // socket.
    log_debug("http", "HTTP/2 connection failed",
              {{"peer", c_.peer().address}, {"error", nghttp2_strerror(static_cast<int>(n))}});
    nghttp2_session_terminate_session(session_,
                                      n == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
    fill();
    advance(Http2Event::kEnded);
    c_.close_after_output(true);
    return;
  }
  // Screen after the whole read: most bodies come in the same read as their heads, and need no screening.
  for (std::int32_t id : std::exchange(unscreened_, {})) {
    if (Stream* stream = find(id); stream && stream->receives()) screen(id, *stream);
  }
}

void Http2Session::end_of_input() {
  advance(Http2Event::kEnded);
  lost();
  c_.close_after_output(false);
}

void Http2Session::add_header(Stream& stream, std::string_view name, std::string_view value) {
  stream.header_bytes += name.size() + value.size() + 32;
  if (stream.header_bytes > c_.config().max_header) {
    stream.refusal = 431;
    return;
  }
  Request& request = *stream.request;
  if (name[0] != ':') {
    // HTTP/2 clients may send a cookie in parts.
    if (name == "cookie") {
      for (auto& [key, text] : request.headers) {
        if (key != "cookie") continue;
        text.append("; ").append(value);
        return;
      }
    }
    request.headers.emplace_back(name, value);
  } else if (name == ":method") {
    request.method = value;
  } else if (name == ":path") {
    request.target = value;
  } else if (name == ":authority") {
    stream.authority = value;
  }
}

void Http2Session::head_received(std::int32_t id, Stream& stream) {
  Request& request = *stream.request;
  stream.head_only = request.method == "HEAD";
  if (stream.refusal != 0) {
    refuse(id, stream, stream.refusal,
           "the request header is larger than " + std::to_string(c_.config().max_header) + " bytes");
    return;
  }
  if (!stream.authority.empty() && http::header(request.headers, "host").empty()) {
    request.headers.emplace_back("host", stream.authority);
  }
  if (request.method == "CONNECT") request.target = stream.authority;
  if (Status parsed = parse_target(request); !parsed.ok()) {
    refuse(id, stream, 400, parsed.error().message);
    return;
  }
  std::string_view length = http::header(request.headers, "content-length");
  if (!length.empty()) {
    auto size = parse_int(length);
    if (size.ok() && static_cast<std::size_t>(*size) > c_.config().max_body) {
      refuse(id, stream, 413, "Request entity too large: limit is " + std::to_string(c_.config().max_body));
      return;
    }
  }
  stream.expects_continue = iequals(http::header(request.headers, "expect"), "100-continue");
}

// Passes a head whose body has not come to the loop, which may reject the request without reading the body.
void Http2Session::screen(std::int32_t id, Stream& stream) {
  if (!c_.config().screen) return proceed(id, stream);
  auto head = std::make_unique<Request>(*stream.request);
  head->body.clear();
  head->peer = c_.peer();
  head->http2 = true;
  stream.advance(StreamRequestEvent::kHeadPassed);
  stream.link = c_.make_link(static_cast<std::uint32_t>(id));
  c_.transport().emit(TransportEvent{TransportEvent::Kind::kHead, stream.link, std::move(head), {}});
}

void Http2Session::proceed(std::int32_t id, Stream& stream) {
  stream.link.reset();             // that of the head; the complete request gets another one
  if (!stream.receives()) return;  // refused meanwhile: the body is too large
  stream.advance(StreamRequestEvent::kBodyAccepted);
  if (stream.request_phase == StreamRequestPhase::kPassed) return pass_request(id, stream);
  if (stream.expects_continue) {
    nghttp2_nv status{const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(":status")),
                      const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>("100")), 7, 3,
                      NGHTTP2_NV_FLAG_NONE};
    nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, &status, 1, nullptr);
  }
}

void Http2Session::body_received(std::int32_t id, Stream& stream, std::string_view bytes) {
  if (!stream.receives()) return;
  std::string& body = stream.request->body;
  const bool too_much =
      stream.charge.set(body.size() + bytes.size()) > c_.config().max_unanswered && !c_.peer().unix_socket;
  if (body.size() + bytes.size() > c_.config().max_body) {
    bodies_ -= body.size();
    body.clear();
    refuse(id, stream, 413, "Request entity too large: limit is " + std::to_string(c_.config().max_body));
    return;
  }
  if (too_much || bodies_ + bytes.size() > kMaxBodies) {
    bodies_ -= body.size();
    body.clear();
    refuse(
        id, stream, 429,
        too_much ? "too many requests, please try again later" : "too many request bodies at once on this connection");
    return;
  }
  bodies_ += bytes.size();
  body.append(bytes);
}

void Http2Session::request_received(std::int32_t id, Stream& stream) {
  if (!stream.receives()) return;
  stream.advance(StreamRequestEvent::kComplete);
  if (stream.request_phase == StreamRequestPhase::kPassed) pass_request(id, stream);
}

void Http2Session::pass_request(std::int32_t id, Stream& stream) {
  bodies_ -= stream.request->body.size();
  stream.request->peer = c_.peer();
  stream.request->http2 = true;
  stream.link = c_.make_link(static_cast<std::uint32_t>(id));
  c_.transport().emit(TransportEvent{TransportEvent::Kind::kRequest, stream.link, std::move(stream.request), {}});
}

void Http2Session::submit_head(std::int32_t id, Stream& stream, int status, const Headers& headers,
                               const std::string& length, bool with_body) {
  std::vector<nghttp2_nv> fields;
  fields.reserve(headers.size() + 3);
  auto add = [&fields](std::string_view name, std::string_view value) {
    fields.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
  };
  std::string code = std::to_string(status);
  add(":status", code);
  add("date", c_.transport().date());
  std::vector<std::string> names;
  names.reserve(headers.size());
  for (const auto& [name, value] : headers) {
    if (!valid_header(name, value)) continue;
    const std::string& lower_name = names.emplace_back(lower(name));
    // Fields about the connection are malformed in HTTP/2 (RFC 9113, 8.2.2).
    if (lower_name == "connection" || lower_name == "transfer-encoding" || lower_name == "keep-alive" ||
        lower_name == "upgrade")
      continue;
    add(lower_name, value);
  }
  if (!length.empty()) add("content-length", length);
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::read_body;
  stream.advance(StreamRequestEvent::kAnswered);
  stream.began = c_.transport().now();
  stream.charge.set(0);
  if (with_body) check_soon();
  nghttp2_submit_response(session_, id, fields.data(), fields.size(), with_body ? &provider : nullptr);
  if (phase_ != Http2Phase::kLastStreams && has_token(http::header(headers, "connection"), "close")) {
    advance(Http2Event::kGoAway);
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                          NGHTTP2_NO_ERROR, nullptr, 0);
  }
}

void Http2Session::respond(std::int32_t id, Stream& stream, TransportCommand& command) {
  if (stream.is_answered()) return;
  std::size_t size = 0;
  for (const SharedBytes& piece : command.pieces) size += piece.bytes.size();
  bool allowed = body_allowed(command.status);
  bool with_body = allowed && !stream.head_only && size > 0;
  if (with_body) {
    for (SharedBytes& piece : command.pieces) stream.body.push(std::move(piece));
  }
  stream.advance(StreamAnswerEvent::kFinished);
  stream.answer_deadline = c_.transport().now() + millis(c_.config().answer_timeout) +
                           static_cast<Millis>(size * 1000 / c_.config().answer_bytes_per_second);
  if (stream.request) {
    bodies_ -= stream.request->body.size();
    stream.request.reset();
  }
  submit_head(id, stream, command.status, command.headers, allowed ? std::to_string(size) : std::string(), with_body);
}

void Http2Session::refuse(std::int32_t id, Stream& stream, int status, std::string_view message) {
  ServerConfig::Rendered rendered = render_error(c_.config(), status, message);
  TransportCommand answer{TransportCommand::Kind::kRespond,          c_.id(), static_cast<std::uint32_t>(id), status,
                          {{"content-type", rendered.content_type}}, {}};
  if (status == 429) answer.headers.emplace_back("retry-after", "1");
  answer.pieces.push_back(SharedBytes::of(std::move(rendered.body)));
  respond(id, stream, answer);
}

void Http2Session::command(TransportCommand& command) {
  auto id = static_cast<std::int32_t>(command.stream);
  Stream* stream = find(id);
  if (ended() || !stream || !stream->link) return;
  const bool resumes = stream->answer_phase == StreamAnswerPhase::kDeferred;
  switch (command.kind) {
    case TransportCommand::Kind::kProceed: proceed(id, *stream); return;
    case TransportCommand::Kind::kRespond: respond(id, *stream, command); return;
    case TransportCommand::Kind::kStart: {
      if (stream->is_answered()) return;
      bool with_body = body_allowed(command.status) && !stream->head_only;
      stream->advance(with_body ? StreamAnswerEvent::kStarted : StreamAnswerEvent::kFinished);
      submit_head(id, *stream, command.status, command.headers, "", with_body);
      return;
    }
    case TransportCommand::Kind::kWrite: {
      if (!stream->is_answered()) return;
      if (!stream->is_finished()) stream->advance(StreamAnswerEvent::kWritten);
      std::size_t dropped = 0;
      for (SharedBytes& piece : command.pieces) {
        if (stream->is_finished()) {
          dropped += piece.bytes.size();
        } else {
          if (stream->body.empty()) stream->began = c_.transport().now();
          check_soon();
          stream->body.push(std::move(piece));
        }
      }
      if (dropped > 0 && stream->link->acknowledge(dropped)) {
        c_.transport().emit(TransportEvent{TransportEvent::Kind::kDrained, stream->link, nullptr, {}});
      }
      break;
    }
    case TransportCommand::Kind::kFinish:
      if (!stream->is_answered()) return;
      stream->advance(StreamAnswerEvent::kFinished);
      break;
    case TransportCommand::Kind::kAbandon:
      if (stream->is_answered()) {
        nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
      } else {
        refuse(id, *stream, 500, "the request was not answered");
      }
      return;
    default: return;
  }
  if (resumes) nghttp2_session_resume_data(session_, id);
}

void Http2Session::fill() {
  if (ended()) return;
  constexpr std::size_t kEnough = 64u << 10;
  while (c_.out().bytes() < kEnough) {
    const std::uint8_t* data = nullptr;
    std::size_t before = c_.out().bytes();
    ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n > 0) c_.out().append({reinterpret_cast<const char*>(data), static_cast<std::size_t>(n)});
    if (n < 0) {
      advance(Http2Event::kEnded);
      c_.close_after_output(false);
      return;
    }
    if (c_.out().bytes() == before) break;
  }
  if ((!nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_)) ||
      (phase_ == Http2Phase::kLastStreams && streams_.empty())) {
    advance(Http2Event::kEnded);
    c_.close_after_output(true);
  }
}

// When the stream is reset unless it makes progress; 0: never.
Millis Http2Session::deadline_of(const Stream& stream) const {
  const ServerConfig& config = c_.config();
  if (!stream.is_answered()) {
    const bool incomplete = stream.receives() && stream.request_phase != StreamRequestPhase::kScreeningComplete;
    return incomplete ? stream.began + millis(config.body_timeout) : 0;
  }
  if (stream.answer_deadline != 0) return stream.answer_deadline;
  return stream.body.empty() ? 0 : stream.began + millis(config.idle_timeout);
}

void Http2Session::check_deadlines() {
  next_check_ = 0;
  const Millis now = c_.transport().now();
  std::vector<std::int32_t> late;
  for (const auto& [id, stream] : streams_) {
    const Millis deadline = deadline_of(*stream);
    if (deadline != 0 && deadline <= now) {
      late.push_back(id);
    } else if (deadline != 0) {
      check_soon();
    }
  }
  for (std::int32_t id : late) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
}

void Http2Session::stream_closed(std::int32_t id) {
  auto at = streams_.find(id);
  if (at == streams_.end()) return;
  Stream& stream = *at->second;
  if (stream.request) bodies_ -= stream.request->body.size();
  bool answered = stream.is_finished() && stream.body.empty();
  if (stream.link && !answered)
    c_.transport().emit(TransportEvent{TransportEvent::Kind::kClosed, stream.link, nullptr, {}});
  streams_.erase(at);
}

bool Http2Session::too_many_resets() {
  Millis now = c_.transport().now();
  resets_left_ = std::min(kResetBurst, resets_left_ + static_cast<double>(now - resets_at_) / 1000 * kResetsPerSecond);
  resets_at_ = now;
  resets_left_ -= 1;
  return resets_left_ < 0;
}

void Http2Session::lost() {
  for (auto& [id, stream] : streams_) {
    if (stream->link && !(stream->is_finished() && stream->body.empty())) {
      c_.transport().emit(TransportEvent{TransportEvent::Kind::kClosed, stream->link, nullptr, {}});
    }
  }
  streams_.clear();
  bodies_ = 0;
}

void Http2Session::announce_end() {
  if (ended()) return;
  nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
  fill();
}

}  // namespace

std::unique_ptr<Session> make_http2_session(Connection& connection) {
  return std::make_unique<Http2Session>(connection);
}

}  // namespace berth::http
