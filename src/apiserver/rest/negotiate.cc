#include "apiserver/rest/negotiate.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"

namespace berth::apiserver::rest {
namespace {

struct MediaRange {
  std::string type;
  std::string as, group, version;
  double quality = 1;
};

// Go's strconv.ParseFloat, whose failure counts as 0.
double quality_of(std::string_view text) {
  double quality = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), quality);
  return problem == std::errc() && end == text.data() + text.size() ? quality : 0;
}

// goautoneg's order: by quality, wildcards last. It is no order in the strict sense (a wildcard of high quality and a
// type of low quality each go before the other), so the result depends on the algorithm: Go sorts up to twelve elements
// by insertion.
void sort_ranges(std::vector<MediaRange>& ranges) {
  constexpr std::size_t kMostByInsertion = 12;
  if (ranges.size() > kMostByInsertion) {
    std::stable_sort(ranges.begin(), ranges.end(),
                     [](const MediaRange& a, const MediaRange& b) { return a.quality > b.quality; });
    return;
  }
  const auto before = [](const MediaRange& a, const MediaRange& b) {
    const bool any = a.type.starts_with("*"), any_below = a.type.ends_with("*");
    return a.quality > b.quality || (!any && b.type.starts_with("*")) || (!any_below && b.type.ends_with("*"));
  };
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    for (std::size_t j = i; j > 0 && before(ranges[j], ranges[j - 1]); --j) std::swap(ranges[j], ranges[j - 1]);
  }
}

std::vector<MediaRange> parse_accept(std::string_view header) {
  std::vector<MediaRange> ranges;
  for (std::string_view item : split(header, ',')) {
    MediaRange range;
    bool first = true;
    for (std::string_view part : split(item, ';')) {
      part = trim(part);
      if (first) {
        range.type = lower(part);
        first = false;
        continue;
      }
      Cut parameter = cut(part, "=");
      std::string_view value = trim(parameter.after);
      if (parameter.before == "as") range.as = value;
      if (parameter.before == "g") range.group = value;
      if (parameter.before == "v") range.version = value;
      if (parameter.before == "q") range.quality = quality_of(parameter.after);
    }
    if (!range.type.empty()) ranges.push_back(std::move(range));
  }
  sort_ranges(ranges);
  return ranges;
}

// The router knows the wildcard of everything, but none of a group of types.
bool is_json(std::string_view type) { return type == "application/json" || type == "*/*"; }
bool is_protobuf(std::string_view type) { return type == "application/vnd.kubernetes.protobuf"; }
bool is_known(std::string_view type) { return is_json(type) || type == "application/yaml" || is_protobuf(type); }

}  // namespace

Accept negotiate(std::string_view header, bool streams) {
  Accept accept;
  if (trim(header).empty()) return accept;
  Accept refused;
  refused.acceptable = false;
  for (const MediaRange& range : parse_accept(header)) {
    if (is_protobuf(range.type) && range.as.empty()) {
      accept.encoding = Encoding::kProtobuf;
      return accept;
    }
    if (is_known(range.type) && !refused.known_type) {
      refused.known_type = true;
      refused.encoding = range.type == "application/yaml" ? Encoding::kYaml : Encoding::kJson;
    }
    bool yaml = range.type == "application/yaml" && !streams;
    if (!is_json(range.type) && !yaml) continue;
    accept.encoding = yaml ? Encoding::kYaml : Encoding::kJson;
    if (range.as.empty()) return accept;
    bool known_group = range.group == "meta.k8s.io" && (range.version == "v1" || range.version == "v1beta1");
    if (!known_group) continue;
    accept.table_version = range.version;
    if (range.as == "Table") {
      accept.as = As::kTable;
      return accept;
    }
    if (range.as == "PartialObjectMetadata" || range.as == "PartialObjectMetadataList") {
      accept.as = As::kPartialMetadata;
      accept.wants_list = range.as == "PartialObjectMetadataList";
      return accept;
    }
  }
  return refused;
}

std::string discovery_version(std::string_view header) {
  std::vector<MediaRange> ranges = parse_accept(header);
  for (const MediaRange& range : ranges) {
    if (!is_json(range.type) && range.type != "application/yaml") continue;
    if (range.as.empty()) return "";
    if (range.as == "APIGroupDiscoveryList" && range.group == "apidiscovery.k8s.io" && range.version == "v2")
      return range.version;
  }
  return ranges.empty() ? "" : "-";
}

bool accepts_type(std::string_view header, std::string_view type) {
  for (const MediaRange& range : parse_accept(header)) {
    if (range.type == type) return true;
  }
  return false;
}

std::string media_type(std::string_view content_type) { return lower(trim(cut(content_type, ";").before)); }

}  // namespace berth::apiserver::rest
