#include "agent/profiles/default_profiles.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace berth {
std::vector<std::pair<std::string_view, std::string_view>> embedded_default_profiles();
}

namespace berth::agent {

const Value& default_profile(std::string_view file) {
  static const std::map<std::string, Value, std::less<>> profiles = [] {
    std::map<std::string, Value, std::less<>> out;
    for (const auto& [name, text] : embedded_default_profiles()) {
      auto parsed = json::parse(text);
      BERTH_CHECK(parsed.ok(), "src/agent/profiles/data: a file is not JSON");
      out.emplace(name, std::move(parsed).value());
    }
    return out;
  }();
  auto found = profiles.find(file);
  BERTH_CHECK(found != profiles.end(), "src/agent/profiles/data: a file is missing");
  return found->second;
}

}  // namespace berth::agent
