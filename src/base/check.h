#pragma once
// BERTH_CHECK(condition, message): a broken invariant ends the process, in release builds too.

namespace berth {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* message);
}  // namespace berth

#define BERTH_CHECK(condition, message) \
  ((condition) ? (void)0 : ::berth::check_failed(__FILE__, __LINE__, #condition, message))
