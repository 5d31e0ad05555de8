#pragma once
// ChangeMemo: what recent changes did to field ownership. A control plane makes the same change to one object after the
// other (a pod of a set, its binding, its status); which fields such a change touches is worked out for the first of
// them, and the others share the answer, node for node.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "api/patch/managers.h"
#include "api/patch/typed_value.h"

namespace berth::api::patch {

struct Change {
  Value before, after;  // without managedFields; `before` is empty for a create
};

// True only where compare() finds the same paths added, modified and removed in both. May be false although it would.
bool same_paths(const SchemaPosition& root, const Change& a, const Change& b);

// Bounded: a few changes for each of a few managers, none of them large. One thread's own. Types are compared by
// address: a type whose changes are stored lives as long as the thread.
class ChangeMemo {
 public:
  struct Entry {
    const schema::Type* type = nullptr;
    Manager self;  // whose change it was; only its identity counts
    Change change;
    Value stored;  // managedFields before
    Value fields;  // the answer: FieldsV1 of what `self` owns afterwards, null where it changed nothing that is owned
  };

  static ChangeMemo& of_this_thread();

  // The answer to an earlier change like this one; null pointer where there is none. Valid until the next call.
  const Value* find(const schema::Type& type, const Manager& self, const Change& change, const Value& stored) const;
  void store(Entry entry);

 private:
  static constexpr std::size_t kManagers = 16;
  static constexpr std::size_t kEach = 4;
  struct Bucket {
    std::vector<Entry> entries;
    std::size_t next = 0;  // which to replace
  };
  static std::size_t bucket_of(const schema::Type& type, const Manager& self);
  std::array<Bucket, kManagers> buckets_;
};

}  // namespace berth::api::patch
