#include "base/json/memory.h"

#include <gtest/gtest.h>

#include <string>

namespace berth::json {
namespace {

// A node is 16 bytes and its content; the block around it has a word more, in steps of 16.
std::size_t string_block(std::size_t size) { return (16 + size + 8 + 15) / 16 * 16; }
std::size_t object_block(std::size_t members) { return (16 + 24 * members + 8 + 15) / 16 * 16; }
std::size_t array_block(std::size_t elements) { return (16 + 16 * elements + 8 + 15) / 16 * 16; }

TEST(JsonMemory, OfAValueAlone) {
  for (const Value& none : {Value(), Value(true), Value(7), Value(1.5), Value(""), Value::object(), Value::array()}) {
    EXPECT_EQ(memory_beyond(none, Value()), 0u) << encode(none);
  }
  EXPECT_EQ(memory_beyond("x", Value()), 32u);
  EXPECT_EQ(memory_beyond(std::string(1000, 'x'), Value()), string_block(1000));
  EXPECT_EQ(memory_beyond(Value::array({1, "abc", Value::array({2})}), Value()),
            array_block(3) + string_block(3) + array_block(1));
  EXPECT_EQ(memory_beyond(Value::object({{"a", 1}, {"b", "abc"}, {"c", Value::object({{"d", true}})}}), Value()),
            object_block(3) + string_block(3) + object_block(1));
}

TEST(JsonMemory, WhatIsSharedDoesNotCount) {
  const Value before = parse(R"({"b":{"x":"one","y":"two"},"d":["three",{"z":"four"}],"f":"five"})").value();
  EXPECT_EQ(memory_beyond(before, before), 0u);
  EXPECT_EQ(memory_beyond(Value(before), before), 0u);
  // The nodes on the way to what changes are of the new value alone. Copies have room for more.
  Value after = before;
  after.mut("d").mut(1).set("z", "something else");
  const std::size_t small = memory_beyond(after, before);
  EXPECT_GE(small, object_block(3) + array_block(2) + object_block(1) + string_block(14));
  EXPECT_LE(small, object_block(8) + array_block(8) + object_block(8) + string_block(14));
  // The same text in another node counts.
  const Value again = parse(encode(before)).value();
  EXPECT_EQ(memory_beyond(again, before), memory_beyond(again, Value()));
}

TEST(JsonMemory, MembersAreFoundByKeyAndElementsByIndex) {
  const Value long_text(std::string(500, 'x')), other_text(std::string(300, 'y'));
  const Value before = Value::object({{"b", long_text}, {"d", other_text}});
  const Value more = Value::object({{"a", 1}, {"b", long_text}, {"c", 2}, {"d", other_text}, {"e", 3}});
  EXPECT_EQ(memory_beyond(more, before), object_block(5));
  EXPECT_EQ(memory_beyond(before, more), object_block(2));
  EXPECT_EQ(memory_beyond(Value::object({{"a", long_text}, {"d", other_text}}), before),
            object_block(2) + string_block(500));
  const Value array = Value::array({long_text, other_text});
  EXPECT_EQ(memory_beyond(Value::array({long_text, 1, long_text}), array), array_block(3) + string_block(500));
  // Another type shares nothing.
  EXPECT_EQ(memory_beyond(array, before), array_block(2) + string_block(500) + string_block(300));
  EXPECT_EQ(memory_beyond(before, array), object_block(2) + string_block(500) + string_block(300));
  EXPECT_EQ(memory_beyond(before, long_text), object_block(2) + string_block(500) + string_block(300));
}

}  // namespace
}  // namespace berth::json
