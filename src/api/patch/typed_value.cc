#include "api/patch/typed_value.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.h"

namespace berth::api::patch {

using schema::Field;
using schema::ListType;
using schema::Shape;
using schema::Type;

SchemaPosition SchemaPosition::root(const Type& type) {
  SchemaPosition position;
  position.shape_ = Shape::kObject;
  position.type_ = &type;
  position.known_ = true;
  return position;
}

SchemaPosition SchemaPosition::of(const Field* field) {
  SchemaPosition position;
  if (!field) return position;
  position.known_ = true;
  position.shape_ = field->shape;
  position.type_ = field->type;
  position.element_ = field->element.get();
  position.list_ = field;
  position.atomic_ = field->atomic_map || (field->type && field->type->atomic) ||
                     (field->shape == Shape::kList && field->list_type == ListType::kAtomic);
  return position;
}

bool SchemaPosition::is_leaf(const Value& value) const {
  if (atomic_) return true;
  switch (shape_) {
    case Shape::kObject:
    case Shape::kMap:
    case Shape::kList: return false;
    case Shape::kRaw: return !value.is_object();  // lists without a schema are atomic
    default: return true;
  }
}

const Field* SchemaPosition::member_field(std::string_view name) const {
  if (shape_ == Shape::kObject) return type_ ? type_->find(name) : nullptr;
  return shape_ == Shape::kMap ? element_ : nullptr;
}

SchemaPosition SchemaPosition::member(std::string_view name) const { return of(member_field(name)); }

SchemaPosition SchemaPosition::below(const std::string& path_element) const {
  if (path_element.starts_with("f:")) return member(std::string_view(path_element).substr(2));
  return element();
}

Result<std::string> SchemaPosition::key_of(const Value& item) const {
  if (list_->list_type == ListType::kSet) {
    if (item.is_object() || item.is_array())
      return error(Code::kInvalid, "associative list without keys has an element that's a map type");
    return "v:" + json::encode(item);
  }
  if (!item.is_object()) return error(Code::kInvalid, "associative list with keys may not have non-map elements");
  Value key = Value::object();
  for (const std::string& name : list_->list_map_keys) {
    if (const Value* given = item.find(name)) {
      key.set(name, *given);
    } else if (const Field* field = element().member_field(name); field && !field->default_value.is_null()) {
      key.set(name, field->default_value);
    } else if (field && field->required && !field->pointer) {
      // Upstream's schema gives such a field the zero value as its default.
      key.set(name, field->shape == Shape::kString ? Value("") : Value(0));
    }
  }
  if (key.empty()) {
    return error(Code::kInvalid, "associative list with keys has an element that omits key field " +
                                     quoted(list_->list_map_keys.empty() ? "" : list_->list_map_keys.front()) +
                                     " (and doesn't have default value)");
  }
  return "k:" + json::encode(key);
}

std::string_view SchemaPosition::expected() const {
  switch (shape_) {
    case Shape::kObject:
    case Shape::kMap: return "map";
    case Shape::kList: return "list";
    case Shape::kBool: return "boolean";
    case Shape::kInt32:
    case Shape::kInt64:
    case Shape::kDouble: return "numeric (int or float)";
    case Shape::kRaw:
    case Shape::kQuantity:
    case Shape::kIntOrString: return "";
    default: return "string";
  }
}

bool SchemaPosition::accepts(const Value& value) const {
  if (value.is_null()) return true;
  std::string_view want = expected();
  if (want == "map") return value.is_object();
  if (want == "list") return value.is_array();
  if (want == "boolean") return value.is_bool();
  if (want == "string") return value.is_string();
  if (want.starts_with("numeric")) return value.is_number();
  return shape_ == Shape::kRaw || !(value.is_object() || value.is_array());
}

namespace {

const Value kNull;

bool is_empty_container(const Value* value) { return !value || value->is_null() || value->empty(); }

// Keeps a path in step with a descent.
class Step {
 public:
  Step(FieldPath& path, std::string element) : path_(path) { path_.push_back(std::move(element)); }
  ~Step() { path_.pop_back(); }

 private:
  FieldPath& path_;
};

// --- field_set_of

void collect(const SchemaPosition& position, const Value& value, FieldPath& path, FieldSet& out) {
  if (position.is_leaf(value)) return out.insert(path);
  if (value.is_array() && position.associative()) {
    for (const Value& item : value) {
      auto key = position.key_of(item);
      if (!key.ok()) continue;
      Step step(path, *key);
      collect(position.element(), item, path, out);
      out.insert(path);
    }
    return;
  }
  for (auto [name, member] : value.entries()) {
    Step step(path, "f:" + std::string(name));
    const SchemaPosition below = position.member(name);
    collect(below, member, path, out);
    // An empty object says something by being there: emptyDir: {}.
    if (!position.type() || member.is_null() || (member.is_object() && member.empty())) out.insert(path);
  }
}

// --- compare

class Comparer {
 public:
  Comparison out;
  void walk(const SchemaPosition& position, const Value* before, const Value* after);

 private:
  void members(const SchemaPosition& position, const Value* before, const Value* after);
  void elements(const SchemaPosition& position, const Value* before, const Value* after);
  FieldPath path_;
};

void Comparer::walk(const SchemaPosition& position, const Value* before, const Value* after) {
  if (!before && !after) return;
  if (before && after && *before == *after) return;
  const Value& sample = before && !is_empty_container(before) ? *before : after ? *after : *before;
  const bool leaf = position.is_leaf(sample) || (is_empty_container(before) && is_empty_container(after)) ||
                    (before && after && !before->is_null() && !after->is_null() && before->type() != after->type());
  if (!leaf) {
    if (sample.is_array()) {
      elements(position, before, after);
    } else {
      members(position, before, after);
    }
  } else if (before && after) {
    out.modified.insert(path_);
  }
  if (!before) out.added.insert(path_);
  if (!after) out.removed.insert(path_);
}

void Comparer::members(const SchemaPosition& position, const Value* before, const Value* after) {
  std::set<std::string_view> names;
  for (const Value* value : {before, after}) {
    if (!value) continue;
    for (auto [name, member] : value->entries()) names.insert(name);
  }
  for (std::string_view name : names) {
    Step step(path_, "f:" + std::string(name));
    const Field* field = position.member_field(name);
    walk(SchemaPosition::of(field), member_or_absent(position, field, before, name),
         member_or_absent(position, field, after, name));
  }
}

void Comparer::elements(const SchemaPosition& position, const Value* before, const Value* after) {
  std::map<std::string, std::pair<const Value*, const Value*>> by_key;
  if (before) {
    for (const Value& item : *before) {
      if (auto key = position.key_of(item); key.ok()) by_key.try_emplace(*key, &item, nullptr);
    }
  }
  if (after) {
    for (const Value& item : *after) {
      auto key = position.key_of(item);
      if (!key.ok()) continue;
      auto& pair = by_key[*key];
      if (!pair.second) pair.second = &item;
    }
  }
  for (const auto& [key, pair] : by_key) {
    Step step(path_, key);
    walk(position.element(), pair.first, pair.second);
  }
}

// --- merged

std::optional<Value> merge(const SchemaPosition& position, const Value* under, const Value* over);

Value merge_elements(const SchemaPosition& position, const Value& under, const Value& over) {
  auto index = [&](const Value& list, std::map<std::string, const Value*>& by_key) {
    std::vector<std::string> order;
    for (const Value& item : list) {
      if (auto key = position.key_of(item); key.ok() && by_key.emplace(*key, &item).second) order.push_back(*key);
    }
    return order;
  };
  std::map<std::string, const Value*> under_by_key, over_by_key;
  const std::vector<std::string> under_order = index(under, under_by_key);
  const std::vector<std::string> over_order = index(over, over_by_key);
  // The elements that both have, in the order of `over`: those that only `under` has stay in front of the shared one
  // that followed them.
  Value out = Value::array();
  auto push = [&](const std::string& key) {
    auto u = under_by_key.find(key);
    auto o = over_by_key.find(key);
    auto item = merge(position.element(), u == under_by_key.end() ? nullptr : u->second,
                      o == over_by_key.end() ? nullptr : o->second);
    if (item) out.push(std::move(*item));
  };
  std::vector<std::string> shared;
  for (const std::string& key : over_order) {
    if (under_by_key.contains(key)) shared.push_back(key);
  }
  std::size_t left = 0, right = 0, next_shared = 0;
  auto is_next_shared = [&](const std::string& key) {
    return next_shared < shared.size() && shared[next_shared] == key;
  };
  while (left < under_order.size() || right < over_order.size()) {
    if (left < under_order.size() && right < over_order.size()) {
      const std::string& key = under_order[left];
      if (key == over_order[right]) {
        push(key);
        ++left, ++right, ++next_shared;
        continue;
      }
      if (over_by_key.contains(key) && next_shared < shared.size() && !is_next_shared(key)) {
        ++left;  // shared, but its turn comes later
        continue;
      }
    }
    if (left < under_order.size() && !over_by_key.contains(under_order[left])) {
      push(under_order[left++]);
      continue;
    }
    if (right < over_order.size()) {
      const std::string& key = over_order[right++];
      push(key);
      if (is_next_shared(key)) ++next_shared;
    } else {
      ++left;  // was pushed when its turn came
    }
  }
  return out;
}

std::optional<Value> merge(const SchemaPosition& position, const Value* under, const Value* over) {
  if (!under || !over) return over ? std::optional<Value>(*over) : under ? std::optional<Value>(*under) : std::nullopt;
  const Value& sample = is_empty_container(over) ? *under : *over;
  if (position.is_leaf(sample) || (is_empty_container(under) && is_empty_container(over))) return *over;
  if (over->is_null()) return *under;  // nothing is said about what is below
  if (under->is_null()) return *over;
  if (under->type() != over->type()) return *over;
  if (sample.is_array()) return merge_elements(position, *under, *over);
  Value out = *under;
  for (auto [name, member] : over->entries()) {
    auto value = merge(position.member(name), under->find(name), &member);
    if (value) out.set(name, std::move(*value));
  }
  return out;
}

// --- without_items

std::optional<Value> remove_items(const SchemaPosition& position, const Value& value, const FieldSet& removed_paths) {
  if (value.is_array()) {
    if (!position.associative()) return std::nullopt;
    Value out = Value::array();
    for (const Value& item : value) {
      auto key = position.key_of(item);
      if (key.ok() && removed_paths.has(*key)) continue;
      const FieldSet* below = key.ok() ? removed_paths.below(*key) : nullptr;
      if (!below) {
        out.push(item);
      } else if (auto kept = remove_items(position.element(), item, *below)) {
        out.push(std::move(*kept));
      }
    }
    return out.empty() ? std::nullopt : std::optional<Value>(std::move(out));
  }
  if (!value.is_object()) return value;
  if (position.atomic()) return std::nullopt;
  Value out = value;
  for (const auto& [element, node] : removed_paths.nodes()) {
    if (!element.starts_with("f:")) continue;
    const std::string name = element.substr(2);
    const Value* member = value.find(name);
    if (!member) continue;
    if (node.member) {
      out.erase(name);
    } else if (!node.below.empty()) {
      if (auto kept = remove_items(position.member(name), *member, node.below)) {
        out.set(name, std::move(*kept));
      } else if (position.member(name).type()) {
        out.set(name, Value::object());  // only what is inside was to go: emptyDir: {} is not nothing
      } else {
        out.erase(name);
      }
    }
  }
  return out.empty() ? std::nullopt : std::optional<Value>(std::move(out));
}

// A value as Go's %#v prints it.
std::string go_syntax(const Value& value) {
  std::string out;
  if (value.is_object()) {
    for (auto [key, member] : value.entries()) out += (out.empty() ? "" : ", ") + quoted(key) + ":" + go_syntax(member);
    return "map[string]interface {}{" + out + "}";
  }
  if (value.is_array()) {
    for (const Value& element : value) out += (out.empty() ? "" : ", ") + go_syntax(element);
    return "[]interface {}{" + out + "}";
  }
  return value.is_null() ? "interface {}(nil)" : json::encode(value);
}

Status check(const SchemaPosition& position, const Value& value, FieldPath& path) {
  auto here = [&](std::string text) {
    std::string at = to_string(path);
    return error(Code::kBadRequest, (at.empty() ? "" : at + ": ") + std::move(text));
  };
  if (!position.accepts(value)) {
    const std::string_view want = position.expected();
    return here("expected " + std::string(want.empty() ? "a scalar" : want) +
                ", got &value.valueUnstructured{Value:" + go_syntax(value) + "}");
  }
  if (value.is_array() && position.associative()) {
    std::set<std::string> keys;
    std::size_t index = 0;
    for (const Value& item : value) {
      auto key = position.key_of(item);
      if (!key.ok()) return here("element " + std::to_string(index) + ": " + key.error().message);
      if (!keys.insert(*key).second) return here("duplicate entries for key " + to_string({*key}));
      Step step(path, *key);
      BERTH_TRY(check(position.element(), item, path));
      ++index;
    }
    return ok_status();
  }
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (!position.element().known()) break;
      Step step(path, "i:" + std::to_string(i));
      BERTH_TRY(check(position.element(), value[i], path));
    }
    return ok_status();
  }
  for (auto [name, member] : value.entries()) {
    Step step(path, "f:" + std::string(name));
    if (position.type() && !position.member_field(name)) {
      return error(Code::kBadRequest, to_string(path) + ": field not declared in schema");
    }
    BERTH_TRY(check(position.member(name), member, path));
  }
  return ok_status();
}

}  // namespace

const Value* member_or_absent(const SchemaPosition& position, const Field* field, const Value* object,
                              std::string_view name) {
  if (!object) return nullptr;
  if (const Value* member = object->find(name)) return member;
  const bool of_struct = field && position.type() && object->is_object();
  const bool always = of_struct && (!field->absent_value.is_null() || (!field->omit_empty && !field->pointer));
  return always ? &field->absent_value : nullptr;
}

FieldSet field_set_of(const SchemaPosition& root, const Value& value) {
  FieldSet out;
  FieldPath path;
  collect(root, value, path, out);
  return out;
}

Comparison compare(const SchemaPosition& root, const Value& before, const Value& after) {
  Comparer comparer;
  comparer.walk(root, &before, &after);
  return std::move(comparer.out);
}

Value merged(const SchemaPosition& root, const Value& under, const Value& over) {
  return merge(root, &under, &over).value_or(Value::object());
}

Value without_items(const SchemaPosition& root, const Value& value, const FieldSet& removed_paths) {
  return remove_items(root, value, removed_paths).value_or(Value::object());
}

FieldSet with_named_fields(const SchemaPosition& root, const FieldSet& set) {
  FieldSet out;
  for (const auto& [element, node] : set.nodes()) {
    FieldSet::Node& mine = out.nodes()[element];
    mine.member = node.member || (root.type() && !node.below.empty() && element.starts_with("f:") &&
                                  root.member_field(std::string_view(element).substr(2)) != nullptr);
    mine.below = with_named_fields(root.below(element), node.below);
  }
  return out;
}

Status check_typed(const SchemaPosition& root, const Value& value) {
  FieldPath path;
  return check(root, value, path);
}

}  // namespace berth::api::patch
