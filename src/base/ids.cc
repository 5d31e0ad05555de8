#include "base/ids.h"

#include <cstdio>
#include <string_view>

namespace berth {

std::string new_uid(Runtime& runtime) {
  std::uint64_t high = runtime.random();
  std::uint64_t low = runtime.random();
  high = (high & ~std::uint64_t{0xf000}) | 0x4000;                       // version 4
  low = (low & ~(std::uint64_t{3} << 62)) | (std::uint64_t{2} << 62);  // the RFC's variant
  char text[40];
  std::snprintf(text, sizeof text, "%08llx-%04llx-%04llx-%04llx-%012llx", static_cast<unsigned long long>(high >> 32),
                static_cast<unsigned long long>((high >> 16) & 0xffff), static_cast<unsigned long long>(high & 0xffff),
                static_cast<unsigned long long>(low >> 48), static_cast<unsigned long long>(low & 0xffffffffffff));
  return text;
}

std::string random_suffix(Runtime& runtime, int n) {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  std::string out;
  std::uint64_t word = 0;
  int left = 0;
  while (static_cast<int>(out.size()) < n) {
    // Twelve letters of a 64-bit word: 27^12 is a 128th of 2^64, so no letter is preferred noticeably.
    if (left-- == 0) {
      word = runtime.random();
      left = 11;
    }
    out += kLetters[word % kLetters.size()];
    word /= kLetters.size();
  }
  return out;
}

}  // namespace berth
