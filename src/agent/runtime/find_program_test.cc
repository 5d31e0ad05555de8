#include "agent/runtime/find_program.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/testing/test_node.h"
#include "base/files.h"

namespace berth::agent {
namespace {

TEST(FindProgram, SaysWhatStandsInTheWay) {
  testing::TemporaryDirectory root;
  for (const char* directory : {"/usr/bin", "/opt/tools"}) ASSERT_TRUE(make_directories(root.path() + directory).ok());
  ASSERT_TRUE(write_file(root / "usr/bin/ls", "", 0755).ok());
  ASSERT_TRUE(write_file(root / "usr/bin/readme", "", 0644).ok());
  ASSERT_TRUE(write_file(root / "opt/tools/run", "", 0755).ok());
  ASSERT_EQ(::symlink("/usr/bin", (root / "bin").c_str()), 0);  // absolute: leads to the container's own
  ASSERT_EQ(::symlink("../../../../../../opt/tools/run", (root / "usr/bin/up").c_str()), 0);
  ASSERT_EQ(::symlink("nowhere", (root / "usr/bin/dangling").c_str()), 0);
  auto why = [&](const std::string& program) {
    Status status = find_program(root.path(), program, "/nowhere:/bin:tools", "/opt");
    return status.ok() ? "" : status.error().message;
  };
  for (const char* program : {"ls", "up", "run", "/bin/ls", "tools/run", "./tools/run", "../usr/bin/ls"})
    EXPECT_EQ(why(program), "") << program;
  EXPECT_EQ(why("nope"), R"(exec: "nope": executable file not found in $PATH)");
  EXPECT_EQ(why("readme"), R"(exec: "readme": executable file not found in $PATH)");
  EXPECT_EQ(why("dangling"), R"(exec: "dangling": executable file not found in $PATH)");
  EXPECT_EQ(why("/nope"), R"(exec: "/nope": stat /nope: no such file or directory)");
  EXPECT_EQ(why("./nope"), R"(exec: "./nope": stat ./nope: no such file or directory)");
  EXPECT_EQ(why("/usr/bin"), R"(exec: "/usr/bin": is a directory)");
  EXPECT_EQ(why("/usr/bin/readme"), R"(exec: "/usr/bin/readme": permission denied)");
  EXPECT_TRUE(find_program(root / "gone", "ls", "/bin", "/").ok()) << "not decided here";
}

}  // namespace
}  // namespace berth::agent
