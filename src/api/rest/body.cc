#include "api/protobuf/protobuf.h"
#include "api/rest/context.h"
#include "base/text.h"
#include "base/yaml/yaml.h"

namespace berth::rest {
namespace {

Error unreadable(const Context& context, std::string_view problem) {
  const std::string& body = context.request().body;
  // As upstream shows it: the first 30 bytes.
  std::string shown = body.size() > 30 ? body.substr(0, 30) + " ..." : body;
  return error(Code::kBadRequest, "the object provided is unrecognized (must be of type " + context.call.kind->kind +
                                      "): couldn't get version/kind; json parse error: " + std::string(problem) + " (" +
                                      shown + ")");
}

}  // namespace

Result<Value> decode_body(const Context& context, std::vector<std::string>* duplicates) {
  const http::Request& request = context.request();
  std::string type = media_type(http::header(request.headers, "content-type"));
  if (type.empty()) type = "application/json";
  if (type == protobuf::kMediaType) return protobuf::decode(context.registry->schema(), request.body);
  bool is_yaml = type == "application/yaml" || type == "text/yaml" || type == "application/x-yaml";
  if (type != "application/json" && !is_yaml) {
    return error(Code::kUnsupportedMedia,
                 "the body of the request was in an unknown format - accepted media types include: application/json, "
                 "application/yaml, application/vnd.kubernetes.protobuf");
  }
  if (is_yaml) {
    Result<Value> parsed = yaml::parse(request.body, duplicates);
    if (!parsed.ok()) return unreadable(context, "yaml: " + parsed.error().message);
    return parsed;
  }
  json::ParseOptions options;
  options.duplicates = duplicates;
  Result<Value> parsed = json::parse(request.body, options);
  if (!parsed.ok()) return unreadable(context, parsed.error().message);
  return parsed;
}

}  // namespace berth::rest
