#include "apiserver/protobuf/protobuf.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/decoder_text.h"
#include "base/text.h"
#include "base/yaml/yaml.h"

namespace berth::apiserver::rest {
namespace {

Error unreadable(const Context& context, const std::string& problem) {
  return error(Code::kBadRequest, "the object provided is unrecognized (must be of type " + context.call.kind->kind +
                                      "): " + problem + " (" + body_summary(context.request().body) + ")");
}

const std::string kNoTypeMeta = "couldn't get version/kind; json parse error: ";

// An object; null is one without fields, as Go reads it.
Result<Value> object_of(const Context& context, Value body) {
  if (body.is_null()) return Value::object();
  if (!body.is_object()) return unreadable(context, kNoTypeMeta + wrong_type_meta_text(body));
  return body;
}

constexpr std::string_view kJson = "application/json";

// The media type alone, without parameters and in lower case; JSON where none is named.
std::string content_type(const http::Request& request) {
  const std::string type = media_type(http::header(request.headers, "content-type"));
  return type.empty() ? std::string(kJson) : type;
}

// Most clients name JSON in its plain form, for which no text is made.
bool is_json(const http::Request& request) {
  return http::header(request.headers, "content-type") == kJson || content_type(request) == kJson;
}

Result<Value> decode_json(const Context& context, std::vector<std::string>* duplicates) {
  json::ParseOptions options;
  options.duplicates = duplicates;
  const std::string& body = context.request().body;
  Result<Value> parsed = json::parse(body, options);
  if (!parsed.ok()) return unreadable(context, kNoTypeMeta + go_error_text(body, parsed.error()));
  return object_of(context, std::move(*parsed));
}

}  // namespace

std::string_view json_body(const Context& context) {
  return is_json(context.request()) ? std::string_view(context.request().body) : std::string_view();
}

Result<Value> decode_body(const Context& context, std::vector<std::string>* duplicates) {
  const http::Request& request = context.request();
  if (is_json(request)) return decode_json(context, duplicates);
  const std::string type = content_type(request);
  if (type == protobuf::kMediaType) {
    Result<Value> decoded = protobuf::decode(context.registry->schema(), request.body);
    if (!decoded.ok() && !request.body.starts_with(std::string_view("k8s\0", 4)))
      return unreadable(context, decoded.error().message);
    return decoded;
  }
  if (type != "application/yaml") {
    return error(Code::kUnsupportedMedia,
                 "the body of the request was in an unknown format - accepted media types include: application/json, "
                 "application/yaml, application/vnd.kubernetes.protobuf");
  }
  Result<Value> parsed = yaml::parse(request.body, duplicates);
  if (!parsed.ok()) return unreadable(context, yaml_error_text(parsed.error()));
  return object_of(context, std::move(*parsed));
}

}  // namespace berth::apiserver::rest
