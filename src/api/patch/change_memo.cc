#include "api/patch/change_memo.h"

#include <functional>

namespace berth::api::patch {

namespace {

using schema::Field;

constexpr std::size_t kMostElements = 16;     // of an associative list that is looked at
constexpr std::size_t kMostBytes = 32 << 10;  // about, of a change that is kept

// Takes the size of a value from `left`; false where that is not enough.
bool fits(const Value& value, std::size_t& left) {
  std::size_t size = sizeof(Value) + value.as_string().size();
  if (size > left) return false;
  left -= size;
  for (const Value& item : value) {
    if (!fits(item, left)) return false;
  }
  for (auto [key, member] : value.entries()) {
    if (!fits(member, left)) return false;
  }
  return true;
}

bool same_keys(const Value& a, const Value& b) {
  if (a.size() != b.size()) return false;
  auto other = b.entries().begin();
  for (auto [key, member] : a.entries()) {
    if (key.data() != (*other).key.data() && key != (*other).key) return false;
    ++other;
  }
  return true;
}

// One place in the two objects of a change: null where there is nothing.
struct Pair {
  const Value* before;
  const Value* after;

  bool changes() const { return before && after ? *before != *after : before || after; }
  // What decides how compare() looks at it.
  const Value& sample() const {
    const bool has = before && !before->is_null() && !before->empty();
    return has ? *before : after ? *after : *before;
  }
};

// Whether compare() treats both values alike, as far as can be said without looking below them.
bool alike(const Value* a, const Value* b) {
  if (!a || !b) return a == b;
  return a->type() == b->type() && a->empty() == b->empty();
}

class Matcher {
 public:
  // Of two changes that both change something here.
  bool below(const Place& place, const Pair& a, const Pair& b) const {
    if (!alike(a.before, b.before) || !alike(a.after, b.after)) return false;
    const Value& sample = a.sample();
    if (place.is_leaf(sample)) return place.is_leaf(b.sample());
    return sample.is_array() ? elements(place, a, b) : members(place, a, b);
  }

 private:
  bool either(const Place& place, const Pair& a, const Pair& b) const {
    const bool changes = a.changes();
    return changes == b.changes() && (!changes || below(place, a, b));
  }

  static const Value& value_of(const Value* value) {
    static const Value none;
    return value ? *value : none;
  }

  bool members(const Place& place, const Pair& a, const Pair& b) const {
    const Value &a_old = value_of(a.before), &a_new = value_of(a.after);
    const Value &b_old = value_of(b.before), &b_new = value_of(b.after);
    if (!same_keys(a_old, b_old) || !same_keys(a_new, b_new)) return false;
    auto other = b_new.entries().begin();
    for (auto [name, member] : a_new.entries()) {
      const Field* field = place.member_field(name);
      const Value& others = (*other).value;
      ++other;
      if (!either(Place::of(field), {member_or_absent(place, field, a.before, name), &member},
                  {member_or_absent(place, field, b.before, name), &others})) {
        return false;
      }
    }
    other = b_old.entries().begin();
    for (auto [name, member] : a_old.entries()) {
      const Value& others = (*other).value;
      ++other;
      if (a_new.find(name)) continue;
      const Field* field = place.member_field(name);
      if (!either(Place::of(field), {&member, member_or_absent(place, field, a.after, name)},
                  {&others, member_or_absent(place, field, b.after, name)})) {
        return false;
      }
    }
    return true;
  }

  static bool same_key(const Field& list, const Value& a, const Value& b) {
    if (list.list_type == schema::ListType::kSet) return a == b;
    if (!a.is_object() || !b.is_object()) return false;
    for (const std::string& name : list.list_map_keys) {
      const Value *in_a = a.find(name), *in_b = b.find(name);
      if (!in_a || !in_b ? in_a != in_b : *in_a != *in_b) return false;
    }
    return true;
  }

  static bool same_order(const Field& list, const Value& a, const Value& b) {
    if (a.size() != b.size() || a.size() > kMostElements) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!same_key(list, a[i], b[i])) return false;
    }
    return true;
  }

  static const Value* element_like(const Field& list, const Value& among, const Value& item, std::size_t& at) {
    for (at = 0; at < among.size(); ++at) {
      if (same_key(list, among[at], item)) return &among[at];
    }
    return nullptr;
  }

  bool elements(const Place& place, const Pair& a, const Pair& b) const {
    if (!place.associative()) return false;
    const Field& list = *place.list();
    const Value &a_old = value_of(a.before), &a_new = value_of(a.after);
    const Value &b_old = value_of(b.before), &b_new = value_of(b.after);
    if (!same_order(list, a_old, b_old) || !same_order(list, a_new, b_new)) return false;
    std::size_t at = 0;
    for (std::size_t i = 0; i < a_new.size(); ++i) {
      const Value* old = element_like(list, a_old, a_new[i], at);
      if (!either(place.element(), {old, &a_new[i]}, {old ? &b_old[at] : nullptr, &b_new[i]})) return false;
    }
    for (std::size_t i = 0; i < a_old.size(); ++i) {
      if (element_like(list, a_new, a_old[i], at)) continue;
      if (!either(place.element(), {&a_old[i], nullptr}, {&b_old[i], nullptr})) return false;
    }
    return true;
  }
};

bool same_manager(const Manager& a, const Manager& b) {
  return a.name == b.name && a.applies == b.applies && a.subresource == b.subresource && a.api_version == b.api_version;
}

// Whether two managedFields say the same but for the times.
bool same_owners(const Value& a, const Value& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (const char* field : {"fieldsV1", "manager", "operation", "apiVersion", "subresource", "fieldsType"}) {
      if (a[i][field] != b[i][field]) return false;
    }
  }
  return true;
}

}  // namespace

bool same_paths(const Place& root, const Change& a, const Change& b) {
  const Pair first{&a.before, &a.after}, second{&b.before, &b.after};
  const bool changes = first.changes();
  return changes == second.changes() && (!changes || Matcher().below(root, first, second));
}

ChangeMemo& ChangeMemo::of_this_thread() {
  static thread_local ChangeMemo memo;
  return memo;
}

std::size_t ChangeMemo::bucket_of(const schema::Type& type, const Manager& self) {
  const std::hash<std::string_view> hash;
  return (hash(self.name) * 31 + hash(self.subresource) + std::hash<const void*>()(&type) / 64) % kManagers;
}

const Value* ChangeMemo::find(const schema::Type& type, const Manager& self, const Change& change,
                              const Value& stored) const {
  for (const Seen& seen : buckets_[bucket_of(type, self)].seen) {
    if (seen.type != &type || !same_manager(seen.self, self) || !same_owners(seen.stored, stored)) continue;
    if (same_paths(Place::root(type), seen.change, change)) return &seen.fields;
  }
  return nullptr;
}

void ChangeMemo::keep(Seen seen) {
  std::size_t left = kMostBytes;
  if (!fits(seen.change.before, left) || !fits(seen.change.after, left) || !fits(seen.stored, left)) return;
  Bucket& bucket = buckets_[bucket_of(*seen.type, seen.self)];
  if (bucket.seen.size() < kEach) {
    bucket.seen.push_back(std::move(seen));
  } else {
    bucket.seen[bucket.next++ % kEach] = std::move(seen);
  }
}

}  // namespace berth::api::patch
