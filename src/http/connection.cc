#include "http/connection.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace berth::http {

namespace {
constexpr Millis kHandshakeTime = 10'000;
constexpr Millis kDrainTime = 2'000;
constexpr std::size_t kReadPerRound = 512u << 10;  // of one connection, so that the others of the transport get a turn
constexpr std::size_t kFillBelow = 64u << 10;      // of the output queue: the session is asked for more
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

Millis millis(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }
}  // namespace

Connection::Connection(Transport& transport, std::uint64_t id, Fd fd, bool tcp, Peer peer)
    : transport_(transport),
      id_(id),
      peer_(std::move(peer)),
      socket_(std::move(fd), tcp),
      opened_at_(transport.now()),
      progress_(transport.now()) {}

Connection::~Connection() = default;

std::shared_ptr<ExchangeLink> Connection::make_link(std::uint32_t stream) const {
  auto link = std::make_shared<ExchangeLink>();
  link->transport = transport_.index();
  link->connection = id_;
  link->stream = stream;
  link->open_exchanges = open_exchanges_;
  open_exchanges_->count.fetch_add(1);
  return link;
}

void Connection::on_events(std::uint32_t events) {
  socket_.on_events(events);
  pump();
}

void Connection::on_command(TransportCommand& command) {
  if (!session_ || closed()) return;
  session_->command(command);
  adopt_next_session();
}

void Connection::after_commands() { pump(); }

void Connection::pump() {
  if (phase_ == ConnectionPhase::kHandshaking) continue_handshake();
  if (phase_ == ConnectionPhase::kDraining) {
    drain_input();
  } else if (!closed() && phase_ != ConnectionPhase::kHandshaking) {
    const bool left_unread = read_input();
    if (!closed()) write_output();
    // write_output() may have made room for the answers to the input that is left in the socket.
    if (!closed() && left_unread && session_) {
      if (session_->wants_input()) {
        transport_.run_again(id_);
      } else if (socket_.peer_gone()) {
        abort();  // the end of its input would never be read
      }
    }
  }
  if (!closed()) update_deadline();
}

void Connection::continue_handshake() {
  switch (socket_.handshake()) {
    case Socket::Io::kDone: break;
    case Socket::Io::kAgain: return;
    default:
      log_debug("http", "TLS handshake failed", {{"peer", peer_.address}, {"error", socket_.failure()}});
      abort();
      return;
  }
  advance(ConnectionEvent::kSessionChosen);
  progress_ = transport_.now();
  read_peer(socket_.ssl(), peer_);
  session_ = negotiated_h2(socket_.ssl()) ? make_http2_session(*this) : make_http1_session(*this);
}

// On plain text only the client's preface announces HTTP/2; it may come in parts.
void Connection::choose_session() {
  std::size_t n = std::min(first_bytes_.size(), kHttp2Preface.size());
  bool may_be_2 = first_bytes_.compare(0, n, kHttp2Preface.substr(0, n)) == 0;
  if (may_be_2 && n < kHttp2Preface.size()) return;
  advance(ConnectionEvent::kSessionChosen);
  session_ = may_be_2 ? make_http2_session(*this) : make_http1_session(*this);
  std::string bytes;
  bytes.swap(first_bytes_);
  session_->input(bytes);
}

// Reads what has come, as far as the session wants it. True: it does not want more for now.
bool Connection::read_input() {
  std::size_t total = 0;
  while (phase_ == ConnectionPhase::kDetecting || phase_ == ConnectionPhase::kOpen) {
    if (session_ && !session_->wants_input()) return true;
    if (!socket_.may_read()) return false;
    if (total >= kReadPerRound) {
      transport_.run_again(id_);
      return false;
    }
    std::size_t got = 0;
    Socket::Io result = socket_.read(transport_.scratch(), Transport::kScratch, got);
    if (result == Socket::Io::kAgain) return false;
    if (result == Socket::Io::kFailed || (result == Socket::Io::kEnd && !session_)) {
      abort();
      return false;
    }
    if (result == Socket::Io::kEnd) {
      advance(ConnectionEvent::kInputEnded);
      session_->end_of_input();
      return false;
    }
    total += got;
    progress_ = transport_.now();
    std::string_view bytes(transport_.scratch(), got);
    if (!session_) {
      first_bytes_.append(bytes);
      choose_session();
    } else {
      session_->input(bytes);
    }
    adopt_next_session();
  }
  return false;
}

void Connection::adopt_next_session() {
  while (next_session_) session_ = std::move(next_session_);
}

void Connection::write_output() {
  for (;;) {
    if (writes_answers(phase_) && out_.bytes() < kFillBelow) {
      session_->fill();
      if (closed()) return;
    }
    if (out_.empty()) {
      output_waits_ = 0;
      break;
    }
    if (output_waits_ == 0) output_waits_ = transport_.now();
    std::size_t written = 0;
    Socket::Io result = socket_.write(out_, written);
    if (written > 0) {
      progress_ = output_waits_ = transport_.now();
      if (session_) session_->wrote(written);
    }
    if (result == Socket::Io::kAgain) return;
    if (result != Socket::Io::kDone) {  // failed, or the peer has closed its side of the TLS session
      abort();
      return;
    }
  }
  if (writes_the_rest(phase_)) finish_output();
}

void Connection::close_after_output(bool drain) {
  advance(drain ? ConnectionEvent::kCloseAndDrain : ConnectionEvent::kClose);
}

void Connection::finish_output() {
  socket_.shutdown_write();
  if (phase_ == ConnectionPhase::kClosing) {
    abort();
    return;
  }
  advance(ConnectionEvent::kDrainStarted);
  progress_ = transport_.now();
  if (session_) session_->lost();
  session_.reset();
  drain_input();
}

void Connection::drain_input() {
  for (std::size_t total = 0; socket_.may_read();) {
    std::size_t got = 0;
    Socket::Io result = socket_.read(transport_.scratch(), Transport::kScratch, got);
    if (result == Socket::Io::kAgain) return;
    if (result != Socket::Io::kDone) {
      abort();
      return;
    }
    total += got;
    if (total >= kReadPerRound) {
      transport_.run_again(id_);
      return;
    }
  }
}

void Connection::abort() {
  if (closed()) return;
  if (session_) session_->lost();  // lost() calls input_ended(), which reads the phase: change it afterwards
  advance(ConnectionEvent::kRemoved);
  transport_.remove(id_);
}

void Connection::announce_end() {
  if (closed()) return;
  if (session_) {
    session_->announce_end();
    std::size_t written = 0;
    socket_.write(out_, written);
  }
  // A handshake cannot be shut down, and draining has done it.
  if (phase_ != ConnectionPhase::kHandshaking && phase_ != ConnectionPhase::kDraining) socket_.shutdown_write();
}

bool Connection::is_waiting() const {
  if (phase_ == ConnectionPhase::kDetecting || phase_ == ConnectionPhase::kHandshaking) return true;
  return writes_answers(phase_) && out_.empty() && session_->idle() &&
         session_->receiving() != Session::Receiving::kBody;
}

Millis Connection::next_deadline() {
  using Receiving = Session::Receiving;
  const Millis idle = millis(config().idle_timeout);
  if (phase_ == ConnectionPhase::kDraining) return progress_ + kDrainTime;
  if (!session_) return opened_at_ + std::min(kHandshakeTime, millis(config().head_timeout));
  const Receiving receiving = session_->receiving();
  if (receiving != receiving_ && (receiving_ == Receiving::kNothing || receiving == Receiving::kNothing))
    receiving_since_ = transport_.now();
  receiving_ = receiving;
  if (!out_.empty()) {
    const Millis answer = session_->answer_deadline();
    return answer != 0 ? std::min(answer, output_waits_ + idle) : output_waits_ + idle;
  }
  switch (receiving) {
    case Receiving::kHead: return receiving_since_ + millis(config().head_timeout);
    case Receiving::kBody: return receiving_since_ + millis(config().body_timeout);
    case Receiving::kNothing: break;
  }
  if (!session_->idle()) return 0;
  return progress_ + (session_->had_request() ? idle : std::min(idle, millis(config().head_timeout)));
}

void Connection::update_deadline() {
  deadline_ = next_deadline();
  if (Millis check = session_ ? session_->next_check() : 0; check != 0 && (deadline_ == 0 || check < deadline_))
    deadline_ = check;
  // A connection moves its deadline with almost every event, mostly further away. Its timer is set again only for an
  // earlier one; when it fires too early, on_timer() sets it for the deadline of that time.
  if (deadline_ != 0 && (timer_at_ == 0 || deadline_ < timer_at_)) {
    timer_at_ = deadline_;
    transport_.schedule(deadline_, id_);
  }
}

void Connection::on_timer() {
  // A timer that was set before the deadline moved nearer fires as well.
  if (closed() || timer_at_ == 0 || timer_at_ > transport_.now()) return;
  timer_at_ = 0;
  if (session_ && session_->next_check() != 0 && session_->next_check() <= transport_.now()) {
    session_->check_deadlines();
    pump();
    return;  // pump() has set a new timer
  }
  if (deadline_ == 0) return;
  if (deadline_ > transport_.now()) {
    timer_at_ = deadline_;
    transport_.schedule(deadline_, id_);
    return;
  }
  if (session_ && out_.empty()) {
    session_->announce_end();
    std::size_t written = 0;
    socket_.write(out_, written);
  }
  socket_.shutdown_write();
  abort();
}

}  // namespace berth::http
