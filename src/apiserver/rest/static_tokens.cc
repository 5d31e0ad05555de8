#include "apiserver/rest/static_tokens.h"

#include <algorithm>

#include "base/files.h"
#include "base/text.h"

namespace berth::apiserver::rest {
namespace {

// The fields of one line of comma-separated values; quotes keep commas together and are doubled inside.
std::vector<std::string> split_csv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') {
      if (quoted && i + 1 < line.size() && line[i + 1] == '"') {
        fields.back() += line[++i];
      } else {
        quoted = !quoted;
      }
    } else if (line[i] == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

}  // namespace

Result<TokenHolder> static_holder(const registry::User& user, const std::vector<std::string>& own,
                                  const std::vector<std::string>& wanted) {
  TokenHolder holder{user, {}};
  for (const std::string& audience : own) {
    if (std::find(wanted.begin(), wanted.end(), audience) != wanted.end()) holder.audiences.push_back(audience);
  }
  if (holder.audiences.empty()) return error(Code::kUnauthorized, "");
  return holder;
}

Result<StaticTokens> read_static_tokens(const std::string& path) {
  StaticTokens tokens;
  Result<std::string> text = read_file(path);
  if (text.failed_with(Code::kNotFound)) return tokens;
  if (!text.ok()) return text.error();
  int number = 0;
  for (std::string_view line : split(*text, '\n')) {
    ++number;
    if (trim(line).empty()) continue;
    std::vector<std::string> fields = split_csv(trim(line));
    if (fields.size() < 3 || fields[0].empty() || fields[1].empty()) {
      return error(Code::kInvalid,
                   path + ", line " + std::to_string(number) + ": expected token,user,uid[,\"group1,group2\"]");
    }
    registry::User user{fields[1], {}, fields[2]};
    if (fields.size() > 3) {
      for (std::string_view group : split(fields[3], ',')) {
        if (!trim(group).empty()) user.groups.emplace_back(trim(group));
      }
    }
    tokens[fields[0]] = std::move(user);
  }
  return tokens;
}

}  // namespace berth::apiserver::rest
