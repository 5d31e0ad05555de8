#include "base/json/memory.h"

#include "base/json/node.h"

namespace berth::json {

namespace {

// Bytes that an allocator needs for a block: the block and a word, rounded up to 16.
std::size_t block(std::size_t bytes) { return (bytes + 8 + 15) / 16 * 16; }

}  // namespace

std::size_t memory_beyond(const Value& value, const Value& base) {
  if (value.type() < Type::kString || value.same_node(base)) return 0;
  Node* node = Builder::node(value);
  if (node == nullptr) return 0;
  if (value.is_string()) return block(sizeof(Node) + node->capacity);
  if (value.is_array()) {
    std::size_t total = block(sizeof(Node) + node->capacity * sizeof(Value));
    for (std::size_t i = 0; i < node->size; ++i) total += memory_beyond(node->values()[i], base[i]);
    return total;
  }
  std::size_t total = block(sizeof(Node) + node->capacity * sizeof(Member));
  Node* other = base.is_object() ? Builder::node(base) : nullptr;
  const std::size_t others = other != nullptr ? other->size : 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < node->size; ++i) {
    const Member& member = node->members()[i];
    while (at < others && key_less(other->members()[at].key, member.key)) ++at;
    const bool both = at < others && other->members()[at].key == member.key;
    total += memory_beyond(member.value, both ? other->members()[at].value : kNullValue);
  }
  return total;
}

}  // namespace berth::json
