#include <cstdlib>
#include <mutex>
#include <new>
#include <random>
#include <shared_mutex>

#include "base/check.h"
#include "base/json/node.h"

namespace berth::json {
namespace {

// Keys come from clients: a seed per process keeps anyone from choosing colliding ones. Nothing ever iterates the
// table, so the seed shows nowhere.
std::uint64_t seed() {
  static const std::uint64_t value = [] {
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
  }();
  return value;
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t hash_key(std::string_view key) {
  std::uint64_t state = seed() ^ (key.size() * 0x9E3779B97F4A7C15ull);
  const char* at = key.data();
  std::size_t left = key.size();
  std::uint64_t word;
  for (; left >= 8; at += 8, left -= 8) {
    std::memcpy(&word, at, 8);
    state = mix(state ^ word, 0xA0761D6478BD642Full);
  }
  if (left > 0) {
    word = 0;
    std::memcpy(&word, at, left);
    state = mix(state ^ word, 0xE7037ED1A0B428DBull);
  }
  return mix(state ^ 0x8EBC6AF09C88C6E3ull, 0x589965CC75374CC3ull);
}

// Open addressing; slots hold keys for ever, so there is no removal.
struct alignas(64) Shard {
  mutable std::shared_mutex mutex;
  std::vector<const InternedKey*> slots = std::vector<const InternedKey*>(64);
  std::size_t used = 0;

  const InternedKey* find(std::string_view key, std::uint64_t hash) const {
    std::size_t mask = slots.size() - 1;
    for (std::size_t i = hash & mask; slots[i] != nullptr; i = (i + 1) & mask) {
      if (slots[i]->hash == hash && slots[i]->view() == key) return slots[i];
    }
    return nullptr;
  }
  void place(const InternedKey* key) {
    std::size_t mask = slots.size() - 1;
    std::size_t i = key->hash & mask;
    while (slots[i] != nullptr) i = (i + 1) & mask;
    slots[i] = key;
  }
  void add(const InternedKey* key) {
    if ((used + 1) * 2 > slots.size()) {
      std::vector<const InternedKey*> old(slots.size() * 2);
      old.swap(slots);
      for (const InternedKey* each : old) {
        if (each != nullptr) place(each);
      }
    }
    place(key);
    ++used;
  }
};

constexpr std::size_t kShards = 64;

// Never destroyed: values in static storage may outlive any order of destruction.
Shard& shard_of(std::uint64_t hash) {
  static Shard* shards = new Shard[kShards];
  return shards[hash >> 58];
}

// What this thread saw last, so that the keys of every object (metadata, name, ...) take no lock.
constexpr std::size_t kRecent = 1024;
thread_local const InternedKey* recent[kRecent];

const InternedKey* make_key(std::string_view key, std::uint64_t hash) {
  BERTH_CHECK(key.size() < UINT32_MAX, "object key too long");
  auto* made = static_cast<InternedKey*>(std::malloc(sizeof(InternedKey) + key.size()));
  BERTH_CHECK(made != nullptr, "out of memory");
  made->prefix = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    made->prefix = (made->prefix << 8) | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0);
  }
  made->hash = hash;
  made->size = static_cast<std::uint32_t>(key.size());
  if (!key.empty()) std::memcpy(made->text, key.data(), key.size());
  return made;
}

}  // namespace

const InternedKey* find_interned(std::string_view key) {
  std::uint64_t hash = hash_key(key);
  const InternedKey*& cached = recent[hash % kRecent];
  if (cached != nullptr && cached->hash == hash && cached->view() == key) return cached;
  Shard& shard = shard_of(hash);
  std::shared_lock lock(shard.mutex);
  const InternedKey* found = shard.find(key, hash);
  if (found != nullptr) cached = found;
  return found;
}

const InternedKey* intern(std::string_view key) {
  if (const InternedKey* found = find_interned(key)) return found;
  std::uint64_t hash = hash_key(key);
  Shard& shard = shard_of(hash);
  std::unique_lock lock(shard.mutex);
  const InternedKey* found = shard.find(key, hash);
  if (found == nullptr) {
    found = make_key(key, hash);
    shard.add(found);
  }
  recent[hash % kRecent] = found;
  return found;
}

}  // namespace berth::json
