#include "base/process/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace berth {
namespace {

Command shell(std::string script) { return Command{.argv = {"sh", "-c", std::move(script)}}; }

TEST(Process, OutputAndExitCodeComeBack) {
  auto finished = run_command(shell("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(finished.ok()) << finished.error().message;
  EXPECT_EQ(finished->exit_code, 3);
  EXPECT_EQ(finished->standard_output, "out\n");
  EXPECT_EQ(finished->standard_error, "err\n");
  EXPECT_FALSE(finished->timed_out);
  EXPECT_FALSE(finished->ok());
}

TEST(Process, ASignalIs128More) { EXPECT_EQ(run_command(shell("kill -TERM $$")).value().exit_code, 128 + SIGTERM); }

TEST(Process, AProgramThatIsNotThereIsAnError) {
  auto missing = run_command({.argv = {"no-such-program-of-berth"}});
  EXPECT_TRUE(missing.failed_with(Code::kNotFound));
  EXPECT_NE(missing.error().message.find("no-such-program-of-berth"), std::string::npos);
  EXPECT_FALSE(run_command({}).ok());
  Command elsewhere = shell("true");
  elsewhere.directory = "/no/such/directory";
  EXPECT_FALSE(run_command(elsewhere).ok());
}

TEST(Process, LargeInputGoesThroughAndComesBack) {
  Command command{.argv = {"cat"}};
  command.standard_input = std::string(700'000, 'y');
  EXPECT_EQ(run_command(command).value().standard_output, command.standard_input);
}

TEST(Process, InputNobodyReadsIsNoFailure) {
  Command command{.argv = {"true"}};
  command.standard_input = std::string(1 << 20, 'y');
  EXPECT_TRUE(run_command(command).value().ok());  // and SIGPIPE did not end the test
  EXPECT_EQ(run_command({.argv = {"cat"}}).value().standard_output, "");
}

TEST(Process, OutputBeyondTheLimitIsReadAndDropped) {
  Command command = shell("head -c 3000000 /dev/zero; echo done >&2");
  command.output_limit = 1000;
  auto finished = run_command(command).value();
  EXPECT_EQ(finished.standard_output.size(), 1000u);
  EXPECT_EQ(finished.standard_error, "done\n");
}

TEST(Process, TimeoutKillsTheWholeGroup) {
  Command command = shell("sleep 1000 & echo $!; wait");
  command.timeout = 300ms;
  auto finished = run_command(command).value();
  EXPECT_TRUE(finished.timed_out);
  EXPECT_EQ(finished.exit_code, 128 + SIGKILL);
  pid_t grandchild = std::atoi(finished.standard_output.c_str());
  ASSERT_GT(grandchild, 0);
  // Killed, though another core may have to see to it yet; and perhaps not reaped by whoever it was left to.
  Fd left(static_cast<int>(::syscall(SYS_pidfd_open, grandchild, 0)));
  pollfd ended{left.get(), POLLIN, 0};
  EXPECT_TRUE(!left || ::poll(&ended, 1, 10'000) == 1);
  EXPECT_TRUE(run_checked(command).failed_with(Code::kTimeout));
}

TEST(Process, WhoeverKeepsTheStreamsOpenIsNotWaitedFor) {
  auto finished = run_command(shell("sleep 1000 & echo $!"));
  ASSERT_TRUE(finished.ok());
  pid_t left = std::atoi(finished->standard_output.c_str());
  ASSERT_GT(left, 0);
  EXPECT_EQ(::kill(left, SIGKILL), 0);
}

TEST(Process, OnlyTheGivenDescriptorsReachTheChild) {
  // One that is not close-on-exec, to be kept out, and a pair whose numbers cross.
  int low[2];
  ASSERT_EQ(::pipe(low), 0);
  Fd a(low[0]), b(low[1]);
  ASSERT_EQ(::write(b.get(), "content", 7), 7);
  Command command = shell("ls /proc/self/fd | tr '\\n' ' '; head -c 7 <&" + std::to_string(b.get()));
  command.descriptors = {{a.get(), b.get()}, {b.get(), a.get()}};
  auto finished = run_command(command).value();
  // ls opens one more, for the directory itself, at the lowest free number.
  std::string want = "0 1 2 ";
  EXPECT_EQ(finished.standard_output.substr(0, 6), want);
  EXPECT_NE(finished.standard_output.find("content"), std::string::npos) << finished.standard_error;
  auto plain = run_command(shell("ls /proc/self/fd | tr '\\n' ' '")).value();
  EXPECT_EQ(plain.standard_output, "0 1 2 3 ");
  EXPECT_FALSE(run_command({.argv = {"true"}, .descriptors = {{-1, 5}}}).ok());
}

TEST(Process, EnvironmentDirectoryAndSignalsAreAsAsked) {
  Command command = shell("echo $A:$HOME:${PATH:+set}; pwd; grep -E 'Sig(Blk|Ign)' /proc/self/status");
  command.environment = {"A=b", "HOME=/nowhere"};
  command.directory = "/proc";
  std::string output;
  auto before = ::signal(SIGPIPE, SIG_IGN);  // as main has it
  std::thread([&] {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);  // as on a pool thread
    output = run_command(command).value().standard_output;
  }).join();
  ::signal(SIGPIPE, before);
  // The C library keeps 32 and 33 for itself and leaves them ignored; the lower ones are ours to see to.
  std::string blocked = "b:/nowhere:set\n/proc\nSigBlk:\t0000000000000000\nSigIgn:\t";
  ASSERT_EQ(output.size(), blocked.size() + 17) << output;
  EXPECT_EQ(output.substr(0, blocked.size()), blocked);
  EXPECT_EQ(output.substr(output.size() - 8), "0000000\n");
}

TEST(Process, CheckedGivesOutputOrTheLastWords) {
  EXPECT_EQ(run_checked(shell("echo fine")).value(), "fine\n");
  auto failed = run_checked(shell("echo noise; echo 'no space' >&2; exit 9"));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message, "sh: exit code 9: no space");
}

}  // namespace
}  // namespace berth
