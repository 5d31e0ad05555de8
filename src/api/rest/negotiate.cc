#include "api/rest/negotiate.h"

#include "base/text.h"

namespace berth::rest {
namespace {

struct MediaRange {
  std::string type;
  std::string as, group, version;
};

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
    }
    if (!range.type.empty()) ranges.push_back(std::move(range));
  }
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
    if (range.as == "APIGroupDiscoveryList" && range.group == "apidiscovery.k8s.io" && range.version == "v2") return range.version;
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

}  // namespace berth::rest
