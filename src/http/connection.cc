#include "http/connection.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace berth::http {

namespace {
constexpr Millis kHandshakeTime = 10'000;
constexpr Millis kLingerTime = 2'000;
constexpr std::size_t kReadPerRound = 512u << 10;
constexpr std::size_t kOutputAtATime = 64u << 10;
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

Millis millis(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }
}  // namespace

Connection::Connection(Transport& transport, std::uint64_t id, Fd fd, bool tcp, Peer peer)
    : transport_(transport),
      id_(id),
      peer_(std::move(peer)),
      socket_(std::move(fd), tcp),
      born_(transport.now()),
      progress_(transport.now()),
      wrote_(transport.now()) {}

Connection::~Connection() = default;

std::shared_ptr<ExchangeLink> Connection::make_link(std::uint32_t stream) const {
  auto link = std::make_shared<ExchangeLink>();
  link->transport = transport_.index();
  link->connection = id_;
  link->stream = stream;
  link->load = load_;
  load_->live.fetch_add(1);
  return link;
}

void Connection::on_events(std::uint32_t events) {
  socket_.note(events);
  pump();
}

void Connection::on_command(TransportCommand& command) {
  if (!session_ || dead_ || lingering_) return;
  session_->command(command);
  take_over();
}

void Connection::after_commands() {
  if (!dead_) pump();
}

void Connection::pump() {
  if (dead_) return;
  if (handshaking_) shake_hands();
  if (!dead_ && !handshaking_) {
    if (lingering_) {
      drain_input();
    } else {
      read_input();
      if (!dead_) write_output();
      // Output that went out may have made the session ready for more of what it left unread.
      if (!dead_ && !lingering_ && input_waits_ && session_ && session_->wants_input()) transport_.run_again(id_);
    }
  }
  if (!dead_) update_deadline();
}

void Connection::shake_hands() {
  switch (socket_.handshake()) {
    case Socket::Io::kDone: break;
    case Socket::Io::kAgain: return;
    default:
      log_debug("http", "TLS handshake failed", {{"peer", peer_.address}, {"error", socket_.failure()}});
      die();
      return;
  }
  handshaking_ = false;
  progress_ = transport_.now();
  read_peer(socket_.ssl(), peer_);
  session_ = negotiated_h2(socket_.ssl()) ? make_http2_session(*this) : make_http1_session(*this);
}

// Plain connections announce HTTP/2 by its preface.
void Connection::choose_session() {
  std::size_t n = std::min(first_bytes_.size(), kHttp2Preface.size());
  bool may_be_2 = first_bytes_.compare(0, n, kHttp2Preface.substr(0, n)) == 0;
  if (may_be_2 && n < kHttp2Preface.size()) return;
  session_ = may_be_2 ? make_http2_session(*this) : make_http1_session(*this);
  std::string bytes;
  bytes.swap(first_bytes_);
  session_->input(bytes);
}

void Connection::read_input() {
  std::size_t total = 0;
  input_waits_ = false;
  while (!input_ended_ && !dead_ && !closing_) {
    if (session_ && !session_->wants_input()) {
      input_waits_ = true;
      return;
    }
    if (!socket_.may_read()) return;
    if (total >= kReadPerRound) {
      transport_.run_again(id_);
      return;
    }
    std::size_t got = 0;
    Socket::Io result = socket_.read(transport_.scratch(), Transport::kScratch, got);
    if (result == Socket::Io::kAgain) return;
    if (result == Socket::Io::kFailed) {
      die();
      return;
    }
    if (result == Socket::Io::kEnd) {
      input_ended_ = true;
      if (session_) {
        session_->end_of_input();
      } else {
        die();
      }
      return;
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
    take_over();
  }
}

void Connection::take_over() {
  while (next_session_) session_ = std::move(next_session_);
}

void Connection::write_output() {
  for (;;) {
    if (session_ && !closing_ && out_.bytes() < kOutputAtATime) {
      session_->fill();
      if (dead_) return;
    }
    if (out_.empty()) {
      all_written_ = true;
      break;
    }
    if (std::exchange(all_written_, false)) wrote_ = transport_.now();
    std::size_t written = 0;
    Socket::Io result = socket_.write(out_, written);
    if (written > 0) {
      progress_ = wrote_ = transport_.now();
      if (session_) session_->wrote(written);
    }
    if (result == Socket::Io::kAgain) return;
    if (result != Socket::Io::kDone) {  // failed, or the peer has closed its side of the TLS session
      die();
      return;
    }
  }
  if (closing_) finish_output();
}

void Connection::close_after_output(bool linger) {
  closing_ = true;
  linger_ = linger_ || linger;
}

void Connection::finish_output() {
  socket_.shutdown_write();
  if (!linger_ || input_ended_) {
    die();
    return;
  }
  lingering_ = true;
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
      die();
      return;
    }
    total += got;
    if (total >= kReadPerRound) {
      transport_.run_again(id_);
      return;
    }
  }
}

void Connection::abort() { die(); }

void Connection::die() {
  if (dead_) return;
  dead_ = true;
  if (session_) session_->lost();
  transport_.remove(id_);
}

void Connection::goodbye() {
  if (dead_) return;
  if (session_ && !lingering_) {
    session_->goodbye();
    std::size_t written = 0;
    socket_.write(out_, written);
  }
  if (!handshaking_ && !lingering_) socket_.shutdown_write();
}

bool Connection::waits() const {
  if (dead_ || closing_ || !out_.empty()) return false;
  return !session_ || (session_->idle() && session_->receiving() != Session::Receiving::kBody);
}

Millis Connection::next_deadline() {
  using Receiving = Session::Receiving;
  const Millis idle = millis(config().idle_timeout);
  if (lingering_) return progress_ + kLingerTime;
  if (handshaking_ || !session_) return born_ + std::min(kHandshakeTime, millis(config().head_timeout));
  const Receiving receiving = session_->receiving();
  if (receiving != receiving_ && (receiving_ == Receiving::kNothing || receiving == Receiving::kNothing))
    received_ = transport_.now();
  receiving_ = receiving;
  if (!out_.empty()) {
    const Millis answer = session_->answer_deadline();
    return answer != 0 ? std::min(answer, wrote_ + idle) : wrote_ + idle;
  }
  switch (receiving) {
    case Receiving::kHead: return received_ + millis(config().head_timeout);
    case Receiving::kBody: return received_ + millis(config().body_timeout);
    case Receiving::kNothing: break;
  }
  if (!session_->idle()) return 0;
  return progress_ + (session_->had_request() ? idle : std::min(idle, millis(config().head_timeout)));
}

void Connection::update_deadline() {
  deadline_ = next_deadline();
  if (Millis look = session_ && !lingering_ ? session_->look_at() : 0;
      look != 0 && (deadline_ == 0 || look < deadline_))
    deadline_ = look;
  // At most one timer waits for a connection, unless the deadline came nearer: it looks again when it fires.
  if (deadline_ != 0 && (timer_at_ == 0 || deadline_ < timer_at_)) {
    timer_at_ = deadline_;
    transport_.schedule(deadline_, id_);
  }
}

void Connection::on_timer() {
  if (dead_ || timer_at_ == 0 || timer_at_ > transport_.now()) return;  // another one for this connection
  timer_at_ = 0;
  if (session_ && !lingering_ && session_->look_at() != 0 && session_->look_at() <= transport_.now()) {
    session_->look_after();
    pump();
    return;  // with a new timer
  }
  if (deadline_ == 0) return;
  if (deadline_ > transport_.now()) {
    timer_at_ = deadline_;
    transport_.schedule(deadline_, id_);
    return;
  }
  if (session_ && !lingering_ && out_.empty()) {
    session_->goodbye();
    std::size_t written = 0;
    socket_.write(out_, written);
  }
  socket_.shutdown_write();
  die();
}

}  // namespace berth::http
