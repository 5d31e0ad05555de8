// Objects as protobuf messages. What is absent is not written: readers take it for empty.
#include <algorithm>
#include <cstring>
#include <map>

#include "apiserver/protobuf/protobuf.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::protobuf {
namespace {

using api::schema::Field;
using api::schema::Shape;

constexpr int kVarint = 0, kFixed64 = 1, kBytes = 2;

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_tag(std::string& out, int number, int wire) {
  put_varint(out, static_cast<std::uint64_t>(number) << 3 | static_cast<unsigned>(wire));
}

void put_integer(std::string& out, int number, std::int64_t value) {
  put_tag(out, number, kVarint);
  put_varint(out, static_cast<std::uint64_t>(value));
}

void put_bytes(std::string& out, int number, std::string_view bytes) {
  put_tag(out, number, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

std::string message_of_string(std::string_view text) {
  std::string out;
  put_bytes(out, 1, text);
  return out;
}

std::string message_of_time(const Value& value) {
  std::string out;
  Result<Time> time = parse_time(value.as_string());
  if (!time.ok()) return out;
  const auto since = time->time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  put_integer(out, 1, seconds.count());
  put_integer(out, 2, std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count());
  return out;
}

std::string message_of_duration(const Value& value) {
  std::string out;
  Result<Duration> duration = parse_duration(value.as_string());
  if (duration.ok()) put_integer(out, 1, std::chrono::duration_cast<std::chrono::nanoseconds>(*duration).count());
  return out;
}

std::string message_of_number_or_text(const Value& value) {
  std::string out;
  put_integer(out, 1, value.is_string() ? 1 : 0);
  if (value.is_string()) {
    put_bytes(out, 3, value.as_string());
  } else {
    put_integer(out, 2, value.as_int());
  }
  return out;
}

void put_value(std::string& out, int number, const Field& field, const Value& value);

// A map's value that is a list (the `extra` of users) is a message of its own.
std::string message_of_list(const Field& field, const Value& list) {
  std::string out;
  for (const Value& element : list) put_value(out, 1, *field.element, element);
  return out;
}

void put_value(std::string& out, int number, const Field& field, const Value& value) {
  switch (field.shape) {
    case Shape::kBool: return put_integer(out, number, value.as_bool() ? 1 : 0);
    case Shape::kInt32:
    case Shape::kInt64: return put_integer(out, number, value.as_int());
    case Shape::kDouble: {
      const double d = value.as_double();
      std::uint64_t bits = 0;
      std::memcpy(&bits, &d, sizeof bits);
      put_tag(out, number, kFixed64);
      for (int i = 0; i < 8; ++i) out += static_cast<char>(bits >> (8 * i));
      return;
    }
    case Shape::kString: return put_bytes(out, number, value.as_string());
    case Shape::kBytes: {
      Result<std::string> bytes = base64_decode(value.as_string());
      return put_bytes(out, number, bytes.ok() ? *bytes : std::string());
    }
    case Shape::kQuantity:
      return put_bytes(out, number, message_of_string(value.is_string() ? value.str() : json::encode(value)));
    case Shape::kIntOrString: return put_bytes(out, number, message_of_number_or_text(value));
    case Shape::kTime:
    case Shape::kMicroTime: return put_bytes(out, number, message_of_time(value));
    case Shape::kDuration: return put_bytes(out, number, message_of_duration(value));
    case Shape::kRaw: return put_bytes(out, number, message_of_string(json::encode(value)));
    case Shape::kObject: return put_bytes(out, number, encode_message(*field.type, value));
    case Shape::kList: return put_bytes(out, number, message_of_list(field, value));
    case Shape::kMap: return;  // maps of maps there are none
  }
}

void put_field(std::string& out, const Field& field, const Value& value) {
  if (field.shape == Shape::kList) {
    for (const Value& element : value) put_value(out, field.proto_number, *field.element, element);
    return;
  }
  if (field.shape != Shape::kMap) return put_value(out, field.proto_number, field, value);
  for (json::Entry entry : value.entries()) {
    std::string pair;
    put_bytes(pair, 1, entry.key);
    put_value(pair, 2, *field.element, entry.value);
    put_bytes(out, field.proto_number, pair);
  }
}

bool is_type_meta(const Field& field) { return field.name == "apiVersion" || field.name == "kind"; }

constexpr std::string_view kMagic = std::string_view("k8s\0", 4);
constexpr int kItemsField = 2;  // of every list

// An envelope up to the object's message, of so many bytes.
std::string envelope_head(std::string_view api_version, std::string_view kind, std::size_t message_bytes) {
  std::string type_meta, out(kMagic);
  put_bytes(type_meta, 1, api_version);
  put_bytes(type_meta, 2, kind);
  put_bytes(out, 1, type_meta);
  put_tag(out, 2, kBytes);
  put_varint(out, message_bytes);
  return out;
}

Result<const api::schema::Kind*> encodable_kind(const api::schema::Schema& schema, const Value& object) {
  const std::string_view kind_name = object["kind"].as_string();
  const api::schema::Kind* kind = schema.find_kind(object["apiVersion"].as_string(), kind_name);
  if (kind != nullptr && can_encode(*kind->type)) return kind;
  return error(Code::kNotAcceptable,
               "object *" + std::string(kind_name) + " does not implement the protobuf marshalling interface");
}

// The number of bytes behind a tag of one byte, which `bytes` is moved beyond.
std::size_t take_length(std::string_view& bytes) {
  bytes.remove_prefix(1);
  std::size_t length = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    length |= static_cast<std::size_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return length;
  }
}

}  // namespace

std::string encode_message(const api::schema::Type& type, const Value& value) {
  std::string out;
  std::map<int, std::string> embedded;
  for (const Field& field : type.fields) {
    if (field.proto_number == 0) continue;
    const Value* member = value.find(field.name);
    if (member == nullptr || member->is_null()) continue;
    put_field(field.proto_outer == 0 ? out : embedded[field.proto_outer], field, *member);
  }
  for (const auto& [number, bytes] : embedded) put_bytes(out, number, bytes);
  return out;
}

bool can_encode(const api::schema::Type& type) {
  return std::all_of(type.fields.begin(), type.fields.end(),
                     [](const Field& field) { return field.proto_number != 0 || is_type_meta(field); });
}

Result<std::string> encode(const api::schema::Schema& schema, const Value& object) {
  BERTH_ASSIGN(const api::schema::Kind* kind, encodable_kind(schema, object));
  const std::string message = encode_message(*kind->type, object);
  return envelope_head(object["apiVersion"].as_string(), object["kind"].as_string(), message.size())
      .append(message)
      .append(kEnvelopeEnd);
}

Result<std::string> encode_list_head(const api::schema::Schema& schema, const Value& list, std::size_t items_bytes) {
  BERTH_ASSIGN(const api::schema::Kind* kind, encodable_kind(schema, list));
  const std::string message = encode_message(*kind->type, list);
  return envelope_head(list["apiVersion"].as_string(), list["kind"].as_string(), message.size() + items_bytes)
      .append(message);
}

std::string encode_item_head(std::size_t message_bytes) {
  std::string out;
  put_tag(out, kItemsField, kBytes);
  put_varint(out, message_bytes);
  return out;
}

std::string_view message_in(std::string_view envelope) {
  envelope.remove_prefix(kMagic.size());
  const std::size_t type_meta = take_length(envelope);
  envelope.remove_prefix(type_meta);
  const std::size_t message = take_length(envelope);
  return envelope.substr(0, message);
}

std::string encode_event_head(std::string_view type, std::size_t object_bytes) {
  std::string raw, message;
  put_tag(raw, 1, kBytes);
  put_varint(raw, object_bytes);
  put_bytes(message, 1, type);
  put_tag(message, 2, kBytes);
  put_varint(message, raw.size() + object_bytes);
  message += raw;
  const std::size_t length = message.size() + object_bytes;
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(length >> shift);
  return out + message;
}

}  // namespace berth::apiserver::protobuf
