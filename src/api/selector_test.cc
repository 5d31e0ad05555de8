#include "api/selector.h"

#include <gtest/gtest.h>

namespace berth::api {
namespace {

Value parsed(std::string_view text) { return json::parse(text).value(); }
bool label_match(std::string_view selector, std::string_view labels) {
  return LabelSelector::parse(selector).value().matches(parsed(labels));
}
std::string label_error(std::string_view selector) {
  auto result = LabelSelector::parse(selector);
  return result.ok() ? "" : result.error().message;
}

TEST(LabelSelector, every_operator) {
  EXPECT_TRUE(label_match("", "null"));
  EXPECT_TRUE(label_match("a=b", R"({"a":"b"})"));
  EXPECT_TRUE(label_match("a==b", R"({"a":"b"})"));
  EXPECT_FALSE(label_match("a=b", R"({"a":"c"})"));
  EXPECT_FALSE(label_match("a=b", "null"));
  EXPECT_TRUE(label_match("a!=b", "null"));
  EXPECT_FALSE(label_match("a!=b", R"({"a":"b"})"));
  EXPECT_TRUE(label_match("a in (x, y)", R"({"a":"y"})"));
  EXPECT_FALSE(label_match("a in (x,y)", R"({"a":"z"})"));
  EXPECT_TRUE(label_match("a notin (x,y)", R"({"b":"x"})"));
  EXPECT_TRUE(label_match("a", R"({"a":""})"));
  EXPECT_FALSE(label_match("a", "{}"));
  EXPECT_TRUE(label_match("!a", "{}"));
  EXPECT_TRUE(label_match("a=", R"({"a":""})"));
  EXPECT_TRUE(label_match("a in (,x)", R"({"a":""})"));
  EXPECT_TRUE(label_match("a>3,b<2", R"({"a":"4","b":"1"})"));
  EXPECT_FALSE(label_match("a>3", R"({"a":"three"})"));
  EXPECT_TRUE(label_match("in in (in)", R"({"in":"in"})"));
  EXPECT_TRUE(label_match("example.com/a=b,c!=d,e in (f,g),h,!i", R"({"example.com/a":"b","e":"g","h":"1"})"));
}

TEST(LabelSelector, errors_are_upstreams) {
  EXPECT_EQ(label_error("a b c"), "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
  EXPECT_EQ(label_error("a=b,"), "found '', expected: identifier after ','");
  EXPECT_EQ(label_error("a=b c"), "found 'c', expected: ',' or 'end of string'");
  EXPECT_EQ(label_error("=b"), "found '=', expected: !, identifier, or 'end of string'");
  EXPECT_EQ(label_error("a in b"), "unable to parse requirement: found 'b' expected: '('");
  EXPECT_EQ(label_error("a in (b"), "unable to parse requirement: found '', expected: ',' or ')'");
  EXPECT_EQ(label_error("a in ()"), "");  // the empty value alone
  EXPECT_EQ(label_error("a=b=c"), "found '=', expected: ',' or 'end of string'");
  EXPECT_NE(label_error("-a=b").find("name part must consist of"), std::string::npos);
  EXPECT_NE(label_error("A_/a=b").find("prefix part"), std::string::npos);
  EXPECT_NE(label_error("a=" + std::string(64, 'x')).find("must be no more than 63 bytes"), std::string::npos);
  EXPECT_NE(label_error("a=-").find("values[0][a]: Invalid value: \"-\""), std::string::npos);
}

TEST(LabelSelector, objects_and_maps) {
  auto all = LabelSelector::of_object(parsed("{}")).value();
  EXPECT_TRUE(all.matches_everything());
  auto none = LabelSelector::of_object(Value()).value();
  EXPECT_FALSE(none.matches(parsed("{}")));
  EXPECT_FALSE(none.matches_everything());
  auto both = LabelSelector::of_object(parsed(R"({"matchLabels":{"app":"a"},"matchExpressions":[
      {"key":"tier","operator":"In","values":["y","x"]},{"key":"b","operator":"DoesNotExist"}]})"))
                  .value();
  EXPECT_TRUE(both.matches(parsed(R"({"app":"a","tier":"x"})")));
  EXPECT_FALSE(both.matches(parsed(R"({"app":"a","tier":"x","b":"1"})")));
  EXPECT_EQ(both.to_string(), "app=a,!b,tier in (x,y)");
  EXPECT_FALSE(
      LabelSelector::of_object(parsed(R"({"matchExpressions":[{"key":"a","operator":"Gt","values":["1"]}]})")).ok());
  EXPECT_FALSE(LabelSelector::of_object(parsed(R"({"matchExpressions":[{"key":"a","operator":"In"}]})")).ok());
  EXPECT_TRUE(LabelSelector::of_map(Value()).matches_everything());
}

TEST(LabelSelector, prints_what_it_parses) {
  for (std::string text : {"a=b", "a!=b", "a in (b,c)", "a notin (b,c)", "a", "!a", "a>1", "a<1", "a=b,c=d"}) {
    EXPECT_EQ(LabelSelector::parse(text).value().to_string(), text);
  }
}

TEST(FieldSelector, terms_paths_and_escapes) {
  const Value pod = parsed(R"({"metadata":{"name":"x"},"spec":{"nodeName":"n","hostNetwork":true}})");
  EXPECT_TRUE(FieldSelector::parse("").value().matches(pod));
  EXPECT_TRUE(FieldSelector::parse("metadata.name=x,spec.nodeName!=m").value().matches(pod));
  EXPECT_FALSE(FieldSelector::parse("metadata.name==y").value().matches(pod));
  EXPECT_TRUE(FieldSelector::parse("status.phase=").value().matches(pod));
  EXPECT_TRUE(FieldSelector::parse("spec.hostNetwork=true").value().matches(pod));
  EXPECT_EQ(FieldSelector::parse("a!=b,metadata.name=x").value().exact_name(), "x");
  EXPECT_EQ(FieldSelector::parse("metadata.name!=x").value().exact_name(), "");
  EXPECT_EQ(FieldSelector::parse(R"(a=x\,y\=z)").value().requirements()[0].value, "x,y=z");
  EXPECT_EQ(FieldSelector::parse("metadata.name").error().message,
            "invalid selector: 'metadata.name'; can't understand 'metadata.name'");
  EXPECT_FALSE(FieldSelector::parse(R"(a=x\y)").ok());
  EXPECT_FALSE(FieldSelector::parse("a=b=c").ok());
}

}  // namespace
}  // namespace berth::api
