#include "apiserver/registry/decode.h"

#include <algorithm>

#include "api/schema/given_empty.h"
#include "api/schema/registered_kinds.h"
#include "api/status.h"
#include "apiserver/registry/conversion.h"
#include "base/check.h"
#include "base/json/text_order.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

// What a body is told apart by where it cannot be recognized.
Error unrecognized(const api::schema::Kind& kind, const Call& call, const std::string& problem) {
  const std::string& start = call.body_start;
  constexpr std::size_t kShown = 30;
  std::string shown = "<empty>";
  if (!start.empty()) {
    const std::string head = start.substr(0, kShown);
    shown = (start[0] == '{' ? head : hex_encode(head)) + (start.size() > kShown ? " ..." : "");
  }
  return error(Code::kBadRequest, "the object provided is unrecognized (must be of type " + kind.kind +
                                      "): " + problem + " (" + shown + ")");
}

std::string_view go_kind(const Value& value) {
  return value.is_number() ? "number" : value.is_bool() ? "bool" : value.is_array() ? "array" : "object";
}

// Upstream's internal Go package of a kind.
std::string go_package(const api::schema::Kind& kind) {
  const std::string& group = storage_kind(kind).group;
  return group.empty() ? "core" : std::string(cut(group, ".").before);
}

// Of an object whose kind or apiVersion is not the path's.
Error wrong_kind(const api::schema::Kind& kind, const Call& call, std::string_view sent_kind,
                 std::string_view api_version) {
  if (std::count(api_version.begin(), api_version.end(), '/') > 1) {
    return unrecognized(kind, call, "unexpected GroupVersion string: " + std::string(api_version));
  }
  const std::string version(api_version.substr(api_version.find('/') + 1));
  const std::string handled =
      std::string(sent_kind) + " in version " + quoted(version) + " cannot be handled as a " + kind.kind + ": ";
  if (!api::schema::is_registered(api_version, sent_kind)) {
    return error(Code::kBadRequest, handled + "no kind " + quoted(sent_kind) + " is registered for version " +
                                        quoted(api_version) + " in scheme \"pkg/api/legacyscheme/scheme.go:30\"");
  }
  if (sent_kind != kind.kind) {
    return error(Code::kBadRequest, handled + "converting (" + version + "." + std::string(sent_kind) + ") to (" +
                                        go_package(kind) + "." + kind.kind + "): unknown conversion");
  }
  return error(Code::kBadRequest, "the API version in the data (" + std::string(api_version) +
                                      ") does not match the expected API version (" + kind.api_version() + ")");
}

Status check_kind(const api::schema::Kind& kind, const Call& call, Value& object) {
  constexpr std::string_view kUnreadable = "couldn't get version/kind; json parse error: json: cannot unmarshal ";
  if (!object.is_object()) {
    return unrecognized(
        kind, call,
        std::string(kUnreadable) + std::string(go_kind(object)) +
            " into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
            "\"json:\\\"kind,omitempty\\\"\" }");
  }
  for (const char* field : {"apiVersion", "kind"}) {
    const Value& value = object[field];
    if (value.is_null() || value.is_string()) continue;
    return unrecognized(
        kind, call,
        std::string(kUnreadable) + std::string(go_kind(value)) + " into Go struct field ." + field + " of type string");
  }
  const std::string_view found = api::kind_of(object), full = api::api_version_of(object);
  const std::string expected = kind.api_version();
  if ((!found.empty() && found != kind.kind) || (!full.empty() && full != expected)) {
    return wrong_kind(kind, call, found.empty() ? std::string_view(kind.kind) : found,
                      full.empty() ? std::string_view(expected) : full);
  }
  if (found.empty()) object.set("kind", kind.kind);
  if (full.empty()) object.set("apiVersion", expected);
  return ok_status();
}

Status report_fields(const Call& call, const api::schema::Kind& kind, const api::schema::DecodeProblems& problems,
                     std::string_view json_text, std::vector<std::string>& warnings) {
  if (call.field_validation == Call::FieldValidation::kIgnore || (problems.unknown.empty() && call.duplicates.empty()))
    return ok_status();
  std::vector<json::FieldInText> fields;
  for (const std::string& path : call.duplicates) fields.push_back({path, true});
  for (const std::string& path : problems.unknown) fields.push_back({path, false});
  if (!json_text.empty()) json::sort_by_text(json_text, fields);
  std::vector<std::string> texts;
  for (const json::FieldInText& field : fields)
    texts.push_back((field.second_occurrence ? "duplicate field \"" : "unknown field \"") + field.path + "\"");
  if (call.field_validation == Call::FieldValidation::kWarn) {
    for (std::string& text : texts) warnings.push_back(std::move(text));
    return ok_status();
  }
  return error(Code::kBadRequest, kind.kind + " in version \"" + kind.version + "\" cannot be handled as a " +
                                      kind.kind + ": strict decoding error: " + join(texts, ", "));
}

// Fits name and namespace to the path.
Status fit_to_path(const Call& call, Value& object) {
  Value& metadata = object.mut("metadata");
  if (metadata.is_null()) metadata = Value::object();
  std::string_view ns = metadata["namespace"].as_string();
  if (!call.kind->namespaced) {
    metadata.erase("namespace");
  } else if (ns.empty()) {
    metadata.set("namespace", call.ns);
  } else if (ns != call.ns) {
    return error(Code::kBadRequest,
                 "the namespace of the provided object does not match the namespace sent on the request");
  }
  std::string_view name = metadata["name"].as_string();
  if (call.name.empty() || name == call.name) return ok_status();
  if (!name.empty()) {
    return error(Code::kBadRequest, "the name of the object (" + std::string(name) +
                                        ") does not match the name on the URL (" + call.name + ")");
  }
  return error(Code::kBadRequest,
               "the name of the object (" + call.name + " based on URL) was undeterminable: name must be provided");
}

// The same for what is applied, which need not name itself. Nothing is filled in: what is applied is owned.
Status check_path(const Call& call, const Value& applied) {
  const Value& metadata = applied["metadata"];
  std::string_view ns = metadata["namespace"].as_string(), name = metadata["name"].as_string();
  if (call.kind->namespaced && !ns.empty() && ns != call.ns) {
    return error(Code::kBadRequest,
                 "the namespace of the provided object does not match the namespace sent on the request");
  }
  if (!name.empty() && name != call.name) {
    return error(Code::kBadRequest, "the name of the object (" + std::string(name) +
                                        ") does not match the name on the URL (" + call.name + ")");
  }
  return ok_status();
}

// Owners that are named twice are kept once.
void drop_repeated_owners(Value& object, std::vector<std::string>& warnings) {
  const Value& owners = object["metadata"]["ownerReferences"];
  if (owners.size() < 2) return;
  Value kept = Value::array({});
  std::vector<std::string> repeated;
  for (const Value& owner : owners) {
    if (std::find(kept.begin(), kept.end(), owner) == kept.end()) {
      kept.push(owner);
    } else {
      repeated.push_back(owner["uid"].str());
    }
  }
  if (repeated.empty()) return;
  warnings.push_back(
      ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as "
      "1.24; please fix your requests; duplicate UID(s) observed: " +
      join(repeated, ", "));
  object.mut("metadata").set("ownerReferences", std::move(kept));
}

}  // namespace

Result<Value> decode_as(const api::schema::Kind& kind, const Call& call, Value object,
                        std::vector<std::string>& warnings, std::string_view json_text) {
  BERTH_TRY(check_kind(kind, call, object));
  api::schema::DecodeProblems problems;
  BERTH_ASSIGN(object, api::schema::decode(kind, object, &problems));
  BERTH_TRY(report_fields(call, kind, problems, json_text, warnings));
  return object;
}

Result<Value> decode_review(const Call& call, Value object, std::vector<std::string>& warnings) {
  return decode_as(*call.kind, call, std::move(object), warnings);
}

Result<Value> decode_object(const Call& call, Value object, std::vector<std::string>& warnings) {
  bool has_empty = false;
  BERTH_ASSIGN(object, decode_with_empty(call, std::move(object), warnings, has_empty));
  if (has_empty) object = api::schema::without_empty(*call.kind, object);
  return object;
}

Result<Value> decode_with_empty(const Call& call, Value object, std::vector<std::string>& warnings, bool& has_empty,
                                std::string_view json_text) {
  const api::schema::Kind& kind = *call.kind;
  BERTH_TRY(check_kind(kind, call, object));
  api::schema::DecodeProblems problems;
  BERTH_ASSIGN(object, api::schema::decode_with_empty(kind, object, &problems, has_empty));
  BERTH_TRY(report_fields(call, kind, problems, json_text, warnings));
  BERTH_TRY(fit_to_path(call, object));
  drop_repeated_owners(object, warnings);
  return object;
}

Result<Value> decode_subresource(const api::schema::Schema& schema, const Call& call, Value object,
                                 std::vector<std::string>& warnings, std::string_view json_text) {
  const api::schema::Subresource* sub = call.kind->subresource(call.subresource);
  BERTH_CHECK(sub != nullptr, "a subresource without a line in the schema");
  const std::string version = sub->group.empty() ? sub->version : sub->group + "/" + sub->version;
  const api::schema::Kind* kind = schema.find_kind(version, sub->kind);
  BERTH_CHECK(kind != nullptr, "a subresource whose kind is missing from the schema");
  const SubresourceStrategy* strategy = strategy_of(*call.kind).subresource(call.subresource);
  if (strategy != nullptr && !strategy->former_version.empty() &&
      api::api_version_of(object) == strategy->former_version)
    object.set("apiVersion", version);
  return decode_as(*kind, call, std::move(object), warnings, json_text);
}

Result<Value> check_applied(const Call& call, Value object) {
  const api::schema::Kind& kind = *call.kind;
  if (std::string found = object["kind"].str(); !found.empty() && found != kind.kind) {
    std::string version = object["apiVersion"].str();
    if (version.find('/') == version.npos) version.insert(0, "/");
    return error(Code::kBadRequest, "invalid object type: " + version + ", Kind=" + found);
  }
  BERTH_TRY(check_kind(kind, call, object));
  if (!object["metadata"].is_null() && !object["metadata"].is_object())
    return error(Code::kBadRequest, "metadata is no object");
  BERTH_TRY(check_path(call, object));
  return object;
}

}  // namespace berth::apiserver::registry
