#pragma once
// resource.Quantity: "500m", "1Gi", "1e3", "0.5". Exact: a signed 128-bit count of nano-units.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::api {

class Quantity {
 public:
  enum class Format { kDecimalSI, kBinarySI, kDecimalExponent };

  Quantity() = default;
  // Whole units.
  static Quantity of(std::int64_t units, Format format = Format::kDecimalSI);
  static Quantity of_milli(std::int64_t milli, Format format = Format::kDecimalSI);
  // The error text is upstream's: "quantities must match the regular expression
  // '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".
  static Result<Quantity> parse(std::string_view text);

  // Rounded up (towards +infinity), as Quantity.Value() and MilliValue() do; saturates at int64.
  std::int64_t value() const;
  std::int64_t milli_value() const;
  double as_double() const;  // approximately
  int sign() const;
  Format format() const { return format_; }

  // Canonical form: "1500m" for "1.5", "1Gi" for "1024Mi", "1k" for "1000".
  std::string to_string() const;

  Quantity operator+(const Quantity& other) const;
  Quantity operator-(const Quantity& other) const;
  bool operator==(const Quantity& other) const { return nano_ == other.nano_; }
  bool operator<(const Quantity& other) const { return nano_ < other.nano_; }
  bool operator>(const Quantity& other) const { return other < *this; }
  bool operator<=(const Quantity& other) const { return !(other < *this); }
  bool operator>=(const Quantity& other) const { return !(*this < other); }

 private:
  __int128 nano_ = 0;
  Format format_ = Format::kDecimalSI;
};

}  // namespace berth::api
