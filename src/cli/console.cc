#include "cli/console.h"

#include <unistd.h>

#include <cstdio>

namespace berth::cli {
namespace {

bool colours() {
  static const bool yes = ::isatty(1) != 0;
  return yes;
}

}  // namespace

ProgressStep::ProgressStep(std::string title) : title_(std::move(title)) {}

void ProgressStep::done(std::string_view detail) {
  auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(watch_.spent()).count();
  std::printf("  %s %-24s %-44.*s %5lld ms\n", colours() ? "\033[32m✓\033[0m" : "✓", title_.c_str(),
              static_cast<int>(detail.size()), detail.data(), static_cast<long long>(spent));
  std::fflush(stdout);
}

void ProgressStep::failed() {
  std::printf("  %s %s\n", colours() ? "\033[31m✗\033[0m" : "✗", title_.c_str());
  std::fflush(stdout);
}

int fail(const Error& error) {
  std::fflush(stdout);
  std::fprintf(stderr, "berth: %s\n", error.message.c_str());
  return 1;
}

void print_line(std::string_view line) {
  std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
  std::fflush(stdout);
}

}  // namespace berth::cli
