#include "api/registry/state.h"
#include "api/status.h"
#include "base/text.h"

namespace berth::registry {
namespace {

Status check_kind(const schema::Kind& kind, Value& object) {
  if (!object.is_object()) return error(Code::kBadRequest, "the object provided is unrecognized (must be of type " + kind.kind + "): it is no JSON object");
  std::string_view found = api::kind_of(object), version = api::api_version_of(object);
  if (!found.empty() && found != kind.kind) {
    std::string v(version.empty() ? std::string_view(kind.version) : version);
    if (std::size_t slash = v.rfind('/'); slash != std::string::npos) v.erase(0, slash + 1);
    std::string group = kind.group.empty() ? "core" : std::string(cut(kind.group, ".").before);
    return error(Code::kBadRequest, std::string(found) + " in version " + quoted(v) + " cannot be handled as a " + kind.kind + ": converting (" +
                                        v + "." + std::string(found) + ") to (" + group + "." + kind.kind + "): unknown conversion");
  }
  if (!version.empty() && version != kind.api_version()) {
    return error(Code::kBadRequest, "the API version in the data (" + std::string(version) + ") does not match the expected API version (" + kind.api_version() + ")");
  }
  object.set("kind", kind.kind).set("apiVersion", kind.api_version());
  return ok_status();
}

Status report_fields(const Call& call, const schema::DecodeProblems& problems, std::vector<std::string>& warnings) {
  if (call.field_validation == Call::FieldValidation::kIgnore || (problems.unknown.empty() && call.duplicates.empty())) return ok_status();
  std::vector<std::string> texts;
  for (const std::string& path : call.duplicates) texts.push_back("duplicate field \"" + path + "\"");
  for (const std::string& path : problems.unknown) texts.push_back("unknown field \"" + path + "\"");
  if (call.field_validation == Call::FieldValidation::kWarn) {
    for (std::string& text : texts) warnings.push_back(std::move(text));
    return ok_status();
  }
  return error(Code::kBadRequest, call.kind->kind + " in version \"" + call.kind->version + "\" cannot be handled as a " + call.kind->kind +
                                      ": strict decoding error: " + join(texts, ", "));
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
    return error(Code::kBadRequest, "the namespace of the provided object does not match the namespace sent on the request");
  }
  std::string_view name = metadata["name"].as_string();
  if (call.name.empty() || name == call.name) return ok_status();
  if (!name.empty()) {
    return error(Code::kBadRequest, "the name of the object (" + std::string(name) + ") does not match the name on the URL (" + call.name + ")");
  }
  metadata.set("name", call.name);
  return ok_status();
}

}  // namespace

Result<Value> take_in(const Call& call, Value object, std::vector<std::string>& warnings) {
  const schema::Kind& kind = *call.kind;
  BERTH_TRY(check_kind(kind, object));
  schema::DecodeProblems problems;
  BERTH_ASSIGN(object, schema::decode(kind, object, &problems));
  BERTH_TRY(report_fields(call, problems, warnings));
  BERTH_TRY(fit_to_path(call, object));
  return object;
}

Result<Value> take_in_applied(const Call& call, Value object) {
  BERTH_TRY(check_kind(*call.kind, object));
  if (!object["metadata"].is_null() && !object["metadata"].is_object()) return error(Code::kBadRequest, "metadata is no object");
  BERTH_TRY(fit_to_path(call, object));
  return object;
}

}  // namespace berth::registry
