// decode(): one walk over object and schema side by side, both in key order. A sub-tree that is already as a Go
// round trip would leave it is returned as the same node; only changed paths are copied.
#include <algorithm>
#include <limits>

#include "api/quantity.h"
#include "api/schema/given_empty.h"
#include "api/schema/go_time.h"
#include "api/schema/schema.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::api::schema {
namespace {

// Upstream's decoder stops collecting there, too.
constexpr std::size_t kMaxUnknown = 100;

// Where the walk is. Lives on the stack; text is made of it only when something is reported.
struct Frame {
  const Frame* parent = nullptr;
  std::string_view name;        // a field's or map key's name
  long index = -1;              // of a list element; then there is no name
  const Type* owner = nullptr;  // of a field: the type it belongs to; null: map key or index
  const Field* field = nullptr;
};

// "spec.containers[0].image"
void append_path(const Frame* at, std::string& out) {
  if (!at) return;
  append_path(at->parent, out);
  if (at->index >= 0) {
    out.append("[").append(std::to_string(at->index)).append("]");
  } else {
    if (!out.empty()) out.push_back('.');
    out.append(at->name);
  }
}

// "Container.spec.containers.image": the innermost struct and the fields on the way, as Go's decoder names a place.
std::string go_field(const Frame* at) {
  std::string path;
  const Type* innermost = nullptr;
  for (; at; at = at->parent) {
    if (!at->owner) continue;
    if (!innermost) innermost = at->owner;
    // A struct that the owner embeds is a step of its own.
    std::string step = at->field && !at->field->embedded.empty() ? at->field->embedded + "." : std::string();
    step.append(at->name);
    path = path.empty() ? step : step + "." + path;
  }
  return innermost ? std::string(innermost->short_name()) + "." + path : std::string();
}

std::string_view go_kind(const Value& value) {
  switch (value.type()) {
    case json::Type::kBool: return "bool";
    case json::Type::kInt:
    case json::Type::kDouble: return "number";
    case json::Type::kString: return "string";
    case json::Type::kArray: return "array";
    case json::Type::kObject: return "object";
    case json::Type::kNull: return "null";
  }
  return "";
}

bool digits(std::string_view text, std::size_t from, std::size_t count) {
  for (std::size_t i = from; i < from + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
  }
  return true;
}
int two(std::string_view text, std::size_t at) { return (text[at] - '0') * 10 + (text[at + 1] - '0'); }

// "2026-01-02T03:04:05" and a day that every month has: surely canonical so far.
bool plain_date_time(std::string_view t) {
  return digits(t, 0, 4) && t[4] == '-' && digits(t, 5, 2) && t[7] == '-' && digits(t, 8, 2) && t[10] == 'T' &&
         digits(t, 11, 2) && t[13] == ':' && digits(t, 14, 2) && t[16] == ':' && digits(t, 17, 2) && two(t, 5) >= 1 &&
         two(t, 5) <= 12 && two(t, 8) >= 1 && two(t, 8) <= 28 && two(t, 11) < 24 && two(t, 14) < 60 &&
         two(t, 17) < 60 && t.substr(0, 4) > "0001";
}

// Surely canonical without arithmetic: "0", "250m", "4", "64Mi". False says nothing.
bool plain_quantity(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size() && n < 10 && text[n] >= '0' && text[n] <= '9') ++n;
  std::string_view number = text.substr(0, n), suffix = text.substr(n);
  if (n == 0 || n > 9) return false;
  if (number[0] == '0') return text == "0";
  if (suffix.size() == 2 && suffix[1] == 'i') {
    if (std::string_view("KMGT").find(suffix[0]) == std::string_view::npos) return false;
    return n <= 3 || (n == 4 && number < "1024");
  }
  if (suffix.size() > 1) return false;
  if (suffix.size() == 1 && std::string_view("mkMGT").find(suffix[0]) == std::string_view::npos) return false;
  return n < 3 || number.substr(n - 3) != "000";
}

class Decoder {
 public:
  explicit Decoder(DecodeProblems* problems, bool keeps_empty = false)
      : problems_(problems), keeps_empty_(keeps_empty) {}

  enum class Action { kKeep, kReplace, kDrop };

  // `out` is written only for kReplace.
  Action object(const Type& type, const Value& in, const Frame* at, Value& out);
  Action field(const Field& field, const Value& in, const Frame* at, Value& out);

  std::string failure;      // the first; empty: none
  bool kept_empty = false;  // an empty list or map

 private:
  void wrong_type(const Value& found, const Field& wanted, const Frame* at);
  void wrong_type(const Value& found, std::string_view wanted, bool with_number, const Frame* at);
  void fail(std::string text) {
    if (failure.empty()) failure = std::move(text);
  }
  Action scalar(const Field& field, const Value& in, const Frame* at, Value& out);
  Action integer(const Field& field, const Value& in, const Frame* at);
  Action bytes(const Field& field, const Value& in, const Frame* at, Value& out);
  Action quantity(const Value& in, Value& out);
  Action int_or_string(const Value& in, const Frame* at);
  Action time(const Field& field, const Value& in, const Frame* at, Value& out);
  Action list(const Field& field, const Value& in, const Frame* at, Value& out);
  Action map(const Field& field, const Value& in, const Frame* at, Value& out);
  static Action drop_if(const Field& field, bool empty) {
    return empty && field.omit_empty && !field.pointer ? Action::kDrop : Action::kKeep;
  }

  // What is given as an empty list or map.
  Action given_empty() {
    kept_empty = kept_empty || keeps_empty_;
    return keeps_empty_ ? Action::kKeep : Action::kDrop;
  }

  DecodeProblems* problems_;
  bool keeps_empty_;
};
using Action = Decoder::Action;

void Decoder::wrong_type(const Value& found, const Field& wanted, const Frame* at) {
  wrong_type(found, wanted.go_type, wanted.shape == Shape::kInt32 || wanted.shape == Shape::kInt64, at);
}

// `with_number`: a number that does not fit is shown.
void Decoder::wrong_type(const Value& found, std::string_view wanted, bool with_number, const Frame* at) {
  if (!failure.empty()) return;
  failure = "json: cannot unmarshal ";
  failure.append(go_kind(found));
  if (with_number && found.is_number()) failure.append(" ").append(json::encode(found));
  std::string place = go_field(at);
  failure.append(place.empty() ? " into Go value" : " into Go struct field " + place);
  failure.append(" of type ").append(wanted);
}

Action Decoder::object(const Type& type, const Value& in, const Frame* at, Value& out) {
  bool changed = false;
  auto change = [&]() -> Value& {
    if (!changed) out = in;
    changed = true;
    return out;
  };
  auto next = type.by_name.begin();
  auto absent = [&](const Field& field) {
    if (!field.absent_value.is_null() || field.null_absent) change().set(field.name, field.absent_value);
  };
  std::vector<std::string_view> unknown;
  for (json::Entry entry : in.entries()) {
    int order = -1;
    while (next != type.by_name.end() && (order = std::string_view((*next)->name).compare(entry.key)) < 0) {
      absent(**next);
      ++next;
    }
    Frame here{at, entry.key, -1, &type};
    if (next == type.by_name.end() || order != 0) {
      if (problems_ && problems_->unknown.size() < kMaxUnknown) append_path(&here, problems_->unknown.emplace_back());
      unknown.push_back(entry.key);
      continue;
    }
    const Field& field = **next++;
    here.field = &field;
    Value replacement;
    switch (this->field(field, entry.value, &here, replacement)) {
      case Action::kKeep: break;
      case Action::kReplace: change().set(entry.key, std::move(replacement)); break;
      case Action::kDrop:
        if (field.absent_value.is_null() && field.null_absent) {
          if (!entry.value.is_null()) change().set(entry.key, nullptr);
        } else if (field.absent_value.is_null()) {
          change().erase(entry.key);
        } else if (field.absent_value != entry.value) {
          change().set(entry.key, field.absent_value);
        }
        break;
    }
  }
  for (; next != type.by_name.end(); ++next) absent(**next);
  // From the end: there may be thousands, and each moves what is behind it.
  for (auto key = unknown.rbegin(); key != unknown.rend(); ++key) change().erase(*key);
  return changed ? Action::kReplace : Action::kKeep;
}

Action Decoder::field(const Field& field, const Value& in, const Frame* at, Value& out) {
  if (in.is_null()) return Action::kDrop;
  switch (field.shape) {
    case Shape::kObject:
      if (in.is_object()) return object(*field.type, in, at, out);
      break;
    case Shape::kList:
      if (in.is_array()) return list(field, in, at, out);
      break;
    case Shape::kMap:
      if (in.is_object()) return map(field, in, at, out);
      break;
    default: return scalar(field, in, at, out);
  }
  wrong_type(in, field, at);
  return Action::kKeep;
}

Action Decoder::scalar(const Field& field, const Value& in, const Frame* at, Value& out) {
  switch (field.shape) {
    case Shape::kString:
      if (in.is_string()) return drop_if(field, in.as_string().empty());
      break;
    case Shape::kBool:
      if (in.is_bool()) return drop_if(field, !in.as_bool());
      break;
    case Shape::kDouble:
      if (in.is_number()) return drop_if(field, in.as_double() == 0);
      break;
    case Shape::kInt32:
    case Shape::kInt64: return integer(field, in, at);
    case Shape::kBytes: return bytes(field, in, at, out);
    case Shape::kQuantity: return quantity(in, out);
    case Shape::kIntOrString: return int_or_string(in, at);
    case Shape::kTime:
    case Shape::kMicroTime: return time(field, in, at, out);
    case Shape::kDuration:
      if (!in.is_string()) {
        wrong_type(in, "string", false, at);
      } else if (auto parsed = parse_duration(in.as_string()); !parsed) {
        fail("time: invalid duration " + quoted(in.as_string()));
      }
      return Action::kKeep;
    default: return Action::kKeep;  // raw
  }
  wrong_type(in, field, at);
  return Action::kKeep;
}

Action Decoder::integer(const Field& field, const Value& in, const Frame* at) {
  bool fits =
      in.is_int() && (field.shape == Shape::kInt64 || (in.as_int() >= std::numeric_limits<std::int32_t>::min() &&
                                                       in.as_int() <= std::numeric_limits<std::int32_t>::max()));
  if (!fits) {
    wrong_type(in, field, at);
    return Action::kKeep;
  }
  return drop_if(field, in.as_int() == 0);
}

// Where Go's decoder stops in `text` (which has no line ends), or -1: at a foreign character, in the group that is cut
// short, or behind padding that is not the end.
long bad_base64_at(std::string_view text) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t end = std::min(text.find_first_not_of(kAlphabet), text.size());
  const std::size_t in_group = end % 4;
  if (end == text.size()) return in_group == 0 ? -1 : static_cast<long>(end - in_group);
  if (text[end] != '=' || in_group < 2) return static_cast<long>(end);
  std::size_t after = end + 1;
  if (in_group == 2) {
    if (after == text.size()) return static_cast<long>(after);
    if (text[after] != '=') return static_cast<long>(end);
    ++after;
  }
  return after == text.size() ? -1 : static_cast<long>(after);
}

Action Decoder::bytes(const Field& field, const Value& in, const Frame* at, Value& out) {
  if (!in.is_string()) {
    wrong_type(in, field, at);
    return Action::kKeep;
  }
  std::string_view text = in.as_string();
  std::string joined;
  if (text.find_first_of("\r\n") != std::string_view::npos) {  // Go skips these
    for (char c : text) {
      if (c != '\r' && c != '\n') joined.push_back(c);
    }
    text = joined;
  }
  if (long bad = bad_base64_at(text); bad >= 0) {
    fail("illegal base64 data at input byte " + std::to_string(bad));
    return Action::kKeep;
  }
  auto decoded = base64_decode(text);
  if (!decoded) {
    fail("illegal base64 data at input byte " + std::to_string(text.size()));
    return Action::kKeep;
  }
  std::string canonical = base64_encode(*decoded);
  if (canonical != in.as_string()) {
    out = Value(canonical);
    return Action::kReplace;
  }
  return drop_if(field, text.empty());
}

Action Decoder::quantity(const Value& in, Value& out) {
  std::string number;
  std::string_view text;
  if (in.is_string()) {
    text = in.as_string();
    if (plain_quantity(text)) return Action::kKeep;
  } else {  // as in Go, a bare number is read by its text, and whatever else is no quantity
    number = json::encode(in);
    text = number;
  }
  auto parsed = Quantity::parse(trim(text));
  if (!parsed) {
    fail(parsed.error().message);
    return Action::kKeep;
  }
  std::string canonical = parsed->to_string();
  if (in.is_string() && canonical == text) return Action::kKeep;
  out = Value(canonical);
  return Action::kReplace;
}

Action Decoder::int_or_string(const Value& in, const Frame* at) {
  if (in.is_string()) return Action::kKeep;
  bool fits = in.is_int() && in.as_int() >= std::numeric_limits<std::int32_t>::min() &&
              in.as_int() <= std::numeric_limits<std::int32_t>::max();
  if (!fits) wrong_type(in, "int32", true, at);
  return Action::kKeep;
}

Action Decoder::time(const Field& field, const Value& in, const Frame* at, Value& out) {
  if (!in.is_string()) {
    wrong_type(in, "string", false, at);
    return Action::kKeep;
  }
  std::string_view text = in.as_string();
  bool micro = field.shape == Shape::kMicroTime;
  if (micro ? text.size() == 27 && text[19] == '.' && digits(text, 20, 6) && text[26] == 'Z' && plain_date_time(text)
            : text.size() == 20 && text[19] == 'Z' && plain_date_time(text)) {
    return Action::kKeep;
  }
  if (text.starts_with("0001-01-01T00:00:00")) return Action::kDrop;  // Go's zero time, written as null
  if (std::string problem = go_time_problem(text, micro); !problem.empty()) {
    fail(std::move(problem));
    return Action::kKeep;
  }
  auto parsed = parse_time(text);
  if (!parsed) {
    fail(parsed.error().message);
    return Action::kKeep;
  }
  std::string canonical = micro ? format_micro_time(*parsed) : format_time(*parsed);
  if (canonical == text) return Action::kKeep;
  out = Value(canonical);
  return Action::kReplace;
}

Action Decoder::list(const Field& field, const Value& in, const Frame* at, Value& out) {
  if (in.empty()) return given_empty();
  bool changed = false;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const Value& element = in[i];
    Frame here{at, {}, static_cast<long>(i), nullptr};
    Value replacement;
    Action action = this->field(*field.element, element, &here, replacement);
    if (action == Action::kKeep) continue;
    if (action == Action::kDrop) {  // an element stays in its place, as its type's zero
      if (element == field.element->absent_value) continue;
      replacement = field.element->absent_value;
    }
    if (!changed) out = in;
    changed = true;
    out.mut(i) = std::move(replacement);
  }
  return changed ? Action::kReplace : Action::kKeep;
}

Action Decoder::map(const Field& field, const Value& in, const Frame* at, Value& out) {
  if (in.empty()) return given_empty();
  bool changed = false;
  for (json::Entry entry : in.entries()) {
    Frame here{at, entry.key, -1, nullptr};
    Value replacement;
    Action action = this->field(*field.element, entry.value, &here, replacement);
    if (action == Action::kKeep) continue;
    if (action == Action::kDrop) {
      if (entry.value == field.element->absent_value) continue;
      replacement = field.element->absent_value;
    }
    if (!changed) out = in;
    changed = true;
    out.set(entry.key, std::move(replacement));
  }
  return changed ? Action::kReplace : Action::kKeep;
}

// Gives `before` what is empty in `after`. `field`: of both.
void share_empty(const Field& field, Value& before, const Value& after);

void share_empty_members(const Type& type, Value& before, const Value& after) {
  for (json::Entry entry : after.entries()) {
    const Field* field = type.find(entry.key);
    if (field == nullptr || (!entry.value.is_array() && !entry.value.is_object())) continue;
    const bool list_or_map = field->shape == Shape::kList || field->shape == Shape::kMap;
    const Value& old = before[entry.key];
    if (old.is_null() && list_or_map && entry.value.empty()) {
      before.set(entry.key, entry.value);
    } else if (!old.is_null() && old != entry.value) {
      share_empty(*field, before.mut(entry.key), entry.value);
    }
  }
}

void share_empty(const Field& field, Value& before, const Value& after) {
  if (field.shape == Shape::kObject && before.is_object() && after.is_object())
    return share_empty_members(*field.type, before, after);
  if (field.shape == Shape::kList && before.is_array() && after.is_array()) {
    for (std::size_t i = 0; i < before.size() && i < after.size(); ++i) {
      if (before[i] != after[i]) share_empty(*field.element, before.mut(i), after[i]);
    }
  }
  if (field.shape == Shape::kMap && before.is_object() && after.is_object()) {
    for (json::Entry entry : after.entries()) {
      if (before.contains(entry.key) && before[entry.key] != entry.value)
        share_empty(*field.element, before.mut(entry.key), entry.value);
    }
  }
}

Result<Value> decode_by(Decoder& decoder, const Kind& kind, const Value& object) {
  Value out;
  Action action = Action::kKeep;
  if (object.is_object()) {
    action = decoder.object(*kind.type, object, nullptr, out);
  } else {
    decoder.failure =
        "json: cannot unmarshal " + std::string(go_kind(object)) + " into Go value of type v1." + kind.kind;
  }
  if (!decoder.failure.empty()) {
    return error(Code::kBadRequest, kind.kind + " in version " + quoted(kind.version) + " cannot be handled as a " +
                                        kind.kind + ": " + decoder.failure);
  }
  return action == Action::kReplace ? out : object;
}

}  // namespace

Result<Value> decode(const Kind& kind, const Value& object, DecodeProblems* problems) {
  Decoder decoder(problems);
  return decode_by(decoder, kind, object);
}

Result<Value> decode_with_empty(const Kind& kind, const Value& object, DecodeProblems* problems, bool& any) {
  Decoder decoder(problems, true);
  Result<Value> decoded = decode_by(decoder, kind, object);
  any = decoder.kept_empty;
  return decoded;
}

Value without_empty(const Kind& kind, const Value& object) {
  Result<Value> plain = decode(kind, object, nullptr);
  return plain.ok() ? std::move(*plain) : object;
}

Value with_same_empty(const Kind& kind, Value before, const Value& after) {
  if (before.is_object() && after.is_object()) share_empty_members(*kind.type, before, after);
  return before;
}

}  // namespace berth::api::schema
