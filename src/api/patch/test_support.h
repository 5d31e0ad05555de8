#pragma once
// What the tests of patches share.

#include <gtest/gtest.h>

#include "api/schema/schema.h"
#include "base/json/json.h"

namespace berth::api::patch {

inline Value j(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.ok()) << text << ": " << (value.ok() ? "" : value.error().message);
  return value.ok() ? *value : Value();
}

inline const schema::Kind& kind_of(std::string_view api_version, std::string_view kind) {
  const schema::Kind* found = schema::builtin().find_kind(api_version, kind);
  BERTH_CHECK(found, "the test names a kind that exists");
  return *found;
}

// The list's elements as their `key`s, joined: what order they are in.
inline std::string order(const Value& list, std::string_view key = "name") {
  std::string out;
  for (const Value& item : list) {
    if (!out.empty()) out += " ";
    out += item.is_object() ? item[key].str(json::encode(item[key])) : item.str(json::encode(item));
  }
  return out;
}

}  // namespace berth::api::patch
