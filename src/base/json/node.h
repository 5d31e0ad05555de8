#pragma once
// The memory behind json::Value, and what of it is inlined. Internal: only json.h and json*.cc include this.
//
// A node is one malloc block: the header, then `capacity` characters, Values or Members. A Value of size 0 has no node
// (word 0), so empty strings, arrays and objects cost nothing.

#include <atomic>
#include <cstdint>
#include <cstring>

#include "base/json/json.h"

namespace berth::json {

// One per distinct key text, so equal keys are equal pointers. How long it lives: intern.h.
struct InternedKey {
  std::uint64_t prefix;  // the first eight bytes, big endian, zero filled: orders most keys without touching `text`
  std::uint64_t hash;
  std::uint32_t size;
  char text[4];  // `size` bytes follow

  std::string_view view() const { return {text, size}; }
};

const InternedKey* intern(std::string_view key);  // a reference, to be given back by release_key(); any thread

struct Member {
  const InternedKey* key;
  Value value;
};

inline bool key_less(const InternedKey* a, const InternedKey* b) {
  if (a->prefix != b->prefix) return a->prefix < b->prefix;
  return a != b && a->view() < b->view();
}

struct Node {
  std::atomic<std::uint32_t> references;
  std::uint32_t size;
  std::uint32_t capacity;
  std::uint32_t unused;

  char* chars() { return reinterpret_cast<char*>(this + 1); }
  Value* values() { return reinterpret_cast<Value*>(this + 1); }
  Member* members() { return reinterpret_cast<Member*>(this + 1); }
};
static_assert(sizeof(Node) == 16 && sizeof(Value) == 16 && sizeof(Member) == 24);

Node* allocate_node(Type type, std::size_t capacity);  // one reference, size 0

// --- Looking up

inline constinit const Value kNullValue;

template <class Word>
std::uint64_t load_prefix(const char* text) {
  Word word;
  __builtin_memcpy(&word, text, sizeof word);
  return sizeof word == 8 ? __builtin_bswap64(word) : __builtin_bswap32(static_cast<std::uint32_t>(word));
}

// InternedKey::prefix of a key that may not be interned. Of a literal it is known when compiling.
inline std::uint64_t prefix_of(std::string_view key) {
  const char* text = key.data();
  const std::size_t size = key.size();
  if (size >= 8) return load_prefix<std::uint64_t>(text);
  const auto spare = static_cast<unsigned>(8 * (8 - size));
  if (size >= 4) return load_prefix<std::uint32_t>(text) << 32 | load_prefix<std::uint32_t>(text + size - 4) << spare;
  std::uint64_t prefix = 0;
  for (std::size_t i = 0; i < size; ++i) prefix = prefix << 8 | static_cast<unsigned char>(text[i]);
  return size == 0 ? 0 : prefix << spare;
}

// The member of that key; `node` is an object's and not null.
const Value* look_up(Node* node, std::uint64_t prefix, std::string_view key);

class Builder {
 public:
  static Node* node(const Value& value) { return reinterpret_cast<Node*>(value.word_); }
  static std::uint64_t word(const Value& value) { return value.word_; }
  // Takes over one reference to `node`; null stands for "empty".
  static Value adopt(Type type, Node* node) {
    Value value;
    value.type_ = type;
    value.word_ = reinterpret_cast<std::uint64_t>(node);
    return value;
  }
  // Makes the node unshared, with room for `extra` more; the type must be `type` already.
  static Node* own(Value& value, std::size_t extra);
  // Sorts and removes duplicates (the last stays). Takes the members' values.
  static Value object_of(Member* members, std::size_t count);
  static Value array_of(Value* elements, std::size_t count);
};

inline Entry Entries::Iterator::operator*() const { return {at_->key->view(), at_->value}; }
inline Entries::Iterator& Entries::Iterator::operator++() {
  ++at_;
  return *this;
}

inline void Value::retain() const {
  if (has_node()) Builder::node(*this)->references.fetch_add(1, std::memory_order_relaxed);
}
inline std::string_view Value::as_string(std::string_view fallback) const {
  if (type_ != Type::kString) return fallback;
  Node* node = Builder::node(*this);
  return node == nullptr ? std::string_view("", 0) : std::string_view(node->chars(), node->size);
}
inline std::size_t Value::size() const {
  return (is_array() || is_object()) && word_ != 0 ? Builder::node(*this)->size : 0;
}
inline const Value* Value::find(std::string_view key) const {
  return is_object() && word_ != 0 ? look_up(Builder::node(*this), prefix_of(key), key) : nullptr;
}
inline const Value& Value::operator[](std::string_view key) const {
  const Value* found = find(key);
  return found != nullptr ? *found : kNullValue;
}
inline const Value& Value::operator[](std::size_t index) const {
  return is_array() && index < size() ? Builder::node(*this)->values()[index] : kNullValue;
}
inline Entries Value::entries() const {
  if (!is_object() || word_ == 0) return Entries(nullptr, nullptr);
  Node* node = Builder::node(*this);
  return Entries(node->members(), node->members() + node->size);
}
inline const Value* Value::begin() const { return is_array() && word_ != 0 ? Builder::node(*this)->values() : nullptr; }
inline const Value* Value::end() const { return is_array() && word_ != 0 ? begin() + size() : nullptr; }

}  // namespace berth::json
