#include "api/quantity.h"

#include <charconv>
#include <vector>

namespace berth::api {
namespace {

using Wide = __int128;
using Format = Quantity::Format;

constexpr Wide kNano = 1'000'000'000;
// What upstream documents as the largest quantity; larger ones become it.
constexpr Wide kMaxNano = static_cast<Wide>(INT64_MAX) * kNano;
constexpr std::size_t kMaxText = 4096;

constexpr const char* kFormatWrong =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A natural number of any size, as far as quantities need: least significant word first.
class Big {
 public:
  explicit Big(std::string_view digits) {
    for (char c : digits) multiply_add(10, static_cast<std::uint32_t>(c - '0'));
  }
  void multiply_add(std::uint32_t factor, std::uint32_t add) {
    std::uint64_t carry = add;
    for (std::uint32_t& word : words_) {
      carry += std::uint64_t{word} * factor;
      word = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry > 0) words_.push_back(static_cast<std::uint32_t>(carry));
  }
  // The remainder is returned.
  std::uint32_t divide(std::uint32_t divisor) {
    std::uint64_t rest = 0;
    for (std::size_t i = words_.size(); i-- > 0;) {
      rest = (rest << 32) | words_[i];
      words_[i] = static_cast<std::uint32_t>(rest / divisor);
      rest %= divisor;
    }
    while (!words_.empty() && words_.back() == 0) words_.pop_back();
    return static_cast<std::uint32_t>(rest);
  }
  bool zero() const { return words_.empty(); }
  Wide capped() const {
    if (words_.size() > 3) return kMaxNano;
    Wide value = 0;
    for (std::size_t i = words_.size(); i-- > 0;) value = (value << 32) | words_[i];
    return value > kMaxNano ? kMaxNano : value;
  }

 private:
  std::vector<std::uint32_t> words_;
};

struct Suffix {
  int base;
  long exponent;
  Format format;
};

Result<Suffix> parse_suffix(std::string_view text) {
  struct Named {
    std::string_view name;
    Suffix suffix;
  };
  static constexpr Named kNamed[] = {
      {"", {10, 0, Format::kDecimalSI}},   {"n", {10, -9, Format::kDecimalSI}}, {"u", {10, -6, Format::kDecimalSI}},
      {"m", {10, -3, Format::kDecimalSI}}, {"k", {10, 3, Format::kDecimalSI}},  {"M", {10, 6, Format::kDecimalSI}},
      {"G", {10, 9, Format::kDecimalSI}},  {"T", {10, 12, Format::kDecimalSI}}, {"P", {10, 15, Format::kDecimalSI}},
      {"E", {10, 18, Format::kDecimalSI}}, {"Ki", {2, 10, Format::kBinarySI}},  {"Mi", {2, 20, Format::kBinarySI}},
      {"Gi", {2, 30, Format::kBinarySI}},  {"Ti", {2, 40, Format::kBinarySI}},  {"Pi", {2, 50, Format::kBinarySI}},
      {"Ei", {2, 60, Format::kBinarySI}}};
  for (const Named& named : kNamed) {
    if (named.name == text) return named.suffix;
  }
  if (text.size() > 1 && (text[0] == 'e' || text[0] == 'E')) {
    std::string_view digits = text.substr(text[1] == '+' ? 2 : 1);
    long exponent = 0;
    auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (failed == std::errc() && end == digits.data() + digits.size()) {
      return Suffix{10, exponent, Format::kDecimalExponent};
    }
  }
  return error(Code::kInvalid, "unable to parse quantity's suffix");
}

// Nano-units of digits * base^exponent / 10^decimals, rounded up.
Wide nano_of(std::string_view digits, long decimals, const Suffix& suffix) {
  Big number(digits);
  if (number.zero()) return 0;
  long tens = 9 - decimals;
  if (suffix.base == 2) {
    for (long i = 0; i < suffix.exponent; i += 10) number.multiply_add(1024, 0);
  } else {
    // Beyond these the answer is the largest or the smallest quantity whatever the digits are.
    constexpr long kFar = 2 * static_cast<long>(kMaxText);
    if (suffix.exponent > kFar) return kMaxNano;
    if (suffix.exponent < -kFar) return 1;
    tens += suffix.exponent;
  }
  for (; tens > 0; --tens) number.multiply_add(10, 0);
  bool rest = false;
  for (; tens < 0 && !number.zero(); ++tens) rest = number.divide(10) != 0 || rest;
  Wide nano = number.capped();
  return rest && nano < kMaxNano ? nano + 1 : nano;
}

std::string decimal(Wide number) {
  bool negative = number < 0;
  std::string out;
  do {
    int digit = static_cast<int>(number % 10);
    out.insert(out.begin(), static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    number /= 10;
  } while (number != 0);
  return negative ? "-" + out : out;
}

// Towards +infinity, within int64.
std::int64_t ceiling(Wide number, Wide divisor) {
  Wide quotient = number / divisor;
  if (number % divisor > 0) ++quotient;
  if (quotient > INT64_MAX) return INT64_MAX;
  if (quotient < INT64_MIN) return INT64_MIN;
  return static_cast<std::int64_t>(quotient);
}

Wide bounded(Wide nano) { return nano > kMaxNano ? kMaxNano : nano < -kMaxNano ? -kMaxNano : nano; }

}  // namespace

Quantity Quantity::of(std::int64_t units, Format format) {
  Quantity out;
  out.nano_ = bounded(static_cast<Wide>(units) * kNano);
  out.format_ = format;
  return out;
}

Quantity Quantity::of_milli(std::int64_t milli, Format format) {
  Quantity out;
  out.nano_ = static_cast<Wide>(milli) * 1'000'000;
  out.format_ = format;
  return out;
}

Result<Quantity> Quantity::parse(std::string_view text) {
  if (text == "0") return Quantity();
  if (text.empty() || text.size() > kMaxText) return error(Code::kInvalid, kFormatWrong);
  std::size_t at = text[0] == '+' || text[0] == '-' ? 1 : 0;
  std::string digits;
  long decimals = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) digits += text[at];
  if (at < text.size() && text[at] == '.') {
    for (++at; at < text.size() && is_digit(text[at]); ++at, ++decimals) digits += text[at];
  }
  if (digits.empty()) return error(Code::kInvalid, kFormatWrong);
  std::size_t suffix_at = at;
  while (at < text.size() && std::string_view("eEinumkKMGTP").find(text[at]) != std::string_view::npos) ++at;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
  while (at < text.size() && is_digit(text[at])) ++at;
  if (at != text.size()) return error(Code::kInvalid, kFormatWrong);
  BERTH_ASSIGN(Suffix suffix, parse_suffix(text.substr(suffix_at)));

  Quantity out;
  out.format_ = suffix.format;
  out.nano_ = nano_of(digits, decimals, suffix);
  // Fractions of a byte read better as "512m" than not at all.
  if (out.format_ == Format::kBinarySI && out.nano_ > 0 && out.nano_ < kNano) out.format_ = Format::kDecimalSI;
  if (text[0] == '-') out.nano_ = -out.nano_;
  return out;
}

std::int64_t Quantity::value() const { return ceiling(nano_, kNano); }
std::int64_t Quantity::milli_value() const { return ceiling(nano_, 1'000'000); }
double Quantity::as_double() const { return static_cast<double>(nano_) / static_cast<double>(kNano); }
int Quantity::sign() const { return nano_ > 0 ? 1 : nano_ < 0 ? -1 : 0; }

std::string Quantity::to_string() const {
  if (nano_ == 0) return "0";
  bool binary = format_ == Format::kBinarySI && (nano_ <= -1024 * kNano || nano_ >= 1024 * kNano) && nano_ % kNano == 0;
  if (binary) {
    static constexpr const char* kSuffixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    Wide number = nano_ / kNano;
    int power = 0;
    for (; number % 1024 == 0 && power < 6; ++power) number /= 1024;
    return decimal(number) + kSuffixes[power];
  }
  // The largest power of a thousand that leaves an integer.
  static constexpr const char* kSuffixes[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
  Wide number = nano_;
  int power = -3;
  for (; number % 1000 == 0 && power < 6; ++power) number /= 1000;
  if (format_ != Format::kDecimalExponent) return decimal(number) + kSuffixes[power + 3];
  return decimal(number) + (power == 0 ? "" : "e" + std::to_string(power * 3));
}

Quantity Quantity::operator+(const Quantity& other) const {
  Quantity out = *this;
  if (nano_ == 0) out.format_ = other.format_;
  out.nano_ = bounded(nano_ + other.nano_);
  return out;
}

Quantity Quantity::operator-(const Quantity& other) const {
  Quantity out = *this;
  if (nano_ == 0) out.format_ = other.format_;
  out.nano_ = bounded(nano_ - other.nano_);
  return out;
}

}  // namespace berth::api
