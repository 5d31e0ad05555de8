#include "base/ids.h"

#include <string_view>

namespace berth {

std::string new_uid(Runtime& runtime) {
  std::uint64_t high = runtime.random();
  std::uint64_t low = runtime.random();
  high = (high & ~std::uint64_t{0xf000}) | 0x4000;                     // version 4
  low = (low & ~(std::uint64_t{3} << 62)) | (std::uint64_t{2} << 62);  // the RFC's variant
  std::string text(36, '-');
  int digit = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at == 8 || at == 13 || at == 18 || at == 23) continue;
    const std::uint64_t word = digit < 16 ? high : low;
    text[at] = "0123456789abcdef"[(word >> (60 - 4 * (digit++ % 16))) & 15];
  }
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
