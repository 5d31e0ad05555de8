#include "store/versioned_map.h"

#include <algorithm>

#include "base/json/memory.h"

namespace berth::store {

namespace {

constexpr std::size_t kMostEmptyFolders = 1000;
constexpr std::size_t kHistoryEntryBytes =
    sizeof(Event) + sizeof(Record) + 100;  // of an event, without key, text, value

std::string_view folder_of(std::string_view key) {
  std::size_t slash = key.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : key.substr(0, slash + 1);
}

// Collects records into a Listing until its limit.
class Collector {
 public:
  Collector(Listing& listing, std::size_t limit) : listing_(listing), limit_(limit) {}
  void add(const RecordPtr& record) {
    if (limit_ != 0 && listing_.records.size() == limit_) {
      listing_.more = true;
      ++listing_.remaining;
    } else {
      listing_.records.push_back(record);
    }
  }

 private:
  Listing& listing_;
  std::size_t limit_;
};

}  // namespace

std::size_t approximate_size(const Value& value) {
  switch (value.type()) {
    case json::Type::kString: return value.as_string().size() + 2;
    case json::Type::kArray: {
      std::size_t total = 2;
      for (const Value& element : value) total += approximate_size(element) + 1;
      return total;
    }
    case json::Type::kObject: {
      std::size_t total = 2;
      for (auto [key, member] : value.entries()) total += key.size() + 4 + approximate_size(member);
      return total;
    }
    default: return 4;
  }
}

VersionedMap::VersionedMap(const StoreLimits& limits, bool track_rows) : limits_(limits), track_rows_(track_rows) {}

RecordPtr VersionedMap::get(std::string_view key) const {
  auto it = slots_.find(key);
  return it == slots_.end() ? nullptr : it->record;
}

VersionedMap::KeySlots::const_iterator VersionedMap::begin_of(std::string_view prefix,
                                                              std::string_view start_after) const {
  return start_after.empty() || start_after < prefix ? slots_.lower_bound(prefix) : slots_.upper_bound(start_after);
}

Listing VersionedMap::list(std::string_view prefix, std::size_t limit, std::string_view start_after) const {
  Listing listing;
  listing.revision = revision_;
  Collector collector(listing, limit);
  for (auto it = begin_of(prefix, start_after); it != slots_.end() && it->record->key.starts_with(prefix); ++it) {
    collector.add(it->record);
    if (listing.more && start_after.empty()) {  // the first page: do not iterate over the rest
      listing.remaining = count(prefix) - listing.records.size();
      break;
    }
  }
  return listing;
}

Result<Listing> VersionedMap::list_at(Revision revision, std::string_view prefix, std::size_t limit,
                                      std::string_view start_after, RemainingCount rest) const {
  if (revision > revision_) {
    return error(Code::kInvalid, "revision " + std::to_string(revision) + " is in the future: the newest is " +
                                     std::to_string(revision_));
  }
  if (revision < compacted_) {
    return error(Code::kExpired, "revision " + std::to_string(revision) + " has been compacted: the oldest kept is " +
                                     std::to_string(compacted_));
  }
  Listing listing;
  listing.revision = revision;
  Collector collector(listing, limit);
  auto now = begin_of(prefix, start_after);
  const auto below = [&](KeySlots::const_iterator at) {
    return at != slots_.end() && at->record->key.starts_with(prefix);
  };
  // A page needs little of the later history: keys are processed in windows, each larger than the one before, because
  // all keys of a window may be newer than `revision`.
  std::size_t window = limit == 0 || rest == RemainingCount::kCounted ? slots_.size() : 2 * limit;
  for (std::string_view from = start_after;; window *= 2) {
    auto end = now;
    for (std::size_t keys = 0; keys < window && below(end); ++keys) ++end;
    const bool last = !below(end);
    const std::string_view through = last ? std::string_view() : std::prev(end)->record->key;
    // The state at `revision`: the version before the first later event of each key.
    std::map<std::string_view, RecordPtr> then;
    for (std::size_t i = first_after(revision); i < history_.size(); ++i) {
      const Event& event = *history_[i].event;
      const std::string& key = event.record->key;
      if (key > from && (last || key <= through) && key.starts_with(prefix)) then.emplace(key, event.previous);
    }
    for (auto old = then.begin(); old != then.end() || now != end;) {
      if (listing.more && rest == RemainingCount::kNotCounted) {
        listing.remaining = 0;
        return listing;
      }
      if (old == then.end() || (now != end && now->record->key < old->first)) {
        collector.add(now->record);
        ++now;
        continue;
      }
      if (now != end && now->record->key == old->first) ++now;
      if (old->second) collector.add(old->second);
      ++old;
    }
    if (last) break;
    from = through;
  }
  if (rest == RemainingCount::kNotCounted) listing.remaining = 0;
  return listing;
}

std::size_t VersionedMap::count(std::string_view prefix) const {
  if (folder_of(prefix) != prefix) {  // a partial name: count the matches
    std::size_t matches = 0;
    auto it = slots_.lower_bound(prefix);
    for (; it != slots_.end() && it->record->key.starts_with(prefix); ++it) ++matches;
    return matches;
  }
  std::size_t total = 0;
  for (auto it = folders_.lower_bound(prefix); it != folders_.end() && it->first.starts_with(prefix); ++it) {
    total += it->second.keys;
  }
  return total;
}

Revision VersionedMap::last_change(std::string_view prefix) const {
  Revision last = removed_folders_change_;
  if (auto around = folders_.find(folder_of(prefix)); around != folders_.end()) last = around->second.changed;
  for (auto it = folders_.lower_bound(prefix); it != folders_.end() && it->first.starts_with(prefix); ++it) {
    last = std::max(last, it->second.changed);
  }
  return last;
}

void VersionedMap::change(const Event& event, bool durable) {
  const std::string& key = event.record->key;
  auto it = slots_.find(std::string_view(key));
  if (durable && track_rows_) {
    if (it != slots_.end() && it->row != 0) superseded_.push_back({event.revision, it->row});
    if (event.type == EventType::kDeleted) superseded_.push_back({event.revision, event.revision});
  }
  if (event.type == EventType::kDeleted) {
    if (it == slots_.end()) return;
    if (!durable && it->row != 0) hidden_rows_.emplace(key, it->row);
    FolderState& folder = folders_.find(folder_of(key))->second;
    folder.changed = event.revision;
    slots_.erase(it);
    if (--folder.keys == 0 && ++empty_folders_ > kMostEmptyFolders) remove_empty_folders();
  } else if (it == slots_.end()) {
    std::string_view name = folder_of(key);
    auto folder = folders_.find(name);
    if (folder == folders_.end()) folder = folders_.emplace(std::string(name), FolderState{}).first;
    if (folder->second.keys++ == 0 && folder->second.changed > 0) --empty_folders_;
    folder->second.changed = event.revision;
    Revision row = 0;
    if (auto hidden = hidden_rows_.find(key); hidden != hidden_rows_.end()) {
      row = hidden->second;
      hidden_rows_.erase(hidden);
    }
    if (durable && row != 0 && track_rows_) superseded_.push_back({event.revision, row});
    slots_.insert(KeySlot{event.record, durable ? event.revision : row});
  } else {
    it->record = event.record;  // equal key: the order is unchanged
    folders_.find(folder_of(key))->second.changed = event.revision;
    if (durable) it->row = event.revision;
  }
}

void VersionedMap::apply(EventPtr event, std::size_t text_bytes, bool durable) {
  BERTH_CHECK(event->revision > revision_, "events become visible in revision order");
  change(*event, durable);
  revision_ = event->revision;
  // The history alone holds the part of the earlier version that this one does not share: about as much as this one has
  // beyond the earlier.
  const std::size_t bytes =
      kHistoryEntryBytes + event->record->key.size() + text_bytes +
      json::memory_beyond(event->record->value, event->previous ? event->previous->value : Value());
  history_bytes_ += bytes;
  history_.push_back({std::move(event), bytes});
  while (history_.size() > limits_.history_events || history_bytes_ > limits_.history_bytes) remove_oldest_event();
}

void VersionedMap::restore(EventPtr event) {
  change(*event, true);
  advance(event->revision);
}

void VersionedMap::remove_oldest_event() {
  compacted_ = std::max(compacted_, history_.front().event->revision);
  history_bytes_ -= history_.front().bytes;
  history_.pop_front();
}

void VersionedMap::remove_empty_folders() {
  std::erase_if(folders_, [this](const auto& folder) {
    if (folder.second.keys > 0) return false;
    removed_folders_change_ = std::max(removed_folders_change_, folder.second.changed);
    return true;
  });
  empty_folders_ = 0;
}

void VersionedMap::compact(Revision revision) {
  revision = std::min(revision, revision_);
  while (!history_.empty() && history_.front().event->revision <= revision) remove_oldest_event();
  compacted_ = std::max(compacted_, revision);
}

std::size_t VersionedMap::first_after(Revision revision) const {
  auto it = std::upper_bound(history_.begin(), history_.end(), revision,
                             [](Revision r, const HistoryEntry& past) { return r < past.event->revision; });
  return static_cast<std::size_t>(it - history_.begin());
}

std::vector<Revision> VersionedMap::collect_garbage(std::size_t least, std::size_t most) {
  std::vector<Revision> rows;
  if (superseded_.size() < least || superseded_[least - 1].by > compacted_) return rows;
  while (!superseded_.empty() && rows.size() < most && superseded_.front().by <= compacted_) {
    rows.push_back(superseded_.front().row);
    superseded_.pop_front();
  }
  return rows;
}

void VersionedMap::return_garbage(const std::vector<Revision>& rows) {
  for (auto it = rows.rbegin(); it != rows.rend(); ++it) superseded_.push_front({0, *it});
}

}  // namespace berth::store
