#pragma once
// Values as Go's %v prints them; upstream's patch errors quote objects that way.

#include <string>

#include "base/json/json.h"

namespace berth::api::patch {

inline void append_go(const Value& value, std::string& out) {
  if (value.is_string()) {
    out += value.as_string();
  } else if (value.is_null()) {
    out += "<nil>";
  } else if (value.is_array()) {
    out += '[';
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (i != 0) out += ' ';
      append_go(value[i], out);
    }
    out += ']';
  } else if (value.is_object()) {
    out += "map[";
    bool first = true;
    for (auto [key, member] : value.entries()) {
      if (!first) out += ' ';
      first = false;
      out += key;
      out += ':';
      append_go(member, out);
    }
    out += ']';
  } else {
    json::encode_to(value, out);
  }
}

inline std::string go_text(const Value& value) {
  std::string out;
  append_go(value, out);
  return out;
}

}  // namespace berth::api::patch
