#pragma once
// KindMap: what a module knows of each kind, found by the Kind's address instead of by its names. Immutable; any
// thread.

#include <unordered_map>
#include <utility>

#include "api/schema/schema.h"

namespace berth::api::schema {

template <class T>
class KindMap {
 public:
  // `make(kind)` returns the value of each kind of the schema, also of those without a collection.
  template <class Make>
  KindMap(const Schema& schema, Make make) {
    for (const auto& kinds : {schema.kinds(), schema.other_kinds()}) {
      for (const Kind* kind : kinds) values_.emplace(kind, make(*kind));
    }
  }
  // Null for kinds of another schema.
  const T* find(const Kind& kind) const {
    const auto found = values_.find(&kind);
    return found == values_.end() ? nullptr : &found->second;
  }

 private:
  std::unordered_map<const Kind*, const T> values_;
};

// The row of that kind in a table of rows with the members `group` and `kind`; null where there is none.
template <class Rows>
auto row_of(const Rows& rows, const Kind& kind) -> decltype(&*std::begin(rows)) {
  for (const auto& row : rows) {
    if (row.group == kind.group && row.kind == kind.kind) return &row;
  }
  return nullptr;
}

}  // namespace berth::api::schema
