#include "api/schema/registered_kinds.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/text.h"

namespace berth {
std::vector<std::pair<std::string_view, std::string_view>> embedded_registered_kinds();
}

namespace berth::api::schema {
namespace {

using Kinds = std::map<std::string_view, std::set<std::string_view>, std::less<>>;

Kinds read_kinds() {
  static constexpr std::string_view kEverywhere[] = {"CreateOptions", "DeleteOptions", "GetOptions", "ListOptions",
                                                     "PatchOptions",  "UpdateOptions", "WatchEvent"};
  Kinds out;
  for (const auto& [file, text] : embedded_registered_kinds()) {
    for (std::string_view line : split(text, '\n')) {
      if (line.empty() || line.starts_with('#')) continue;
      std::vector<std::string_view> words = split(line, ' ');
      std::set<std::string_view>& kinds = out[words[0]];
      kinds.insert(words.begin() + 1, words.end());
      kinds.insert(std::begin(kEverywhere), std::end(kEverywhere));
    }
  }
  return out;
}

}  // namespace

bool is_registered(std::string_view api_version, std::string_view kind) {
  static const Kinds kKinds = read_kinds();
  auto version = kKinds.find(api_version);
  return version != kKinds.end() && version->second.contains(kind);
}

}  // namespace berth::api::schema
