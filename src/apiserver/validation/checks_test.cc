#include "apiserver/validation/checks.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::string_view kSchema = R"(package io.test.v1 as t
group test.io version v1 order 1

enum Colour Red Green
type Thing
  name    string   1 required
  label   *string  2
  colour  Colour   3
  size    int32    4
  limit   *int32   5
  amount  *quantity 6
  parts   []Part   7
  tags    []string 8
  marks   {}string 9
  one     *Part    10
  two     *Part    11
  port    intstr   12
type Part
  key     string 1
  mode    *int32 2
)";

class Checks : public testing::Test {
 protected:
  // What the lines below "check Thing" say of the object, one cause a line.
  std::string causes(std::string_view lines, std::string_view object) {
    const std::string text = "package io.test.v1 as t\ncheck Part\n  key required\n  mode file-mode\ncheck Thing\n" +
                             std::string(lines) + "\n";
    auto checks = parse_checks(*schema_, {{"t.checks", text}});
    if (!checks.ok()) return checks.error().message;
    Report report;
    run_checks(report, "spec", *(*checks)->find("t.Thing"), json::parse(object).value());
    std::vector<std::string> found;
    for (const Cause& cause : report.take())
      found.push_back(cause.field + " | " + cause.reason + " | " + cause.message);
    return join(found, "\n");
  }
  std::unique_ptr<api::schema::Schema> schema_ = api::schema::parse_schema({{"t.schema", kSchema}}).value();
};

TEST_F(Checks, RequiredIsWhatGoCallsNothing) {
  EXPECT_EQ(causes("  name required", "{}"), "spec.name | FieldValueRequired | Required value");
  EXPECT_EQ(causes("  name required", R"({"name":""})"), "spec.name | FieldValueRequired | Required value");
  EXPECT_EQ(causes("  size required:\"how big\"", R"({"size":0})"),
            "spec.size | FieldValueRequired | Required value: how big");
  // A pointer to nothing is something.
  EXPECT_EQ(causes("  label required", R"({"label":""})"), "");
  EXPECT_EQ(causes("  label required", "{}"), "spec.label | FieldValueRequired | Required value");
  EXPECT_EQ(causes("  one required", R"({"one":{}})"), "");
}

TEST_F(Checks, OneRuleThatFailsAsRequiredEndsTheLine) {
  EXPECT_EQ(
      causes("  name required dns1123-label", R"({"name":"A"})"),
      "spec.name | FieldValueInvalid | Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
      "'-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
  EXPECT_EQ(causes("  name required absolute-path", "{}"), "spec.name | FieldValueRequired | Required value");
  // Two lines are independent of each other.
  EXPECT_EQ(
      causes("  name required\n  name absolute-path", "{}"),
      "spec.name | FieldValueRequired | Required value\nspec.name | FieldValueInvalid | Invalid value: \"\": must be an absolute path");
  EXPECT_EQ(causes("  name optional absolute-path", "{}"), "");
}

TEST_F(Checks, ClosedSets) {
  EXPECT_EQ(causes("  colour oneof", R"({"colour":"Red"})"), "");
  EXPECT_EQ(causes("  colour oneof", R"({"colour":"Blue"})"),
            "spec.colour | FieldValueNotSupported | Unsupported value: \"Blue\": supported values: \"Red\", \"Green\"");
  EXPECT_EQ(causes("  colour oneof(Green,Red)", "{}"),
            "spec.colour | FieldValueNotSupported | Unsupported value: \"\": supported values: \"Green\", \"Red\"");
  EXPECT_EQ(causes("  label oneof(a)", "{}"), "");
}

TEST_F(Checks, Numbers) {
  EXPECT_EQ(causes("  size range(1,9)", R"({"size":9})"), "");
  EXPECT_EQ(causes("  size range(1,9)", "{}"),
            "spec.size | FieldValueInvalid | Invalid value: 0: must be between 1 and 9, inclusive");
  EXPECT_EQ(causes("  limit range(1,9)", "{}"), "");
  EXPECT_EQ(causes("  limit min(0)", R"({"limit":-1})"),
            "spec.limit | FieldValueInvalid | Invalid value: -1: must be greater than or equal to 0");
  EXPECT_EQ(causes("  limit positive", R"({"limit":0})"),
            "spec.limit | FieldValueInvalid | Invalid value: 0: must be greater than zero");
  EXPECT_EQ(causes("  limit positive:\"must be more\"", R"({"limit":0})"),
            "spec.limit | FieldValueInvalid | Invalid value: 0: must be more");
  EXPECT_EQ(causes("  amount quantity-positive", R"({"amount":"0"})"),
            "spec.amount | FieldValueInvalid | Invalid value: \"0\": must be greater than zero");
  EXPECT_EQ(causes("  amount quantity-min0", R"({"amount":"-1"})"),
            "spec.amount | FieldValueInvalid | Invalid value: \"-1\": must be greater than or equal to 0");
  EXPECT_EQ(causes("  port port-or-name", R"({"port":0})"),
            "spec.port | FieldValueInvalid | Invalid value: 0: must be between 1 and 65535, inclusive");
}

TEST_F(Checks, ListsAndMaps) {
  EXPECT_EQ(
      causes("  parts into", R"({"parts":[{"key":"a"},{"mode":512}]})"),
      "spec.parts[1].key | FieldValueRequired | Required value\n"
      "spec.parts[1].mode | FieldValueInvalid | Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive");
  EXPECT_EQ(causes("  parts unique(key)", R"({"parts":[{"key":"a"},{},{},{"key":"a"}]})"),
            "spec.parts[3].key | FieldValueDuplicate | Duplicate value: \"a\"");
  EXPECT_EQ(causes("  tags unique", R"({"tags":["a","b","a"]})"),
            "spec.tags[2] | FieldValueDuplicate | Duplicate value: \"a\"");
  EXPECT_EQ(causes("  tags max-items(1)", R"({"tags":["a","b"]})"),
            "spec.tags | FieldValueTooMany | Too many: 2: must have at most 1 item");
  EXPECT_EQ(causes("  tags each oneof(a)", R"({"tags":["a","b"]})"),
            "spec.tags[1] | FieldValueNotSupported | Unsupported value: \"b\": supported values: \"a\"");
  EXPECT_EQ(causes("  tags each-here oneof(a)", R"({"tags":["a","b"]})"),
            "spec.tags | FieldValueNotSupported | Unsupported value: \"b\": supported values: \"a\"");
  EXPECT_EQ(causes("  marks each oneof(x)", R"({"marks":{"a/b":"y"}})"),
            "spec.marks[a/b] | FieldValueNotSupported | Unsupported value: \"y\": supported values: \"x\"");
  EXPECT_EQ(causes("  marks each-key oneof(x)", R"({"marks":{"k":"y"}})"),
            "spec.marks[k] | FieldValueNotSupported | Unsupported value: \"k\": supported values: \"x\"");
  EXPECT_EQ(causes("  name at(other) required", "{}"), "spec.other | FieldValueRequired | Required value");
}

TEST_F(Checks, OneOfSeveralMembers) {
  const std::string line = "  . union(one>uno,two!due):\"only one\":\"one or two\"";
  EXPECT_EQ(causes(line, "{}"), "spec | FieldValueRequired | Required value: one or two");
  EXPECT_EQ(causes(line, R"({"two":{"key":"a"}})"), "");
  // The first is looked into, under its other name; the second is one too many.
  EXPECT_EQ(causes(line, R"({"one":{},"two":{}})"),
            "spec.uno.key | FieldValueRequired | Required value\nspec.due | FieldValueForbidden | Forbidden: only one");
}

TEST_F(Checks, MistakesAreToldByLine) {
  EXPECT_EQ(causes("  nme required", "{}"), "t.checks:6: no such field: nme");
  EXPECT_EQ(causes("  name requird", "{}"), "t.checks:6: unknown rule \"requird\"");
  EXPECT_EQ(causes("  size range(1)", "{}"), "t.checks:6: range needs a number");
  EXPECT_EQ(causes("  size range(a,2)", "{}"), "t.checks:6: range: not a number: \"a\"");
  EXPECT_EQ(causes("  name required:\"x", "{}"), "t.checks:6: a text without its closing quote");
  EXPECT_EQ(causes("  name oneof", "{}"), "t.checks:6: oneof without values, of a field that has none of its own");
  EXPECT_EQ(causes("  tags into", "{}"), "t.checks:6: into: the field's type has no checks");
  EXPECT_EQ(causes("  name", "{}"), "t.checks:6: a field without a rule");
  EXPECT_EQ(causes("  name call(nothing)", "{}"), "t.checks:6: call: no such function");
  EXPECT_FALSE(parse_checks(*schema_, {{"t.checks", "check Thing\n"}}).ok());
}

TEST(BuiltinChecks, AreWellFormed) { EXPECT_NE(builtin_checks().find("core.Volume"), nullptr); }

}  // namespace
}  // namespace berth::apiserver::validation
