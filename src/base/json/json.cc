#include "base/json/json.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>

#include "base/check.h"
#include "base/json/build.h"
#include "base/json/intern.h"
#include "base/json/node.h"

namespace berth::json {
namespace {

constexpr double kExact = 9007199254740992.0;  // 2^53: up to here a double and its integer print alike

std::size_t element_size(Type type) {
  return type == Type::kString ? 1 : type == Type::kArray ? sizeof(Value) : sizeof(Member);
}

// Frees a node whose last reference is gone.
void destroy(Type type, Node* node) {
  if (type == Type::kArray) {
    for (std::uint32_t i = 0; i < node->size; ++i) node->values()[i].~Value();
  } else if (type == Type::kObject) {
    for (std::uint32_t i = 0; i < node->size; ++i) {
      release_key(node->members()[i].key);
      node->members()[i].value.~Value();
    }
  }
  std::free(node);
}

// The index at which `key` is, or would be inserted.
struct Position {
  std::size_t index;
  bool found;
};

// Compares keys whose first eight bytes are equal.
int compare_rest(const InternedKey* at, std::string_view key) {
  if (at->size <= 8 && key.size() <= 8) return static_cast<int>(at->size) - static_cast<int>(key.size());
  return at->view().compare(key);
}

Position position_of(Node* node, std::string_view key) {
  if (node == nullptr) return {0, false};
  const std::uint64_t prefix = prefix_of(key);
  std::size_t low = 0, high = node->size;
  const Member* members = node->members();
  while (low < high) {
    std::size_t middle = (low + high) / 2;
    const InternedKey* at = members[middle].key;
    int order = at->prefix < prefix ? -1 : at->prefix > prefix ? 1 : compare_rest(at, key);
    if (order == 0) return {middle, true};
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return {low, false};
}

// Opens a gap of one element at `index`; the caller constructs into it. The node is owned and has room.
template <class T>
T* open_gap(Node* node, T* elements, std::size_t index) {
  std::memmove(static_cast<void*>(elements + index + 1), static_cast<const void*>(elements + index),
               (node->size - index) * sizeof(T));
  ++node->size;
  return elements + index;
}

template <class T>
void close_gap(Node* node, T* elements, std::size_t index) {
  std::memmove(static_cast<void*>(elements + index), static_cast<const void*>(elements + index + 1),
               (node->size - index - 1) * sizeof(T));
  --node->size;
}

}  // namespace

// Linear for the small objects that nearly all are; otherwise binary.
const Value* look_up(Node* node, std::uint64_t prefix, std::string_view key) {
  if (node->size <= 16) {
    const Member* members = node->members();
    for (std::uint32_t i = 0; i < node->size; ++i) {
      const InternedKey* at = members[i].key;
      if (at->prefix < prefix) continue;
      if (at->prefix > prefix) return nullptr;
      if (at->size != key.size()) continue;
      if (key.size() <= 8 || std::memcmp(at->text + 8, key.data() + 8, key.size() - 8) == 0) return &members[i].value;
    }
    return nullptr;
  }
  Position place = position_of(node, key);
  return place.found ? &node->members()[place.index].value : nullptr;
}

Node* allocate_node(Type type, std::size_t capacity) {
  BERTH_CHECK(capacity < UINT32_MAX, "JSON node too large");
  void* memory = std::malloc(sizeof(Node) + capacity * element_size(type));
  BERTH_CHECK(memory != nullptr, "out of memory");
  Node* node = new (memory) Node;
  node->references.store(1, std::memory_order_relaxed);
  node->size = 0;
  node->capacity = static_cast<std::uint32_t>(capacity);
  return node;
}

Node* Builder::own(Value& value, std::size_t extra) {
  Node* old = node(value);
  std::size_t size = old == nullptr ? 0 : old->size;
  bool shared = old != nullptr && old->references.load(std::memory_order_acquire) > 1;
  if (old != nullptr && !shared && size + extra <= old->capacity) return old;
  // Growth doubles; a copy made only to change a member takes no more room than it needs.
  std::size_t capacity =
      extra == 0 ? size : std::max<std::size_t>(size + extra, shared ? 0 : std::max<std::size_t>(4, size * 2));
  Node* made = allocate_node(value.type_, capacity);
  if (!shared) {
    // Values may be moved as bytes: nothing points at a Value from inside.
    if (old != nullptr) std::memcpy(static_cast<void*>(made + 1), old + 1, size * element_size(value.type_));
    made->size = static_cast<std::uint32_t>(size);
    std::free(old);
    value.word_ = reinterpret_cast<std::uint64_t>(made);
    return made;
  }
  if (value.type_ == Type::kArray) {
    for (std::size_t i = 0; i < size; ++i) new (made->values() + i) Value(old->values()[i]);
  } else {
    for (std::size_t i = 0; i < size; ++i) {
      retain_key((new (made->members() + i) Member(old->members()[i]))->key);
    }
  }
  made->size = static_cast<std::uint32_t>(size);
  value = adopt(value.type_, made);
  return made;
}

Value Builder::array_of(Value* elements, std::size_t count) {
  if (count == 0) return adopt(Type::kArray, nullptr);
  Node* node = allocate_node(Type::kArray, count);
  for (std::size_t i = 0; i < count; ++i) new (node->values() + i) Value(std::move(elements[i]));
  node->size = static_cast<std::uint32_t>(count);
  return adopt(Type::kArray, node);
}

Value Builder::object_of(Member* members, std::size_t count) {
  if (count == 0) return adopt(Type::kObject, nullptr);
  bool sorted = true;
  for (std::size_t i = 1; i < count && sorted; ++i) sorted = key_less(members[i - 1].key, members[i].key);
  if (!sorted) {
    std::stable_sort(members, members + count, [](const Member& a, const Member& b) { return key_less(a.key, b.key); });
  }
  Node* node = allocate_node(Type::kObject, count);
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (size > 0 && node->members()[size - 1].key == members[i].key) {
      release_key(members[i].key);
      node->members()[size - 1].value = std::move(members[i].value);
    } else {
      new (node->members() + size++) Member{members[i].key, std::move(members[i].value)};
    }
  }
  node->size = size;
  return adopt(Type::kObject, node);
}

Value::Value(bool b) : type_(Type::kBool), word_(b ? 1 : 0) {}
Value::Value(long v) : type_(Type::kInt), word_(static_cast<std::uint64_t>(v)) {}
Value::Value(double d) : type_(Type::kDouble) {
  if (d == 0) d = 0;  // -0 equals 0, so it must print the same
  std::memcpy(&word_, &d, sizeof word_);
}
Value::Value(std::string_view s) : type_(Type::kString), word_(0) {
  if (s.empty()) return;
  Node* node = allocate_node(Type::kString, s.size());
  std::memcpy(node->chars(), s.data(), s.size());
  node->size = static_cast<std::uint32_t>(s.size());
  word_ = reinterpret_cast<std::uint64_t>(node);
}
Value& Value::operator=(const Value& other) {
  // `other` may live inside the tree that this assignment frees.
  Value copy(other);
  return *this = std::move(copy);
}
Value& Value::operator=(Value&& other) noexcept {
  if (this == &other) return *this;
  Value old;
  old.type_ = type_;
  old.word_ = word_;
  type_ = other.type_;
  word_ = other.word_;
  other.type_ = Type::kNull;
  other.word_ = 0;
  return *this;
}
void Value::release() {
  Node* node = reinterpret_cast<Node*>(word_);
  // With one reference, no other thread can add one: the atomic subtraction is not needed.
  if (node->references.load(std::memory_order_acquire) == 1 ||
      node->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    destroy(type_, node);
  }
}

Value Value::object(std::initializer_list<std::pair<std::string_view, Value>> members) {
  std::vector<Member> list;
  list.reserve(members.size());
  for (const auto& [key, value] : members) list.push_back(Member{intern(key), value});
  return Builder::object_of(list.data(), list.size());
}
Value make_object(const std::vector<std::pair<std::string_view, Value>>& members) {
  std::vector<Member> list;
  list.reserve(members.size());
  for (const auto& [key, value] : members) list.push_back(Member{intern(key), value});
  return Builder::object_of(list.data(), list.size());
}
Value Value::array(std::initializer_list<Value> elements) { return array(std::vector<Value>(elements)); }
Value Value::array(std::vector<Value> elements) { return Builder::array_of(elements.data(), elements.size()); }

const char* Value::type_name() const {
  switch (type_) {
    case Type::kNull: return "null";
    case Type::kBool: return "boolean";
    case Type::kInt:
    case Type::kDouble: return "number";
    case Type::kString: return "string";
    case Type::kArray: return "array";
    case Type::kObject: return "object";
  }
  return "null";
}

std::int64_t Value::as_int(std::int64_t fallback) const {
  if (type_ == Type::kInt) return static_cast<std::int64_t>(word_);
  if (type_ != Type::kDouble) return fallback;
  double d = as_double();
  if (std::isnan(d)) return fallback;
  if (d >= 9223372036854775808.0) return INT64_MAX;
  if (d < -9223372036854775808.0) return INT64_MIN;
  return static_cast<std::int64_t>(d);
}

double Value::as_double(double fallback) const {
  if (type_ == Type::kInt) return static_cast<double>(static_cast<std::int64_t>(word_));
  if (type_ != Type::kDouble) return fallback;
  double d;
  std::memcpy(&d, &word_, sizeof d);
  return d;
}

Value& Value::set(std::string_view key, Value value) {
  mut(key) = std::move(value);
  return *this;
}

Value& Value::mut(std::string_view key) {
  if (is_null()) *this = object();
  BERTH_CHECK(is_object(), "set or mut(key) on a value that is no object");
  Position place = position_of(Builder::node(*this), key);
  if (place.found) return Builder::own(*this, 0)->members()[place.index].value;
  // Before the node changes: `key` may be a view into it.
  const InternedKey* interned = intern(key);
  Node* node = Builder::own(*this, 1);
  Member* gap = open_gap(node, node->members(), place.index);
  return (new (gap) Member{interned, Value()})->value;
}

bool Value::erase(std::string_view key) {
  BERTH_CHECK(is_object() || is_null(), "erase(key) on a value that is no object");
  if (is_null()) return false;
  Position place = position_of(Builder::node(*this), key);
  if (!place.found) return false;
  if (size() == 1) {
    *this = object();
    return true;
  }
  Node* node = Builder::own(*this, 0);
  const InternedKey* gone_key = node->members()[place.index].key;
  Value gone = std::move(node->members()[place.index].value);
  close_gap(node, node->members(), place.index);
  release_key(gone_key);
  return true;
}

Value& Value::push(Value element) {
  insert(size(), std::move(element));
  return *this;
}

Value& Value::mut(std::size_t index) {
  BERTH_CHECK(is_array() && index < size(), "mut(index) outside of an array");
  return Builder::own(*this, 0)->values()[index];
}

void Value::erase(std::size_t index) {
  BERTH_CHECK(is_array() && index < size(), "erase(index) outside of an array");
  if (size() == 1) {
    *this = array();
    return;
  }
  Node* node = Builder::own(*this, 0);
  Value gone = std::move(node->values()[index]);
  close_gap(node, node->values(), index);
}

void Value::insert(std::size_t index, Value element) {
  if (is_null()) *this = array();
  BERTH_CHECK(is_array() && index <= size(), "push or insert outside of an array");
  Node* node = Builder::own(*this, 1);
  new (open_gap(node, node->values(), index)) Value(std::move(element));
}

bool Value::operator==(const Value& other) const {
  if (type_ != other.type_) {
    if (!is_number() || !other.is_number()) return false;
    double d = is_int() ? other.as_double() : as_double();
    std::int64_t i = is_int() ? as_int() : other.as_int();
    // Beyond 2^53 the two print differently, and equal values must encode to the same bytes.
    return std::fabs(d) <= kExact && static_cast<double>(i) == d && std::llabs(i) <= static_cast<long long>(kExact);
  }
  if (type_ == Type::kDouble) return word_ == other.word_;
  if (word_ == other.word_) return true;
  if (!has_node() || other.word_ == 0) return false;
  Node* a = Builder::node(*this);
  Node* b = Builder::node(other);
  if (a->size != b->size) return false;
  if (type_ == Type::kString) return std::memcmp(a->chars(), b->chars(), a->size) == 0;
  if (type_ == Type::kArray) {
    for (std::uint32_t i = 0; i < a->size; ++i) {
      if (a->values()[i] != b->values()[i]) return false;
    }
    return true;
  }
  for (std::uint32_t i = 0; i < a->size; ++i) {
    if (a->members()[i].key != b->members()[i].key) return false;
  }
  for (std::uint32_t i = 0; i < a->size; ++i) {
    if (a->members()[i].value != b->members()[i].value) return false;
  }
  return true;
}

std::uint64_t Value::hash() const {
  std::string text = encode(*this);
  std::uint64_t state = 0xCBF29CE484222325ull;
  for (unsigned char c : text) state = (state ^ c) * 0x100000001B3ull;
  return state;
}

}  // namespace berth::json
