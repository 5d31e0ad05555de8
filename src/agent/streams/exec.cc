// kubectl exec: the client's streams and those of a new process in the container.
#include <sys/ioctl.h>

#include "agent/streams/pump.h"
#include "agent/streams/stream_session.h"
#include "base/lifetime.h"

namespace berth::agent {
namespace {

// For output of what the process left behind in the background.
constexpr Duration kBackgroundOutput = std::chrono::seconds(2);

class ExecSession final : public StreamSession {
 public:
  ExecSession(Loop& loop, std::unique_ptr<http::RemoteSession> client, Task done)
      : loop_(loop), client_(std::move(client)), done_(std::move(done)) {}
  ~ExecSession() override {
    lifetime_.end();
    if (timer_ != 0) loop_.cancel(timer_);
  }

  void start(ContainerRuntime& containers, const std::string& id, const ContainerRuntime::ExecOptions& options) {
    client_->on_close([this] { close(); });
    containers.exec_interactive(
        id, options,
        [this, alive = lifetime_.guard()](Result<ContainerRuntime::ExecStreams> streams) {
          if (!streams.ok()) {
            if (alive) fail(streams.error());
            return;
          }
          // ~Ends closes them if the client has left meanwhile.
          Ends ends{Fd(streams->standard_input), Fd(streams->standard_output), Fd(streams->standard_error),
                    Fd(streams->terminal)};
          if (alive && state_ != State::kClosed) connect_streams(std::move(ends));
        },
        [this, alive = lifetime_.guard()](int code) {
          if (alive) exited(code);
        });
  }

 private:
  // kExited: the process has ended, output may still come. kClosed: `done` was called.
  enum class State { kRunning, kExited, kClosed };
  // The agent's ends of the process's streams.
  struct Ends {
    Fd input, output, error, terminal;
  };

  void connect_streams(Ends ends) {
    if (ends.terminal) {
      Result<Fd> sizes = duplicate(ends.terminal.get()), input = duplicate(ends.terminal.get());
      if (!sizes.ok() || !input.ok()) return fail(sizes.ok() ? input.error() : sizes.error());
      terminal_ = std::move(*sizes);
      // A terminal's input has no end: the client's is not passed on, as upstream.
      open_input(std::move(*input), Sink::End::kNothing);
      output_ = open_output(std::move(ends.terminal), false);
      client_->on_resize([this](int columns, int rows) {
        winsize size{};
        size.ws_col = static_cast<unsigned short>(columns);
        size.ws_row = static_cast<unsigned short>(rows);
        ::ioctl(terminal_.get(), TIOCSWINSZ, &size);
      });
    } else {
      if (ends.input) open_input(std::move(ends.input), Sink::End::kClose);
      if (ends.output) output_ = open_output(std::move(ends.output), false);
      if (ends.error) error_ = open_output(std::move(ends.error), true);
    }
    client_->on_drain([this] {
      if (output_ && output_->paused()) output_->resume();
      if (error_ && error_->paused()) error_->resume();
    });
    const auto alive = lifetime_.guard();
    // Each of these calls delivers input that has come already, whose callbacks may close this session.
    if (state_ != State::kClosed)
      client_->on_input([this](std::string_view bytes) {
        if (input_) input_->write(bytes);
      });
    if (alive && state_ != State::kClosed)
      client_->on_input_end([this] {
        if (input_) input_->end();
      });
  }

  void open_input(Fd fd, Sink::End end) {
    Sink::Options options;
    options.end = end;
    // If the process does not read any more, the rest of the input is dropped.
    input_ = std::make_unique<Sink>(
        loop_, std::move(fd), options, [this](bool behind) { client_->pause_input(behind); }, [] {});
  }

  std::unique_ptr<Source> open_output(Fd fd, bool is_error) {
    return std::make_unique<Source>(
        loop_, std::move(fd),
        [this, is_error](std::string_view bytes) {
          return is_error ? client_->write_error(bytes) : client_->write_output(bytes);
        },
        [this] { finish_if_complete(); });
  }

  void exited(int code) {
    if (state_ == State::kClosed) return;
    state_ = State::kExited;
    exit_code_ = code;
    finish_if_complete();
    if (state_ != State::kClosed) wait_for_output();
  }

  void wait_for_output() {
    timer_ = loop_.after(kBackgroundOutput, [this] {
      timer_ = 0;
      const bool client_behind = (output_ && output_->paused()) || (error_ && error_->paused());
      if (client_behind) return wait_for_output();
      finish();
    });
  }

  void finish_if_complete() {
    const bool open = (output_ && !output_->ended()) || (error_ && !error_->ended());
    if (state_ == State::kExited && !open) finish();
  }

  void finish() {
    if (state_ == State::kClosed) return;
    client_->finish(exit_code_);
    close();
  }
  void fail(const Error& why) {
    if (state_ == State::kClosed) return;
    client_->fail(error(why.code, "Internal error occurred: error executing command in container: " + why.message));
    close();
  }
  void close() {
    if (state_ == State::kClosed) return;
    state_ = State::kClosed;
    input_.reset();
    output_.reset();
    error_.reset();
    terminal_.reset();
    done_();
  }

  Loop& loop_;
  std::unique_ptr<http::RemoteSession> client_;
  Task done_;
  std::unique_ptr<Sink> input_;
  std::unique_ptr<Source> output_, error_;
  Fd terminal_;
  TimerId timer_ = 0;
  int exit_code_ = 0;
  State state_ = State::kRunning;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<StreamSession> start_exec(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                          const ContainerRuntime::ExecOptions& options,
                                          std::unique_ptr<http::RemoteSession> client, Task done) {
  auto session = std::make_unique<ExecSession>(loop, std::move(client), std::move(done));
  session->start(containers, id, options);
  return session;
}

}  // namespace berth::agent
