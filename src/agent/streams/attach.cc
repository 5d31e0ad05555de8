// kubectl attach: the client's streams and the container's own, which conmon holds. conmon sends output as messages,
// the stream's number first.
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "agent/logs/container_logs.h"
#include "agent/streams/pump.h"
#include "agent/streams/stream_session.h"
#include "base/files.h"
#include "base/fs/bounded_read.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr Duration kShortestSession = std::chrono::milliseconds(200);  // of a terminal
constexpr std::size_t kMissedLimit = 1024 * 1024;                      // of the replayed log: its last bytes
// Bytes of the log's file, whose lines have their times: what was there, and as much again of what comes meanwhile.
constexpr std::size_t kLogBefore = 4 * kMissedLimit, kLogRead = 2 * kLogBefore;
constexpr Duration kLogDelay = std::chrono::milliseconds(20);  // for conmon to send what it has logged
constexpr std::size_t kMessage = 8 * 1024;                     // as much as conmon reads at a time
// conmon applies only the first of several sizes that it reads at once, and clients send two at the start.
constexpr Duration kBetweenSizes = std::chrono::milliseconds(50);
enum : char { kOutput = 2, kError = 3 };

Result<Fd> connect_to_conmon(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return error(Code::kInternal, "socket path too long: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return errno_error("attaching to the container");
  }
  return fd;
}

class AttachSession final : public StreamSession {
 public:
  AttachSession(Loop& loop, std::unique_ptr<http::RemoteSession> client, Task done, MissedLog missed)
      : loop_(loop),
        client_(std::move(client)),
        done_(std::move(done)),
        missed_log_(std::move(missed.path)),
        already_read_(missed.read) {}

  ~AttachSession() override { stop_timers(); }

  void start(ContainerRuntime& containers, const std::string& id, const http::RemoteOptions& options) {
    options_ = options;
    started_at_ = loop_.monotonic();
    client_->on_close([this] { close(); });
    Result<Fd> connected = connect_to_conmon(containers.attach_socket(id));
    if (!connected.ok()) {
      if (missed_log_.empty()) return fail(connected.error());
      replay_log();
      return finish_later();
    }
    if (Status opened = connect_streams(std::move(*connected)); !opened.ok()) return fail(opened.error());
    if (options.tty) {
      set_size_ = [&containers, id](int columns, int rows) {
        containers.resize_terminal(id, columns, rows, [](Status) {});
      };
      client_->on_resize([this](int columns, int rows) {
        columns_ = columns;
        rows_ = rows;
        size_is_due_ = true;
        if (size_timer_ == 0 && !closed_) send_size();
      });
    }
    if (!missed_log_.empty()) replay_log_soon();
    client_->on_input([this](std::string_view bytes) {
      if (input_) input_->write(bytes);
    });
    client_->on_input_end([this] {
      if (input_) input_->end();
    });
  }

 private:
  Status connect_streams(Fd conmon) {
    if (options_.standard_input) {
      BERTH_ASSIGN(Fd input, duplicate(conmon.get()));
      Sink::Options half;
      half.end = Sink::End::kHalfClose;
      half.largest = kMessage;
      input_ = std::make_unique<Sink>(
          loop_, std::move(input), half, [this](bool behind) { client_->pause_input(behind); }, [] {});
    }
    output_ = std::make_unique<Source>(
        loop_, std::move(conmon), [this](std::string_view message) { return on_output(message); },
        [this] {
          replay_log();
          finish_later();
        });
    client_->on_drain([this] {
      if (output_ && output_->paused()) output_->resume();
    });
    return ok_status();
  }
  void fail(const Error& why) {
    client_->fail(error(why.code, "Internal error occurred: error attaching to container: " + why.message));
    close();
  }

  bool on_output(std::string_view message) {
    if (missed_log_.empty()) return send(message[0], message.substr(1));
    received_.emplace_back(message);
    if (received_.size() == 1) replay_log_soon();
    return true;
  }
  bool send(char stream, std::string_view text) {
    if (stream == kOutput && options_.standard_output) return client_->write_output(text);
    if (stream == kError && options_.standard_error) return client_->write_error(text);
    return true;
  }

  void replay_log_soon() {
    loop_.cancel(log_timer_);
    log_timer_ = loop_.after(kLogDelay, [this] {
      log_timer_ = 0;
      replay_log();
    });
  }

  // Sends what the container wrote before conmon knew this client: the log up to what was received. conmon writes to
  // the log first and to its clients then, so from the first message received nothing is missing.
  void replay_log() {
    if (missed_log_.empty()) return;
    send_log();
    if (received_.empty()) return;
    missed_log_.clear();
    for (const std::string& message : std::exchange(received_, {}))
      send(message[0], std::string_view(message).substr(1));
  }

  struct LoggedText {
    char stream;
    std::string text;
  };
  static std::vector<LoggedText> parse_log(std::string_view log) {
    std::vector<LoggedText> all;
    for (std::string_view line : split(log, '\n')) {
      std::optional<LogLine> parsed = parse_log_line(line);
      if (!parsed) continue;
      all.push_back({parsed->stream == "stderr" ? kError : kOutput, std::string(parsed->text)});
      if (!parsed->partial) all.back().text += '\n';
    }
    return all;
  }

  // The log from where this client joined: what it has not read, at most the last kLogBefore bytes, and what came after
  // those.
  Result<std::string> read_log() {
    BERTH_ASSIGN(std::int64_t length, file_length(missed_log_));
    if (log_from_ < 0 || log_from_ > length) {
      log_from_ = std::max(already_read_ <= length ? already_read_ : 0, length - static_cast<std::int64_t>(kLogBefore));
    }
    return read_part(missed_log_, log_from_, kLogRead);
  }

  void send_log() {
    Result<std::string> log = read_log();
    if (!log.ok() || log->empty()) return;
    const std::vector<LoggedText> all = parse_log(*log);
    std::size_t until[2];
    for (char stream : {kOutput, kError}) {
      std::string text, received;
      for (const LoggedText& logged : all) {
        if (logged.stream == stream) text += logged.text;
      }
      for (const std::string& message : received_) {
        if (message[0] == stream) received += message.substr(1);
      }
      // A log that does not have all of it was rotated meanwhile.
      std::size_t end = received.empty() ? text.size() : text.rfind(received);
      if (end == std::string::npos) end = 0;
      until[stream == kError] = std::max(end, sent_[stream == kError]);
    }
    send_logged_until(until, all);
  }

  // Sends of each stream what was not sent yet, up to `until`, in the log's order; at most the last kMissedLimit bytes.
  void send_logged_until(const std::size_t (&until)[2], const std::vector<LoggedText>& all) {
    std::size_t at[2] = {0, 0}, left = 0;
    for (int stream : {0, 1}) left += until[stream] - sent_[stream];
    for (const LoggedText& logged : all) {
      const int stream = logged.stream == kError;
      const std::size_t begin = std::max(at[stream], sent_[stream]);
      at[stream] += logged.text.size();
      const std::size_t end = std::min(at[stream], until[stream]);
      if (begin >= end) continue;
      if (left <= kMissedLimit)
        send(logged.stream,
             std::string_view(logged.text).substr(logged.text.size() - (at[stream] - begin), end - begin));
      left -= end - begin;
    }
    for (int stream : {0, 1}) sent_[stream] = until[stream];
  }

  // The client of a terminal sends its sizes first, and prints an error if the session ends before that.
  void finish_later() {
    const Duration age = loop_.monotonic() - started_at_;
    finish_timer_ =
        loop_.after(options_.tty ? std::max(kShortestSession - age, Duration::zero()) : Duration::zero(), [this] {
          finish_timer_ = 0;
          client_->finish(0);
          close();
        });
  }

  void send_size() {
    size_is_due_ = false;
    set_size_(columns_, rows_);
    size_timer_ = loop_.after(kBetweenSizes, [this] {
      size_timer_ = 0;
      if (size_is_due_) send_size();
    });
  }
  void stop_timers() {
    for (TimerId* timer : {&size_timer_, &finish_timer_, &log_timer_}) {
      if (*timer != 0) loop_.cancel(*timer);
      *timer = 0;
    }
  }

  void close() {
    if (closed_) return;
    closed_ = true;
    stop_timers();
    input_.reset();
    output_.reset();
    done_();
  }

  Loop& loop_;
  std::unique_ptr<http::RemoteSession> client_;
  Task done_;
  std::string missed_log_;
  const std::int64_t already_read_;
  std::int64_t log_from_ = -1;  // where in missed_log_ this client joined; -1: not read yet
  http::RemoteOptions options_;
  std::unique_ptr<Sink> input_;
  std::unique_ptr<Source> output_;
  Function<void(int, int)> set_size_;
  int columns_ = 0, rows_ = 0;
  Duration started_at_{};
  std::vector<std::string> received_;  // messages, until replay_log() has found them in the log
  std::size_t sent_[2] = {};           // bytes of the log's output and error
  TimerId size_timer_ = 0, finish_timer_ = 0, log_timer_ = 0;
  bool size_is_due_ = false, closed_ = false;
};

}  // namespace

std::unique_ptr<StreamSession> start_attach(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                            const http::RemoteOptions& options,
                                            std::unique_ptr<http::RemoteSession> client, Task done, MissedLog missed) {
  auto session = std::make_unique<AttachSession>(loop, std::move(client), std::move(done), std::move(missed));
  session->start(containers, id, options);
  return session;
}

}  // namespace berth::agent
