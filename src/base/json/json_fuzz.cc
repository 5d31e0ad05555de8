// What the JSON and YAML parsers take must encode to something they take again, and encode to the same bytes.
#include <cstdint>
#include <cstdlib>

#include "base/json/json.h"
#include "base/yaml/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  berth::json::ParseOptions options;
  options.max_depth = 200;
  if (auto value = berth::json::parse(text, options); value.ok()) {
    auto again = berth::json::parse(berth::json::encode(*value), options);
    if (!again.ok() || berth::json::encode(*again) != berth::json::encode(*value)) std::abort();
  }
  (void)berth::yaml::parse_all(text);
  return 0;
}
