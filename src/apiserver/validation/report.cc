#include "apiserver/validation/report.h"

#include <algorithm>

#include "api/quantity.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {

void Report::invalid_shown(const Path& path, std::string_view shown, std::string_view detail) {
  add(Cause{"FieldValueInvalid", "Invalid value: " + std::string(shown) + ": " + std::string(detail), path.text()});
}

void Report::complaints(const Path& path, const Value& value, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) invalid(path, value, text);
}

void Report::not_supported(const Path& path, const Value& value, std::initializer_list<std::string_view> supported) {
  add(api::not_supported(path.text(), value, std::vector<std::string>(supported.begin(), supported.end())));
}

void Report::one_of(const Path& path, const Value& value, std::initializer_list<std::string_view> supported,
                    bool must) {
  const std::string_view text = value.as_string();
  if (text.empty()) {
    if (must) required(path);
    return;
  }
  if (std::find(supported.begin(), supported.end(), text) == supported.end()) not_supported(path, value, supported);
}

void Report::not_negative(const Path& path, const Value& value) {
  if (value.is_int() && value.as_int() < 0) invalid(path, value, "must be greater than or equal to 0");
}

void Report::in_range(const Path& path, const Value& value, std::int64_t low, std::int64_t high) {
  if (value.is_int() && (value.as_int() < low || value.as_int() > high)) {
    invalid(path, value, "must be between " + std::to_string(low) + " and " + std::to_string(high) + ", inclusive");
  }
}

void Report::port(const Path& path, const Value& value) { in_range(path, value, 1, 65535); }

void Report::port_or_name(const Path& path, const Value& value) {
  if (value.is_string()) {
    complaints(path, value, is_port_name(value.as_string()));
  } else {
    std::int64_t number = value.as_int();
    if (number < 1 || number > 65535)
      invalid(path, Value(static_cast<long>(number)), "must be between 1 and 65535, inclusive");
  }
}

void Report::mode(const Path& path, const Value& value) {
  if (value.is_int() && (value.as_int() < 0 || value.as_int() > 0777)) {
    invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive");
  }
}

void Report::no_backsteps(const Path& path, const Value& value) {
  complaints(path, value, has_no_backsteps(value.as_string()));
}
void Report::local_path(const Path& path, const Value& value) {
  complaints(path, value, is_local_path(value.as_string()));
}
void Report::ip(const Path& path, const Value& value) { complaints(path, value, is_valid_ip(value.as_string())); }

void Report::quantity_not_negative(const Path& path, const Value& value) {
  Result<api::Quantity> quantity = api::Quantity::parse(value.is_string() ? value.as_string() : json::encode(value));
  if (!quantity.ok()) return invalid(path, value, quantity.error().message);
  if (quantity->sign() < 0) invalid(path, value, "must be greater than or equal to 0");
}

}  // namespace berth::apiserver::validation
