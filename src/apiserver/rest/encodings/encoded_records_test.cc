#include "apiserver/rest/encodings/encoded_records.h"

#include <gtest/gtest.h>

#include "apiserver/protobuf/protobuf.h"
#include "base/metrics.h"

namespace berth::apiserver::rest {
namespace {

store::RecordPtr config_map(int number, std::size_t size = 1000) {
  const std::string name = "m" + std::to_string(number);
  Value value = Value::object({{"apiVersion", "v1"},
                               {"kind", "ConfigMap"},
                               {"metadata", Value::object({{"name", name}})},
                               {"data", Value::object({{"k", std::string(size, 'x')}})}});
  return std::make_shared<const store::Record>("/registry/core/configmaps/default/" + name, std::move(value),
                                               number + 1, number + 1);
}

class EncodedRecordsTest : public ::testing::Test {
 protected:
  // How many texts were made for that.
  std::uint64_t get(EncodedRecords& encoded, const std::vector<store::RecordPtr>& records) {
    const std::uint64_t before = made_.value();
    for (const store::RecordPtr& record : records) {
      auto text = encoded.get(api::schema::builtin(), record);
      EXPECT_EQ(*text, protobuf::encode(api::schema::builtin(), record->value).value());
    }
    return made_.value() - before;
  }
  metrics::Counter& made_ = metrics::counter("berth_protobuf_encodings_total", "");
};

TEST_F(EncodedRecordsTest, EachVersionIsEncodedOnceWithinTheBound) {
  EncodedRecords encoded(50'000);
  std::vector<store::RecordPtr> few, others = {};
  for (int i = 0; i < 10; ++i) few.push_back(config_map(i));
  const std::vector<store::RecordPtr> held = few;  // as the store does
  EXPECT_EQ(get(encoded, few), 10u);
  EXPECT_EQ(get(encoded, few), 0u);
  for (int i = 10; i < 500; ++i) others.push_back(config_map(i));
  const std::vector<store::RecordPtr> others_held = others;
  EXPECT_EQ(get(encoded, others), 490u);
  EXPECT_LE(encoded.bytes(), 50'000u);
  EXPECT_EQ(get(encoded, {others.end() - 10, others.end()}), 0u) << "the last ones are kept";
  EXPECT_EQ(get(encoded, few), 10u) << "the first ones have gone";
}

TEST_F(EncodedRecordsTest, WhatAnAnswerHasIsNotMadeAgain) {
  EncodedRecords encoded(2'000);
  const store::RecordPtr first = config_map(0), held = first;
  const auto text = encoded.get(api::schema::builtin(), first);
  std::vector<store::RecordPtr> others;
  for (int i = 1; i < 10; ++i) others.push_back(config_map(i));
  const std::vector<store::RecordPtr> others_held = others;
  get(encoded, others);
  EXPECT_EQ(encoded.get(api::schema::builtin(), first), text);
}

TEST_F(EncodedRecordsTest, VersionsThatAreGoneAreForgotten) {
  EncodedRecords encoded;
  for (int i = 0; i < 1000; ++i) {
    const store::RecordPtr record = config_map(i), held = record;
    EXPECT_EQ(get(encoded, {record}), 1u);
  }
  EXPECT_LE(encoded.entries(), 128u);
  EXPECT_LE(encoded.bytes(), 128u * 1200);
  // What no store has is not kept at all.
  const std::size_t known = encoded.entries();
  EXPECT_NE(encoded.get(api::schema::builtin(), config_map(0)), nullptr);
  EXPECT_EQ(encoded.entries(), known);
}

}  // namespace
}  // namespace berth::apiserver::rest
