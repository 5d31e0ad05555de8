#include "api/metadata.h"

#include <gtest/gtest.h>

#include "api/containers.h"
#include "base/json/json.h"

namespace berth::api {
namespace {

Value parsed(std::string_view text) { return json::parse(text).value(); }

TEST(Metadata, FindsAFinalizerByItsCompleteName) {
  const Value object = parsed(R"({"metadata":{"finalizers":["example.com/a","foregroundDeletion"]}})");
  EXPECT_TRUE(has_finalizer(object, "foregroundDeletion"));
  EXPECT_FALSE(has_finalizer(object, "foreground"));
  EXPECT_FALSE(has_finalizer(parsed(R"({"metadata":{}})"), "foregroundDeletion"));
  EXPECT_FALSE(has_finalizer(Value(), "foregroundDeletion"));
}

TEST(Metadata, LeavesTheOtherFinalizersInTheirOrder) {
  const Value object = parsed(R"({"metadata":{"finalizers":["a","b","c"]}})");
  EXPECT_EQ(finalizers_without(object, "b"), parsed(R"(["a","c"])"));
  EXPECT_EQ(finalizers_without(parsed(R"({"metadata":{"finalizers":["b"]}})"), "b"), Value::array());
}

TEST(Metadata, ReadsAResourceVersionAsANumber) {
  EXPECT_EQ(resource_version_number(parsed(R"({"metadata":{"resourceVersion":"1207"}})")), 1207);
  EXPECT_EQ(resource_version_number(parsed(R"({"metadata":{"resourceVersion":"12x"}})")), 0);
  EXPECT_EQ(resource_version_number(parsed(R"({"metadata":{}})")), 0);
}

TEST(Metadata, WrapsAFieldForAMergePatch) {
  EXPECT_EQ(in_metadata("finalizers", Value()), parsed(R"({"metadata":{"finalizers":null}})"));
  EXPECT_EQ(in_metadata("labels", parsed(R"({"a":"b"})")), parsed(R"({"metadata":{"labels":{"a":"b"}}})"));
}

TEST(Containers, OnlyAnInitContainerThatIsAlwaysRestartedIsASidecar) {
  EXPECT_TRUE(is_sidecar(parsed(R"({"restartPolicy":"Always"})")));
  EXPECT_FALSE(is_sidecar(parsed(R"({"restartPolicy":"OnFailure"})")));
  EXPECT_FALSE(is_sidecar(parsed(R"({"name":"migrate"})")));
}

}  // namespace
}  // namespace berth::api
