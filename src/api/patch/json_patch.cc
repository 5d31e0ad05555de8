#include "api/patch/json_patch.h"

#include <algorithm>
#include <memory>

#include "api/patch/patch.h"
#include "base/json/build.h"
#include "base/text.h"

namespace berth::api::patch {

namespace {

constexpr const char* kMissing = "missing value";
constexpr const char* kBadIndex = "invalid index referenced";

Error refused(std::string text) { return error(Code::kInvalid, std::move(text)); }

std::string unescape(std::string_view part) {
  return replace_all(replace_all(std::string(part), "~1", "/"), "~0", "~");
}

// Where a pointer leads: the container of its last part.
struct PointerTarget {
  Value* container = nullptr;  // null: there is none
  std::string key;
};

// An index into an array of `size`; `room` is 1 where one behind the end is fine.
Result<std::size_t> index_of(const std::string& key, std::size_t size, std::size_t room) {
  auto parsed = parse_int(key);
  if (!parsed.ok()) {
    return refused("value was not a proper array index: '" + key + "': strconv.Atoi: parsing \"" + key +
                   "\": invalid syntax");
  }
  long index = *parsed;
  const long limit = static_cast<long>(size + room);
  if (index >= limit || index < -limit) {
    return refused("Unable to access invalid index: " + std::to_string(index) + ": " + kBadIndex);
  }
  return static_cast<std::size_t>(index < 0 ? index + limit : index);
}

Result<Value> member_of(const Value& container, const std::string& key) {
  if (container.is_object()) {
    if (const Value* found = container.find(key)) return *found;
    return refused("unable to get nonexistent key: " + key + ": " + kMissing);
  }
  BERTH_ASSIGN(std::size_t index, index_of(key, container.size(), 0));
  return container[index];
}

// What a value is as text, about, and how deep. Looks no further than `most` bytes.
struct Extent {
  std::size_t bytes = 0;
  std::size_t depth = 0;
};

void extend(const Value& value, std::size_t depth, std::size_t most, Extent& extent) {
  extent.depth = std::max(extent.depth, depth);
  extent.bytes += value.is_string() ? value.as_string().size() + 2 : value.is_number() ? 8 : 5;
  for (const Value& element : value) {
    if (extent.bytes > most) return;
    extend(element, depth + 1, most, extent);
  }
  for (json::Entry entry : value.entries()) {
    if (extent.bytes > most) return;
    extent.bytes += entry.key.size() + 4;
    extend(entry.value, depth + 1, most, extent);
  }
}

Extent extent_of(const Value& value, std::size_t most) {
  Extent extent;
  extend(value, 0, most, extent);
  return extent;
}

std::size_t depth_of(const Value& value) { return extent_of(value, std::string::npos).depth; }

std::size_t parts_of(const std::string& pointer) {
  return static_cast<std::size_t>(std::count(pointer.begin(), pointer.end(), '/'));
}

class Patcher {
 public:
  explicit Patcher(const Value& object) : document_(object), depth_(depth_of(object)) {}

  Status run(const Value& operation);
  Value take() { return std::move(document_); }

 private:
  PointerTarget find(const std::string& pointer);
  Status add_at(const PointerTarget& target, const Value& value);
  Status remove_at(const PointerTarget& target);
  Status add(const std::string& path, const Value& value);
  Status remove(const std::string& path);
  Status replace(const std::string& path, const Value& value);
  Status move(const std::string& from, const std::string& path);
  Status copy(const std::string& from, const std::string& path);
  Status test(const std::string& path, const Value& value);
  Status check_depth(std::size_t above, std::size_t value);
  Status count_move(const Value& container);
  Status count_copy(const Value& value);

  Value document_;
  std::size_t depth_;       // of the document, at most
  std::size_t copied_ = 0;  // bytes
  std::size_t moved_ = 0;   // elements and members that made way for others
};

// A value of depth `value` is to be put below `above` others. The document is walked by recursion later on.
Status Patcher::check_depth(std::size_t above, std::size_t value) {
  depth_ = std::max(depth_, above + value);
  if (depth_ <= kMaxJsonPatchDepth) return ok_status();
  return refused("the patch nests values more than " + std::to_string(kMaxJsonPatchDepth) + " deep");
}

// An addition or removal moves what is behind it.
Status Patcher::count_move(const Value& container) {
  constexpr std::size_t kFew = 1000;
  if (container.size() > kFew) moved_ += container.size();
  if (moved_ <= kMaxJsonPatchMoves) return ok_status();
  return refused("the patch changes too large lists and maps too often");
}

Status Patcher::count_copy(const Value& value) {
  copied_ += extent_of(value, kMaxJsonPatchCopyBytes).bytes;
  if (copied_ <= kMaxJsonPatchCopyBytes) return ok_status();
  return refused("Unable to complete the copy, the accumulated size increase of copy is " + std::to_string(copied_) +
                 ", exceeding the limit " + std::to_string(kMaxJsonPatchCopyBytes));
}

PointerTarget Patcher::find(const std::string& pointer) {
  std::vector<std::string_view> parts = split(pointer, '/');
  if (parts.size() < 2) return {};
  // Look first: mut() would create what is missing and unshare what is not changed.
  const Value* at = &document_;
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    auto next = member_of(*at, unescape(parts[i]));
    if (!next.ok() || !(next->is_object() || next->is_array())) return {};
    at = at->is_object() ? at->find(unescape(parts[i])) : &(*at)[*index_of(unescape(parts[i]), at->size(), 0)];
  }
  if (!at->is_object() && !at->is_array()) return {};
  Value* container = &document_;
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    std::string part = unescape(parts[i]);
    container =
        container->is_object() ? &container->mut(part) : &container->mut(index_of(part, container->size(), 0).value());
  }
  return {container, unescape(parts.back())};
}

Status Patcher::add_at(const PointerTarget& target, const Value& value) {
  BERTH_TRY(count_move(*target.container));
  if (target.container->is_object()) {
    target.container->set(target.key, value);
    return ok_status();
  }
  if (target.key == "-") {
    target.container->push(value);
    return ok_status();
  }
  BERTH_ASSIGN(std::size_t index, index_of(target.key, target.container->size(), 1));
  target.container->insert(index, value);
  return ok_status();
}

Status Patcher::remove_at(const PointerTarget& target) {
  BERTH_TRY(count_move(*target.container));
  if (target.container->is_object()) {
    if (target.container->erase(target.key)) return ok_status();
    return refused("Unable to remove nonexistent key: " + target.key + ": " + kMissing);
  }
  BERTH_ASSIGN(std::size_t index, index_of(target.key, target.container->size(), 0));
  target.container->erase(index);
  return ok_status();
}

Status Patcher::add(const std::string& path, const Value& value) {
  BERTH_TRY(check_depth(parts_of(path), depth_of(value)));
  PointerTarget target = find(path);
  if (!target.container) {
    return refused("add operation does not apply: doc is missing path: \"" + path + "\": " + kMissing);
  }
  if (Status status = add_at(target, value); !status.ok())
    return status.error().in("error in add for path: '" + path + "'");
  return ok_status();
}

Status Patcher::remove(const std::string& path) {
  PointerTarget target = find(path);
  if (!target.container) {
    return refused("remove operation does not apply: doc is missing path: \"" + path + "\": " + kMissing);
  }
  if (Status status = remove_at(target); !status.ok()) {
    return status.error().in("error in remove for path: '" + path + "'");
  }
  return ok_status();
}

Status Patcher::replace(const std::string& path, const Value& value) {
  BERTH_TRY(check_depth(parts_of(path), depth_of(value)));
  if (path.empty()) {
    if (!value.is_object() && !value.is_array())
      return refused("replace operation hit impossible case: invalid state detected");
    document_ = value;
    return ok_status();
  }
  PointerTarget target = find(path);
  if (!target.container) {
    return refused("replace operation does not apply: doc is missing path: " + path + ": " + kMissing);
  }
  if (target.container->is_object()) {
    // The library that Kubernetes uses sets a missing member instead of refusing, as RFC 6902 would have it.
    target.container->set(target.key, value);
  } else {
    if (!member_of(*target.container, target.key).ok()) {
      return refused("replace operation does not apply: doc is missing key: " + path + ": " + kMissing);
    }
    target.container->mut(index_of(target.key, target.container->size(), 0).value()) = value;
  }
  return ok_status();
}

Status Patcher::move(const std::string& from, const std::string& path) {
  PointerTarget source = find(from);
  if (!source.container) {
    return refused("move operation does not apply: doc is missing from path: " + from + ": " + kMissing);
  }
  auto value = member_of(*source.container, source.key);
  if (!value.ok()) return value.error().in("error in move for path: '" + source.key + "'");
  BERTH_TRY(check_depth(parts_of(path), depth_ - std::min(depth_, parts_of(from))));
  if (Status status = remove_at(source); !status.ok())
    return status.error().in("error in move for path: '" + from + "'");
  PointerTarget target = find(path);
  if (!target.container) {
    return refused("move operation does not apply: doc is missing destination path: " + path + ": " + kMissing);
  }
  if (Status status = add_at(target, *value); !status.ok())
    return status.error().in("error in move for path: '" + path + "'");
  return ok_status();
}

Status Patcher::copy(const std::string& from, const std::string& path) {
  PointerTarget source = find(from);
  if (!source.container) {
    return refused("copy operation does not apply: doc is missing from path: \"" + from + "\": " + kMissing);
  }
  auto value = member_of(*source.container, source.key);
  if (!value.ok()) return value.error().in("error in copy for from: '" + from + "'");
  BERTH_TRY(count_copy(*value));
  BERTH_TRY(check_depth(parts_of(path), depth_ - std::min(depth_, parts_of(from))));
  PointerTarget target = find(path);
  if (!target.container) {
    return refused("copy operation does not apply: doc is missing destination path: " + path + ": " + kMissing);
  }
  if (Status status = add_at(target, *value); !status.ok())
    return status.error().in("error while adding value during copy");
  return ok_status();
}

Status Patcher::test(const std::string& path, const Value& value) {
  const std::string failed = "testing value " + path + " failed: test failed";
  if (path.empty()) return document_ == value ? ok_status() : Status(refused(failed));
  PointerTarget target = find(path);
  if (!target.container) return refused("test operation does not apply: is missing path: " + path + ": " + kMissing);
  auto found = member_of(*target.container, target.key);
  if (!found.ok()) {
    if (target.container->is_array()) return found.error().in("error in test for path: '" + path + "'");
    return value.is_null() ? ok_status() : Status(refused(failed));  // an absent member equals null
  }
  return *found == value ? ok_status() : Status(refused(failed));
}

Status Patcher::run(const Value& operation) {
  const std::string_view kind = operation["op"].as_string("unknown");
  if (!operation["path"].is_string()) {
    return refused(std::string(kind) + " operation failed to decode path: " + kMissing);
  }
  const std::string path = operation["path"].str();
  if (kind == "add") return add(path, operation["value"]);
  if (kind == "remove") return remove(path);
  if (kind == "replace") return replace(path, operation["value"]);
  if (kind == "test") return test(path, operation["value"]);
  if (kind == "move" || kind == "copy") {
    if (!operation["from"].is_string()) {
      return refused(std::string(kind) + " operation failed to decode from: " + kMissing);
    }
    return kind == "move" ? move(operation["from"].str(), path) : copy(operation["from"].str(), path);
  }
  return refused("Unexpected kind: " + std::string(kind));
}

std::string_view go_type(const Value& value) { return value.is_bool() ? "bool" : value.type_name(); }

}  // namespace

Result<Value> apply_operations(const Value& object, const Value& patch) {
  if (!patch.is_array()) {
    return error(Code::kBadRequest,
                 "json: cannot unmarshal " + std::string(go_type(patch)) + " into Go value of type jsonpatch.Patch");
  }
  for (const Value& operation : patch) {
    if (!operation.is_object()) {
      return error(Code::kBadRequest, "json: cannot unmarshal " + std::string(go_type(operation)) +
                                          " into Go value of type jsonpatch.Operation");
    }
  }
  if (patch.size() > kMaxJsonPatchOperations) {
    return error(Code::kTooLarge, "The allowed maximum operations in a JSON patch is " +
                                      std::to_string(kMaxJsonPatchOperations) + ", got " +
                                      std::to_string(patch.size()));
  }
  Patcher patcher(object);
  for (const Value& operation : patch) BERTH_TRY(patcher.run(operation));
  return patcher.take();
}

Result<Value> apply_json_patch(const Value& object, const Value& patch) {
  auto patched = apply_operations(object, patch);
  if (!patched.failed_with(Code::kInvalid)) return patched;
  return Error{Code::kInvalid, "the server rejected our request due to an error in our request",
               std::make_shared<const ErrorDetails>()};
}

namespace {

// The same for many changes at once.
Value merge_many(const Value& object, const Value& patch) {
  std::vector<std::pair<std::string_view, Value>> members;
  members.reserve(object.size() + patch.size());
  for (auto [key, value] : object.entries()) {
    if (!patch.contains(key)) members.emplace_back(key, value);
  }
  for (auto [key, change] : patch.entries()) {
    if (!change.is_null()) members.emplace_back(key, apply_merge_patch(object[key], change));
  }
  return json::make_object(members);
}

}  // namespace

Value apply_merge_patch(const Value& object, const Value& patch) {
  if (!patch.is_object()) return patch;
  constexpr std::size_t kMany = 64;
  if (patch.size() > kMany) return merge_many(object, patch);
  Value merged = object.is_object() ? object : Value::object();
  for (auto [key, change] : patch.entries()) {
    if (change.is_null()) {
      merged.erase(key);
    } else {
      merged.set(key, apply_merge_patch(merged[key], change));
    }
  }
  return merged;
}

}  // namespace berth::api::patch
