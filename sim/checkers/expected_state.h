#pragma once
// What sets ask for, read off the objects and not by the controller's own code, so that both cannot be wrong alike; and
// what they asked for lately: a decision may honestly rest on any of it.

#include <map>
#include <string>
#include <vector>

#include "sim/truth.h"

namespace berth::sim {

// One version of a set.
struct ExpectedVersion {
  explicit ExpectedVersion(const Value& set);
  bool wants(int ordinal) const;
  bool skips(int ordinal) const { return ordinal < 64 && skipped_[static_cast<std::size_t>(ordinal)]; }
  // An update concerns the member: one that is wanted, not below the partition, not with OnDelete.
  bool updates(int ordinal) const { return !on_delete && ordinal >= first_updated && wants(ordinal); }
  // All ordinals that are wanted.
  std::vector<int> ordinals() const;
  bool has_option(std::string_view annotation) const;  // it is "true"

  Value set;
  int replicas = 0, start = 0, first_updated = 0;
  bool on_delete = false, recreate = false;

 private:
  std::vector<bool> skipped_ = std::vector<bool>(64);  // no history skips more
};

class ExpectedState {
 public:
  explicit ExpectedState(Truth& truth) : truth_(truth) {}
  // To be told of every change.
  void on_change(const Change& change);
  // What the set asks for now, then what it asked for within the slack.
  std::vector<ExpectedVersion> of(const Value& set) const;
  // Something is wrong only if it is by all of them.
  template <class Wrong>
  bool all(const Value& set, Wrong wrong) const {
    for (const ExpectedVersion& wish : of(set)) {
      if (!wrong(wish)) return false;
    }
    return true;
  }

 private:
  struct Earlier {
    Value set;
    Duration until;
  };
  Truth& truth_;
  std::map<std::string, std::vector<Earlier>> earlier_;  // by uid
};

// The set that controls a pod, if it is there; whether it is being deleted or not.
const Value& owner_of(const Truth& truth, const Value& pod);
int ordinal_of(const Value& pod);
// A pod of the set's names will never be ready, so that the set does not come to what it asks for.
bool has_hopeless(const Truth& truth, const Value& set);
// The pod was asked to go, or went at once.
bool starts_to_go(const Change& change);

}  // namespace berth::sim
