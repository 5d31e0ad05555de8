// Strategic merge patch. Upstream's rules, including where list elements end up; one difference: directives inside a
// part of the patch for which the object has no counterpart act as on an empty object, and are never stored.

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "api/patch/go_text.h"
#include "api/patch/patch.h"
#include "api/plain_error.h"
#include "base/json/build.h"

namespace berth::api::patch {

namespace {

using schema::Field;
using schema::Shape;
using schema::Type;
using List = std::vector<Value>;

constexpr std::size_t kMostComparisons = 100'000'000;

constexpr std::string_view kDirective = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kDeleteFromPrimitiveList = "$deleteFromPrimitiveList";
constexpr std::string_view kSetElementOrder = "$setElementOrder";

Error bad(std::string text) { return error(Code::kBadRequest, std::move(text)); }
Error bad_kind(std::string_view expected, const Value& actual) {
  return bad("expected a " + std::string(expected) + ", but received a " +
             (actual.is_object()  ? "map"
              : actual.is_array() ? "slice"
                                  : actual.type_name()));
}
Error bad_directive(const Value& directive, const Value& in) {
  return api::plain_error("unknown patch type: " + go_text(directive) + " in map: " + go_text(in));
}

// How the members of one object, or the values of one map, are merged.
struct Members {
  const Type* type = nullptr;      // of an object
  const Field* element = nullptr;  // of a map: every value
  const Field* find(std::string_view key) const { return type ? type->find(key) : element; }
};
Members members_of(const Field* field) {
  if (!field) return {};
  if (field->shape == Shape::kObject) return {field->type, nullptr};
  if (field->shape == Shape::kMap) return {nullptr, field->element.get()};
  return {};
}
Members elements_of(const Field* list) {
  return list && list->shape == Shape::kList ? members_of(list->element.get()) : Members{};
}

bool contains_value(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}
List list_of(const Value& value) { return List(value.begin(), value.end()); }

// "$prefix/field" -> "field"
std::optional<std::string_view> directive_field(std::string_view key, std::string_view prefix) {
  if (!key.starts_with(prefix) || key.size() <= prefix.size() + 1 || key[prefix.size()] != '/') return std::nullopt;
  return key.substr(prefix.size() + 1);
}

// Position of `item` in `order`: by merge key, or, for scalars (empty key), by value; -1 where absent.
long position(const List& order, const Value& item, const std::string& merge_key) {
  for (std::size_t i = 0; i < order.size(); ++i) {
    bool same =
        merge_key.empty() ? order[i] == item : !item[merge_key].is_null() && order[i][merge_key] == item[merge_key];
    if (same) return static_cast<long>(i);
  }
  return -1;
}

void sort_by(List& items, const List& order, const std::string& merge_key) {
  std::stable_sort(items.begin(), items.end(), [&](const Value& a, const Value& b) {
    return position(order, a, merge_key) < position(order, b, merge_key);
  });
}

// Items of the patch keep the patch's order, the others the server's; where the server knows the order of two, it
// holds.
List ordered(const List& merged, const List& patch_order, const List& server_order, const std::string& merge_key) {
  List from_patch, server_only;
  for (const Value& item : merged) {
    (position(patch_order, item, merge_key) >= 0 ? from_patch : server_only).push_back(item);
  }
  sort_by(from_patch, patch_order, merge_key);
  sort_by(server_only, server_order, merge_key);
  List out;
  std::size_t left = 0, right = 0;
  while (left < server_only.size() || right < from_patch.size()) {
    bool take_left = right == from_patch.size();
    if (!take_left && left < server_only.size()) {
      long l = position(server_order, server_only[left], merge_key);
      long r = position(server_order, from_patch[right], merge_key);
      take_left = l >= 0 && r >= 0 && l < r;
    }
    out.push_back(take_left ? server_only[left++] : from_patch[right++]);
  }
  return out;
}

class Merger {
 public:
  Result<Value> merge_map(Value original, Value patch, const Members& members);

 private:
  Status retain_keys(Value& original, Value& patch);
  Status order_lists(Value& original, Value& patch, const Members& members);
  Result<Value> merge_field(const Value& original, const Value& patch, const Field* field);
  Result<Value> merge_list(const Value& original, const Value& patch, const Field* field);
  Result<List> merge_elements(List original, const List& patch, const Field* field, List* kept_patch);
  Status remove_scalars(Value& original, std::string_view key, const Value& doomed);
};

Status Merger::retain_keys(Value& original, Value& patch) {
  const Value* found = patch.find(kRetainKeys);
  if (!found) return ok_status();
  const Value keys = *found;
  patch.erase(kRetainKeys);
  const Error malformed = bad("invalid patch format of retainKeys");
  if (!keys.is_array()) return malformed;
  const List retained = list_of(keys);
  for (auto [key, value] : patch.entries()) {
    if (value.is_null() || key.starts_with(kDeleteFromPrimitiveList) || key.starts_with(kSetElementOrder)) continue;
    if (!contains_value(retained, Value(key))) return malformed;
  }
  std::vector<std::string> doomed;
  for (auto [key, value] : original.entries()) {
    if (!contains_value(retained, Value(key))) doomed.emplace_back(key);
  }
  for (const std::string& key : doomed) original.erase(key);
  return ok_status();
}

// Merges the lists that the patch orders with $setElementOrder, and takes both out of the patch.
Status Merger::order_lists(Value& original, Value& patch, const Members& members) {
  std::vector<std::string> directives;
  for (auto [key, value] : patch.entries()) {
    if (key.starts_with(kSetElementOrder)) directives.emplace_back(key);
  }
  for (const std::string& directive : directives) {
    auto name = directive_field(directive, kSetElementOrder);
    if (!name) return bad("invalid patch format of setElementOrder list");
    const Value order_value = patch[directive];
    patch.erase(directive);
    if (!order_value.is_array()) return bad_kind("slice", order_value);
    const Value* original_list = original.find(*name);
    const Value* patch_list = patch.find(*name);
    if (original_list && original_list->is_null()) original_list = nullptr;
    if (original_list && !original_list->is_array()) return bad_kind("slice", *original_list);
    if (patch_list && !patch_list->is_array()) return bad_kind("slice", *patch_list);
    const Field* field = members.find(*name);
    const std::string merge_key = field ? field->patch_merge_key : "";
    const List order = list_of(order_value);
    if (patch_list && patch_list->size() > 0 && !order.empty()) {
      std::size_t at = 0;
      for (const Value& item : *patch_list) {
        if (item[kDirective].as_string() == "delete") continue;
        while (at < order.size() && (merge_key.empty() ? order[at] != item : order[at][merge_key] != item[merge_key]))
          ++at;
        if (at++ == order.size()) {
          return bad("The order in patch list:\n" + go_text(*patch_list) + "\n doesn't match " +
                     std::string(kSetElementOrder) + " list:\n" + go_text(order_value) + "\n");
        }
      }
    }
    if (!original_list && !patch_list) continue;
    const List server_order = original_list ? list_of(*original_list) : List();
    Value merged = original_list ? *original_list : Value::array();
    if (patch_list) {
      BERTH_ASSIGN(merged, merge_list(merged, *patch_list, field));
      patch.erase(*name);
    }
    original.set(*name, Value::array(ordered(list_of(merged), order, server_order, merge_key)));
  }
  return ok_status();
}

Status Merger::remove_scalars(Value& original, std::string_view key, const Value& doomed) {
  if (!doomed.is_array()) return bad("invalid patch format of primitive list");
  if (!original[key].is_array()) return ok_status();
  const List gone = list_of(doomed);
  Value kept = Value::array();
  for (const Value& item : original[key]) {
    if (!contains_value(gone, item)) kept.push(item);
  }
  original.set(key, std::move(kept));
  return ok_status();
}

// What becomes of members, in order of their keys; nothing: the member goes.
using Changes = std::vector<std::pair<std::string_view, std::optional<Value>>>;

Value changed(Value original, Changes changes) {
  constexpr std::size_t kFew = 64;
  if (changes.size() <= kFew) {
    for (auto& [key, value] : changes) {
      if (value) {
        original.set(key, std::move(*value));
      } else {
        original.erase(key);
      }
    }
    return original;
  }
  std::vector<std::pair<std::string_view, Value>> members;
  members.reserve(original.size() + changes.size());
  auto change = changes.begin();
  for (auto [key, value] : original.entries()) {
    while (change != changes.end() && change->first < key) ++change;
    if (change == changes.end() || change->first != key) members.emplace_back(key, value);
  }
  for (auto& [key, value] : changes) {
    if (value) members.emplace_back(key, std::move(*value));
  }
  return json::make_object(members);
}

Result<Value> Merger::merge_map(Value original, Value patch, const Members& members) {
  if (const Value* directive = patch.find(kDirective)) {
    const Value kind = *directive;
    if (kind.as_string() == "delete") return Value::object();
    if (kind.as_string() != "replace" && kind.as_string() != "merge") return bad_directive(kind, patch);
    patch.erase(kDirective);
    if (kind.as_string() == "replace") original = Value::object();
  }
  if (!original.is_object()) original = Value::object();
  BERTH_TRY(retain_keys(original, patch));
  BERTH_TRY(order_lists(original, patch, members));
  Changes changes;
  for (auto [key, change] : patch.entries()) {
    if (key.starts_with(kDeleteFromPrimitiveList)) {
      auto name = directive_field(key, kDeleteFromPrimitiveList);
      if (!name) return bad("invalid patch format of primitive list");
      BERTH_TRY(remove_scalars(original, *name, change));
    } else if (change.is_null()) {
      if (original.contains(key)) changes.emplace_back(key, std::nullopt);
    } else {
      BERTH_ASSIGN(Value merged, merge_field(original[key], change, members.find(key)));
      changes.emplace_back(key, std::move(merged));
    }
  }
  return changed(std::move(original), std::move(changes));
}

Result<Value> Merger::merge_field(const Value& original, const Value& patch, const Field* field) {
  if (patch.is_object()) {
    const bool replace = field && field->patch_replace;
    return merge_map(original.is_object() && !replace ? original : Value::object(), patch, members_of(field));
  }
  if (patch.is_array()) return merge_list(original.is_array() ? original : Value::array(), patch, field);
  return patch;
}

Result<Value> Merger::merge_list(const Value& original, const Value& patch, const Field* field) {
  const bool of_objects = (patch.size() > 0 ? patch[0] : original[0]).is_object();
  for (const Value* list : {&original, &patch}) {
    for (const Value& item : *list) {
      if (item.is_array()) return error(Code::kInvalid, "lists of lists are not supported");
      if (item.is_object() != of_objects && field && field->patch_merge) {
        return bad("list element types are not identical: " + go_text(original) + ", " + go_text(patch));
      }
    }
  }
  if (!field || !field->patch_merge) {
    // Replaced as a whole; directives inside still mean what they say.
    Value out = Value::array();
    for (const Value& item : patch) {
      BERTH_ASSIGN(Value clean, merge_field(Value(), item, field ? field->element.get() : nullptr));
      out.push(std::move(clean));
    }
    return out;
  }
  // Each element looks for its like among the others.
  if ((original.size() + patch.size()) * patch.size() > kMostComparisons) {
    return error(Code::kTooLarge, "the patch merges lists of too many elements: " + std::to_string(patch.size()) +
                                      " into " + std::to_string(original.size()));
  }
  const List server_order = list_of(original);
  if (!of_objects) {
    List merged;
    for (const Value* list : {&original, &patch}) {
      for (const Value& item : *list) {
        if (!contains_value(merged, item)) merged.push_back(item);
      }
    }
    return Value::array(ordered(merged, list_of(patch), server_order, ""));
  }
  if (field->patch_merge_key.empty()) return bad("cannot merge lists without merge key for " + field->name);
  List kept_patch;
  BERTH_ASSIGN(List merged, merge_elements(server_order, list_of(patch), field, &kept_patch));
  return Value::array(ordered(merged, kept_patch, server_order, field->patch_merge_key));
}

Result<List> Merger::merge_elements(List original, const List& patch, const Field* field, List* kept_patch) {
  const std::string& key = field->patch_merge_key;
  for (const Value& item : patch) {
    const Value* directive = item.find(kDirective);
    const std::string_view kind = directive ? directive->as_string() : "merge";
    if (kind == "replace") {
      original.clear();
      continue;  // its other members say nothing
    }
    if (kind != "delete" && kind != "merge") return bad_directive(*directive, item);
    if (!item.contains(key)) {
      return api::plain_error("map: " + go_text(item) + " does not contain declared merge key: " + key);
    }
    if (kind == "merge") {
      kept_patch->push_back(item);
      continue;
    }
    std::erase_if(original, [&](const Value& element) { return element[key] == item[key]; });
  }
  for (Value& item : *kept_patch) {
    if (item.contains(kDirective)) item.erase(kDirective);
    long at = position(original, item, key);
    const Value before = at < 0 ? Value::object() : original[static_cast<std::size_t>(at)];
    BERTH_ASSIGN(Value merged, merge_map(before, item, elements_of(field)));
    if (at < 0) {
      original.push_back(std::move(merged));
    } else {
      original[static_cast<std::size_t>(at)] = std::move(merged);
    }
  }
  return original;
}

}  // namespace

Result<Value> apply_strategic_patch(const Type& type, const Value& object, const Value& patch) {
  if (!patch.is_object()) return bad("invalid JSON document");
  return Merger().merge_map(object, patch, Members{&type, nullptr});
}

}  // namespace berth::api::patch
