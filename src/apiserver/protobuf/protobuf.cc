#include "apiserver/protobuf/protobuf.h"

#include <cstring>

#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::protobuf {
namespace {

constexpr int kMaxDepth = 100;

// Reads tag-length-value triples off a message.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  struct Item {
    int number = 0;
    int wire = 0;               // 0 varint, 1 64 bit, 2 bytes, 5 32 bit
    std::uint64_t integer = 0;  // of the numeric wire types
    std::string_view bytes;     // of wire type 2
  };

  bool at_end() const { return at_ >= bytes_.size(); }

  Result<Item> next() {
    Item item;
    BERTH_ASSIGN(std::uint64_t tag, varint());
    item.number = static_cast<int>(tag >> 3);
    item.wire = static_cast<int>(tag & 7);
    switch (item.wire) {
      case 0: {
        BERTH_ASSIGN(item.integer, varint());
        break;
      }
      case 1:
      case 5: {
        std::size_t width = item.wire == 1 ? 8 : 4;
        if (bytes_.size() - at_ < width) return damaged();
        std::memcpy(&item.integer, bytes_.data() + at_, width);
        at_ += width;
        break;
      }
      case 2: {
        BERTH_ASSIGN(std::uint64_t length, varint());
        if (length > bytes_.size() - at_) return damaged();
        item.bytes = bytes_.substr(at_, length);
        at_ += length;
        break;
      }
      default: return damaged();
    }
    return item;
  }

 private:
  Error damaged() const { return error(Code::kBadRequest, "protobuf: damaged message at byte " + std::to_string(at_)); }

  Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ >= bytes_.size()) return damaged();
      auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return damaged();
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
};

Result<Value> decode_type(const api::schema::Type& type, std::string_view bytes, int depth);

Result<Value> decode_time(std::string_view bytes, bool micro) {
  std::int64_t seconds = 0, nanos = 0;
  Reader reader(bytes);
  while (!reader.at_end()) {
    BERTH_ASSIGN(Reader::Item item, reader.next());
    if (item.number == 1) seconds = static_cast<std::int64_t>(item.integer);
    if (item.number == 2) nanos = static_cast<std::int32_t>(item.integer);
  }
  // Go's zero time, year 1: upstream means "not set".
  if (bytes.empty() || seconds <= -62135596800) return Value(nullptr);
  Time time{std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos)};
  return Value(micro ? format_micro_time(time) : format_time(time));
}

// A message with one interesting string field: Quantity {1: string}.
Result<std::string_view> only_string(std::string_view bytes) {
  Reader reader(bytes);
  std::string_view text;
  while (!reader.at_end()) {
    BERTH_ASSIGN(Reader::Item item, reader.next());
    if (item.number == 1 && item.wire == 2) text = item.bytes;
  }
  return text;
}

Result<Value> decode_int_or_string(std::string_view bytes) {
  std::uint64_t type = 0, integer = 0;
  std::string_view text;
  Reader reader(bytes);
  while (!reader.at_end()) {
    BERTH_ASSIGN(Reader::Item item, reader.next());
    if (item.number == 1) type = item.integer;
    if (item.number == 2) integer = item.integer;
    if (item.number == 3) text = item.bytes;
  }
  if (type == 1) return Value(text);
  return Value(static_cast<long>(static_cast<std::int32_t>(integer)));
}

// RawExtension and FieldsV1: {1: bytes of JSON}.
Result<Value> decode_raw(std::string_view bytes) {
  BERTH_ASSIGN(std::string_view text, only_string(bytes));
  if (text.empty()) return Value(nullptr);
  return json::parse(text);
}

Result<Value> decode_item(const api::schema::Field& field, const Reader::Item& item, int depth) {
  using api::schema::Shape;
  bool is_bytes = item.wire == 2;
  switch (field.shape) {
    case Shape::kBool: return Value(item.integer != 0);
    case Shape::kInt32: return Value(static_cast<long>(static_cast<std::int32_t>(item.integer)));
    case Shape::kInt64: return Value(static_cast<long>(item.integer));
    case Shape::kDouble: {
      double d = 0;
      std::memcpy(&d, &item.integer, sizeof d);
      return Value(d);
    }
    default: break;
  }
  if (!is_bytes) return error(Code::kBadRequest, "protobuf: field " + quoted(field.name) + " has the wrong wire type");
  switch (field.shape) {
    case Shape::kString:
      if (!valid_utf8(item.bytes)) {
        return error(Code::kBadRequest, "protobuf: field " + quoted(field.name) + " is not valid UTF-8");
      }
      return Value(item.bytes);
    case Shape::kBytes: return Value(base64_encode(item.bytes));
    case Shape::kQuantity: {
      BERTH_ASSIGN(std::string_view text, only_string(item.bytes));
      return Value(text.empty() ? std::string_view("0") : text);
    }
    case Shape::kIntOrString: return decode_int_or_string(item.bytes);
    case Shape::kTime: return decode_time(item.bytes, false);
    case Shape::kMicroTime: return decode_time(item.bytes, true);
    case Shape::kRaw: return decode_raw(item.bytes);
    case Shape::kObject: return decode_type(*field.type, item.bytes, depth + 1);
    default:
      return error(Code::kBadRequest, "protobuf: field " + quoted(field.name) + " cannot be read in this encoding");
  }
}

Status decode_map_entry(const api::schema::Field& field, std::string_view bytes, Value& out, int depth) {
  std::string_view key;
  Value value =
      field.element->shape == api::schema::Shape::kString || field.element->shape == api::schema::Shape::kBytes
          ? Value("")
          : Value();
  Reader reader(bytes);
  while (!reader.at_end()) {
    BERTH_ASSIGN(Reader::Item item, reader.next());
    if (item.number == 1) key = item.bytes;
    if (item.number == 2) {
      BERTH_ASSIGN(value, decode_item(*field.element, item, depth));
    }
  }
  if (!valid_utf8(key)) {
    return error(Code::kBadRequest, "protobuf: a key of " + quoted(field.name) + " is not valid UTF-8");
  }
  out.set(key, std::move(value));
  return ok_status();
}

// The schema flattens structs that Go embeds; on the wire each is a message of its own inside its parent. `outer` is
// the number of the embedded message that `bytes` are, 0 for the type's own.
const api::schema::Field* find_field(const api::schema::Type& type, int outer, int number) {
  for (const api::schema::Field& field : type.fields) {
    if (field.proto_number == number && field.proto_outer == outer) return &field;
  }
  return nullptr;
}

bool is_embedded(const api::schema::Type& type, int number) {
  for (const api::schema::Field& field : type.fields) {
    if (field.proto_outer == number) return true;
  }
  return false;
}

Status decode_into(const api::schema::Type& type, int outer, std::string_view bytes, Value& out, int depth) {
  if (depth > kMaxDepth) return error(Code::kBadRequest, "protobuf: nested too deeply");
  Reader reader(bytes);
  while (!reader.at_end()) {
    BERTH_ASSIGN(Reader::Item item, reader.next());
    if (outer == 0 && item.wire == 2 && is_embedded(type, item.number)) {
      BERTH_TRY(decode_into(type, item.number, item.bytes, out, depth + 1));
      continue;
    }
    const api::schema::Field* field = find_field(type, outer, item.number);
    if (field == nullptr) continue;
    if (field->shape == api::schema::Shape::kMap) {
      BERTH_TRY(decode_map_entry(*field, item.bytes, out.mut(field->name), depth));
      continue;
    }
    if (field->shape == api::schema::Shape::kList) {
      BERTH_ASSIGN(Value element, decode_item(*field->element, item, depth));
      out.mut(field->name).push(std::move(element));
      continue;
    }
    BERTH_ASSIGN(Value value, decode_item(*field, item, depth));
    // Upstream's encoder writes every scalar that is no pointer, also empty ones. An empty string means "not set"
    // wherever the field is optional; a zero or false is kept, because a pointer's explicit zero looks the same and
    // must not be lost.
    bool is_unset = value.is_null() || (value.is_string() && value.as_string().empty() && !field->required);
    if (is_unset) continue;
    out.set(field->name, std::move(value));
  }
  return ok_status();
}

Result<Value> decode_type(const api::schema::Type& type, std::string_view bytes, int depth) {
  Value out = Value::object();
  BERTH_TRY(decode_into(type, 0, bytes, out, depth));
  return out;
}

}  // namespace

Result<Value> decode_message(const api::schema::Type& type, std::string_view bytes) {
  return decode_type(type, bytes, 0);
}

Result<Value> decode(const api::schema::Schema& schema, std::string_view bytes) {
  constexpr std::string_view kMagic("k8s\0", 4);
  if (!bytes.starts_with(kMagic)) {
    return error(Code::kBadRequest,
                 "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  }
  std::string_view type_meta, raw, api_version, kind_name;
  Reader envelope(bytes.substr(kMagic.size()));
  while (!envelope.at_end()) {
    BERTH_ASSIGN(Reader::Item item, envelope.next());
    if (item.number == 1) type_meta = item.bytes;
    if (item.number == 2) raw = item.bytes;
  }
  Reader meta(type_meta);
  while (!meta.at_end()) {
    BERTH_ASSIGN(Reader::Item item, meta.next());
    if (item.number == 1) api_version = item.bytes;
    if (item.number == 2) kind_name = item.bytes;
  }
  const api::schema::Type* type = nullptr;
  if (const api::schema::Kind* kind = schema.find_kind(api_version, kind_name)) type = kind->type;
  // DeleteOptions comes in every group's version.
  if (type == nullptr && kind_name == "DeleteOptions") {
    type = schema.find_type("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
  }
  if (type == nullptr) {
    return error(Code::kBadRequest,
                 "no kind " + quoted(kind_name) + " is registered for version " + quoted(api_version));
  }
  BERTH_ASSIGN(Value object, decode_type(*type, raw, 0));
  object.set("apiVersion", api_version).set("kind", kind_name);
  return object;
}

}  // namespace berth::apiserver::protobuf
