#pragma once
// The table of object keys behind json::Value. Keys of the program stay in it for ever; those that only clients send
// are counted, and freed with the last object that has them, so the table grows only with the objects in memory.

#include <cstddef>
#include <string_view>

namespace berth::json {

struct InternedKey;
// Each Member of a node owns one reference to its key, first from intern() (node.h): a copy of a Member calls
// retain_key(), its destruction release_key(). Any thread.
const InternedKey* retain_key(const InternedKey* key);
void release_key(const InternedKey* key);

// Makes the key permanent: intern() and copies of objects then count no references to it. For names from code and
// schema, at start-up, before the key is first used. Any thread.
void intern_permanently(std::string_view key);

// The number of keys, of both sorts. For tests and metrics; any thread.
std::size_t interned_keys();

}  // namespace berth::json
