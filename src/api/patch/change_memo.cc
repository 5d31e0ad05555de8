#include "api/patch/change_memo.h"

#include <functional>

namespace berth::api::patch {

namespace {

using schema::Field;

constexpr std::size_t kMostElements = 16;     // of an associative list that is compared
constexpr std::size_t kMostBytes = 32 << 10;  // about, of a change that is stored

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

// The values of one path in the two objects of a change; null where the path is absent.
struct Pair {
  const Value* before;
  const Value* after;

  bool changes() const { return before && after ? *before != *after : before || after; }
  // The value whose shape decides how compare() descends.
  const Value& sample() const {
    const bool has = before && !before->is_null() && !before->empty();
    return has ? *before : after ? *after : *before;
  }
};

// Whether compare() treats both values alike, as far as can be said without looking below them.
bool same_shape(const Value* a, const Value* b) {
  if (!a || !b) return a == b;
  return a->type() == b->type() && a->empty() == b->empty();
}

class Matcher {
 public:
  // Whether two changes that both change something at `position` change the same paths.
  bool below(const SchemaPosition& position, const Pair& a, const Pair& b) const {
    if (!same_shape(a.before, b.before) || !same_shape(a.after, b.after)) return false;
    const Value& sample = a.sample();
    if (position.is_leaf(sample)) return position.is_leaf(b.sample());
    return sample.is_array() ? elements(position, a, b) : members(position, a, b);
  }

 private:
  bool either(const SchemaPosition& position, const Pair& a, const Pair& b) const {
    const bool changes = a.changes();
    return changes == b.changes() && (!changes || below(position, a, b));
  }

  static const Value& value_of(const Value* value) {
    static const Value none;
    return value ? *value : none;
  }

  bool members(const SchemaPosition& position, const Pair& a, const Pair& b) const {
    const Value &a_old = value_of(a.before), &a_new = value_of(a.after);
    const Value &b_old = value_of(b.before), &b_new = value_of(b.after);
    if (!same_keys(a_old, b_old) || !same_keys(a_new, b_new)) return false;
    auto other = b_new.entries().begin();
    for (auto [name, member] : a_new.entries()) {
      const Field* field = position.member_field(name);
      const Value& others = (*other).value;
      ++other;
      if (!either(SchemaPosition::of(field), {member_or_absent(position, field, a.before, name), &member},
                  {member_or_absent(position, field, b.before, name), &others})) {
        return false;
      }
    }
    other = b_old.entries().begin();
    for (auto [name, member] : a_old.entries()) {
      const Value& others = (*other).value;
      ++other;
      if (a_new.find(name)) continue;
      const Field* field = position.member_field(name);
      if (!either(SchemaPosition::of(field), {&member, member_or_absent(position, field, a.after, name)},
                  {&others, member_or_absent(position, field, b.after, name)})) {
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

  bool elements(const SchemaPosition& position, const Pair& a, const Pair& b) const {
    if (!position.associative()) return false;
    const Field& list = *position.list();
    const Value &a_old = value_of(a.before), &a_new = value_of(a.after);
    const Value &b_old = value_of(b.before), &b_new = value_of(b.after);
    if (!same_order(list, a_old, b_old) || !same_order(list, a_new, b_new)) return false;
    std::size_t at = 0;
    for (std::size_t i = 0; i < a_new.size(); ++i) {
      const Value* old = element_like(list, a_old, a_new[i], at);
      if (!either(position.element(), {old, &a_new[i]}, {old ? &b_old[at] : nullptr, &b_new[i]})) return false;
    }
    for (std::size_t i = 0; i < a_old.size(); ++i) {
      if (element_like(list, a_new, a_old[i], at)) continue;
      if (!either(position.element(), {&a_old[i], nullptr}, {&b_old[i], nullptr})) return false;
    }
    return true;
  }
};

bool same_manager(const Manager& a, const Manager& b) {
  return a.name == b.name && a.applies == b.applies && a.subresource == b.subresource && a.api_version == b.api_version;
}

// Whether two managedFields are equal except for their times.
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

bool same_paths(const SchemaPosition& root, const Change& a, const Change& b) {
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
  for (const Entry& entry : buckets_[bucket_of(type, self)].entries) {
    if (entry.type != &type || !same_manager(entry.self, self) || !same_owners(entry.stored, stored)) continue;
    if (same_paths(SchemaPosition::root(type), entry.change, change)) return &entry.fields;
  }
  return nullptr;
}

void ChangeMemo::store(Entry entry) {
  std::size_t left = kMostBytes;
  if (!fits(entry.change.before, left) || !fits(entry.change.after, left) || !fits(entry.stored, left)) return;
  Bucket& bucket = buckets_[bucket_of(*entry.type, entry.self)];
  if (bucket.entries.size() < kEach) {
    bucket.entries.push_back(std::move(entry));
  } else {
    bucket.entries[bucket.next++ % kEach] = std::move(entry);
  }
}

}  // namespace berth::api::patch
