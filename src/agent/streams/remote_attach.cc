#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "agent/logs/container_logs.h"
#include "agent/streams/pump.h"
#include "agent/streams/remote_work.h"
#include "base/files.h"
#include "base/fs/bounded_read.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr Duration kLeave = std::chrono::milliseconds(200);
constexpr std::size_t kMissed = 1024 * 1024;  // of a log that a client came too late for, its end
// Of the log's file, where each line has its time: what was there, and as much again of what comes while the client
// joins.
constexpr std::size_t kLogBefore = 4 * kMissed, kLogRead = 2 * kLogBefore;
constexpr Duration kSettle = std::chrono::milliseconds(20);  // for the monitor to have told what it has logged
constexpr std::size_t kMessage = 8 * 1024;                   // as much as the monitor reads at a time
// The monitor heeds only the first of several sizes that it finds at once, and clients begin with two.
constexpr Duration kBetweenSizes = std::chrono::milliseconds(50);
enum : char { kOutput = 2, kErrors = 3 };

Result<Fd> connect_to_monitor(const std::string& path) {
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

class AttachWork final : public RemoteWork {
 public:
  AttachWork(Loop& loop, std::unique_ptr<http::RemoteSession> session, Task over, MissedLog missed)
      : loop_(loop),
        session_(std::move(session)),
        over_(std::move(over)),
        missed_log_(std::move(missed.path)),
        read_before_(missed.read) {}

  ~AttachWork() override { stop_timer(); }

  void start(ContainerRuntime& containers, const std::string& id, const http::RemoteOptions& options) {
    options_ = options;
    begun_ = loop_.monotonic();
    session_->on_close([this] { end(); });
    Result<Fd> connected = connect_to_monitor(containers.attach_socket(id));
    if (!connected.ok()) {
      if (!missed_log_.empty()) {
        catch_up();
        return take_leave();
      }
      session_->fail(error(connected.error().code,
                           "Internal error occurred: error attaching to container: " + connected.error().message));
      return end();
    }
    if (options.standard_input) {
      Result<Fd> input = duplicate(connected->get());
      if (!input.ok()) {
        session_->fail(error(input.error().code,
                             "Internal error occurred: error attaching to container: " + input.error().message));
        return end();
      }
      Sink::Options half;
      half.end = Sink::End::kHalfClose;
      half.largest = kMessage;
      input_ = std::make_unique<Sink>(
          loop_, std::move(*input), half, [this](bool behind) { session_->pause_input(behind); }, [] {});
    }
    output_ = std::make_unique<Source>(
        loop_, std::move(*connected), [this](std::string_view message) { return pass(message); },
        [this] {
          catch_up();
          take_leave();
        });
    session_->on_drain([this] {
      if (output_ && output_->held()) output_->resume();
    });
    if (options.tty) {
      tell_size_ = [&containers, id](int columns, int rows) {
        containers.resize_terminal(id, columns, rows, [](Status) {});
      };
      session_->on_resize([this](int columns, int rows) {
        columns_ = columns;
        rows_ = rows;
        size_waits_ = true;
        if (timer_ == 0 && !ended_) tell_size();
      });
    }
    if (!missed_log_.empty()) settle();
    session_->on_input([this](std::string_view bytes) {
      if (input_) input_->write(bytes);
    });
    session_->on_input_end([this] {
      if (input_) input_->end();
    });
  }

 private:
  bool pass(std::string_view message) {
    if (missed_log_.empty()) return tell(message[0], message.substr(1));
    heard_.emplace_back(message);
    if (heard_.size() == 1) settle();
    return true;
  }
  bool tell(char stream, std::string_view text) {
    if (stream == kOutput && options_.standard_output) return session_->write_output(text);
    if (stream == kErrors && options_.standard_error) return session_->write_error(text);
    return true;
  }

  void settle() {
    loop_.cancel(settle_timer_);
    settle_timer_ = loop_.after(kSettle, [this] {
      settle_timer_ = 0;
      catch_up();
    });
  }

  // Tells what the container said before the monitor knew of the client: what the log has in front of what was heard.
  // The monitor logs first and tells then. From the first word that was heard, nothing is missed any more.
  void catch_up() {
    if (missed_log_.empty()) return;
    tell_log();
    if (heard_.empty()) return;
    missed_log_.clear();
    for (const std::string& message : std::exchange(heard_, {})) tell(message[0], std::string_view(message).substr(1));
  }

  struct Said {
    char stream;
    std::string text;
  };
  static std::vector<Said> parse_log(std::string_view log) {
    std::vector<Said> all;
    for (std::string_view line : split(log, '\n')) {
      std::optional<LogLine> parsed = parse_log_line(line);
      if (!parsed) continue;
      all.push_back({parsed->stream == "stderr" ? kErrors : kOutput, std::string(parsed->text)});
      if (!parsed->partial) all.back().text += '\n';
    }
    return all;
  }

  // The log from where it was joined: what the client has not read, at most its last kLogBefore bytes, and what came
  // after those.
  Result<std::string> read_log() {
    BERTH_ASSIGN(std::int64_t length, file_length(missed_log_));
    if (log_from_ < 0 || log_from_ > length) {
      log_from_ = std::max(read_before_ <= length ? read_before_ : 0, length - static_cast<std::int64_t>(kLogBefore));
    }
    return read_part(missed_log_, log_from_, kLogRead);
  }

  void tell_log() {
    Result<std::string> log = read_log();
    if (!log.ok() || log->empty()) return;
    const std::vector<Said> all = parse_log(*log);
    std::size_t until[2];
    for (char stream : {kOutput, kErrors}) {
      std::string text, heard;
      for (const Said& said : all) {
        if (said.stream == stream) text += said.text;
      }
      for (const std::string& message : heard_) {
        if (message[0] == stream) heard += message.substr(1);
      }
      // Where the log has not all of it, it was begun anew meanwhile.
      std::size_t end = heard.empty() ? text.size() : text.rfind(heard);
      if (end == std::string::npos) end = 0;
      until[stream == kErrors] = std::max(end, told_[stream == kErrors]);
    }
    tell_until(until, all);
  }

  // Of each stream what was not told yet, up to there, in the log's order; at most the last kMissed bytes.
  void tell_until(const std::size_t (&until)[2], const std::vector<Said>& all) {
    std::size_t at[2] = {0, 0}, left = 0;
    for (int stream : {0, 1}) left += until[stream] - told_[stream];
    for (const Said& said : all) {
      const int stream = said.stream == kErrors;
      const std::size_t begin = std::max(at[stream], told_[stream]);
      at[stream] += said.text.size();
      const std::size_t end = std::min(at[stream], until[stream]);
      if (begin >= end) continue;
      if (left <= kMissed)
        tell(said.stream, std::string_view(said.text).substr(said.text.size() - (at[stream] - begin), end - begin));
      left -= end - begin;
    }
    for (int stream : {0, 1}) told_[stream] = until[stream];
  }

  // A terminal's client sends its sizes first, and complains aloud of a session that is over before it could.
  void take_leave() {
    const Duration age = loop_.monotonic() - begun_;
    leave_timer_ = loop_.after(options_.tty ? std::max(kLeave - age, Duration::zero()) : Duration::zero(), [this] {
      leave_timer_ = 0;
      session_->finish(0);
      end();
    });
  }

  void tell_size() {
    size_waits_ = false;
    tell_size_(columns_, rows_);
    timer_ = loop_.after(kBetweenSizes, [this] {
      timer_ = 0;
      if (size_waits_) tell_size();
    });
  }
  void stop_timer() {
    for (TimerId* timer : {&timer_, &leave_timer_, &settle_timer_}) {
      if (*timer != 0) loop_.cancel(*timer);
      *timer = 0;
    }
  }

  void end() {
    if (ended_) return;
    ended_ = true;
    stop_timer();
    input_.reset();
    output_.reset();
    over_();
  }

  Loop& loop_;
  std::unique_ptr<http::RemoteSession> session_;
  Task over_;
  std::string missed_log_;
  const std::int64_t read_before_;
  std::int64_t log_from_ = -1;  // where in missed_log_ this client joined; -1: not read yet
  http::RemoteOptions options_;
  std::unique_ptr<Sink> input_;
  std::unique_ptr<Source> output_;
  Function<void(int, int)> tell_size_;
  int columns_ = 0, rows_ = 0;
  Duration begun_{};
  std::vector<std::string> heard_;  // with the stream in front, while it is looked for in the log
  std::size_t told_[2] = {};        // of the log's output and errors, bytes
  TimerId timer_ = 0, leave_timer_ = 0, settle_timer_ = 0;
  bool size_waits_ = false, ended_ = false;
};

}  // namespace

std::unique_ptr<RemoteWork> run_attach(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                       const http::RemoteOptions& options, std::unique_ptr<http::RemoteSession> session,
                                       Task over, MissedLog missed) {
  auto work = std::make_unique<AttachWork>(loop, std::move(session), std::move(over), std::move(missed));
  work->start(containers, id, options);
  return work;
}

}  // namespace berth::agent
