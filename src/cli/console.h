#pragma once
// What commands print: one line a step, with its time; colour where standard output is a terminal.

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli {

// The time since it was made.
class Stopwatch {
 public:
  std::chrono::nanoseconds spent() const { return std::chrono::steady_clock::now() - start_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class Step {
 public:
  explicit Step(std::string title);
  // "  ✓ title   detail   12 ms"
  void done(std::string_view detail = {});
  void failed();

 private:
  std::string title_;
  Stopwatch watch_;
};

int fail(const Error& error);  // "berth: message" on standard error; answers 1
void say(std::string_view line);

}  // namespace berth::cli
