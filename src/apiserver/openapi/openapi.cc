#include "apiserver/openapi/openapi.h"

#include <map>
#include <mutex>

#include "apiserver/openapi/definitions.h"
#include "apiserver/openapi/gnostic.h"
#include "apiserver/openapi/operations.h"
#include "base/text.h"

namespace berth::apiserver::openapi {
namespace {

using api::schema::Kind;
using api::schema::Schema;

constexpr std::string_view kVersion = "v1.36.0";
constexpr std::string_view kPatchMedia[] = {"application/json-patch+json", "application/merge-patch+json",
                                            "application/strategic-merge-patch+json", "application/apply-patch+yaml"};
constexpr std::string_view kJsonMedia[] = {"application/json", "application/yaml"};

Value info() { return Value::object({{"title", "Kubernetes"}, {"version", kVersion}}); }

template <class List>
Value texts(const List& list) {
  Value made = Value::array();
  for (std::string_view text : list) made.push(text);
  return made;
}

std::string code_text(int code) { return code == 201 ? "Created" : code == 202 ? "Accepted" : "OK"; }

Value parameter(const Parameter& p, Dialect dialect) {
  Value made = Value::object({{"name", p.name}, {"in", p.in_path ? "path" : "query"}, {"description", p.description}});
  if (p.in_path) made.set("required", true);
  Value type = Value::object({{"type", p.type}, {"uniqueItems", true}});
  if (dialect == Dialect::kV3) return made.set("schema", std::move(type));
  for (json::Entry entry : type.entries()) made.set(entry.key, entry.value);
  return made;
}

Value parameters(const std::vector<const Parameter*>& list, Dialect dialect) {
  Value made = Value::array();
  for (const Parameter* p : list) made.push(parameter(*p, dialect));
  return made;
}

Value common(const Operation& op, std::string_view tag, Dialect dialect) {
  Value made = Value::object({{"description", op.description},
                              {"operationId", op.id},
                              {"tags", Value::array({tag})},
                              {"x-kubernetes-action", op.action},
                              {"x-kubernetes-group-version-kind", op.kind.value()}});
  if (!op.parameters.empty()) made.set("parameters", parameters(op.parameters, dialect));
  return made;
}

Value operation_v2(const Operation& op, std::string_view tag, Definitions& definitions) {
  Value made = common(op, tag, Dialect::kV2);
  made.set("schemes", Value::array({"https"}));
  made.set("consumes", op.method == "patch" ? texts(kPatchMedia) : Value::array({"*/*"}));
  made.set("produces", op.response.empty() ? Value::array({"*/*"}) : texts(kJsonMedia));
  if (!op.body.empty()) {
    Value body = Value::object({{"name", "body"}, {"in", "body"}, {"schema", definitions.reference(op.body)}});
    if (op.body_required) body.set("required", true);
    made.mut("parameters").push(std::move(body));
  }
  for (int code : op.codes) {
    Value schema = op.response.empty() ? Value::object({{"type", "string"}}) : definitions.reference(op.response);
    made.mut("responses")
        .set(std::to_string(code), Value::object({{"description", code_text(code)}, {"schema", std::move(schema)}}));
  }
  made.mut("responses").set("401", Value::object({{"description", "Unauthorized"}}));
  return made;
}

Value operation_v3(const Operation& op, std::string_view tag, Definitions& definitions) {
  Value made = common(op, tag, Dialect::kV3);
  if (!op.body.empty()) {
    Value content = Value::object();
    Value schema = Value::object({{"schema", definitions.reference(op.body)}});
    if (op.method == "patch") {
      for (std::string_view media : kPatchMedia) content.set(media, schema);
    } else {
      content.set("*/*", schema);
    }
    Value body = Value::object({{"content", std::move(content)}});
    if (op.body_required) body.set("required", true);
    made.set("requestBody", std::move(body));
  }
  Value content = Value::object();
  if (op.response.empty()) {
    content.set("*/*", Value::object({{"schema", Value::object({{"type", "string"}})}}));
  } else {
    for (std::string_view media : kJsonMedia) {
      content.set(media, Value::object({{"schema", definitions.reference(op.response)}}));
    }
  }
  for (int code : op.codes) {
    made.mut("responses")
        .set(std::to_string(code), Value::object({{"description", code_text(code)}, {"content", content}}));
  }
  made.mut("responses").set("401", Value::object({{"description", "Unauthorized"}}));
  return made;
}

void add_paths(const Schema& schema, const Kind& kind, Dialect dialect, Definitions& definitions, Value& paths) {
  std::string tag = tag_of(kind);
  for (const Path& path : paths_of(schema, kind)) {
    Value made = Value::object({{"parameters", parameters(path.parameters, dialect)}});
    for (const Operation& op : path.operations) {
      made.set(op.method,
               dialect == Dialect::kV2 ? operation_v2(op, tag, definitions) : operation_v3(op, tag, definitions));
    }
    paths.set(path.path, std::move(made));
  }
}

Value v2_document(const Schema& schema) {
  Definitions definitions(schema, Dialect::kV2);
  Value paths = Value::object();
  for (const Kind* kind : schema.kinds()) add_paths(schema, *kind, Dialect::kV2, definitions, paths);
  return Value::object(
      {{"swagger", "2.0"}, {"info", info()}, {"paths", std::move(paths)}, {"definitions", definitions.all()}});
}

// Empty where nothing is served there.
std::string v3_document(const Schema& schema, std::string_view root) {
  Definitions definitions(schema, Dialect::kV3);
  Value paths = Value::object();
  auto here = [&](const Kind* kind) { return root_of(*kind) == root; };
  for (const Kind* kind : schema.kinds()) {
    if (!here(kind)) continue;
    add_paths(schema, *kind, Dialect::kV3, definitions, paths);
    definitions.reference(kind->type->name);
  }
  if (paths.empty()) return {};
  for (const Kind* kind : schema.other_kinds()) {
    if (here(kind)) definitions.reference(kind->type->name);
  }
  return json::encode(Value::object({{"openapi", "3.0.0"},
                                     {"info", info()},
                                     {"paths", std::move(paths)},
                                     {"components", Value::object({{"schemas", definitions.used()}})}}));
}

// Something made once per schema and kept.
template <class T>
class PerSchema {
 public:
  template <class F>
  const T& get(const Schema& schema, F make) {
    std::lock_guard lock(mutex_);
    auto at = made_.find(&schema);
    if (at == made_.end()) at = made_.emplace(&schema, make()).first;
    return at->second;
  }

 private:
  std::mutex mutex_;
  std::map<const Schema*, T> made_;  // nodes stay where they are
};

}  // namespace

std::string v2_json(const Schema& schema) { return json::encode(v2_document(schema)); }

std::string v2_protobuf(const Schema& schema) {
  // Kept: kubectl before 1.27 asks for it with every apply.
  static PerSchema<std::string> kept;
  return kept.get(schema, [&] { return gnostic_document(v2_document(schema)); });
}

std::string v2_hash(const Schema& schema) {
  static PerSchema<std::string> kept;
  return kept.get(schema, [&] { return sha256_hex(v2_json(schema)); });
}

Value v3_index(const Schema& schema) {
  // Clients keep the documents under their hash, so only the hashes are worth keeping here.
  static PerSchema<Value> kept;
  return kept.get(schema, [&] {
    Value paths = Value::object();
    for (const Kind* kind : schema.kinds()) {
      std::string root = root_of(*kind);
      if (paths.contains(root)) continue;
      std::string hash = sha256_hex(v3_document(schema, root));
      paths.set(root, Value::object({{"serverRelativeURL", "/openapi/v3/" + root + "?hash=" + hash}}));
    }
    return Value::object({{"paths", std::move(paths)}});
  });
}

Result<std::string> v3_json(const Schema& schema, std::string_view path) {
  std::string document = v3_document(schema, path);
  if (document.empty()) return error(Code::kNotFound, "no OpenAPI document at " + std::string(path));
  return document;
}

std::shared_ptr<const std::string> shared_document(const Schema& schema, const std::string& name) {
  // Each has megabytes, and clients request it in bursts: shared as long as an answer holds it, then freed.
  static std::mutex mutex;
  static std::map<std::pair<const Schema*, std::string>, std::weak_ptr<const std::string>> in_use;
  std::lock_guard lock(mutex);
  if (auto at = in_use.find({&schema, name}); at != in_use.end()) {
    if (auto document = at->second.lock()) return document;
  }
  std::string text;
  if (name == "v2") {
    text = v2_json(schema);
  } else if (name == "v2-protobuf") {
    text = v2_protobuf(schema);
  } else if (Result<std::string> document = v3_json(schema, name); document.ok()) {
    text = std::move(*document);
  } else {
    return nullptr;
  }
  auto document = std::make_shared<const std::string>(std::move(text));
  in_use[{&schema, name}] = document;
  return document;
}

}  // namespace berth::apiserver::openapi
