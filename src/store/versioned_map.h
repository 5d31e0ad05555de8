#pragma once
// VersionedMap: the state of a store: the newest version of every key, sorted by key, and the recent events, from which
// earlier states are rebuilt and watches catch up. Plain data: no disk, no callbacks, one thread.

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "store/store.h"

namespace berth::store {

class VersionedMap {
 public:
  // `track_rows`: record which rows of the log are not needed any more (collect_garbage).
  VersionedMap(const StoreLimits& limits, bool track_rows);

  RecordPtr get(std::string_view key) const;
  Listing list(std::string_view prefix, std::size_t limit, std::string_view start_after) const;
  Result<Listing> list_at(Revision revision, std::string_view prefix, std::size_t limit, std::string_view start_after,
                          RemainingCount rest) const;
  std::size_t count(std::string_view prefix) const;
  Revision last_change(std::string_view prefix) const;

  // Makes an event visible. Its revision must be above revision(). `text_bytes`: approximate size of its record's text;
  // the value's memory is added here. `durable`: the log has a row for it. Removes the oldest history beyond the
  // limits.
  void apply(EventPtr event, std::size_t text_bytes, bool durable);
  // For recovery: a version at or below the compacted revision; adds no history.
  void restore(EventPtr event);
  void set_compacted(Revision revision) { compacted_ = revision; }
  // Raises the newest visible revision without an event.
  void advance(Revision revision) { revision_ = std::max(revision_, revision); }

  Revision revision() const { return revision_; }
  Revision compacted() const { return compacted_; }
  void compact(Revision revision);

  // The history, oldest first. Index of the first event with a greater revision; history_size() if there is none.
  std::size_t first_after(Revision revision) const;
  std::size_t history_size() const { return history_.size(); }
  const EventPtr& history(std::size_t index) const { return history_[index].event; }

  // Up to `most` rows that neither the newest state nor the history needs; none if there are fewer than `least`.
  std::vector<Revision> collect_garbage(std::size_t least, std::size_t most);
  void return_garbage(const std::vector<Revision>& rows);  // the log could not remove them

 private:
  struct KeySlot {
    mutable RecordPtr record;
    mutable Revision row = 0;  // the log's newest row of this key; 0: none
  };
  struct ByKey {
    using is_transparent = void;
    bool operator()(const KeySlot& a, const KeySlot& b) const { return a.record->key < b.record->key; }
    bool operator()(const KeySlot& a, std::string_view b) const { return a.record->key < b; }
    bool operator()(std::string_view a, const KeySlot& b) const { return a < b.record->key; }
  };
  struct HistoryEntry {
    EventPtr event;
    std::size_t bytes;
  };
  struct SupersededRow {
    Revision by;   // when the history up to this revision is removed ...
    Revision row;  // ... this row is garbage
  };
  struct FolderState {
    std::size_t keys = 0;
    Revision changed = 0;
  };
  using KeySlots = std::set<KeySlot, ByKey>;

  void change(const Event& event, bool durable);
  void remove_oldest_event();
  void remove_empty_folders();
  KeySlots::const_iterator begin_of(std::string_view prefix, std::string_view start_after) const;

  const StoreLimits limits_;
  const bool track_rows_;
  KeySlots slots_;
  // By the key up to its last '/'. Folders without keys are retained for `changed`, up to a number.
  std::map<std::string, FolderState, std::less<>> folders_;
  std::size_t empty_folders_ = 0;
  Revision removed_folders_change_ = 0;  // the newest `changed` of removed folders
  std::deque<HistoryEntry> history_;
  std::size_t history_bytes_ = 0;
  std::deque<SupersededRow> superseded_;
  std::map<std::string, Revision, std::less<>> hidden_rows_;  // rows of keys that an ephemeral delete hides
  Revision revision_ = 0;
  Revision compacted_ = 0;
};

// Approximate length of the JSON encoding, without encoding.
std::size_t approximate_size(const Value& value);

}  // namespace berth::store
