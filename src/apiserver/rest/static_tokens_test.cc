#include "apiserver/rest/static_tokens.h"

#include "base/files.h"
#include "http/test_support.h"

namespace berth::apiserver::rest {
namespace {

class StaticTokensTest : public ::testing::Test {
 protected:
  Result<StaticTokens> read(std::string_view text) {
    EXPECT_TRUE(write_file_durably(path_, text).ok());
    return read_static_tokens(path_);
  }
  berth::testing::TestDirectory folder_;
  std::string path_ = folder_.path() + "/tokens.csv";
};

TEST_F(StaticTokensTest, NoFileNoTokens) {
  Result<StaticTokens> tokens = read_static_tokens(path_);
  ASSERT_TRUE(tokens.ok());
  EXPECT_TRUE(tokens->empty());
}

TEST_F(StaticTokensTest, UsersAndGroups) {
  Result<StaticTokens> tokens = read("t1,ann,1\n\nt2,\"bob \"\"b\"\"\",2,\"g1, g2\"\r\nt3,eve,3,g3");
  ASSERT_TRUE(tokens.ok()) << tokens.error().message;
  EXPECT_EQ(tokens->size(), 3u);
  EXPECT_EQ((*tokens)["t1"].name, "ann");
  EXPECT_TRUE((*tokens)["t1"].groups.empty());
  EXPECT_EQ((*tokens)["t2"].name, "bob \"b\"");
  EXPECT_EQ((*tokens)["t2"].groups, (std::vector<std::string>{"g1", "g2"}));
  EXPECT_EQ((*tokens)["t3"].groups, (std::vector<std::string>{"g3"}));
}

TEST_F(StaticTokensTest, RefusesLinesThatNameNobody) {
  for (const char* text : {"t1,ann,1\n,bob,2", "t1,ann,1\nt2,,2", "t1,ann,1\nt2,bob", "t1,ann,1\n\"\""}) {
    Result<StaticTokens> tokens = read(text);
    ASSERT_TRUE(tokens.failed_with(Code::kInvalid)) << text;
    EXPECT_NE(tokens.error().message.find("line 2: expected token,user,uid"), std::string::npos)
        << tokens.error().message;
  }
}

}  // namespace
}  // namespace berth::apiserver::rest
