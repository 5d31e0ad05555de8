// The field's name formats, by hand: each is a simple character rule and needs no regular-expression engine.
#include <arpa/inet.h>

#include <algorithm>

#include "api/resource_names.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

bool label_form(std::string_view text) {
  if (text.empty() || !is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_lower_alnum(c) || c == '-'; });
}

bool subdomain_form(std::string_view text) {
  for (std::string_view part : split(text, '.')) {
    if (!label_form(part)) return false;
  }
  return true;
}

bool name_part_form(std::string_view text) {
  if (text.empty() || !is_alnum(text.front()) || !is_alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::string too_long(std::size_t limit) { return "must be no more than " + std::to_string(limit) + " characters"; }

std::string too_many_bytes(std::size_t limit) { return "must be no more than " + std::to_string(limit) + " bytes"; }

constexpr const char* kLabelText =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
    "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
constexpr const char* kSubdomainText =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
constexpr const char* kLabel1035Text =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
    "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
constexpr const char* kNamePartText =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
    "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
constexpr const char* kLabelValueText =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
constexpr const char* kUnderscoreText =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
constexpr const char* kHeaderText =
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
constexpr const char* kEnvText =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
constexpr const char* kConfigKeyText =
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex "
    "used for validation is '[-._a-zA-Z0-9]+')";

}  // namespace

std::vector<std::string> is_dns1123_label(std::string_view text) {
  std::vector<std::string> out;
  if (text.size() > 63) out.push_back(too_long(63));
  if (!label_form(text)) out.emplace_back(subdomain_form(text) ? "must not contain dots" : kLabelText);
  return out;
}

std::vector<std::string> is_dns1123_subdomain(std::string_view text) {
  std::vector<std::string> out;
  if (text.size() > 253) out.push_back(too_long(253));
  if (!subdomain_form(text)) out.emplace_back(kSubdomainText);
  return out;
}

std::vector<std::string> is_dns1123_subdomain_with_underscore(std::string_view text) {
  std::vector<std::string> out;
  if (text.size() > 253) out.push_back(too_long(253));
  bool good = true;
  for (std::string_view part : split(text, '.')) {
    if (part.starts_with('_')) part.remove_prefix(1);
    good = good && !part.empty() && is_lower_alnum(part.front()) && is_lower_alnum(part.back()) &&
           std::all_of(part.begin(), part.end(), [](char c) { return is_lower_alnum(c) || c == '-' || c == '_'; });
  }
  if (!good) out.emplace_back(kUnderscoreText);
  return out;
}

std::vector<std::string> is_dns1035_label(std::string_view text) {
  std::vector<std::string> out;
  if (text.size() > 63) out.push_back(too_long(63));
  if (!label_form(text) || (text.front() >= '0' && text.front() <= '9')) out.emplace_back(kLabel1035Text);
  return out;
}

std::vector<std::string> is_qualified_name(std::string_view text) {
  std::vector<std::string> out;
  Cut parts = cut(text, "/");
  std::string_view name = text;
  if (parts.found) {
    if (parts.after.find('/') != std::string_view::npos) {
      return {"a valid label key " + std::string(kNamePartText) +
              " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"};
    }
    name = parts.after;
    if (parts.before.empty()) {
      out.emplace_back("prefix part must be non-empty");
    } else {
      for (const std::string& text_of_prefix : is_dns1123_subdomain(parts.before))
        out.push_back("prefix part " + text_of_prefix);
    }
  }
  if (name.empty()) {
    out.emplace_back("name part must be non-empty");
  } else if (name.size() > 63) {
    out.push_back("name part " + too_many_bytes(63));
  }
  if (!name_part_form(name)) out.push_back("name part " + std::string(kNamePartText));
  return out;
}

bool is_extended_resource(std::string_view name) {
  return !api::is_native_resource(name) && !name.starts_with("requests.") &&
         is_qualified_name("requests." + std::string(name)).empty();
}

std::vector<std::string> is_label_value(std::string_view text) {
  std::vector<std::string> out;
  if (text.size() > 63) out.push_back(too_many_bytes(63));
  if (!text.empty() && !name_part_form(text)) out.emplace_back(kLabelValueText);
  return out;
}

std::vector<std::string> is_port_name(std::string_view text) {
  std::vector<std::string> out;
  auto allowed = [](char c) { return is_lower_alnum(c) || c == '-'; };
  auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  if (text.size() > 15) out.push_back(too_long(15));
  if (text.empty() || !std::all_of(text.begin(), text.end(), allowed))
    out.emplace_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (std::none_of(text.begin(), text.end(), is_letter)) out.emplace_back("must contain at least one letter (a-z)");
  if (text.find("--") != std::string_view::npos) out.emplace_back("must not contain consecutive hyphens");
  if (!text.empty() && (text.front() == '-' || text.back() == '-'))
    out.emplace_back("must not begin or end with a hyphen");
  return out;
}

// 1.34 widened this from shell-like names to everything printable.
std::vector<std::string> is_env_name(std::string_view text) {
  bool good = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e && c != '='; });
  if (good) return {};
  return {kEnvText};
}

std::vector<std::string> is_config_key(std::string_view text) {
  std::vector<std::string> out;
  if (text.size() > 253) out.push_back(too_long(253));
  bool good = !text.empty() && std::all_of(text.begin(), text.end(),
                                           [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
  if (!good) out.emplace_back(kConfigKeyText);
  if (text == ".") {
    out.emplace_back("must not be '.'");
  } else if (text == "..") {
    out.emplace_back("must not be '..'");
  } else if (text.starts_with("..")) {
    out.emplace_back("must not start with '..'");
  }
  return out;
}

std::vector<std::string> is_http_header_name(std::string_view text) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '-'; })) return {};
  return {kHeaderText};
}

std::vector<std::string> is_valid_ip(std::string_view text) {
  if (is_ip(text)) return {};
  return {"must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"};
}

std::vector<std::string> is_path_segment(std::string_view text) {
  if (text == "." || text == "..") return {"may not be '" + std::string(text) + "'"};
  std::vector<std::string> out;
  if (text.find('/') != std::string_view::npos) out.emplace_back("may not contain '/'");
  if (text.find('%') != std::string_view::npos) out.emplace_back("may not contain '%'");
  return out;
}

std::vector<std::string> is_absolute_path(std::string_view text) {
  if (text.starts_with('/')) return {};
  return {"must be an absolute path"};
}

std::vector<std::string> has_no_backsteps(std::string_view text) {
  for (std::string_view part : split(text, '/')) {
    if (part == "..") return {"must not contain '..'"};
  }
  return {};
}

std::vector<std::string> is_relative_path(std::string_view text) {
  std::vector<std::string> out = has_no_backsteps(text);
  if (text.starts_with('/')) out.insert(out.begin(), "must be a relative path");
  return out;
}

std::vector<std::string> is_local_path(std::string_view text) {
  std::vector<std::string> out = is_relative_path(text);
  if (text.starts_with("..") && !text.starts_with("../")) out.emplace_back("must not start with '..'");
  return out;
}

bool is_ip(std::string_view text) {
  std::string copy(text);
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, copy.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, copy.c_str(), bytes) == 1;
}

}  // namespace berth::apiserver::validation
