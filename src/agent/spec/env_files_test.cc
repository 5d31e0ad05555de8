#include "agent/spec/env_files.h"

#include <gtest/gtest.h>

namespace berth::agent {
namespace {

std::string value(std::string_view text, std::string_view name) {
  auto found = env_file_value(text, name);
  if (!found.ok()) return "error: " + found.error().message;
  return *found ? "'" + **found + "'" : "none";
}

TEST(EnvFiles, DeclareVariables) {
  const char* text =
      "# comment\n\n  A='one two'  \nB = 'it\nspans lines' # said\nC=plain # said\nD=\nE='a#b=c'\nA='again'";
  EXPECT_EQ(value(text, "A"), "'one two'");
  EXPECT_EQ(value(text, "B"), "'it\nspans lines'");
  EXPECT_EQ(value(text, "C"), "'plain'");
  EXPECT_EQ(value(text, "D"), "''");
  EXPECT_EQ(value(text, "E"), "'a#b=c'");
  EXPECT_EQ(value(text, "F"), "none");
  EXPECT_EQ(value("", "A"), "none");
}

TEST(EnvFiles, OthersAreRefused) {
  EXPECT_EQ(value("A='x'\nnonsense\n", "A"), "error: line 2 of the env file declares no variable");
  EXPECT_EQ(value("A='x\n", "A"), "error: line 1 of the env file begins a value that does not end");
  EXPECT_EQ(value("A='x'y\n", "A"), "error: line 1 of the env file goes on behind the value");
  EXPECT_EQ(value("='x'\n", "A"), "error: line 1 of the env file has no name before the equals sign");
}

}  // namespace
}  // namespace berth::agent
