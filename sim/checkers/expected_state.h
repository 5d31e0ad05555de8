#pragma once
// The state that sets specify, derived from the objects independently of the controller's code, so that a bug cannot be
// in both; also the states specified recently, because a correct decision may rest on any of them.

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
  // An update must replace the ordinal: it is expected, not below the partition, and the strategy is not OnDelete.
  bool updates(int ordinal) const { return !on_delete && ordinal >= first_updated && wants(ordinal); }
  // All expected ordinals.
  std::vector<int> ordinals() const;
  bool has_option(std::string_view annotation) const;  // its value is "true"

  Value set;
  int replicas = 0, start = 0, first_updated = 0;
  bool on_delete = false, recreate = false;

 private:
  std::vector<bool> skipped_ = std::vector<bool>(64);  // no history skips higher ordinals
};

class ExpectedState {
 public:
  explicit ExpectedState(Truth& truth) : truth_(truth) {}
  // To be called for every change.
  void on_change(const ObjectChange& change);
  // The set's present version, then those that were current within the slack.
  std::vector<ExpectedVersion> of(const Value& set) const;
  // True if `wrong` holds for all of them.
  template <class Wrong>
  bool all(const Value& set, Wrong wrong) const {
    for (const ExpectedVersion& version : of(set)) {
      if (!wrong(version)) return false;
    }
    return true;
  }

 private:
  struct EarlierVersion {
    Value set;
    Duration until;
  };
  Truth& truth_;
  std::map<std::string, std::vector<EarlierVersion>> earlier_;  // by uid
};

// The set that controls a pod, or null; it may be being deleted.
const Value& owner_of(const Truth& truth, const Value& pod);
int ordinal_of(const Value& pod);
// True if a pod with the set's name will never be ready, so that the set does not reach its desired state.
bool has_hopeless(const Truth& truth, const Value& set);
// True if the change starts a pod's deletion, or deletes it at once.
bool deletion_started(const ObjectChange& change);

}  // namespace berth::sim
