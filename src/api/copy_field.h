#pragma once
// Pure; any thread.

#include "base/json/json.h"

namespace berth::api {

// Gives `to` the field as `from` has it: absent where it is absent there.
inline void copy_field(Value& to, const Value& from, const char* field) {
  if (from[field].is_null()) {
    to.erase(field);
  } else {
    to.set(field, from[field]);
  }
}

}  // namespace berth::api
