#include "base/json/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "base/json/build.h"
#include "base/json/intern.h"

namespace berth::json {
namespace {

static_assert(sizeof(Value) == 16);

Value must(std::string_view text) {
  auto parsed = parse(text);
  EXPECT_TRUE(parsed.ok()) << text << ": " << (parsed.ok() ? "" : parsed.error().message);
  return parsed.ok() ? parsed.value() : Value();
}
std::string round(std::string_view text) { return encode(must(text)); }
std::string problem(std::string_view text) {
  auto parsed = parse(text);
  return parsed.ok() ? "parsed" : parsed.error().message;
}

TEST(Json, ParsesAndEncodesCanonically) {
  EXPECT_EQ(round(R"( {"b":[1,-2,3.5,true,false,null],"a":{"y":"","x":{}} , "c":[] } )"),
            R"({"a":{"x":{},"y":""},"b":[1,-2,3.5,true,false,null],"c":[]})");
  EXPECT_EQ(round("\"x\""), "\"x\"");
  EXPECT_EQ(round("-0"), "0");
  EXPECT_EQ(round(R"({"a":1,"b":2,"a":3})"), R"({"a":3,"b":2})");
}

TEST(Json, KeysAreInByteOrder) {
  EXPECT_EQ(round(R"({"abcdefghj":1,"abcdefghi":2,"abcdefgh":3,"":4,"\u00e9":5,"Z":6,"a":7,"a\u0000":8})"),
            "{\"\":4,\"Z\":6,\"a\":7,\"a\\u0000\":8,\"abcdefgh\":3,\"abcdefghi\":2,\"abcdefghj\":1,\"\xC3\xA9\":5}");
}

TEST(Json, Numbers) {
  EXPECT_TRUE(must("9223372036854775807").is_int());
  EXPECT_EQ(must("-9223372036854775808").as_int(), INT64_MIN);
  EXPECT_EQ(must("9223372036854775808").type(), Type::kDouble);
  EXPECT_EQ(must("123456789012345678901234567890").as_double(), 123456789012345678901234567890.0);
  EXPECT_EQ(must("1e-400").as_double(), 0);
  EXPECT_EQ(must("1.0"), Value(1));
  EXPECT_EQ(must("1.0").hash(), Value(1).hash());
  EXPECT_NE(must("1.5"), Value(1));
  EXPECT_EQ(Value(-0.0), Value(0));
  EXPECT_EQ(encode(Value(-0.0)), "0");
  EXPECT_NE(Value(INT64_MIN), Value(-9223372036854775808.0));
  EXPECT_EQ(Value(2.9).as_int(), 2);
  EXPECT_EQ(Value(1e300).as_int(), INT64_MAX);
}

TEST(Json, DoublesAsGoPrintsThem) {
  auto print = [](double d) {
    std::string out;
    append_double(d, out);
    return out;
  };
  EXPECT_EQ(print(1), "1");
  EXPECT_EQ(print(0), "0");
  EXPECT_EQ(print(0.1), "0.1");
  EXPECT_EQ(print(-1234.5), "-1234.5");
  EXPECT_EQ(print(1e20), "100000000000000000000");
  EXPECT_EQ(print(1e21), "1e+21");
  EXPECT_EQ(print(1.5e-7), "1.5e-7");
  EXPECT_EQ(print(1e-6), "0.000001");
  EXPECT_EQ(print(1152921504606846976.0), "1152921504606847000");
  EXPECT_EQ(print(NAN), "null");
}

TEST(Json, Escapes) {
  EXPECT_EQ(encode(Value("a\"\\\b\f\n\r\t\x01<>&\x7f")),
            "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u003c\\u003e\\u0026\x7f\"");
  EXPECT_EQ(encode(Value("\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA")), "\"\\u2028\\u2029\xE2\x80\xAA\"");
  EXPECT_EQ(encode(Value("a\xFFz\xC3")), "\"a\\ufffdz\\ufffd\"");
  EXPECT_EQ(must(R"("\u0041\/\ud83d\ude00\u20ac")").as_string(), "A/\xF0\x9F\x98\x80\xE2\x82\xAC");
  EXPECT_EQ(must(R"("\ud800x\udc00\ud800\u0041")").as_string(),
            "\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD"
            "A");
  EXPECT_EQ(must(R"("0123456789abcdef\n0123456789\"")").as_string(), "0123456789abcdef\n0123456789\"");
}

TEST(Json, ErrorsSayWhere) {
  EXPECT_EQ(problem(""), "offset 0: unexpected end of text");
  EXPECT_EQ(problem("{\"a\":1,}"), "offset 7: a quoted key expected");
  EXPECT_EQ(problem("[1,2"), "offset 4: unexpected end of text in an array");
  EXPECT_EQ(problem("[1 2]"), "offset 3: ',' or ']' expected");
  EXPECT_EQ(problem("[1]x"), "offset 3: unexpected text after the value");
  EXPECT_EQ(problem("[tru]"), "offset 1: a JSON value expected");
  EXPECT_EQ(problem("\"ab\xFF\""), "offset 3: not valid UTF-8");
  EXPECT_EQ(problem("\"a\nb\""), "offset 2: control character in a string");
  EXPECT_EQ(problem("\"0123456789\x01\""), "offset 11: control character in a string");
  EXPECT_EQ(problem("1e999"), "offset 0: number out of range");
  for (const char* bad : {"01",
                          "-",
                          "+1",
                          ".5",
                          "1.",
                          "1e",
                          "1e+",
                          "{",
                          "{\"a\"",
                          "{\"a\":",
                          "{a:1}",
                          "[,]",
                          "[1,]",
                          "'a'",
                          "\"",
                          "\"\\x\"",
                          "\"\\u12g4\"",
                          "\"\\u12",
                          "nul",
                          "NaN",
                          "// x\n1",
                          "\xEF\xBB\xBF"
                          "1",
                          "\"\\"}) {
    EXPECT_NE(problem(bad), "parsed") << bad;
  }
}

TEST(Json, DepthIsBounded) {
  std::string deep(10000, '[');
  EXPECT_TRUE(parse(deep + std::string(10000, ']')).ok());
  EXPECT_EQ(problem("[" + deep), "offset 10000: nested too deeply");
  ParseOptions two;
  two.max_depth = 2;
  EXPECT_TRUE(parse("[{}]", two).ok());
  EXPECT_FALSE(parse("[{\"a\":[]}]", two).ok());
}

TEST(Json, DuplicatesAreNamedOnce) {
  std::vector<std::string> duplicates;
  ParseOptions options;
  options.duplicates = &duplicates;
  auto parsed = parse(R"({"a":{"b":[{},{"c":1,"c":2,"c":3}]},"z":1,"z":[2]})", options);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(duplicates, (std::vector<std::string>{"a.b[1].c", "z"}));
  EXPECT_EQ(encode(*parsed), R"({"a":{"b":[{},{"c":3}]},"z":[2]})");

  std::string many = "{";
  for (int i = 0; i < 100; ++i) many += "\"k" + std::to_string(i) + "\":1,";
  duplicates.clear();
  ASSERT_TRUE(parse(many + "\"k3\":2,\"k99\":2}", options).ok());
  EXPECT_EQ(duplicates, (std::vector<std::string>{"k3", "k99"}));
}

TEST(Json, ReadingNeverFails) {
  Value value = Value::object({{"a", Value::array({1, "x"})}, {"n", nullptr}});
  EXPECT_EQ(value["a"][1].as_string(), "x");
  EXPECT_TRUE(value["a"][2].is_null());
  EXPECT_TRUE(value["q"]["r"][3]["s"].is_null());
  EXPECT_TRUE(value.contains("n"));
  EXPECT_FALSE(value.contains("q"));
  EXPECT_EQ(value["a"].as_string("none"), "none");
  EXPECT_EQ(Value("5").as_int(7), 7);
  EXPECT_EQ(Value("five").size(), 0u);
  EXPECT_EQ(value.size(), 2u);
  EXPECT_STREQ(value.type_name(), "object");
}

TEST(Json, LookUpInLargeObjects) {
  Value value;
  for (int i = 999; i >= 0; --i) value.set("key-" + std::to_string(i), i);
  ASSERT_EQ(value.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(value["key-" + std::to_string(i)].as_int(-1), i);
  EXPECT_EQ(value.find("key-"), nullptr);
  EXPECT_EQ(value.find("key-1000"), nullptr);
  std::string last;
  for (Entry entry : value.entries()) {
    EXPECT_LT(last, entry.key);
    last = entry.key;
  }
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(value.erase("key-" + std::to_string(i)));
  EXPECT_FALSE(value.erase("key-0"));
  EXPECT_EQ(value, Value::object());
}

TEST(Json, ChangesCopyOnlySharedNodes) {
  Value pod = must(R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]},"status":{}})");
  Value copy = pod;
  copy.mut("status").set("phase", "Running");
  EXPECT_FALSE(pod["status"].contains("phase"));
  EXPECT_TRUE(copy["spec"].same_node(pod["spec"]));
  EXPECT_TRUE(copy["metadata"].same_node(pod["metadata"]));
  EXPECT_FALSE(copy.same_node(pod));
  const Value* before = copy.find("status");
  copy.mut("status").set("phase", "Failed");
  EXPECT_EQ(copy.find("status"), before);

  Value list = Value::array({1, 2, 3}), shared = list;
  list.push(4).push(5);
  list.erase(std::size_t{0});
  list.insert(1, "x");
  list.mut(0) = 9;
  EXPECT_EQ(encode(list), R"([9,"x",3,4,5])");
  EXPECT_EQ(encode(shared), "[1,2,3]");
}

TEST(Json, NullBecomesWhatIsNeeded) {
  Value value;
  value.mut("a").mut("b").push(1);
  EXPECT_EQ(encode(value), R"({"a":{"b":[1]}})");
  EXPECT_FALSE(Value().erase("x"));
  EXPECT_DEATH(Value(1).set("a", 1), "no object");
  EXPECT_DEATH(Value("s").push(1), "outside of an array");
  EXPECT_DEATH(Value::array().mut(0), "outside of an array");
}

TEST(Json, AssignmentFromInsideItself) {
  Value value = must(R"({"a":{"b":[1]}})");
  value = value["a"]["b"];
  EXPECT_EQ(encode(value), "[1]");
  value.push(value);
  EXPECT_EQ(encode(value), "[1,[1]]");
  Value object = Value::object({{"k", "name"}});
  object.set(object["k"].as_string(), object);
  EXPECT_EQ(encode(object), R"({"k":"name","name":{"k":"name"}})");
}

TEST(Json, EqualityIsDeep) {
  EXPECT_EQ(must(R"({"a":[1,{"b":"x"}]})"), must(R"({ "a" : [1.0,{"b":"x"}] })"));
  EXPECT_NE(must(R"({"a":1})"), must(R"({"b":1})"));
  EXPECT_NE(must("[]"), must("{}"));
  EXPECT_NE(must("[]"), must("[null]"));
  EXPECT_NE(Value(""), Value("a"));
  EXPECT_NE(Value(true), Value(1));
  EXPECT_EQ(must(R"({"a":1,"b":2})").hash(), must(R"({"b":2,"a":1})").hash());
  EXPECT_NE(Value("a").hash(), Value("b").hash());
}

TEST(Json, Pretty) {
  EXPECT_EQ(encode_pretty(must(R"({"a":[1,{}],"b":[]})")), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
}

TEST(Json, ThreadsShareNodesAndKeys) {
  Value shared = must(R"({"a":{"b":"c"},"list":[1,2,3]})");
  std::vector<std::thread> threads;
  std::vector<std::string> results(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Value mine;
      for (int i = 0; i < 500; ++i) {
        mine = shared;
        mine.set("thread-key-" + std::to_string(i), i);
        mine.mut("a").set("b", i);
      }
      results[t] = encode(mine);
    });
  }
  for (auto& thread : threads) thread.join();
  for (auto& result : results) EXPECT_EQ(result, R"({"a":{"b":499},"list":[1,2,3],"thread-key-499":499})");
  EXPECT_EQ(encode(shared), R"({"a":{"b":"c"},"list":[1,2,3]})");
}

// Plain bytes are taken in pieces: nothing may slip through at their edges.
TEST(Json, WhatNeedsAnEscapeGetsItAtEveryPlace) {
  auto inside = [](std::string_view text) {
    std::string out;
    json::append_string(text, out);
    return out.substr(1, out.size() - 2);
  };
  for (std::size_t size = 1; size < 70; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (std::string_view special :
           {"<", ">", "&", "\"", "\\", "\n", "\x1f", "\x7f", "\xff", "\xc3\xa9", "\xe2\x80\xa8"}) {
        const std::string before(at, 'a'), after(size - at - 1, '~');
        const std::string text = before + std::string(special) + after;
        ASSERT_EQ(inside(text), before + inside(special) + after) << size << " at " << at;
      }
    }
  }
  EXPECT_EQ(inside("<"), "\\u003c");
  EXPECT_EQ(inside("\x1f"), "\\u001f");
  EXPECT_EQ(inside("\x7f"), "\x7f");
  EXPECT_EQ(inside("\xff"), "\\ufffd");
}

// Keys that only clients bring must not stay when nothing uses them any more.
TEST(Json, KeysGoWithTheLastObjectThatHasThem) {
  const std::size_t before = interned_keys();
  auto many = [](int from, int to) {
    std::string text = "{";
    for (int i = from; i < to; ++i)
      text += (i > from ? ",\"gone-" : "\"gone-") + std::to_string(i) + "\":{\"inner-" + std::to_string(i) + "\":1}";
    return text + "}";
  };
  {
    Value first = parse(many(0, 1000)).value();
    EXPECT_EQ(interned_keys(), before + 2000);
    Value second = parse(many(500, 1500)).value();
    EXPECT_EQ(interned_keys(), before + 3000);
    Value copy = first;
    copy.set("gone-one-more", 1);
    EXPECT_EQ(interned_keys(), before + 3001);
    first = Value();
    EXPECT_EQ(copy["gone-7"]["inner-7"].as_int(), 1);
    for (int i = 0; i < 1000; i += 2) EXPECT_TRUE(copy.erase("gone-" + std::to_string(i)));
    EXPECT_EQ(copy["gone-9"]["inner-9"].as_int(), 1);
    EXPECT_EQ(second["gone-10"].size(), 0u);
    EXPECT_EQ(second["gone-510"].size(), 1u);
  }
  EXPECT_EQ(interned_keys(), before);
  // Neither what repeats, nor what is broken off anywhere, leaves any behind.
  (void)parse("{\"gone-a\":1,\"gone-a\":2,\"gone-b\":{\"gone-a\":3,\"gone-a\":4}}").value();
  const std::string whole = "{\"gone-a\":[{\"gone-b\":{\"gone-c\":1}},{\"gone-d\":2}],\"gone-e\":3}";
  std::vector<std::string> duplicates;
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    for (std::vector<std::string>* list : {static_cast<std::vector<std::string>*>(nullptr), &duplicates}) {
      ParseOptions options;
      options.duplicates = list;
      EXPECT_FALSE(parse(whole.substr(0, cut), options).ok());
    }
  }
  EXPECT_EQ(interned_keys(), before);
}

TEST(Json, ManyMembersAtOnce) {
  std::vector<std::pair<std::string_view, Value>> members = {{"b", 1}, {"a", 2}, {"b", 3}, {"aa", 4}};
  EXPECT_EQ(encode(make_object(members)), R"({"a":2,"aa":4,"b":3})");
  EXPECT_EQ(make_object({}), Value::object());
}

TEST(Json, AKeptKeyStays) {
  Value counted = Value::object({{"kept-late", 1}});
  intern_permanently("kept-late");
  intern_permanently("kept-early");
  const std::size_t before = interned_keys();
  counted = Value();
  for (int i = 0; i < 3; ++i) {
    Value object = parse("{\"kept-early\":1,\"kept-late\":2}").value();
    EXPECT_EQ(object, Value::object({{"kept-late", 2}, {"kept-early", 1}}));
  }
  EXPECT_EQ(interned_keys(), before);
}

// Threads that make and drop the same few keys find each other at every step of a removal.
TEST(Json, ThreadsShareKeysThatComeAndGo) {
  const std::size_t before = interned_keys();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t, &wrong] {
      for (int i = 0; i < 20000; ++i) {
        const std::string a = "come-and-go-" + std::to_string((i + t) % 5),
                          b = "come-and-go-" + std::to_string((i * 3 + t) % 7 + 5);
        Value object = Value::object({{a, i}, {b, t}});
        Value copy = object;
        copy.set("come-and-go-x", 1);
        object = Value();
        if (copy[a].as_int() != i || copy[b].as_int() != t || copy.size() != 3) wrong.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(interned_keys(), before);
}

}  // namespace
}  // namespace berth::json
