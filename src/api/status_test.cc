#include "api/status.h"

#include <gtest/gtest.h>

namespace berth::api {
namespace {

const Resource kSets{"apps", "v1", "statefulsets"};
const Resource kPods{"", "v1", "pods"};

TEST(Status, an_error_becomes_a_status_object) {
  EXPECT_EQ(
      json::encode(to_status(not_found(kPods, "x"))),
      R"({"apiVersion":"v1","code":404,"details":{"kind":"pods","name":"x"},"kind":"Status","message":"pods \"x\" not found","metadata":{},"reason":"NotFound","status":"Failure"})");
  EXPECT_EQ(already_exists(kSets, "w").message, "statefulsets.apps \"w\" already exists");
  EXPECT_EQ(conflict(kPods, "x", "why").message, "Operation cannot be fulfilled on pods \"x\": why");
  EXPECT_EQ(forbidden(kPods, "", "no").message, "pods is forbidden: no");
  EXPECT_EQ(forbidden(kPods, "x", "no").message, "pods \"x\" is forbidden: no");
  EXPECT_FALSE(to_status(error(Code::kBadRequest, "x")).contains("details"));
}

TEST(Status, causes_are_joined_as_upstream_joins_them) {
  EXPECT_EQ(invalid("", "Pod", "p", {required("spec.a")}).message, "Pod \"p\" is invalid: spec.a: Required value");
  const Error two = invalid("apps", "StatefulSet", "s",
                            {required("a", "why"), invalid_value("b", 3, "too few"), required("a", "why")});
  EXPECT_EQ(two.message, "StatefulSet.apps \"s\" is invalid: [a: Required value: why, b: Invalid value: 3: too few]");
  EXPECT_EQ(two.details->causes.size(), 3u);
  EXPECT_EQ(not_supported("f", "x", {"a", "b"}).message, R"(Unsupported value: "x": supported values: "a", "b")");
  EXPECT_EQ(duplicate("f", "x").message, R"(Duplicate value: "x")");
  EXPECT_EQ(forbidden_field("f", "no").message, "Forbidden: no");
  EXPECT_EQ(not_found_field("f", "x").message, R"(Not found: "x")");
  EXPECT_EQ(too_long("f", "x", 63).message, "Too long: may not be more than 63 bytes");
  EXPECT_EQ(too_many("f", 3, 1).message, "Too many: 3: must have at most 1 item");
}

TEST(Status, a_status_reads_back_as_the_same_error) {
  for (Code code : {Code::kInvalid, Code::kBadRequest, Code::kUnauthorized, Code::kForbidden, Code::kNotFound,
                    Code::kMethodNotAllowed, Code::kNotAcceptable, Code::kAlreadyExists, Code::kConflict,
                    Code::kExpired, Code::kTooLarge, Code::kUnsupportedMedia, Code::kTooManyRequests,
                    Code::kUnavailable, Code::kUnknown, Code::kUnimplemented, Code::kInternal}) {
    const Value body = to_status(error(code, "text"));
    const Error back = from_status(static_cast<int>(body["code"].as_int()), body);
    EXPECT_EQ(back.code, code) << json::encode(body);
    EXPECT_EQ(back.message, "text");
  }
  const Error many = from_status(422, to_status(invalid("apps", "StatefulSet", "s", {required("a"), required("b")})));
  ASSERT_TRUE(many.details);
  EXPECT_EQ(many.details->causes[1].field, "b");
  EXPECT_EQ(many.details->group, "apps");
}

TEST(Status, a_timeout_of_a_write_may_have_been_applied_but_a_future_revision_was_only_read) {
  EXPECT_EQ(from_status(504, Value()).code, Code::kUnknown);
  ErrorDetails details;
  details.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  const Error late{Code::kTimeout, "x", std::make_shared<const ErrorDetails>(details)};
  EXPECT_EQ(from_status(504, to_status(late)).code, Code::kTimeout);
}

TEST(Status, a_body_that_is_no_status_is_judged_by_its_code) {
  EXPECT_EQ(from_status(409, Value()).code, Code::kConflict);
  EXPECT_EQ(from_status(404, Value("gone")).code, Code::kNotFound);
  EXPECT_EQ(from_status(599, Value()).code, Code::kInternal);
  EXPECT_NE(from_status(599, Value()).message.find("599"), std::string::npos);
}

}  // namespace
}  // namespace berth::api
