#include "agent/runtime/crun_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/testing/test_node.h"
#include "base/process/process.h"

namespace berth::agent {
namespace {

class CrunProgramTest : public ::testing::Test {
 protected:
  Result<std::string> say(const CrunProgram& program, const std::string& what) {
    Command command;
    command.argv = {program.path(), what};
    command.descriptors = program.descriptors();
    return run_checked(command);
  }

  // How often a `crun list` executes anything.
  int executions_of(const CrunProgram& program) {
    const std::string root = "--root=" + directory_.path();
    const pid_t child = ::fork();
    if (child == 0) {
      for (auto [ours, theirs] : program.descriptors()) ::dup2(ours, theirs);
      ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      ::raise(SIGSTOP);
      ::execl(program.path().c_str(), "crun", root.c_str(), "list", nullptr);
      ::_exit(127);
    }
    int status = 0, executions = 0;
    ::waitpid(child, &status, 0);
    ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
    while (WIFSTOPPED(status)) {
      const int signal = WSTOPSIG(status);
      if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXEC << 8))) ++executions;
      ::ptrace(PTRACE_CONT, child, nullptr, signal == SIGTRAP || signal == SIGSTOP ? 0 : signal);
      if (::waitpid(child, &status, 0) < 0) break;
    }
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    return executions;
  }

  testing::TemporaryDirectory directory_;
  std::string link_ = directory_ / "crun";
};

TEST_F(CrunProgramTest, IsExecutedFromAMemoryFileThatNobodyCanChange) {
  CrunProgram program = CrunProgram::load("/usr/bin/crun", link_);
  ASSERT_TRUE(program.in_memory());
  EXPECT_EQ(program.path(), link_);
  auto version = say(program, "--version");
  ASSERT_TRUE(version.ok()) << version.error().message;
  EXPECT_TRUE(version->starts_with("crun version")) << *version;
  ASSERT_EQ(program.descriptors().size(), 1u);
  const int image = program.descriptors()[0].first;
  EXPECT_EQ(::fcntl(image, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  EXPECT_LT(::write(image, "x", 1), 0);
  EXPECT_LT(::ftruncate(image, 0), 0);
  struct stat whole {
  }, copy{};
  ASSERT_EQ(::stat("/usr/bin/crun", &whole), 0);
  ASSERT_EQ(::fstat(image, &copy), 0);
  EXPECT_EQ(copy.st_size, whole.st_size);
}

TEST_F(CrunProgramTest, CrunDoesNotExecuteItselfASecondTime) {
  CrunProgram program = CrunProgram::load("/usr/bin/crun", link_);
  ASSERT_TRUE(program.in_memory());
  EXPECT_EQ(executions_of(program), 1);
  EXPECT_EQ(executions_of(CrunProgram("/usr/bin/crun")), 2) << "what the memory file is for";
}

TEST_F(CrunProgramTest, ALinkOfAnEarlierAgentIsReplaced) {
  ASSERT_EQ(::symlink("/nowhere", link_.c_str()), 0);
  CrunProgram program = CrunProgram::load("/usr/bin/crun", link_);
  ASSERT_TRUE(program.in_memory());
  EXPECT_TRUE(say(program, "--version").ok());
}

TEST_F(CrunProgramTest, IsExecutedFromItsFileWhereMemoryDoesNotWork) {
  CrunProgram program = CrunProgram::load("/usr/bin/crun", directory_ / "absent/crun");
  EXPECT_FALSE(program.in_memory());
  EXPECT_EQ(program.path(), "/usr/bin/crun");
  EXPECT_TRUE(program.descriptors().empty());
  EXPECT_TRUE(say(program, "--version").ok());
  // load() reports no error for a missing program: executing it does.
  program = CrunProgram::load(directory_ / "absent", link_);
  EXPECT_EQ(program.path(), directory_ / "absent");
}

}  // namespace
}  // namespace berth::agent
