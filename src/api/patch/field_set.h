#pragma once
// FieldSet: a set of field paths, as managedFields record them ("FieldsV1").
//
// A path is a sequence of elements, each in its FieldsV1 spelling: `f:name` a member, `k:{"name":"c"}` the element of
// an associative list, `v:"a"` an element of a set, `i:3` a position.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::api::patch {

using FieldPath = std::vector<std::string>;

class FieldSet {
 public:
  bool empty() const;                                       // no path at all
  bool has(const std::string& element) const;               // the path of this one element
  const FieldSet* below(const std::string& element) const;  // null where there is nothing below it
  // The empty path stands for the whole object and is not recorded.
  void insert(const FieldPath& path);

  FieldSet united(const FieldSet& other) const;
  FieldSet without(const FieldSet& other) const;  // path by path: {a.b} without {a} is {a.b}
  FieldSet common(const FieldSet& other) const;
  bool intersects(const FieldSet& other) const;  // !common(other).empty()
  bool operator==(const FieldSet& other) const;

  // Every path: those that end here first, then those below, each in order.
  void for_each(const std::function<void(const FieldPath&)>& visit) const;

  Value to_fields_v1() const;
  static Result<FieldSet> from_fields_v1(const Value& fields);

  struct Node;
  // For walkers. Each node is a path that may be in the set itself (member) and may have longer ones below.
  std::map<std::string, Node>& nodes() { return nodes_; }
  const std::map<std::string, Node>& nodes() const { return nodes_; }

 private:
  void unite(const FieldSet& other);
  void visit_from(FieldPath& prefix, const std::function<void(const FieldPath&)>& visit) const;
  std::map<std::string, Node> nodes_;
};

struct FieldSet::Node {
  bool member = false;
  FieldSet below;
};

// .spec.containers[name="c"].ports[containerPort=80,protocol="TCP"]
std::string to_string(const FieldPath& path);

}  // namespace berth::api::patch
