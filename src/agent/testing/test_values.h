#pragma once
// For tests: a Value of JSON text.

#include <gtest/gtest.h>

#include <string>

#include "base/json/json.h"

namespace berth::agent::testing {

inline Value parsed(const std::string& text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.ok()) << text;
  return value.ok() ? *value : Value();
}

}  // namespace berth::agent::testing
