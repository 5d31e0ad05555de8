#include "base/json/intern.h"

#include <cstdlib>
#include <mutex>
#include <new>
#include <random>
#include <shared_mutex>

#include "base/check.h"
#include "base/json/node.h"

namespace berth::json {
namespace {

// Clients choose keys: a seed per process prevents that they choose colliding ones. Nothing iterates over the table, so
// no output depends on the seed.
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

// The lowest bit of a key's hash says whether its references are counted.
constexpr std::uint64_t kCounted = 1;

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
  return mix(state ^ 0x8EBC6AF09C88C6E3ull, 0x589965CC75374CC3ull) & ~kCounted;
}

bool is_counted(const InternedKey* key) { return (key->hash & kCounted) != 0; }

// In memory, the count of a counted key is right before the key.
using Count = std::atomic<std::uint64_t>;
Count& count_of(const InternedKey* key) {
  return *reinterpret_cast<Count*>(reinterpret_cast<char*>(const_cast<InternedKey*>(key)) - sizeof(Count));
}

const InternedKey* make_key(std::string_view key, std::uint64_t hash, bool counted) {
  BERTH_CHECK(key.size() < UINT32_MAX, "object key too long");
  char* memory = static_cast<char*>(std::malloc(sizeof(Count) + sizeof(InternedKey) + key.size()));
  BERTH_CHECK(memory != nullptr, "out of memory");
  new (memory) Count(1);
  auto* made = reinterpret_cast<InternedKey*>(memory + sizeof(Count));
  made->prefix = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    made->prefix = (made->prefix << 8) | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0);
  }
  made->hash = hash | (counted ? kCounted : 0);
  made->size = static_cast<std::uint32_t>(key.size());
  if (!key.empty()) std::memcpy(made->text, key.data(), key.size());
  return made;
}

void free_key(const InternedKey* key) {
  Count* count = &count_of(key);
  count->~Count();
  std::free(count);
}

// Open addressing with linear probing; a removal closes the gap by moving later keys of the run back.
struct alignas(64) Shard {
  mutable std::shared_mutex mutex;
  std::vector<const InternedKey*> slots = std::vector<const InternedKey*>(64);
  std::size_t used = 0;

  std::size_t home(std::uint64_t hash) const { return (hash >> 1) & (slots.size() - 1); }
  std::size_t after(std::size_t slot) const { return (slot + 1) & (slots.size() - 1); }

  const InternedKey* find(std::string_view key, std::uint64_t hash) const {
    for (std::size_t i = home(hash); slots[i] != nullptr; i = after(i)) {
      if ((slots[i]->hash & ~kCounted) == hash && slots[i]->view() == key) return slots[i];
    }
    return nullptr;
  }
  void place(const InternedKey* key) {
    std::size_t i = home(key->hash);
    while (slots[i] != nullptr) i = after(i);
    slots[i] = key;
  }
  void resize(std::size_t size) {
    std::vector<const InternedKey*> old(size);
    old.swap(slots);
    for (const InternedKey* each : old) {
      if (each != nullptr) place(each);
    }
  }
  void add(const InternedKey* key) {
    if ((used + 1) * 2 > slots.size()) resize(slots.size() * 2);
    place(key);
    ++used;
  }
  // Looks for the pointer alone: the key may have been freed, even replaced by another one at its address.
  bool remove_unused(const InternedKey* key, std::uint64_t hash) {
    std::size_t i = home(hash);
    while (slots[i] != nullptr && slots[i] != key) i = after(i);
    if (slots[i] == nullptr || count_of(key).load(std::memory_order_acquire) != 0) return false;
    std::size_t gap = i;
    for (std::size_t next = after(gap); slots[next] != nullptr; next = after(next)) {
      // A key may move back to the gap unless its home lies behind the gap, up to where it stands.
      std::size_t from_home = (next - home(slots[next]->hash)) & (slots.size() - 1);
      std::size_t from_gap = (next - gap) & (slots.size() - 1);
      if (from_home < from_gap) continue;
      slots[gap] = slots[next];
      gap = next;
    }
    slots[gap] = nullptr;
    --used;
    if (slots.size() > 64 && used * 8 < slots.size()) resize(slots.size() / 2);
    return true;
  }
};

constexpr std::size_t kShards = 64;

// Never destroyed: values in static storage may outlive any order of destruction.
Shard* all_shards() {
  static Shard* shards = new Shard[kShards];
  return shards;
}
Shard& shard_of(std::uint64_t hash) { return all_shards()[hash >> 58]; }

// The permanent keys that this thread used last, so that those of every object (metadata, name, ...) need no lock.
constexpr std::size_t kRecent = 1024;
thread_local const InternedKey* recent[kRecent];
const InternedKey*& recent_slot(std::uint64_t hash) { return recent[(hash >> 1) % kRecent]; }

const InternedKey* add_reference(const InternedKey* found, std::uint64_t hash) {
  if (is_counted(found)) {
    count_of(found).fetch_add(1, std::memory_order_relaxed);
  } else {
    recent_slot(hash) = found;
  }
  return found;
}

const InternedKey* intern_as(std::string_view key, bool counted) {
  const std::uint64_t hash = hash_key(key);
  const InternedKey* cached = recent_slot(hash);
  if (cached != nullptr && cached->hash == hash && cached->view() == key) return cached;
  Shard& shard = shard_of(hash);
  {
    std::shared_lock lock(shard.mutex);
    if (const InternedKey* found = shard.find(key, hash)) return add_reference(found, hash);
  }
  std::unique_lock lock(shard.mutex);
  if (const InternedKey* found = shard.find(key, hash)) return add_reference(found, hash);
  const InternedKey* made = make_key(key, hash, counted);
  shard.add(made);
  if (!counted) recent_slot(hash) = made;
  return made;
}

}  // namespace

const InternedKey* intern(std::string_view key) { return intern_as(key, true); }

void intern_permanently(std::string_view key) {
  const InternedKey* kept = intern_as(key, false);
  if (!is_counted(kept)) return;
  // The reference of intern_as() is never released, so the count of threads that still saw a counted key stays above 0.
  const_cast<InternedKey*>(kept)->hash &= ~kCounted;
}

const InternedKey* retain_key(const InternedKey* key) {
  if (is_counted(key)) count_of(key).fetch_add(1, std::memory_order_relaxed);
  return key;
}

void release_key(const InternedKey* key) {
  if (!is_counted(key)) return;
  const std::uint64_t hash = key->hash;  // the key may be gone after the subtraction
  if (count_of(key).fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Shard& shard = shard_of(hash);
  bool removed;
  {
    std::unique_lock lock(shard.mutex);
    removed = shard.remove_unused(key, hash);
  }
  if (removed) free_key(key);
}

std::size_t interned_keys() {
  std::size_t keys = 0;
  for (std::size_t i = 0; i < kShards; ++i) {
    std::shared_lock lock(all_shards()[i].mutex);
    keys += all_shards()[i].used;
  }
  return keys;
}

}  // namespace berth::json
