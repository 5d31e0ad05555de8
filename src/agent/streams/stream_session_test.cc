#include "agent/streams/stream_session.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "agent/streams/pump.h"
#include "base/fault.h"

namespace berth::agent {
namespace {

// What a session was told, and what it lets through.
struct Said {
  std::string output, errors, failure;
  std::optional<int> code;
  bool behind = false, input_paused = false, destroyed = false;
  Function<void(std::string_view)> input;
  Task input_end, closed, drained;
  Function<void(int, int)> resize;
};

class FakeSession final : public http::RemoteSession {
 public:
  explicit FakeSession(std::shared_ptr<Said> said) : said_(std::move(said)) {}
  ~FakeSession() override { said_->destroyed = true; }
  void on_input(Function<void(std::string_view)> input) override { said_->input = std::move(input); }
  void on_input_end(Task end) override { said_->input_end = std::move(end); }
  void on_resize(Function<void(int, int)> resize) override { said_->resize = std::move(resize); }
  void on_close(Task closed) override { said_->closed = std::move(closed); }
  void pause_input(bool pause) override { said_->input_paused = pause; }
  bool write_output(std::string_view bytes) override {
    said_->output += bytes;
    return !said_->behind;
  }
  bool write_error(std::string_view bytes) override {
    said_->errors += bytes;
    return !said_->behind;
  }
  void on_drain(Task drained) override { said_->drained = std::move(drained); }
  void finish(int exit_code) override { said_->code = exit_code; }
  void fail(const Error& why) override { said_->failure = why.message; }

 private:
  std::shared_ptr<Said> said_;
};

class FakePort final : public http::ForwardedPort {
 public:
  struct Told {
    std::string data, failure;
    bool ended = false, paused = false, behind = false, destroyed = false;
    Function<void(std::string_view)> read;
    Task end, closed, drained;
  };
  FakePort(int port, std::shared_ptr<Told> told) : port_(port), told_(std::move(told)) {}
  ~FakePort() override { told_->destroyed = true; }
  int port() const override { return port_; }
  void on_read(Function<void(std::string_view)> read) override { told_->read = std::move(read); }
  void on_end(Task end) override { told_->end = std::move(end); }
  void on_close(Task closed) override { told_->closed = std::move(closed); }
  bool write(std::string_view bytes) override {
    told_->data += bytes;
    return !told_->behind;
  }
  void on_drain(Task drained) override { told_->drained = std::move(drained); }
  void end() override { told_->ended = true; }
  void fail(const std::string& message) override { told_->failure = message; }
  void pause_reading(bool pause) override { told_->paused = pause; }

 private:
  int port_;
  std::shared_ptr<Told> told_;
};

// One process, played by the test: it holds the other ends.
class OneProcess final : public ContainerRuntime {
 public:
  void exec_interactive(const std::string&, const ExecOptions& options, Function<void(Result<ExecStreams>)> started,
                        Function<void(int)> exited) override {
    asked = options;
    started_ = std::move(started);
    exit = std::move(exited);
  }
  // Starts it; the test's ends are set.
  void begin() {
    ExecStreams streams;
    if (asked.tty) {
      int theirs = -1;
      ASSERT_EQ(::openpty(&streams.terminal, &theirs, nullptr, nullptr, nullptr), 0);
      ::fcntl(streams.terminal, F_SETFL, O_NONBLOCK);
      terminal.reset(theirs);
      termios raw{};
      ::tcgetattr(theirs, &raw);
      ::cfmakeraw(&raw);
      ::tcsetattr(theirs, TCSANOW, &raw);
    } else {
      if (asked.standard_input) ends(input, streams.standard_input, true);
      if (asked.standard_output) ends(output, streams.standard_output, false);
      if (asked.standard_error) ends(errors, streams.standard_error, false);
    }
    started_(streams);
  }
  void refuse(const Error& why) { started_(why); }

  std::string attach_socket(const std::string&) const override { return socket_path; }
  void resize_terminal(const std::string&, int columns, int rows, Done done) override {
    sizes.push_back(std::to_string(columns) + "x" + std::to_string(rows));
    done({});
  }

  void recover(Function<void(Result<std::vector<ContainerStatus>>)>) override {}
  void on_change(std::function<void(const ContainerStatus&)>) override {}
  void create_sandbox(const SandboxSpec&, Done) override {}
  void remove_sandbox(const std::string&, Done) override {}
  void run_container(const ContainerSpec&, Function<void(Result<ContainerStatus>)>) override {}
  void signal_container(const std::string&, int, Done) override {}
  void kill_container(const std::string&, Done) override {}
  void remove_container(const std::string&, Done) override {}
  std::optional<ContainerStatus> status(const std::string&) const override { return {}; }
  void resize(const std::string&, PodResize, Function<void(std::size_t, Status)>) override {}
  void exec(const std::string&, std::vector<std::string>, Duration, Function<void(Result<ExecResult>)>) override {}
  void reopen_log(const std::string&, Done) override {}
  std::optional<ContainerUsage> usage(const std::string&) const override { return {}; }

  ExecOptions asked;
  Function<void(int)> exit;
  Fd input, output, errors, terminal;  // the process's ends; they do not block either
  std::string socket_path;
  std::vector<std::string> sizes;

 private:
  static void ends(Fd& theirs, int& ours, bool they_read) {
    int both[2];
    ASSERT_EQ(::pipe2(both, O_CLOEXEC | O_NONBLOCK), 0);
    theirs.reset(both[they_read ? 0 : 1]);
    ours = both[they_read ? 1 : 0];
  }
  Function<void(Result<ExecStreams>)> started_;
};

class StreamSessionTest : public ::testing::Test {
 protected:
  void SetUp() override { ::signal(SIGPIPE, SIG_IGN); }  // as main has it

  bool drive(const std::function<bool()>& until, Duration limit = std::chrono::seconds(20)) {
    Duration end = loop_.monotonic() + limit;
    while (!until()) {
      if (loop_.monotonic() > end) return false;
      loop_.run_once(std::chrono::milliseconds(2));
    }
    return true;
  }
  Task done() {
    return [this] { done_ = true; };
  }
  void exec(bool tty, bool input = true, bool errors = true) {
    session_ = start_exec(loop_, process_, "id", {{"sh"}, tty, input, true, errors && !tty},
                          std::make_unique<FakeSession>(said_), done());
  }
  std::size_t write_all_it_takes(const Fd& fd, std::size_t most = 64u << 20) {
    std::string block(4096, 'x');
    std::size_t total = 0;
    while (total < most) {
      ssize_t n = ::write(fd.get(), block.data(), block.size());
      if (n <= 0) break;
      total += static_cast<std::size_t>(n);
    }
    return total;
  }
  static void put(const Fd& fd, std::string_view text) {
    ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // What there is now; `ended` tells whether the other side has closed.
  static std::string take(const Fd& fd, bool* ended = nullptr) {
    std::string out, room(65536, '\0');
    for (;;) {
      ssize_t n = ::read(fd.get(), room.data(), room.size());
      if (n == 0 && ended) *ended = true;
      if (n <= 0) return out;
      out.append(room, 0, static_cast<std::size_t>(n));
    }
  }

  Loop loop_{1};
  OneProcess process_;
  std::shared_ptr<Said> said_ = std::make_shared<Said>();
  bool done_ = false;
  std::unique_ptr<StreamSession> session_;
};

TEST_F(StreamSessionTest, ACommandWithItsThreeStreams) {
  exec(false);
  process_.begin();
  said_->input("question");
  std::string got;
  EXPECT_TRUE(drive([&] { return (got += take(process_.input)) == "question"; }));
  said_->input_end();
  bool ended = false;
  EXPECT_TRUE(drive([&] {
    take(process_.input, &ended);
    return ended;
  }));
  put(process_.output, "answer");
  put(process_.errors, "complaint");
  process_.output.reset();
  process_.errors.reset();
  ASSERT_TRUE(drive([&] { return said_->output == "answer" && said_->errors == "complaint"; }));
  EXPECT_FALSE(said_->code) << "the process has not ended";
  process_.exit(7);
  EXPECT_EQ(said_->code, 7);
  EXPECT_TRUE(done_);
}

TEST_F(StreamSessionTest, TheExitCodeComesAfterTheLastOutput) {
  exec(false);
  process_.begin();
  put(process_.output, std::string(50'000, 'o'));
  process_.exit(0);
  EXPECT_FALSE(said_->code);
  process_.output.reset();
  process_.errors.reset();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->output.size(), 50'000u);
  EXPECT_EQ(said_->code, 0);
}

TEST_F(StreamSessionTest, WhatStaysInTheBackgroundIsNotWaitedForLong) {
  exec(false);
  process_.begin();
  process_.exit(3);
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->code, 3);
  EXPECT_LT(::write(process_.output.get(), "x", 1), 0) << "nobody reads it any more";
}

TEST_F(StreamSessionTest, AClientThatIsBehindHoldsTheProcessBack) {
  exec(false);
  process_.begin();
  said_->behind = true;
  std::size_t written = 0;
  // One block goes through, then only the pipe fills.
  for (int round = 0; round < 200; ++round) {
    written += write_all_it_takes(process_.output);
    loop_.run_once(std::chrono::milliseconds(0));
  }
  EXPECT_LT(written, 512u * 1024);
  std::size_t seen = said_->output.size();
  EXPECT_LT(seen, written);
  process_.exit(0);  // its output is not lost for that
  process_.output.reset();
  process_.errors.reset();
  said_->behind = false;
  said_->drained();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->output.size(), written);
}

TEST_F(StreamSessionTest, AProcessThatDoesNotReadHoldsTheClientBack) {
  exec(false);
  process_.begin();
  std::string all;
  while (!said_->input_paused) {
    std::string block(50'000, static_cast<char>('a' + all.size() % 23));
    said_->input(block);
    all += block;
    ASSERT_LT(all.size(), 16u << 20) << "never held back";
  }
  said_->input_end();
  std::string got;
  bool ended = false;
  ASSERT_TRUE(drive([&] {
    got += take(process_.input, &ended);
    return ended;
  }));
  EXPECT_FALSE(said_->input_paused);
  EXPECT_EQ(got, all);
}

TEST_F(StreamSessionTest, InputThatNobodyReadsIsDropped) {
  exec(false);
  process_.begin();
  while (!said_->input_paused) said_->input(std::string(50'000, 'i'));
  process_.input.reset();
  ASSERT_TRUE(drive([&] { return !said_->input_paused; }));
  for (int i = 0; i < 100; ++i) said_->input(std::string(50'000, 'i'));
  EXPECT_FALSE(said_->input_paused);
  process_.output.reset();
  process_.errors.reset();
  process_.exit(0);
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->code, 0);
}

TEST_F(StreamSessionTest, AClientThatLeavesTakesTheStreamsAlong) {
  exec(false);
  process_.begin();
  said_->closed();
  EXPECT_TRUE(done_);
  bool ended = false;
  take(process_.input, &ended);
  EXPECT_TRUE(ended);
  EXPECT_LT(::write(process_.output.get(), "x", 1), 0);
  EXPECT_EQ(errno, EPIPE);
  session_.reset();
  EXPECT_TRUE(said_->destroyed);
  process_.exit(0);  // nobody is there to hear it
  EXPECT_FALSE(said_->code);
}

TEST_F(StreamSessionTest, AClientThatLeftBeforeTheStartLeavesNoDescriptor) {
  exec(false);
  said_->closed();
  process_.begin();
  bool ended = false;
  take(process_.input, &ended);
  EXPECT_TRUE(ended);
}

TEST_F(StreamSessionTest, ACommandThatCannotStart) {
  exec(false);
  process_.refuse(error(Code::kNotFound, "container id is not running"));
  EXPECT_EQ(said_->failure,
            "Internal error occurred: error executing command in container: container id is not running");
  EXPECT_TRUE(done_);
}

TEST_F(StreamSessionTest, ATerminal) {
  exec(true);
  EXPECT_TRUE(process_.asked.tty);
  process_.begin();
  said_->resize(97, 31);
  winsize size{};
  ASSERT_EQ(::ioctl(process_.terminal.get(), TIOCGWINSZ, &size), 0);
  EXPECT_EQ(size.ws_col, 97);
  EXPECT_EQ(size.ws_row, 31);
  said_->input("typed");
  char room[16] = {};
  ASSERT_EQ(::read(process_.terminal.get(), room, sizeof room), 5);
  EXPECT_STREQ(room, "typed");
  put(process_.terminal, "shown");
  ASSERT_TRUE(drive([&] { return said_->output == "shown"; }));
  process_.exit(9);
  process_.terminal.reset();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->code, 9);
}

TEST_F(StreamSessionTest, WithoutADescriptorForATerminalThereIsAnError) {
  exec(true);
  fault::arm("streams.duplicate", 1);
  process_.begin();
  fault::disarm_all();
  EXPECT_EQ(said_->failure,
            "Internal error occurred: error executing command in container: duplicating a stream: Too many open files");
  EXPECT_TRUE(done_);
  char room[16];
  EXPECT_EQ(::read(process_.terminal.get(), room, sizeof room), 0);  // hung up
}

TEST_F(StreamSessionTest, ATerminalHangsUpWithItsClient) {
  exec(true);
  process_.begin();
  said_->closed();
  char room[16];
  EXPECT_EQ(::read(process_.terminal.get(), room, sizeof room), 0);  // hung up
}

// --- attach

class AttachTest : public StreamSessionTest {
 protected:
  void SetUp() override {
    StreamSessionTest::SetUp();
    char name[] = "/tmp/berth-attach-XXXXXX";
    directory_ = ::mkdtemp(name);
    process_.socket_path = directory_ + "/attach";
    listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, process_.socket_path.c_str());
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener_.get(), 1), 0);
  }
  void TearDown() override { ASSERT_TRUE(remove_all(directory_).ok()); }
  void attach(http::RemoteOptions options) {
    session_ = start_attach(loop_, process_, "id", options, std::make_unique<FakeSession>(said_), done());
    monitor_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    ASSERT_TRUE(monitor_);
  }
  std::string directory_;
  Fd listener_, monitor_;
};

TEST_F(AttachTest, StreamsAreToldApartAndInputIsRaw) {
  attach({true, true, true, false});
  put(monitor_, "\x02out");
  put(monitor_,
      "\x03"
      "err");
  ASSERT_TRUE(drive([&] { return said_->output == "out" && said_->errors == "err"; }));
  std::string much(100'000, 'i');
  said_->input(much);
  std::string got;
  std::size_t largest = 0;
  ASSERT_TRUE(drive([&] {
    char room[65536];
    ssize_t n = ::read(monitor_.get(), room, sizeof room);
    if (n > 0) got.append(room, static_cast<std::size_t>(n));
    if (n > 0) largest = std::max(largest, static_cast<std::size_t>(n));
    return got.size() == much.size();
  }));
  EXPECT_LE(largest, 8192u) << "the monitor would cut it off";
  said_->input_end();
  char room[8];
  EXPECT_EQ(::read(monitor_.get(), room, sizeof room), 0);
  put(monitor_, "\x02 and more");  // the other direction stays open
  ASSERT_TRUE(drive([&] { return said_->output == "out and more"; }));
  monitor_.reset();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->code, 0);
}

TEST_F(AttachTest, WithoutADescriptorForInputThereIsAnError) {
  fault::arm("streams.duplicate", 1);
  attach({true, true, true, false});
  fault::disarm_all();
  EXPECT_EQ(said_->failure,
            "Internal error occurred: error attaching to container: duplicating a stream: Too many open files");
  EXPECT_TRUE(done_);
}

TEST_F(AttachTest, OnlyWhatWasAskedFor) {
  attach({false, true, false, false});
  put(monitor_,
      "\x03"
      "err");
  put(monitor_, "\x02out");
  ASSERT_TRUE(drive([&] { return said_->output == "out"; }));
  EXPECT_EQ(said_->errors, "");
  said_->input("nobody asked");
  char room[8];
  EXPECT_LT(::read(monitor_.get(), room, sizeof room), 0);
}

TEST_F(AttachTest, SizesComeOneByOneAndTheLastOneStands) {
  attach({true, true, false, true});
  said_->resize(98, 32);
  said_->resize(99, 33);
  said_->resize(97, 31);
  EXPECT_EQ(process_.sizes, std::vector<std::string>{"98x32"});
  EXPECT_TRUE(drive([&] { return process_.sizes.size() == 2; }));
  EXPECT_EQ(process_.sizes.back(), "97x31");
}

TEST_F(AttachTest, AClientThatLeavesIsTold) {
  attach({true, true, true, false});
  said_->closed();
  EXPECT_TRUE(done_);
  char room[8];
  EXPECT_EQ(::read(monitor_.get(), room, sizeof room), 0);
}

TEST_F(AttachTest, AClientThatComesTooLateHearsWhatWasSaid) {
  const std::string log = directory_ + "/log";
  ASSERT_TRUE(write_file(log,
                         "2026-01-01T00:00:00.000000000Z stdout F one\n2026-01-01T00:00:00.000000000Z stderr F oh\n"
                         "2026-01-01T00:00:00.000000000Z stdout P tw\n2026-01-01T00:00:00.000000000Z stdout F o\n")
                  .ok());
  auto attach_late = [&] {
    session_ = start_attach(loop_, process_, "id", {true, true, true, false}, std::make_unique<FakeSession>(said_),
                            done(), {log});
  };
  attach_late();
  monitor_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  monitor_.reset();  // the container ends
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->output, "one\ntwo\n");
  EXPECT_EQ(said_->errors, "oh\n");
  // Also where its monitor has gone already.
  said_ = std::make_shared<Said>();
  process_.socket_path += "-of-another";
  done_ = false;
  attach_late();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->output, "one\ntwo\n");
  EXPECT_TRUE(said_->failure.empty());
}

TEST_F(AttachTest, WhatTheClientHasReadIsNotToldAgain) {
  const std::string log = directory_ + "/log", first = "2026-01-01T00:00:00.000000000Z stdout F one\n";
  ASSERT_TRUE(write_file(log, first).ok());
  const auto read = static_cast<std::int64_t>(first.size());
  process_.socket_path += "-of-another";  // the container has ended
  auto attach_late = [&](std::int64_t from) {
    said_ = std::make_shared<Said>();
    done_ = false;
    session_ = start_attach(loop_, process_, "id", {true, true, true, false}, std::make_unique<FakeSession>(said_),
                            done(), {log, from});
    ASSERT_TRUE(drive([&] { return done_; }));
    EXPECT_TRUE(said_->failure.empty()) << said_->failure;
  };
  attach_late(read);
  EXPECT_EQ(said_->output, "");
  ASSERT_TRUE(write_file(log, first + "2026-01-01T00:00:00.000000000Z stdout F two\n").ok());
  attach_late(read);
  EXPECT_EQ(said_->output, "two\n");
  attach_late(10'000);  // the log was begun anew
  EXPECT_EQ(said_->output, "one\ntwo\n");
}

TEST_F(AttachTest, AClientThatHeardSomethingHearsNothingTwice) {
  const std::string log = directory_ + "/log";
  ASSERT_TRUE(write_file(log, "2026-01-01T00:00:00.000000000Z stdout F one\n").ok());
  session_ = start_attach(loop_, process_, "id", {true, true, true, false}, std::make_unique<FakeSession>(said_),
                          done(), {log});
  monitor_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  ASSERT_EQ(::send(monitor_.get(), "\2one\n", 5, 0), 5);
  monitor_.reset();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->output, "one\n");
}

// The program spoke before the monitor knew of the client, and goes on.
TEST_F(AttachTest, AClientThatComesInTheMiddleHearsItAllOnce) {
  const std::string log = directory_ + "/log";
  auto line = [](const std::string& rest) { return "2026-01-01T00:00:00.000000000Z " + rest + "\n"; };
  std::string logged = line("stdout F +--+") + line("stderr F oh") + line("stdout F | x |");
  ASSERT_TRUE(write_file(log, logged).ok());
  session_ = start_attach(loop_, process_, "id", {true, true, true, false}, std::make_unique<FakeSession>(said_),
                          done(), {log});
  monitor_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  // Two messages, logged first; the second is like one that was missed.
  logged += line("stdout F | y |") + line("stdout F +--+");
  ASSERT_TRUE(write_file(log, logged).ok());
  put(monitor_, "\2| y |\n");
  put(monitor_, "\2+--+\n");
  ASSERT_TRUE(drive([&] { return said_->output == "+--+\n| x |\n| y |\n+--+\n"; })) << said_->output;
  EXPECT_EQ(said_->errors, "oh\n");
  // From here on nothing is looked up.
  put(monitor_, "\2| y |\n");
  put(monitor_, "\3oh\n");
  monitor_.reset();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(said_->output, "+--+\n| x |\n| y |\n+--+\n| y |\n");
  EXPECT_EQ(said_->errors, "oh\noh\n");
}

// A program that has asked, and waits: without an end, and without a word that is heard.
TEST_F(AttachTest, AQuestionThatWasMissedIsShown) {
  const std::string log = directory_ + "/log";
  const std::string first =
      "2026-01-01T00:00:00.000000000Z stdout F hello\n2026-01-01T00:00:00.000000000Z stdout P name? \n";
  ASSERT_TRUE(write_file(log, first).ok());
  session_ = start_attach(loop_, process_, "id", {true, true, true, true}, std::make_unique<FakeSession>(said_), done(),
                          {log});
  monitor_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  ASSERT_TRUE(drive([&] { return said_->output == "hello\nname? "; })) << said_->output;
  // What was logged between that look and the first word that is heard is not lost either.
  ASSERT_TRUE(write_file(log, first + "2026-01-01T00:00:00.000000000Z stdout F ann\r\n"
                                      "2026-01-01T00:00:00.000000000Z stdout F hello ann\r\n")
                  .ok());
  put(monitor_, "\2hello ann\r\n");
  ASSERT_TRUE(drive([&] { return said_->output == "hello\nname? ann\r\nhello ann\r\n"; })) << said_->output;
}

// The tail of what was missed, where that is much.
TEST_F(AttachTest, OfAFloodTheEndIsShown) {
  const std::string log = directory_ + "/log";
  std::string logged;
  for (int i = 0; i < 40'000; ++i)
    logged += "2026-01-01T00:00:00.000000000Z stdout F " + std::string(60, 'x') + std::to_string(i) + "\n";
  ASSERT_TRUE(write_file(log, logged).ok());
  session_ = start_attach(loop_, process_, "id", {true, true, true, false}, std::make_unique<FakeSession>(said_),
                          done(), {log});
  monitor_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  monitor_.reset();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_LE(said_->output.size(), 1u << 20);
  EXPECT_GT(said_->output.size(), (1u << 20) - 100);
  EXPECT_TRUE(said_->output.ends_with("x39999\n"));
  EXPECT_TRUE(said_->output.starts_with("xxx"));
}

TEST_F(AttachTest, NoMonitor) {
  process_.socket_path += "-of-another";
  session_ =
      start_attach(loop_, process_, "id", {true, true, true, false}, std::make_unique<FakeSession>(said_), done());
  EXPECT_TRUE(done_);
  EXPECT_TRUE(said_->failure.starts_with("Internal error occurred: error attaching to container: ")) << said_->failure;
}

// --- port forwarding

class PortTest : public StreamSessionTest {
 protected:
  void listen() {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  void forward() {
    ASSERT_EQ(::listen(listener_.get(), 1), 0);
    session_ = start_port_forward(loop_, "", "the-pod", std::make_unique<FakePort>(port_, told_), done());
    server_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    ASSERT_TRUE(server_);
    ASSERT_TRUE(drive([&] { return static_cast<bool>(told_->read); }));
  }
  int port_ = 0;
  Fd listener_, server_;
  std::shared_ptr<FakePort::Told> told_ = std::make_shared<FakePort::Told>();
};

TEST_F(PortTest, BothDirectionsEndOnTheirOwn) {
  listen();
  forward();
  told_->read("request");
  told_->end();
  std::string got;
  bool ended = false;
  ASSERT_TRUE(drive([&] {
    got += take(server_, &ended);
    return ended;
  }));
  EXPECT_EQ(got, "request");
  EXPECT_FALSE(done_);
  put(server_, "answer");
  server_.reset();
  ASSERT_TRUE(drive([&] { return done_; }));
  EXPECT_EQ(told_->data, "answer");
  EXPECT_TRUE(told_->ended);
  EXPECT_EQ(told_->failure, "");
}

TEST_F(PortTest, Refused) {
  listen();  // bound, and nobody listens
  session_ = start_port_forward(loop_, "", "the-pod", std::make_unique<FakePort>(port_, told_), done());
  ASSERT_TRUE(drive([&] { return done_; }));
  std::string number = std::to_string(port_);
  EXPECT_EQ(told_->failure,
            "error forwarding port " + number + " to pod the-pod, uid : failed to connect to localhost:" + number +
                " inside the pod's network namespace: dial tcp4 127.0.0.1:" + number + ": connect: connection refused");
}

TEST_F(PortTest, WithoutADescriptorForTheOtherDirectionThereIsAnError) {
  listen();
  ASSERT_EQ(::listen(listener_.get(), 1), 0);
  fault::arm("streams.duplicate", 1);
  session_ = start_port_forward(loop_, "", "the-pod", std::make_unique<FakePort>(port_, told_), done());
  ASSERT_TRUE(drive([&] { return done_; }));
  fault::disarm_all();
  EXPECT_TRUE(told_->failure.ends_with("duplicating a stream: Too many open files")) << told_->failure;
}

TEST_F(PortTest, APodWithoutANamespace) {
  session_ = start_port_forward(loop_, "/nonexistent/netns", "the-pod", std::make_unique<FakePort>(80, told_), done());
  EXPECT_TRUE(done_);
  EXPECT_NE(told_->failure.find("/nonexistent/netns"), std::string::npos) << told_->failure;
}

TEST_F(PortTest, HoldsBackBothSides) {
  listen();
  forward();
  std::size_t sent = 0;
  while (!told_->paused) {
    told_->read(std::string(100'000, 'r'));
    sent += 100'000;
    ASSERT_LT(sent, 256u << 20) << "never held back";
  }
  std::size_t got = 0;
  ASSERT_TRUE(drive([&] { return (got += take(server_).size()) == sent; }));
  EXPECT_FALSE(told_->paused);
  told_->behind = true;
  std::size_t written = 0;
  for (int round = 0; round < 100; ++round) {
    written += write_all_it_takes(server_);
    loop_.run_once(std::chrono::milliseconds(0));
  }
  EXPECT_LT(told_->data.size(), written);
  told_->behind = false;
  told_->drained();
  EXPECT_TRUE(drive([&] { return told_->data.size() == written; }));
}

TEST_F(PortTest, AClientThatLeavesClosesTheConnection) {
  listen();
  forward();
  told_->closed();
  EXPECT_TRUE(done_);
  bool ended = false;
  EXPECT_TRUE(drive([&] {
    take(server_, &ended);
    return ended;
  }));
  session_.reset();
  EXPECT_TRUE(told_->destroyed);
}

}  // namespace
}  // namespace berth::agent
