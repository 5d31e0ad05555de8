#pragma once
// Media types: what the client can read, and what it sent. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace berth::apiserver::rest {

enum class Encoding { kJson, kYaml, kProtobuf };
enum class As { kObject, kTable, kPartialMetadata };

struct Accept {
  Encoding encoding = Encoding::kJson;
  As as = As::kObject;
  std::string table_version = "v1";  // "v1" or "v1beta1"
  bool acceptable = true;            // false: answer 406
  bool known_type = false;  // with acceptable false: the media type is one of Kubernetes', but not in that form
  bool wants_list = false;  // with As::kPartialMetadata: PartialObjectMetadataList was named
  bool pretty = false;
  // Whole objects, as they are stored.
  bool plain_json() const { return encoding == Encoding::kJson && as == As::kObject && !pretty; }
};
// The first media type of the header that we can serve. Tables and metadata alone have no protobuf form. Streams of
// events are JSON or protobuf, as upstream's.
Accept negotiate(std::string_view accept_header, bool streams = false);

// For the aggregated discovery documents: "v2", "" where plain JSON is accepted first, "-" where the header accepts
// nothing that is served.
std::string discovery_version(std::string_view accept_header);
bool accepts_type(std::string_view accept_header, std::string_view type);

// "application/json; charset=utf-8" -> "application/json".
std::string media_type(std::string_view content_type);

}  // namespace berth::apiserver::rest
