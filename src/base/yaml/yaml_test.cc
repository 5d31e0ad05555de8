#include "base/yaml/yaml.h"

#include <gtest/gtest.h>

namespace berth::yaml {
namespace {

std::string read(std::string_view text) {
  auto parsed = parse(text);
  return parsed.ok() ? json::encode(*parsed) : "error: " + parsed.error().message;
}

TEST(Yaml, PlainScalars) {
  const std::pair<const char*, const char*> cases[] = {{"yes", "true"},
                                                       {"Y", "true"},
                                                       {"on", "true"},
                                                       {"True", "true"},
                                                       {"n", "false"},
                                                       {"OFF", "false"},
                                                       {"yEs", "\"yEs\""},
                                                       {"~", "null"},
                                                       {"Null", "null"},
                                                       {"nULL", "\"nULL\""},
                                                       {"12", "12"},
                                                       {"-12", "-12"},
                                                       {"+12", "12"},
                                                       {"0x1F", "31"},
                                                       {"0o17", "15"},
                                                       {"017", "15"},
                                                       {"0b101", "5"},
                                                       {"-0x10", "-16"},
                                                       {"1_000", "1000"},
                                                       {"08", "8"},
                                                       {"1.5", "1.5"},
                                                       {".5", "0.5"},
                                                       {"1e3", "1000"},
                                                       {"1e-3", "0.001"},
                                                       {"1.", "1"},
                                                       {"9223372036854775808", "9223372036854776000"},
                                                       {"1.2.3", "\"1.2.3\""},
                                                       {"500m", "\"500m\""},
                                                       {"2026-01-02", "\"2026-01-02\""},
                                                       {"2026-01-02T03:04:05Z", "\"2026-01-02T03:04:05Z\""},
                                                       {"12:30", "\"12:30\""},
                                                       {"0x", "\"0x\""},
                                                       {"0xZZ", "\"0xZZ\""},
                                                       {"'yes'", "\"yes\""},
                                                       {"\"12\"", "\"12\""},
                                                       {"!!str 12", "\"12\""},
                                                       {"!!int 12", "12"},
                                                       {"!!float 1", "1"},
                                                       {"!!binary aGk=", "\"hi\""},
                                                       {"! 12", "\"12\""},
                                                       {"...a", "\"...a\""}};
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(read(text), expected) << text;
  }
}

TEST(Yaml, Documents) {
  EXPECT_EQ(read("a: 1\nb:\n- x\n- q: {z: [1, two]}\n"), R"({"a":1,"b":["x",{"q":{"z":[1,"two"]}}]})");
  EXPECT_EQ(read(""), "null");
  EXPECT_EQ(read("# nothing\n"), "null");
  EXPECT_EQ(read("{\"a\": [true, null]}"), R"({"a":[true,null]})");
  EXPECT_EQ(read("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), R"({"a":"x\ny\n","b":"x y"})");
  EXPECT_EQ(read("1: a\ny: b\n1.5: c\n\"n\": d\n"), R"({"1":"a","1.5":"c","n":"d","true":"b"})");
  EXPECT_EQ(read("a: 1\n---\nb: [\n"), R"({"a":1})");
  EXPECT_EQ(read("---\na: 1\n---\n"), R"({"a":1})");
  auto all = parse_all("---\na: 1\n---\n# none\n---\n- 2\n...\n");
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(json::encode(Value::array(*all)), R"([{"a":1},[2]])");
}

TEST(Yaml, AnchorsAndMerges) {
  EXPECT_EQ(read("a: &x {p: 1, q: 2}\nb: *x\nc:\n  q: 3\n  <<: *x\n"),
            R"({"a":{"p":1,"q":2},"b":{"p":1,"q":2},"c":{"p":1,"q":3}})");
  EXPECT_EQ(read("- &x {p: 1}\n- &y {p: 2, q: 2}\n- <<: [*x, *y]\n"), R"([{"p":1},{"p":2,"q":2},{"p":1,"q":2}])");
  EXPECT_EQ(read("'<<': 1"), R"({"\u003c\u003c":1})");
  EXPECT_EQ(read("<<: 1"), "error: line 1: a merge takes a mapping or a list of mappings");
  EXPECT_EQ(read("a: *x"), "error: line 1: unknown anchor \"x\"");
}

TEST(Yaml, ErrorsNameTheLine) {
  EXPECT_TRUE(read("a: 1\nb: [1\nc: }").starts_with("error: line 2: ")) << read("a: 1\nb: [1\nc: }");
  EXPECT_TRUE(read("a:\n\t- 1").starts_with("error: line 2: "));
  EXPECT_EQ(read("a: 1\nb: .inf"), "error: line 2: JSON has no number .inf");
  EXPECT_EQ(read("a: 1\n[x]: 2"), "error: line 2: a mapping's key must be a string, not array");
  EXPECT_EQ(read("~: 2"), "error: line 1: a mapping's key must be a string, not null");
  EXPECT_TRUE(read("a: !!int x").starts_with("error: line 1: cannot read"));
  EXPECT_EQ(read("a: \xFF"), "error: invalid leading UTF-8 octet");
  EXPECT_EQ(read("{a: ["), "error: line 1: did not find expected node content");
  EXPECT_EQ(read("a:\n  b: 1\n c: ["), "error: line 2: did not find expected key");
}

TEST(Yaml, UnfoldingIsBounded) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 10; ++i) {
    std::string before = "*a" + std::to_string(i - 1), list = before;
    for (int k = 0; k < 9; ++k) list += "," + before;
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + list + "]\n";
  }
  EXPECT_NE(read(bomb).find("too many nodes"), std::string::npos);
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "- ";
  EXPECT_TRUE(read(deep + "x").starts_with("error: line 1: "));
}

TEST(Yaml, Duplicates) {
  std::vector<std::string> duplicates;
  auto parsed = parse("a:\n- b: 1\n  b: 2\n  b: 3\nc: 1\nc: 2\n", &duplicates);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(json::encode(*parsed), R"({"a":[{"b":3}],"c":2})");
  EXPECT_EQ(duplicates, (std::vector<std::string>{"a[0].b", "c"}));
  std::vector<std::string> repeated;
  ASSERT_TRUE(parse("a: 1\ny: 2\na: 3\ny: 4\n", nullptr, &repeated).ok());
  EXPECT_EQ(repeated,
            (std::vector<std::string>{"line 3: key \"a\" already set in map", "line 4: key true already set in map"}));
}

TEST(Yaml, LongLinesAreFolded) {
  const std::string words =
      "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
  EXPECT_EQ(
      yaml::encode(Value::object({{"a", Value::object({{"b", words}})}})),
      "a:\n  b: one two three four five six seven eight nine ten eleven twelve thirteen fourteen\n    fifteen sixteen\n");
  EXPECT_EQ(
      yaml::encode(Value::object({{"message", "only: " + words}})),
      "message: 'only: one two three four five six seven eight nine ten eleven twelve thirteen\n  fourteen fifteen sixteen'\n");
  for (const std::string& text : {words + "  " + words + "  x", "\t" + words + "  " + words + " ",
                                  "- " + words + " 'q' " + words, words + "\n" + words}) {
    EXPECT_EQ(
        yaml::parse(yaml::encode(Value::object({{"a", Value::array({Value(text)})}}))).value()["a"][0].as_string(),
        text);
  }
}

TEST(Yaml, Encodes) {
  Value pod = json::parse(R"({"spec":{"containers":[{"name":"c","args":["-v","5"],"ports":[]}],"x":[[1,2],[]]},
      "kind":"Pod","labels":{},"n":null,"t":true,"text":"a\nb\n","on":"off"})")
                  .value();
  EXPECT_EQ(
      yaml::encode(pod),
      "kind: Pod\nlabels: {}\n\"n\": null\n\"on\": \"off\"\nspec:\n  containers:\n  - args:\n    - -v\n    - \"5\"\n"
      "    name: c\n    ports: []\n  x:\n  - - 1\n    - 2\n  - []\nt: true\ntext: |\n  a\n  b\n");
  EXPECT_EQ(yaml::encode(Value("x")), "x\n");
  EXPECT_EQ(yaml::encode(Value("a: b")), "'a: b'\n");
  EXPECT_EQ(yaml::encode(Value("2026-01-02T03:04:05Z")), "\"2026-01-02T03:04:05Z\"\n");
}

TEST(Yaml, EveryStringSurvives) {
  std::vector<Value> strings;
  for (const char* text : {"",
                           " ",
                           "a ",
                           " a",
                           "yes",
                           "No",
                           "~",
                           "null",
                           "12",
                           "1e3",
                           "0x1f",
                           ".5",
                           ".inf",
                           "1_0",
                           "12:30:45",
                           "-",
                           "- a",
                           "?",
                           "? a",
                           ":",
                           "a:",
                           "a: b",
                           "a #b",
                           "#a",
                           "it's",
                           "'a'",
                           "\"a\"",
                           "[a",
                           "{a",
                           "*a",
                           "&a",
                           "!a",
                           "|",
                           ">",
                           "%a",
                           "@a",
                           "`a",
                           "a,b",
                           "a]",
                           "---",
                           "--- a",
                           "...",
                           "<<",
                           "=",
                           "a\nb",
                           "a\nb\n",
                           "a\n\n",
                           "\na",
                           "\n",
                           "\n\n",
                           "  a\nb",
                           "a \nb",
                           "a\n b\n",
                           "a\n\n\nb\n\n",
                           "tab\there",
                           "\tx",
                           "a\r\nb",
                           "\x01",
                           "\x7f",
                           "\xC2\x85",
                           "\xC2\xA0",
                           "\xE2\x80\xA8",
                           "\xEF\xBB\xBFx",
                           "\xEF\xBF\xBE",
                           "\xEF\xBF\xBD",
                           "h\xC3\xA9\xF0\x9F\x98\x80",
                           "2026-01-02",
                           "#a\nb",
                           "- a\nb\n",
                           "\n a\n",
                           "a\n ",
                           "a\n\t",
                           "\\",
                           "a\\nb"}) {
    strings.push_back(text);
  }
  Value list = Value::array(strings), object = Value::object(), nested = Value::array();
  for (const Value& text : strings) {
    object.set(text.as_string(), text);
    nested.push(Value::object({{"k", Value::array({text, Value::object({{"v", text}})})}}));
    auto alone = parse(yaml::encode(text));
    ASSERT_TRUE(alone.ok()) << json::encode(text) << " -> " << yaml::encode(text) << alone.error().message;
    EXPECT_EQ(*alone, text) << yaml::encode(text);
  }
  object.set(std::string(3000, 'k'), Value::array({1, Value::object({{"a", 1}})}));
  for (const Value& value : {list, object, nested}) {
    auto back = parse(yaml::encode(value));
    ASSERT_TRUE(back.ok()) << back.error().message << "\n" << yaml::encode(value);
    EXPECT_EQ(*back, value) << yaml::encode(value) << json::encode(*back);
  }
}

// A line of aliases to a long text is a small document; what it stands for is not.
TEST(Yaml, AliasesDoNotUnfoldToManyBytes) {
  auto document = [](int aliases) {
    std::string text = "a: &a " + std::string(1'000'000, 'x') + "\nlist:\n";
    for (int i = 0; i < aliases; ++i) text += "- *a\n";
    return text;
  };
  EXPECT_TRUE(parse(document(10)).ok());
  EXPECT_EQ(parse(document(17)).error().message, "line 19: the document's aliases unfold to too many bytes");
}

}  // namespace
}  // namespace berth::yaml
