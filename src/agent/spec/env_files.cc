#include "agent/spec/env_files.h"

#include "base/text.h"

namespace berth::agent {

std::vector<EnvFile> env_files_of(const Value& container) {
  std::vector<EnvFile> out;
  for (const Value& variable : container["env"]) {
    const Value& reference = variable["valueFrom"]["fileKeyRef"];
    if (!reference.is_null()) out.push_back({reference["volumeName"].str(), reference["path"].str()});
  }
  return out;
}

Result<std::optional<std::string>> env_file_value(std::string_view text, std::string_view name) {
  std::optional<std::string> found;
  std::size_t number = 0;
  auto wrong = [&](const char* why) {
    return error(Code::kInvalid, "line " + std::to_string(number) + " of the env file " + why);
  };
  while (!text.empty()) {
    ++number;
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = trim(text.substr(0, end));
    if (line.empty() || line.front() == '#') {
      text.remove_prefix(std::min(end + 1, text.size()));
      continue;
    }
    std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals > end) return wrong("declares no variable");
    std::string_view key = trim(text.substr(0, equals));
    if (key.empty()) return wrong("has no name before the equals sign");
    text.remove_prefix(equals + 1);
    end -= equals + 1;
    std::string_view value = trim(text.substr(0, end));
    if (!value.empty() && value.front() == '\'') {
      std::size_t open = text.find('\''), close = text.find('\'', open + 1);
      if (close == std::string_view::npos) return wrong("begins a value that does not end");
      value = text.substr(open + 1, close - open - 1);
      text.remove_prefix(close + 1);
      end = std::min(text.find('\n'), text.size());
      std::string_view rest = trim(text.substr(0, end));
      if (!rest.empty() && rest.front() != '#') return wrong("goes on behind the value");
    } else if (auto comment = value.find(" #"); comment != std::string_view::npos) {
      value = trim(value.substr(0, comment));
    }
    if (!found && key == name) found = std::string(value);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

}  // namespace berth::agent
