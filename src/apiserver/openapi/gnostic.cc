// Each function writes one message; the numbers are those of gnostic's OpenAPIv2.proto.
#include "apiserver/openapi/gnostic.h"

#include <cstdint>
#include <string_view>

namespace berth::apiserver::openapi {
namespace {

class Message {
 public:
  void bytes(int number, std::string_view value) {
    varint(static_cast<std::uint64_t>(number) << 3 | 2);
    varint(value.size());
    out_.append(value);
  }
  // Left out where empty, as proto3 does.
  void text(int number, const Value& value) {
    if (std::string_view text = value.as_string(); !text.empty()) bytes(number, text);
  }
  void texts(int number, const Value& list) {
    for (const Value& value : list) bytes(number, value.as_string());
  }
  void flag(int number, const Value& value) {
    if (!value.as_bool()) return;
    varint(static_cast<std::uint64_t>(number) << 3);
    varint(1);
  }
  void message(int number, const Message& value) { bytes(number, value.out_); }
  std::string take() { return std::move(out_); }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

// Any, with the value as YAML; JSON is YAML.
Message any(const Value& value) {
  Message made;
  made.bytes(2, json::encode(value) + "\n");
  return made;
}

Message named(std::string_view name, const Message& value) {
  Message made;
  made.bytes(1, name);
  made.message(2, value);
  return made;
}

void extensions(Message& out, int number, const Value& of) {
  for (json::Entry entry : of.entries()) {
    if (entry.key.starts_with("x-")) out.message(number, named(entry.key, any(entry.value)));
  }
}

Message schema(const Value& s);

Message schemas_by_name(const Value& members) {
  Message made;
  for (json::Entry entry : members.entries()) made.message(1, named(entry.key, schema(entry.value)));
  return made;
}

Message wrapped(int number, const Message& value) {
  Message made;
  made.message(number, value);
  return made;
}

Message schema(const Value& s) {
  Message made;
  made.text(1, s["$ref"]);
  made.text(2, s["format"]);
  made.text(4, s["description"]);
  if (s.contains("default")) made.message(5, any(s["default"]));
  made.texts(19, s["required"]);
  for (const Value& value : s["enum"]) made.message(20, any(value));
  if (s.contains("additionalProperties")) made.message(21, wrapped(1, schema(s["additionalProperties"])));
  if (s.contains("type")) {
    Message type;
    type.text(1, s["type"]);
    made.message(22, type);
  }
  if (s.contains("items")) made.message(23, wrapped(1, schema(s["items"])));
  if (s.contains("properties")) made.message(25, schemas_by_name(s["properties"]));
  extensions(made, 31, s);
  return made;
}

// ParametersItem
Message parameter(const Value& p) {
  Message inner;
  if (p["in"].as_string() == "body") {
    inner.text(1, p["description"]);
    inner.text(2, p["name"]);
    inner.text(3, p["in"]);
    inner.flag(4, p["required"]);
    inner.message(5, schema(p["schema"]));
    return wrapped(1, wrapped(1, inner));
  }
  bool query = p["in"].as_string() == "query";
  inner.flag(1, p["required"]);
  inner.text(2, p["in"]);
  inner.text(3, p["description"]);
  inner.text(4, p["name"]);
  inner.text(query ? 6 : 5, p["type"]);
  inner.flag(query ? 20 : 19, p["uniqueItems"]);
  return wrapped(1, wrapped(2, wrapped(query ? 3 : 4, inner)));
}

Message responses(const Value& by_code) {
  Message made;
  for (json::Entry entry : by_code.entries()) {
    Message response;
    response.text(1, entry.value["description"]);
    if (entry.value.contains("schema")) response.message(2, wrapped(1, schema(entry.value["schema"])));
    made.message(1, named(entry.key, wrapped(1, response)));
  }
  return made;
}

Message operation(const Value& o) {
  Message made;
  made.texts(1, o["tags"]);
  made.text(3, o["description"]);
  made.text(5, o["operationId"]);
  made.texts(6, o["produces"]);
  made.texts(7, o["consumes"]);
  for (const Value& p : o["parameters"]) made.message(8, parameter(p));
  made.message(9, responses(o["responses"]));
  made.texts(10, o["schemes"]);
  extensions(made, 13, o);
  return made;
}

Message path_item(const Value& item) {
  static constexpr std::pair<std::string_view, int> kMethods[] = {
      {"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
  Message made;
  for (const auto& [method, number] : kMethods) {
    if (item.contains(method)) made.message(number, operation(item[method]));
  }
  for (const Value& p : item["parameters"]) made.message(9, parameter(p));
  return made;
}

}  // namespace

std::string gnostic_document(const Value& document) {
  Message made;
  made.text(1, document["swagger"]);
  Message info;
  info.text(1, document["info"]["title"]);
  info.text(2, document["info"]["version"]);
  made.message(2, info);
  Message paths;
  for (json::Entry entry : document["paths"].entries()) paths.message(2, named(entry.key, path_item(entry.value)));
  made.message(8, paths);
  made.message(9, schemas_by_name(document["definitions"]));
  return made.take();
}

}  // namespace berth::apiserver::openapi
