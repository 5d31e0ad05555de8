#include "api/patch/json_patch.h"

#include "api/patch/patch.h"
#include "api/patch/test_support.h"

namespace berth::api::patch {
namespace {

struct Case {
  const char* object;
  const char* patch;
  const char* result;  // JSON, or the error's text behind "!"
};

class JsonPatch : public ::testing::TestWithParam<Case> {};

TEST_P(JsonPatch, Applies) {
  const Case& c = GetParam();
  const Value before = j(c.object);
  auto result = apply_operations(before, j(c.patch));
  const std::string got = result.ok() ? json::encode(*result) : "!" + result.error().message;
  const std::string want = c.result[0] == '!' ? c.result : json::encode(j(c.result));
  EXPECT_EQ(got, want) << c.patch;
  EXPECT_EQ(before, j(c.object)) << "the object itself must not change";
}

INSTANTIATE_TEST_SUITE_P(
    Operations, JsonPatch,
    ::testing::Values(
        Case{R"({"a":1})", R"([])", R"({"a":1})"},
        Case{R"({"a":1})", R"([{"op":"add","path":"/b","value":{"c":[1]}}])", R"({"a":1,"b":{"c":[1]}})"},
        Case{R"({"a":1})", R"([{"op":"add","path":"/a","value":null}])", R"({"a":null})"},
        Case{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/1","value":9}])", R"({"a":[1,9,2]})"},
        Case{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/2","value":9}])", R"({"a":[1,2,9]})"},
        Case{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/-","value":9}])", R"({"a":[1,2,9]})"},
        Case{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/3","value":9}])",
             "!error in add for path: '/a/3': Unable to access invalid index: 3: invalid index referenced"},
        Case{R"({"a":[1,2]})", R"([{"op":"add","path":"/a/x","value":9}])",
             "!error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": "
             "invalid syntax"},
        Case{R"({})", R"([{"op":"add","path":"/a/b","value":1}])",
             "!add operation does not apply: doc is missing path: \"/a/b\": missing value"},
        Case{R"({"a":"text"})", R"([{"op":"add","path":"/a/b","value":1}])",
             "!add operation does not apply: doc is missing path: \"/a/b\": missing value"},
        Case{R"({"a":{"x/y":{"m~n":1}}})", R"([{"op":"replace","path":"/a/x~1y/m~0n","value":2}])",
             R"({"a":{"x/y":{"m~n":2}}})"},
        Case{R"({"a":{"b":1,"c":2}})", R"([{"op":"remove","path":"/a/b"}])", R"({"a":{"c":2}})"},
        Case{R"({"a":[1,2,3]})", R"([{"op":"remove","path":"/a/1"}])", R"({"a":[1,3]})"},
        Case{R"({"a":[1,2,3]})", R"([{"op":"remove","path":"/a/-1"}])", R"({"a":[1,2]})"},
        Case{R"({"a":{}})", R"([{"op":"remove","path":"/a/zz"}])",
             "!error in remove for path: '/a/zz': Unable to remove nonexistent key: zz: missing value"},
        Case{R"({"a":[]})", R"([{"op":"remove","path":"/a/0"}])",
             "!error in remove for path: '/a/0': Unable to access invalid index: 0: invalid index referenced"},
        Case{R"({})", R"([{"op":"remove","path":"/data/zz"}])",
             "!remove operation does not apply: doc is missing path: \"/data/zz\": missing value"},
        Case{R"({"a":1})", R"([{"op":"replace","path":"/b","value":1}])", R"({"a":1,"b":1})"},
        Case{R"({"a":[1]})", R"([{"op":"replace","path":"/a/0","value":2}])", R"({"a":[2]})"},
        Case{R"({"a":1})", R"([{"op":"replace","path":"","value":{"b":1}}])", R"({"b":1})"},
        Case{R"({"a":1,"b":{}})", R"([{"op":"move","from":"/a","path":"/b/c"}])", R"({"b":{"c":1}})"},
        Case{R"({"a":1})", R"([{"op":"move","from":"/z","path":"/b"}])",
             "!error in move for path: 'z': unable to get nonexistent key: z: missing value"},
        Case{R"({"a":{"x":1}})", R"([{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/b/y","value":2}])",
             R"({"a":{"x":1},"b":{"x":1,"y":2}})"},
        Case{R"({"a":1})", R"([{"op":"copy","from":"/q/r","path":"/b"}])",
             "!copy operation does not apply: doc is missing from path: \"/q/r\": missing value"},
        Case{R"({"a":[1,{"b":null}]})", R"([{"op":"test","path":"/a/1","value":{"b":null}}])",
             R"({"a":[1,{"b":null}]})"},
        Case{R"({"a":1})", R"([{"op":"test","path":"/b","value":null}])", R"({"a":1})"},
        Case{R"({"a":1})", R"([{"op":"test","path":"/a","value":2}])", "!testing value /a failed: test failed"},
        Case{R"({"a":1})", R"([{"op":"test","path":"/b","value":2}])", "!testing value /b failed: test failed"},
        Case{R"({"a":1})", R"([{"op":"spin","path":"/a"}])", "!Unexpected kind: spin"},
        Case{R"({"a":1})", R"([{"path":"/a"}])", "!Unexpected kind: unknown"},
        Case{R"({"a":1})", R"([{"op":"add","value":1}])", "!add operation failed to decode path: missing value"},
        Case{R"({"a":1})", R"([{"op":"move","path":"/b"}])", "!move operation failed to decode from: missing value"},
        Case{R"({"a":1})", R"({"a":2})", "!json: cannot unmarshal object into Go value of type jsonpatch.Patch"},
        Case{R"({"a":1})", R"(["a"])", "!json: cannot unmarshal string into Go value of type jsonpatch.Operation"}));

TEST(JsonPatchError, TheApiAnswersInGeneralWords) {
  auto result = apply_json_patch(j(R"({"data":{}})"), j(R"([{"op":"remove","path":"/data/zz"}])"));
  ASSERT_TRUE(result.failed_with(Code::kInvalid));
  EXPECT_EQ(result.error().message, "the server rejected our request due to an error in our request");
  ASSERT_TRUE(result.error().details);
  EXPECT_TRUE(result.error().details->causes.empty());
  EXPECT_TRUE(apply_json_patch(j("{}"), j("{}")).failed_with(Code::kBadRequest));
}

TEST(JsonPatchError, OneFailureChangesNothing) {
  const Value before = j(R"({"a":1})");
  EXPECT_FALSE(
      apply_json_patch(before, j(R"([{"op":"add","path":"/b","value":1},{"op":"test","path":"/a","value":2}])")).ok());
  EXPECT_EQ(before, j(R"({"a":1})"));
}

TEST(JsonPatchError, TooManyOperations) {
  Value patch = Value::array();
  for (int i = 0; i < 10'000; ++i) patch.push(j(R"({"op":"add","path":"/a","value":1})"));
  EXPECT_TRUE(apply_json_patch(j("{}"), patch).ok());
  patch.push(j(R"({"op":"add","path":"/a","value":1})"));
  auto result = apply_json_patch(j("{}"), patch);
  ASSERT_TRUE(result.failed_with(Code::kTooLarge));
  EXPECT_EQ(result.error().message, "The allowed maximum operations in a JSON patch is 10000, got 10001");
}

TEST(MergePatch, Rfc7386) {
  const char* cases[][3] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", R"(null)", R"(null)"},
      {R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  };
  for (auto& [object, patch, want] : cases) EXPECT_EQ(apply_merge_patch(j(object), j(patch)), j(want)) << patch;
}

// Many changes at once come out as one after the other does.
TEST(MergePatch, ManyChanges) {
  Value object = Value::object(), patch = Value::object(), one_by_one;
  for (int i = 0; i < 300; ++i)
    object.set("key-" + std::to_string(i), i % 3 == 0 ? Value::object({{"a", i}, {"b", i}}) : Value(i));
  for (int i = 100; i < 500; ++i) {
    patch.set("key-" + std::to_string(i), i % 4 == 0   ? Value()
                                          : i % 4 == 1 ? Value::object({{"a", nullptr}, {"c", i}})
                                                       : Value("new"));
  }
  one_by_one = object;
  for (auto [key, change] : patch.entries()) one_by_one = apply_merge_patch(one_by_one, Value::object({{key, change}}));
  EXPECT_EQ(apply_merge_patch(object, patch), one_by_one);
}

// Sixty copies that double the document each time: the limit stops them early, and long before anything is doubled for
// real.
TEST(JsonPatchBounds, CopiesThatDoubleAreStopped) {
  std::string patch = "[";
  for (int i = 0; i < 60; ++i)
    patch += (i ? "," : "") + std::string(R"({"op":"copy","from":"/a","path":"/a/c)") + std::to_string(i) + "\"}";
  auto result = apply_operations(j(R"({"a":{"text":"0123456789"}})"), j(patch + "]"));
  ASSERT_TRUE(result.failed_with(Code::kInvalid));
  EXPECT_TRUE(
      result.error().message.starts_with("Unable to complete the copy, the accumulated size increase of copy is "));
  EXPECT_TRUE(result.error().message.ends_with(", exceeding the limit 3145728"));
  // The client is told in upstream's general words.
  auto shown = apply_json_patch(j(R"({"a":{"text":"0123456789"}})"), j(patch + "]"));
  EXPECT_EQ(shown.error().message, "the server rejected our request due to an error in our request");
}

// A copy into its own depth doubles that: nothing may be made that recursion could not walk.
TEST(JsonPatchBounds, NothingGetsTooDeep) {
  Value object = j(R"({"a":{"b":{}}})");
  std::string deepest = "/a/b", patch = "[";
  for (int i = 0; i < 14; ++i) {
    patch += (i ? "," : "") + std::string(R"({"op":"copy","from":"/a","path":")") + deepest + "/a\"}";
    deepest += deepest;
  }
  auto result = apply_operations(object, j(patch + "]"));
  ASSERT_TRUE(result.failed_with(Code::kInvalid));
  EXPECT_EQ(result.error().message, "the patch nests values more than 10000 deep");
  // By add and by move as well.
  std::string arrays = "[[[]]]", path = "/a";
  for (int i = 0; i < 5000; ++i) path += "/0";
  Value deep =
      Value::object({{"a", json::parse(std::string(9000, '[') + std::string(9000, ']')).value()}, {"b", j(arrays)}});
  EXPECT_TRUE(
      apply_operations(deep, Value::array({Value::object(
                                 {{"op", "add"},
                                  {"path", path + "/-"},
                                  {"value", json::parse(std::string(6000, '[') + std::string(6000, ']')).value()}})}))
          .failed_with(Code::kInvalid));
  EXPECT_TRUE(
      apply_operations(deep, Value::array({Value::object(
                                 {{"op", "replace"},
                                  {"path", path},
                                  {"value", json::parse(std::string(6000, '[') + std::string(6000, ']')).value()}})}))
          .failed_with(Code::kInvalid));
  EXPECT_TRUE(
      apply_operations(deep, Value::array({Value::object({{"op", "move"}, {"path", "/b/0/0/-"}, {"from", "/a"}})}))
          .ok());
  EXPECT_TRUE(
      apply_operations(deep, Value::array({Value::object({{"op", "add"}, {"path", "/c"}, {"value", 1}})})).ok());
}

}  // namespace
}  // namespace berth::api::patch
