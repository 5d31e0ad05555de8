#pragma once
// VersionedMap: what a store knows. The newest version of every key, in key order, and the last changes, from which
// the past can be rebuilt and watches can catch up. Plain data: no disk, no callbacks, one thread.

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "store/store.h"

namespace berth::store {

class VersionedMap {
 public:
  // `track_rows`: remember which rows of a log on disk nobody needs any more (take_garbage).
  VersionedMap(const Limits& limits, bool track_rows);

  RecordPtr get(std::string_view key) const;
  Listing list(std::string_view prefix, std::size_t limit, std::string_view start_after) const;
  Result<Listing> list_at(Revision revision, std::string_view prefix, std::size_t limit, std::string_view start_after,
                          Rest rest) const;
  std::size_t count(std::string_view prefix) const;
  Revision last_change(std::string_view prefix) const;

  // Makes an event visible. Its revision is above revision(). `text_bytes`: about the size of the text of its record;
  // what the value takes besides is counted here. `durable`: the log has a row for it. Forgets the oldest history
  // beyond the limits.
  void apply(EventPtr event, std::size_t text_bytes, bool durable);
  // For recovery: a version at or below the compacted revision; makes no history.
  void restore(EventPtr event);
  void set_compacted(Revision revision) { compacted_ = revision; }
  // The newest visible revision is at least this one, though no event of it is known.
  void advance(Revision revision) { revision_ = std::max(revision_, revision); }

  Revision revision() const { return revision_; }
  Revision compacted() const { return compacted_; }
  void compact(Revision revision);

  // The history, oldest first. Index of the first event with a greater revision; history_size() where there is none.
  std::size_t first_after(Revision revision) const;
  std::size_t history_size() const { return history_.size(); }
  const EventPtr& history(std::size_t index) const { return history_[index].event; }

  // Up to `most` rows that neither the newest state nor the history needs, or none while there are fewer than `least`.
  std::vector<Revision> take_garbage(std::size_t least, std::size_t most);
  void return_garbage(const std::vector<Revision>& rows);  // the log could not remove them

 private:
  struct Slot {
    mutable RecordPtr record;
    mutable Revision row = 0;  // the log's newest row of this key; 0: none
  };
  struct ByKey {
    using is_transparent = void;
    bool operator()(const Slot& a, const Slot& b) const { return a.record->key < b.record->key; }
    bool operator()(const Slot& a, std::string_view b) const { return a.record->key < b; }
    bool operator()(std::string_view a, const Slot& b) const { return a < b.record->key; }
  };
  struct Past {
    EventPtr event;
    std::size_t bytes;
  };
  struct Superseded {
    Revision by;   // once history up to here is forgotten ...
    Revision row;  // ... this row is garbage
  };
  struct Folder {
    std::size_t keys = 0;
    Revision changed = 0;
  };
  using Slots = std::set<Slot, ByKey>;

  void change(const Event& event, bool durable);
  void forget_oldest();
  void forget_empty_folders();
  Slots::const_iterator begin_of(std::string_view prefix, std::string_view start_after) const;

  const Limits limits_;
  const bool track_rows_;
  Slots slots_;
  // By the key up to its last '/'. Those without keys are kept for their last change, until there are too many.
  std::map<std::string, Folder, std::less<>> folders_;
  std::size_t empty_folders_ = 0;
  Revision forgotten_change_ = 0;  // the newest of folders that are not kept any more
  std::deque<Past> history_;
  std::size_t history_bytes_ = 0;
  std::deque<Superseded> superseded_;
  std::map<std::string, Revision, std::less<>> hidden_rows_;  // rows of keys that an ephemeral delete hides
  Revision revision_ = 0;
  Revision compacted_ = 0;
};

// About the length of the JSON encoding, without making it.
std::size_t approximate_size(const Value& value);

}  // namespace berth::store
