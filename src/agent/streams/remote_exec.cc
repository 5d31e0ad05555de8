#include <sys/ioctl.h>

#include "agent/streams/pump.h"
#include "agent/streams/remote_work.h"
#include "base/lifetime.h"

namespace berth::agent {
namespace {

constexpr Duration kBackgroundOutput = std::chrono::seconds(2);

class ExecWork final : public RemoteWork {
 public:
  ExecWork(Loop& loop, std::unique_ptr<http::RemoteSession> session, Task over)
      : loop_(loop), session_(std::move(session)), over_(std::move(over)) {}
  ~ExecWork() override {
    lifetime_.end();
    if (timer_ != 0) loop_.cancel(timer_);
  }

  void start(ContainerRuntime& containers, const std::string& id, const ContainerRuntime::ExecOptions& options) {
    session_->on_close([this] { end(); });
    containers.exec_interactive(
        id, options,
        [this, alive = lifetime_.guard()](Result<ContainerRuntime::ExecStreams> streams) {
          if (!streams.ok()) {
            if (alive) fail(streams.error());
            return;
          }
          // Closed where nobody waits for them any more.
          Ends ends{Fd(streams->standard_input), Fd(streams->standard_output), Fd(streams->standard_error),
                    Fd(streams->terminal)};
          if (alive && !ended_) join(std::move(ends));
        },
        [this, alive = lifetime_.guard()](int code) {
          if (alive) exited(code);
        });
  }

 private:
  struct Ends {
    Fd input, output, errors, terminal;
  };

  void join(Ends ends) {
    if (ends.terminal) {
      Result<Fd> sizes = duplicate(ends.terminal.get()), input = duplicate(ends.terminal.get());
      if (!sizes.ok() || !input.ok()) return fail(sizes.ok() ? input.error() : sizes.error());
      terminal_ = std::move(*sizes);
      // A terminal has no end of input of its own; the client's is not passed on, as upstream.
      make_input(std::move(*input), Sink::End::kNothing);
      output_ = make_output(std::move(ends.terminal), false);
      session_->on_resize([this](int columns, int rows) {
        winsize size{};
        size.ws_col = static_cast<unsigned short>(columns);
        size.ws_row = static_cast<unsigned short>(rows);
        ::ioctl(terminal_.get(), TIOCSWINSZ, &size);
      });
    } else {
      if (ends.input) make_input(std::move(ends.input), Sink::End::kClose);
      if (ends.output) output_ = make_output(std::move(ends.output), false);
      if (ends.errors) errors_ = make_output(std::move(ends.errors), true);
    }
    session_->on_drain([this] {
      if (output_ && output_->held()) output_->resume();
      if (errors_ && errors_->held()) errors_->resume();
    });
    const auto alive = lifetime_.guard();
    // What has come already is given in these calls.
    if (!ended_)
      session_->on_input([this](std::string_view bytes) {
        if (input_) input_->write(bytes);
      });
    if (alive && !ended_)
      session_->on_input_end([this] {
        if (input_) input_->end();
      });
  }

  void make_input(Fd fd, Sink::End end) {
    Sink::Options options;
    options.end = end;
    // Where the process reads no more, the rest of the input is taken and dropped.
    input_ = std::make_unique<Sink>(
        loop_, std::move(fd), options, [this](bool behind) { session_->pause_input(behind); }, [] {});
  }

  std::unique_ptr<Source> make_output(Fd fd, bool errors) {
    return std::make_unique<Source>(
        loop_, std::move(fd),
        [this, errors](std::string_view bytes) {
          return errors ? session_->write_error(bytes) : session_->write_output(bytes);
        },
        [this] { settle(); });
  }

  void exited(int code) {
    exited_ = true;
    code_ = code;
    settle();
    if (!ended_) wait_for_background();
  }

  void wait_for_background() {
    timer_ = loop_.after(kBackgroundOutput, [this] {
      timer_ = 0;
      bool client_behind = (output_ && output_->held()) || (errors_ && errors_->held());
      if (client_behind) return wait_for_background();
      finish();
    });
  }

  void settle() {
    bool open = (output_ && !output_->over()) || (errors_ && !errors_->over());
    if (exited_ && !open) finish();
  }

  void finish() {
    if (ended_) return;
    session_->finish(code_);
    end();
  }
  void fail(const Error& why) {
    if (ended_) return;
    session_->fail(error(why.code, "Internal error occurred: error executing command in container: " + why.message));
    end();
  }
  void end() {
    if (ended_) return;
    ended_ = true;
    input_.reset();
    output_.reset();
    errors_.reset();
    terminal_.reset();
    over_();
  }

  Loop& loop_;
  std::unique_ptr<http::RemoteSession> session_;
  Task over_;
  std::unique_ptr<Sink> input_;
  std::unique_ptr<Source> output_, errors_;
  Fd terminal_;
  TimerId timer_ = 0;
  int code_ = 0;
  bool exited_ = false, ended_ = false;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<RemoteWork> run_exec(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                     const ContainerRuntime::ExecOptions& options,
                                     std::unique_ptr<http::RemoteSession> session, Task over) {
  auto work = std::make_unique<ExecWork>(loop, std::move(session), std::move(over));
  work->start(containers, id, options);
  return work;
}

}  // namespace berth::agent
