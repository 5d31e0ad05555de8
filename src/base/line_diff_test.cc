#include "base/line_diff.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(LineDiff, ChangesFarApartStandAlone) {
  std::string before, after;
  for (int i = 0; i < 20; ++i) {
    const std::string line = std::to_string(i) + (i < 19 ? "\n" : "");
    before += line;
    if (i != 15) after += i == 4 ? "x\n" : line;
  }
  EXPECT_EQ(
      line_diff(before, after + "\nend"),
      "@@ -2,7 +2,7 @@\n 1\n 2\n 3\n-4\n+x\n 5\n 6\n 7\n@@ -13,8 +13,8 @@\n 12\n 13\n 14\n-15\n 16\n 17\n 18\n 19\n+end\n");
}

TEST(LineDiff, SmallTexts) {
  EXPECT_EQ(line_diff("a", "a"), "");
  EXPECT_EQ(line_diff("a", "b"), "@@ -1 +1 @@\n-a\n+b\n");
  EXPECT_EQ(line_diff("a\nb\nc", "a\nc"), "@@ -1,3 +1,2 @@\n a\n-b\n c\n");
}

TEST(LineDiff, LinesThatAreEverywhereAreNoAnchors) {
  std::string before, after;
  for (int i = 0; i < 300; ++i) {
    const std::string line = i % 2 ? "{" : "k" + std::to_string(i);
    before += (i ? "\n" : "") + line;
    after += (i ? "\n" : "") + (i == 10 || i == 12 ? "n" : line);
  }
  EXPECT_EQ(line_diff(before, after), "@@ -8,9 +8,9 @@\n {\n k8\n {\n-k10\n-{\n-k12\n+n\n+{\n+n\n {\n k14\n {\n");
}

}  // namespace
}  // namespace berth
