#pragma once
// What commands print: one line a step, with its time; colour where standard output is a terminal.

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli {

class Step {
 public:
  explicit Step(std::string title);
  // "  ✓ title   detail   12 ms"
  void done(std::string_view detail = {});
  void failed();

 private:
  std::string title_;
  std::chrono::steady_clock::time_point start_;
};

int fail(const Error& error);  // "berth: message" on standard error; answers 1
void say(std::string_view line);

}  // namespace berth::cli
