#pragma once
// json::Value: an immutable, shared JSON tree with value semantics.
//
// A Value is 16 bytes. Copying one shares the node below it (an atomic count); changing one copies only those nodes on
// the path that another Value shares. So an object in a cache can be passed to any reader on any thread, and a status
// update of a Pod copies two nodes.
//
// Object keys are interned for the life of the process and kept sorted by byte order, so equality, look-up and the
// encoding are canonical: two equal values encode to the same bytes. Numbers are int64 if the text is an integer that
// fits, double otherwise. Strings hold any bytes; the parser accepts only UTF-8.
//
// Threads: any number may read (and copy) one Value; a Value being changed belongs to one thread, as with any C++
// value.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::json {

enum class Type : std::uint8_t { kNull, kBool, kInt, kDouble, kString, kArray, kObject };

class Value;

struct Member;  // one key and its value, inside an object node

// A view of an object's members in key order; valid while the Value it came from lives unchanged.
struct Entry {
  std::string_view key;
  const Value& value;
};
class Entries {
 public:
  class Iterator {
   public:
    explicit Iterator(const Member* at) : at_(at) {}
    inline Entry operator*() const;
    inline Iterator& operator++();
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    const Member* at_;
  };
  Entries(const Member* begin, const Member* end) : begin_(begin), end_(end) {}
  Iterator begin() const { return Iterator(begin_); }
  Iterator end() const { return Iterator(end_); }

 private:
  const Member* begin_;
  const Member* end_;
};

class Value {
 public:
  constexpr Value() : type_(Type::kNull), word_(0) {}
  Value(std::nullptr_t) : Value() {}                           // NOLINT
  Value(bool b);                                               // NOLINT
  Value(int v) : Value(std::int64_t{v}) {}                     // NOLINT
  Value(unsigned v) : Value(std::int64_t{v}) {}                // NOLINT
  Value(long v);                                               // NOLINT
  Value(long long v) : Value(static_cast<long>(v)) {}          // NOLINT
  Value(unsigned long v) : Value(static_cast<long>(v)) {}      // NOLINT
  Value(double d);                                             // NOLINT
  Value(std::string_view s);                                   // NOLINT
  Value(const std::string& s) : Value(std::string_view(s)) {}  // NOLINT
  Value(const char* s) : Value(std::string_view(s)) {}         // NOLINT
  Value(const Value& other) : type_(other.type_), word_(other.word_) { retain(); }
  Value(Value&& other) noexcept : type_(other.type_), word_(other.word_) {
    other.type_ = Type::kNull;
    other.word_ = 0;
  }
  Value& operator=(const Value& other);
  Value& operator=(Value&& other) noexcept;
  ~Value() {
    if (has_node()) release();
  }

  // object({{"a", 1}, {"b", object({})}}) and array({1, "x"}). Of two equal keys the later wins.
  static Value object(std::initializer_list<std::pair<std::string_view, Value>> members = {});
  static Value array(std::initializer_list<Value> elements = {});
  static Value array(std::vector<Value> elements);

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_bool() const { return type_ == Type::kBool; }
  bool is_int() const { return type_ == Type::kInt; }
  bool is_number() const { return type_ == Type::kInt || type_ == Type::kDouble; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_array() const { return type_ == Type::kArray; }
  bool is_object() const { return type_ == Type::kObject; }
  const char* type_name() const;  // "null", "boolean", "number", "string", "array", "object"

  // The content, or the fallback where the type is another one.
  bool as_bool(bool fallback = false) const { return type_ == Type::kBool ? word_ != 0 : fallback; }
  std::int64_t as_int(std::int64_t fallback = 0) const;
  double as_double(double fallback = 0) const;
  inline std::string_view as_string(std::string_view fallback = {}) const;
  std::string str(std::string_view fallback = {}) const { return std::string(as_string(fallback)); }

  // Arrays and objects: the number of elements or members; 0 for everything else.
  inline std::size_t size() const;
  bool empty() const { return size() == 0; }  // true for scalars too

  // Never fails: a null Value where there is no such member, or this is no object. Chains: pod["spec"]["nodeName"].
  inline const Value& operator[](std::string_view key) const;
  const Value& operator[](const char* key) const { return (*this)[std::string_view(key)]; }
  // A null Value where out of range, or no array.
  inline const Value& operator[](std::size_t index) const;
  const Value& operator[](int index) const { return (*this)[static_cast<std::size_t>(index)]; }
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  inline const Value* find(std::string_view key) const;  // null pointer where absent

  inline Entries entries() const;  // empty for non-objects
  // Elements of an array as a contiguous range; empty for non-arrays.
  inline const Value* begin() const;
  inline const Value* end() const;

  // --- Changing. Each makes this Value's own node unshared first; sub-trees stay shared.
  // A null Value becomes an object (set, mut(key)) or an array (push); on any other wrong type the process ends.
  Value& set(std::string_view key, Value value);  // returns *this
  Value& mut(std::string_view key);               // the member, created null where absent
  bool erase(std::string_view key);               // whether it was there
  Value& push(Value element);                     // returns *this
  Value& mut(std::size_t index);                  // index < size()
  void erase(std::size_t index);
  void insert(std::size_t index, Value element);  // index <= size()

  // Deep and canonical. 1 and 1.0 are equal. Shared sub-trees compare at once.
  bool operator==(const Value& other) const;
  bool operator!=(const Value& other) const { return !(*this == other); }
  bool same_node(const Value& other) const { return type_ == other.type_ && word_ == other.word_; }

  // A stable 64-bit hash of the canonical encoding.
  std::uint64_t hash() const;

 private:
  friend class Builder;
  bool has_node() const { return type_ >= Type::kString && word_ != 0; }
  inline void retain() const;
  void release();  // has_node()
  Type type_;
  std::uint64_t word_;  // the scalar, or the node's address
};

struct ParseOptions {
  std::size_t max_depth = 10000;
  // Where not null, duplicate keys are collected as "a.b[0].c" and the last one wins (what Kubernetes' decoder does).
  std::vector<std::string>* duplicates = nullptr;
};

// Strict RFC 8259. The error says where: "offset 17: ...".
Result<Value> parse(std::string_view text, const ParseOptions& options = {});

std::string encode(const Value& value);                // compact, canonical
void encode_to(const Value& value, std::string& out);  // appended
std::string encode_pretty(const Value& value, int indent = 2);
void append_string(std::string_view text, std::string& out);  // one quoted, escaped string

// Encodes a double as Go's encoding/json does (shortest form; exponents for <1e-6 and >=1e21).
void append_double(double value, std::string& out);

}  // namespace berth::json

namespace berth {
using json::Value;
}

#include "base/json/node.h"  // what is inlined
