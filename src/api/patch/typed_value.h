#pragma once
// Objects entry through their schema: which field paths they have, how two of them differ, how one is merged into the
// other. The rules of structured merge: atomic values are one field, maps and objects are merged by key, associative
// lists and sets element by element.
//
// A pointer to a Value is null where there is nothing; that differs from a Value that is null.

#include "api/patch/field_set.h"
#include "api/schema/schema.h"

namespace berth::api::patch {

// One position in an object, as the schema describes it. Cheap to copy.
class SchemaPosition {
 public:
  static SchemaPosition root(const schema::Type& type);
  static SchemaPosition of(const schema::Field* field);  // null: not in the schema

  bool known() const { return known_; }
  // One field as a whole, judging by `value` where the schema leaves the shape open.
  bool is_leaf(const Value& value) const;
  bool is_map() const { return shape_ == schema::Shape::kObject || shape_ == schema::Shape::kMap; }
  const schema::Type* type() const { return shape_ == schema::Shape::kObject ? type_ : nullptr; }
  bool atomic() const { return atomic_; }
  bool associative() const { return shape_ == schema::Shape::kList && !atomic_; }
  const schema::Field* list() const { return list_; }  // where associative(): what its keys are
  const schema::Field* member_field(std::string_view name) const;
  SchemaPosition member(std::string_view name) const;
  SchemaPosition element() const { return of(element_); }
  SchemaPosition below(const std::string& path_element) const;  // by its FieldsV1 spelling
  // The path element of an element of an associative list.
  Result<std::string> key_of(const Value& item) const;
  // "map", "list", "string", ... what may stand here; empty where anything may.
  std::string_view expected() const;
  bool accepts(const Value& value) const;

 private:
  schema::Shape shape_ = schema::Shape::kRaw;
  const schema::Type* type_ = nullptr;
  const schema::Field* element_ = nullptr;
  const schema::Field* list_ = nullptr;
  bool atomic_ = false;
  bool known_ = false;
};

struct Comparison {
  FieldSet added, modified, removed;
  FieldSet changed() const { return added.united(modified); }
};

// The member as compare() sees it. A struct held by value, and whatever is written even where empty, is always there in
// an object that is there. Null: nothing. `field`: position.member_field(name).
const Value* member_or_absent(const SchemaPosition& position, const schema::Field* field, const Value* object,
                              std::string_view name);

FieldSet field_set_of(const SchemaPosition& root, const Value& value);
Comparison compare(const SchemaPosition& root, const Value& before, const Value& after);
// `over` wins where both have something. Elements of lists: the order of `over`, what only `under` has in between.
Value merged(const SchemaPosition& root, const Value& under, const Value& over);
// Without the members and elements whose paths are in `removed_paths`. Lists and maps that become empty go too.
Value without_items(const SchemaPosition& root, const Value& value, const FieldSet& removed_paths);
// The set with each member of an object of which the set has a path below.
FieldSet with_named_fields(const SchemaPosition& root, const FieldSet& set);
// Whether the value fits its schema: no unknown fields, right kinds of containers, keys present and unique.
Status check_typed(const SchemaPosition& root, const Value& value);

}  // namespace berth::api::patch
