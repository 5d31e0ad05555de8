#include "store/sqlite_file.h"
#include "store/sqlite_log.h"
#include "store/versioned_map.h"

namespace berth::store {

namespace {

// Replays the log into a map.
class Replay {
 public:
  explicit Replay(VersionedMap& map) : map_(map), compacted_(map.compacted()) {}

  Status take(const JournalEntry& entry) {
    const bool deletes = entry.kind == JournalEntry::Kind::kDelete;
    if (!deletes && entry.kind != JournalEntry::Kind::kPut) return ok_status();
    if (entry.revision <= newest_) {
      return error(Code::kInternal, "its revision " + std::to_string(entry.revision) + " comes after revision " +
                                        std::to_string(newest_) + ": the database was changed by other hands");
    }
    return take(SqliteFile::Row{entry.revision, entry.create_revision, entry.key, entry.value, deletes});
  }

  Status take(const SqliteFile::Row& row) {
    RecordPtr previous = map_.get(row.key);
    newest_ = row.revision;
    auto event = std::make_shared<Event>();
    event->revision = row.revision;
    event->previous = previous;
    Value value;
    if (row.deletes) {
      if (!previous) return ok_status();  // of a key that only ever was in memory
      event->type = EventType::kDeleted;
      value = previous->value;
      value.mut("metadata").set("resourceVersion", std::to_string(row.revision));
    } else {
      BERTH_ASSIGN(value, json::parse(row.value));
      if (!value["metadata"].is_object()) return error(Code::kInternal, "no API object");
      event->type = previous ? EventType::kModified : EventType::kAdded;
    }
    event->record =
        std::make_shared<const Record>(std::string(row.key), std::move(value), row.create_revision, row.revision);
    if (row.revision <= compacted_) {
      map_.restore(std::move(event));
    } else {
      map_.apply(std::move(event), row.value.size(), true);
    }
    return ok_status();
  }

 private:
  VersionedMap& map_;
  Revision newest_ = 0;
  const Revision compacted_;  // of the store; the map forgets more where its limits ask for it
};

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(Runtime& runtime, const std::string& path, const Limits& limits) {
  BERTH_ASSIGN(std::unique_ptr<SqliteFile> file, SqliteFile::open(path));
  BERTH_ASSIGN(Journals journals, Journals::find(path, *file));
  auto map = std::make_unique<VersionedMap>(limits, true);
  map->set_compacted(std::max(file->compacted(), journals.compacted));
  Replay replay(*map);
  BERTH_TRY(file->load([&replay](const SqliteFile::Row& row) { return replay.take(row); }));
  for (const JournalFile* journal : {journals.full.get(), journals.active.get()}) {
    if (!journal) continue;
    Status status = journal->read([&replay](const JournalEntry& entry) { return replay.take(entry); });
    if (!status.ok()) return status.error().in("reading " + journal->path());
  }
  map->advance(std::max({file->reserved(), file->compacted(), journals.reserved, journals.compacted}));
  auto log = std::make_unique<SqliteLog>(runtime, path, std::move(file), std::move(journals), limits.journal_bytes);
  return std::unique_ptr<Store>(std::make_unique<QueuedStore>(runtime, limits, std::move(map), std::move(log)));
}

}  // namespace berth::store
