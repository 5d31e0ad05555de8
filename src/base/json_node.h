#pragma once
// The memory behind json::Value. Internal to json*.cc: nobody else includes this.
//
// A node is one malloc block: the header, then `capacity` characters, Values or Members. A Value of size 0 has no node
// (word 0), so empty strings, arrays and objects cost nothing.

#include <atomic>
#include <cstdint>
#include <cstring>

#include "base/json.h"

namespace berth::json {

// Lives for ever; one per distinct key text, so equal keys are equal pointers.
struct InternedKey {
  std::uint64_t prefix;  // the first eight bytes, big endian, zero filled: orders most keys without touching `text`
  std::uint64_t hash;
  std::uint32_t size;
  char text[4];  // `size` bytes follow

  std::string_view view() const { return {text, size}; }
};

const InternedKey* intern(std::string_view key);        // any thread
const InternedKey* find_interned(std::string_view key); // null where nobody ever used that key; any thread

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

}  // namespace berth::json
