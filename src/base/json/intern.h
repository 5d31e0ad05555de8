#pragma once
// The table of object keys behind json::Value. Keys that the program knows are kept for ever; those that only clients
// bring are counted, and freed with the last object that has them, so the table is no larger than what is in memory.

#include <cstddef>
#include <string_view>

namespace berth::json {

struct InternedKey;
// intern() (node.h) gives a reference, which each Member of a node owns: whoever copies a Member takes one more,
// whoever drops it gives one back. Any thread.
const InternedKey* retain_key(const InternedKey* key);
void release_key(const InternedKey* key);

// Keeps the key for the life of the process: intern() and copies of objects then count nothing for it. For names from
// code and schema, at start-up, before the key is first used. Any thread.
void keep_key(std::string_view key);

// How many keys there are now, of both sorts. For tests and metrics; any thread.
std::size_t interned_keys();

}  // namespace berth::json
