#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "agent/streams/container_logs.h"
#include "agent/streams/pump.h"
#include "agent/streams/remote_work.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr Duration kLeave = std::chrono::milliseconds(200);
constexpr std::size_t kMissed = 1024 * 1024;  // of a log that a client came too late for, its end
constexpr std::size_t kMessage = 8 * 1024;  // as much as the monitor reads at a time
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
  AttachWork(Loop& loop, std::unique_ptr<http::RemoteSession> session, Task over, std::string missed_log)
      : loop_(loop), session_(std::move(session)), over_(std::move(over)), missed_log_(std::move(missed_log)) {}

  ~AttachWork() override { stop_timer(); }

  void start(ContainerRuntime& containers, const std::string& id, const http::RemoteOptions& options) {
    options_ = options;
    session_->on_close([this] { end(); });
    Result<Fd> connected = connect_to_monitor(containers.attach_socket(id));
    if (!connected.ok()) {
      if (tell_what_was_missed()) return take_leave();
      session_->fail(error(connected.error().code,
                           "Internal error occurred: error attaching to container: " + connected.error().message));
      return end();
    }
    if (options.standard_input) {
      Sink::Options half;
      half.end = Sink::End::kHalfClose;
      half.largest = kMessage;
      input_ = std::make_unique<Sink>(
          loop_, duplicate(connected->get()), half, [this](bool behind) { session_->pause_input(behind); }, [] {});
    }
    output_ = std::make_unique<Source>(
        loop_, std::move(*connected), [this](std::string_view message) { return pass(message); },
        [this] {
          if (tell_what_was_missed()) return take_leave();
          session_->finish(0);
          end();
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
    session_->on_input([this](std::string_view bytes) {
      if (input_) input_->write(bytes);
    });
    session_->on_input_end([this] {
      if (input_) input_->end();
    });
  }

 private:
  bool pass(std::string_view message) {
    char stream = message[0];
    message.remove_prefix(1);
    missed_log_.clear();  // it came in time
    if (stream == kOutput && options_.standard_output) return session_->write_output(message);
    if (stream == kErrors && options_.standard_error) return session_->write_error(message);
    return true;
  }

  // The container may have said all it had to say, and ended, while the client was on its way. Answers whether it had.
  bool tell_what_was_missed() {
    if (missed_log_.empty()) return false;
    Result<std::string> log = read_file(missed_log_);
    missed_log_.clear();
    if (!log.ok() || log->empty()) return false;
    std::string_view text = *log;
    if (text.size() > kMissed) {
      text.remove_prefix(text.size() - kMissed);
      text.remove_prefix(std::min(text.size(), text.find('\n') + 1));
    }
    for (std::string_view line : split(text, '\n')) {
      std::optional<LogLine> parsed = parse_log_line(line);
      if (!parsed) continue;
      std::string said = std::string(parsed->text) + (parsed->partial ? "" : "\n");
      const bool is_error = parsed->stream == "stderr";
      if (is_error && options_.standard_error) session_->write_error(said);
      if (!is_error && options_.standard_output) session_->write_output(said);
    }
    return true;
  }

  // A terminal's client sends its sizes first, and complains aloud of a session that is over before it could.
  void take_leave() {
    leave_timer_ = loop_.after(options_.tty ? kLeave : Duration::zero(), [this] {
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
    for (TimerId* timer : {&timer_, &leave_timer_}) {
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
  http::RemoteOptions options_;
  std::unique_ptr<Sink> input_;
  std::unique_ptr<Source> output_;
  Function<void(int, int)> tell_size_;
  int columns_ = 0, rows_ = 0;
  TimerId timer_ = 0, leave_timer_ = 0;
  bool size_waits_ = false, ended_ = false;
};

}  // namespace

std::unique_ptr<RemoteWork> run_attach(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                       const http::RemoteOptions& options, std::unique_ptr<http::RemoteSession> session,
                                       Task over, std::string missed_log) {
  auto work = std::make_unique<AttachWork>(loop, std::move(session), std::move(over), std::move(missed_log));
  work->start(containers, id, options);
  return work;
}

}  // namespace berth::agent
