#pragma once
// metadata.managedFields decoded: the managers and their fields. Pure.

#include <string>
#include <vector>

#include "api/patch/field_set.h"
#include "base/runtime.h"

namespace berth::api::patch {

struct Manager {
  std::string name;
  bool applies = false;  // operation Apply; otherwise Update
  std::string api_version;
  std::string subresource;
  std::string time;  // as in the object; may be empty
  FieldSet set;

  // One entry for each of these. Appliers keep theirs when they move to another version.
  bool same_entry(const Manager& other) const {
    return name == other.name && applies == other.applies && subresource == other.subresource &&
           (applies || api_version == other.api_version);
  }
};

class Managers {
 public:
  // Errors where an entry is malformed.
  static Result<Managers> decode(const Value& managed_fields);
  // Sorted as upstream sorts; null where there are none.
  Value encode() const;
  static Value encode(const Manager& manager);

  bool empty() const { return entries_.empty(); }
  Manager* find(const Manager& like);
  void put(Manager manager);  // replaces the entry like it
  std::vector<Manager>& entries() { return entries_; }
  const std::vector<Manager>& entries() const { return entries_; }
  void erase_empty();
  // Merges the oldest updates into "ancient-changes" while there are more than ten.
  void cap_updates();

 private:
  std::vector<Manager> entries_;
};

// Fields without an owner: identity, and what the server sets.
const FieldSet& unowned_fields();

}  // namespace berth::api::patch
