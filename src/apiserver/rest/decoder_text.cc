#include "apiserver/rest/decoder_text.h"

#include "base/text.h"

namespace berth::apiserver::rest {
namespace {

constexpr std::size_t kShownBytes = 30;

}  // namespace

std::string yaml_error_text(const Error& problem) { return "yaml: " + problem.message; }

std::string_view go_type_of(const Value& value) { return value.is_bool() ? "bool" : value.type_name(); }

std::string wrong_type_meta_text(const Value& value) {
  return "json: cannot unmarshal " + std::string(go_type_of(value)) +
         " into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
         "\"json:\\\"kind,omitempty\\\"\" }";
}

std::string body_summary(std::string_view body) {
  if (body.empty()) return "<empty>";
  std::string_view shown = body.substr(0, kShownBytes);
  std::string text = body.front() == '{' ? std::string(shown) : hex_encode(shown);
  return body.size() > kShownBytes ? text + " ..." : text;
}

}  // namespace berth::apiserver::rest
