#pragma once
// Output of commands: one line per step with its duration; colours if standard output is a terminal.

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli {

// Measures the time since its construction.
class Stopwatch {
 public:
  std::chrono::nanoseconds spent() const { return std::chrono::steady_clock::now() - start_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class ProgressStep {
 public:
  explicit ProgressStep(std::string title);
  // "  ✓ title   detail   12 ms"
  void done(std::string_view detail = {});
  void failed();

 private:
  std::string title_;
  Stopwatch watch_;
};

int fail(const Error& error);  // prints "berth: message" to standard error; returns 1
void print_line(std::string_view line);

}  // namespace berth::cli
