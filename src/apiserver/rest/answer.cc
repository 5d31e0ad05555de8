#include <algorithm>

#include "api/status.h"
#include "apiserver/protobuf/protobuf.h"
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/options.h"
#include "apiserver/table/table.h"
#include "base/text.h"
#include "base/yaml/yaml.h"
#include "http/query_flag.h"

namespace berth::apiserver::rest {
namespace {

http::Headers common_headers(const char* content_type) {
  return {{"content-type", content_type}, {"cache-control", "no-cache, private"}};
}

const char* content_type_of(const Accept& accept) {
  return accept.encoding == Encoding::kYaml ? "application/yaml" : "application/json";
}

// The body, with its content type put into `headers`; JSON where the object has no protobuf form.
http::SharedBytes rendered(const Context& context, const Value& value, http::Headers& headers) {
  const Accept& accept = context.accept;
  if (accept.encoding == Encoding::kProtobuf && context.registry != nullptr) {
    if (Result<std::string> bytes = protobuf::encode(context.registry->schema(), value); bytes.ok()) {
      headers[0].second = protobuf::kMediaType;
      return http::SharedBytes::of(std::move(*bytes));
    }
  }
  if (accept.encoding == Encoding::kYaml) return http::SharedBytes::of(yaml::encode(value));
  std::string text = accept.pretty ? json::encode_pretty(value) : json::encode(value);
  text += '\n';
  return http::SharedBytes::of(std::move(text));
}

void add_warning(http::Headers& headers, std::string_view warning) {
  headers.emplace_back("warning", "299 - " + quoted(warning));
}

// Each warning once.
void add_warnings(http::Headers& headers, const std::vector<std::string>& warnings) {
  for (std::size_t i = 0; i < warnings.size(); ++i) {
    const auto end = warnings.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(warnings.begin(), end, warnings[i]) == end) add_warning(headers, warnings[i]);
  }
}

// The warning of every answer about a deprecated kind.
void add_deprecation(http::Headers& headers, const Context& context) {
  const api::schema::Kind* kind = context.call.kind;
  if (kind == nullptr) return;
  if (const std::string_view text = registry::strategy_of(*kind).deprecation; !text.empty()) add_warning(headers, text);
}

table::IncludeObject include_object(const Context& context) {
  std::string_view value = context.parameter("includeObject");
  if (value == "None") return table::IncludeObject::kNone;
  if (value == "Object") return table::IncludeObject::kObject;
  return table::IncludeObject::kMetadata;
}

Value partial_metadata(const Value& object) {
  return Value::object(
      {{"kind", "PartialObjectMetadata"}, {"apiVersion", "meta.k8s.io/v1"}, {"metadata", object["metadata"]}});
}

Value list_metadata(const registry::ListAnswer& list) {
  Value metadata = Value::object({{"resourceVersion", list.resource_version}});
  if (!list.continue_token.empty()) metadata.set("continue", list.continue_token);
  if (list.remaining) metadata.set("remainingItemCount", static_cast<long>(*list.remaining));
  return metadata;
}

Value list_item(const Value& object) {
  Value item = object;
  item.erase("apiVersion");
  item.erase("kind");
  return item;
}

// The parts of an object's JSON without `apiVersion` and `kind`, which the items of a list do not have: their list says
// both. Members are in key order, so both can be cut out of the shared encoding; `kind` is followed by `metadata`, and
// nothing that comes before it can look like that unescaped, but for members of any shape.
class ItemCutter {
 public:
  explicit ItemCutter(const api::schema::Kind& kind)
      : version_("\"apiVersion\":\"" + kind.api_version() + "\","),
        kind_("\"kind\":\"" + kind.kind + "\","),
        metadata_(kind_ + "\"metadata\":") {
    for (const api::schema::Field& field : kind.type->fields)
      any_shape_ = any_shape_ || (field.shape == api::schema::Shape::kRaw && field.name < "kind");
  }

  void append(const store::RecordPtr& record, std::vector<http::SharedBytes>& pieces) const {
    const std::shared_ptr<const std::string>& owner = record->shared_json();
    const std::string_view text = *owner;
    std::size_t version = any_shape_ ? text.npos : text.find(version_);
    std::size_t kind = version == text.npos ? text.npos : text.find(metadata_, version);
    if (kind == text.npos) {
      pieces.push_back(http::SharedBytes::of(json::encode(list_item(record->value))));
      return;
    }
    pieces.push_back(http::SharedBytes{owner, text.substr(0, version)});
    std::size_t after = version + version_.size();
    if (kind > after) pieces.push_back(http::SharedBytes{owner, text.substr(after, kind - after)});
    pieces.push_back(http::SharedBytes{owner, text.substr(kind + kind_.size())});
  }

 private:
  std::string version_, kind_, metadata_;
  bool any_shape_ = false;  // a member before `kind` is any JSON
};

// Bytes of an encoding; they count as made for this answer where no cache and no other answer has it.
http::SharedBytes part_of(std::shared_ptr<const std::string> envelope, std::string_view bytes) {
  const bool own = envelope.use_count() == 1;
  return http::SharedBytes{std::move(envelope), bytes, own};
}

// A list of stored versions as protobuf; empty where the kind has no such form. The items' encodings are shared with
// other answers, only the frame around them is made here.
std::vector<http::SharedBytes> list_in_protobuf(const Context& context, const registry::ListAnswer& list) {
  const api::schema::Kind& kind = *context.call.kind;
  struct Item {
    std::shared_ptr<const std::string> envelope;
    std::string_view message;
  };
  std::vector<Item> items;
  items.reserve(list.records.size());
  auto heads = std::make_shared<std::string>();
  std::vector<std::size_t> head_ends;
  std::size_t bytes = 0;
  for (const store::RecordPtr& record : list.records) {
    std::shared_ptr<const std::string> envelope = context.encoded->get(context.registry->schema(), record);
    if (!envelope) return {};
    const std::string_view message = protobuf::message_in(*envelope);
    items.push_back({std::move(envelope), message});
    *heads += protobuf::encode_item_head(message.size());
    head_ends.push_back(heads->size());
    bytes += message.size();
  }
  const Value frame = Value::object(
      {{"kind", kind.kind + "List"}, {"apiVersion", kind.api_version()}, {"metadata", list_metadata(list)}});
  Result<std::string> head = protobuf::encode_list_head(context.registry->schema(), frame, heads->size() + bytes);
  if (!head.ok()) return {};
  std::vector<http::SharedBytes> pieces;
  pieces.reserve(2 * items.size() + 2);
  pieces.push_back(http::SharedBytes::of(std::move(*head)));
  std::size_t at = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    pieces.push_back(http::SharedBytes{heads, std::string_view(*heads).substr(at, head_ends[i] - at)});
    at = head_ends[i];
    pieces.push_back(part_of(std::move(items[i].envelope), items[i].message));
  }
  pieces.push_back(http::SharedBytes{nullptr, protobuf::kEnvelopeEnd});
  return pieces;
}

}  // namespace

bool Context::flag(std::string_view name) const { return http::query_flag(request(), name); }

Value view_object(const Context& context, const Value& object, bool with_columns) {
  if (object["kind"].as_string() == "Status") return object;
  switch (context.accept.as) {
    case As::kTable:
      return table::make_table(
          *context.call.kind, {object}, Value::object({{"resourceVersion", api::resource_version_of(object)}}),
          include_object(context), "meta.k8s.io/" + context.accept.table_version, with_columns, context.loop->now());
    case As::kPartialMetadata: return partial_metadata(object);
    case As::kObject: break;
  }
  return object;
}

std::string view_form(const Context& context, bool with_columns) {
  if (context.accept.encoding == Encoding::kProtobuf) return "protobuf";
  if (context.accept.as == As::kPartialMetadata) return "partial";
  return "table " + context.accept.table_version + " " + context.call.kind->api_version() + " " +
         std::string(context.parameter("includeObject")) + (with_columns ? " columns" : "");
}

void answer_value(const ContextPtr& context, int http, const Value& value) {
  http::Headers headers = common_headers(content_type_of(context->accept));
  http::SharedBytes body = rendered(*context, value, headers);
  context->exchange->respond(http, std::move(headers), {std::move(body)});
}

void answer_error(const ContextPtr& context, const Error& error) {
  http::Headers headers = common_headers(content_type_of(context->accept));
  add_deprecation(headers, *context);
  if (error.details && error.details->retry_after_seconds > 0) {
    headers.emplace_back("retry-after", std::to_string(error.details->retry_after_seconds));
  }
  if (context->ends_connection) headers.emplace_back("connection", "close");
  http::SharedBytes body = rendered(*context, api::to_status(error), headers);
  context->exchange->respond(api::http_code(error.code), std::move(headers), {std::move(body)});
}

Error router_refusal(Code code, std::string message) {
  return Error{code, std::move(message), std::make_shared<const ErrorDetails>()};
}

Error method_not_allowed() {
  return router_refusal(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource");
}

http::Headers watch_headers(const Context& context) {
  http::Headers headers =
      common_headers(context.accept.encoding == Encoding::kProtobuf ? "application/vnd.kubernetes.protobuf;stream=watch"
                                                                    : "application/json");
  add_deprecation(headers, context);
  return headers;
}

void answer_text(const ContextPtr& context, int http, std::string text) {
  context->exchange->respond(http,
                             {{"content-type", "text/plain; charset=utf-8"},
                              {"cache-control", "no-cache, private"},
                              {"x-content-type-options", "nosniff"}},
                             {http::SharedBytes::of(std::move(text))});
}

void answer_object(const ContextPtr& context, const registry::Answer& answer) {
  http::Headers headers = common_headers(content_type_of(context->accept));
  add_deprecation(headers, *context);
  add_warnings(headers, answer.warnings);
  if (answer.record && context->accept.plain_json()) {
    const std::shared_ptr<const std::string>& text = answer.record->shared_json();
    context->exchange->respond(answer.http, std::move(headers),
                               {http::SharedBytes{text, *text}, http::SharedBytes{nullptr, "\n"}});
    return;
  }
  if (answer.record && context->accept.encoding == Encoding::kProtobuf && context->accept.as == As::kObject) {
    if (std::shared_ptr<const std::string> envelope =
            context->encoded->get(context->registry->schema(), answer.record)) {
      headers[0].second = protobuf::kMediaType;
      const std::string_view bytes = *envelope;
      return context->exchange->respond(answer.http, std::move(headers), {part_of(std::move(envelope), bytes)});
    }
  }
  Value view = view_object(*context, answer.value(), true);
  http::SharedBytes body = rendered(*context, view, headers);
  context->exchange->respond(answer.http, std::move(headers), {std::move(body)});
}

void answer_list(const ContextPtr& context, const registry::ListAnswer& list) {
  const api::schema::Kind& kind = *context->call.kind;
  http::Headers headers = common_headers(content_type_of(context->accept));
  add_deprecation(headers, *context);
  if (context->accept.plain_json()) {
    // The items' encodings are shared with the cache; only the frame around them is made here.
    std::vector<http::SharedBytes> pieces;
    pieces.reserve(list.records.size() * 4 + 2);
    const ItemCutter cutter(kind);
    std::string head = "{\"kind\":\"" + kind.kind + "List\",\"apiVersion\":\"" + kind.api_version() +
                       "\",\"metadata\":" + json::encode(list_metadata(list)) + ",\"items\":[";
    pieces.push_back(http::SharedBytes::of(std::move(head)));
    bool first = true;
    for (const store::RecordPtr& record : list.records) {
      if (!first) pieces.push_back(http::SharedBytes{nullptr, ","});
      first = false;
      cutter.append(record, pieces);
    }
    pieces.push_back(http::SharedBytes{nullptr, "]}\n"});
    context->exchange->respond(200, std::move(headers), std::move(pieces));
    return;
  }
  if (context->accept.encoding == Encoding::kProtobuf && context->accept.as == As::kObject) {
    if (std::vector<http::SharedBytes> pieces = list_in_protobuf(*context, list); !pieces.empty()) {
      headers[0].second = protobuf::kMediaType;
      return context->exchange->respond(200, std::move(headers), std::move(pieces));
    }
  }
  Value body;
  if (context->accept.as == As::kTable) {
    std::vector<Value> objects;
    objects.reserve(list.records.size());
    for (const store::RecordPtr& record : list.records) objects.push_back(record->value);
    body = table::make_table(kind, objects, list_metadata(list), include_object(*context),
                             "meta.k8s.io/" + context->accept.table_version, true, context->loop->now());
  } else {
    bool partial = context->accept.as == As::kPartialMetadata;
    std::vector<Value> items;
    items.reserve(list.records.size());
    for (const store::RecordPtr& record : list.records)
      items.push_back(partial ? partial_metadata(record->value) : list_item(record->value));
    body = Value::object({{"kind", partial ? "PartialObjectMetadataList" : kind.kind + "List"},
                          {"apiVersion", partial ? "meta.k8s.io/v1" : kind.api_version()},
                          {"metadata", list_metadata(list)},
                          // Upstream's list of metadata is null where it is empty.
                          {"items", partial && items.empty() ? Value() : Value::array(std::move(items))}});
  }
  http::SharedBytes text = rendered(*context, body, headers);
  context->exchange->respond(200, std::move(headers), {std::move(text)});
}

}  // namespace berth::apiserver::rest
