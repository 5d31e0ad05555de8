#include "store/sqlite_store.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <limits>

#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "store/sqlite_file.h"
#include "store/sqlite_log.h"
#include "store/versioned_map.h"
#include "store/witness.h"

namespace berth::store {

namespace {

// Replays the log into a map.
class Replay {
 public:
  explicit Replay(VersionedMap& map) : map_(map), compacted_(map.compacted()) {}

  Status apply(const JournalEntry& entry) {
    const bool deletes = entry.kind == JournalEntry::Kind::kDelete;
    if (!deletes && entry.kind != JournalEntry::Kind::kPut) return ok_status();
    if (entry.revision <= newest_) {
      return error(Code::kInternal, "its revision " + std::to_string(entry.revision) + " comes after revision " +
                                        std::to_string(newest_) + ": the database was changed by other hands");
    }
    return apply(SqliteFile::Row{entry.revision, entry.create_revision, entry.key, entry.value, deletes});
  }

  Status apply(const SqliteFile::Row& row) {
    RecordPtr previous = map_.get(row.key);
    newest_ = row.revision;
    auto event = std::make_shared<Event>();
    event->revision = row.revision;
    event->previous = previous;
    Value value;
    if (row.deletes) {
      if (!previous) return ok_status();  // of a key that only existed in memory
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
  const Revision compacted_;  // of the store; the map compacts more if its limits require it
};

// Added to the last revision after a loss: larger than all revisions that may have been used before it.
constexpr Revision kBeyondLoss = 1'000'000;

std::optional<LossFound> find_emptied_store(const std::string& path, const StoreGuard& guard,
                                            const std::optional<Witness>& witness) {
  if (path_exists(path)) return std::nullopt;
  for (const char* suffix : {"-wal", kJournalSuffixes[0], kJournalSuffixes[1]}) {
    if (path_exists(path + suffix)) return std::nullopt;  // SqliteFile::create() reports it
  }
  if (witness) {
    return LossFound{Loss::kStoreEmptied, path,
                     "is missing, although " + guard.witness + " tells of a store with revision " +
                         std::to_string(witness->revision)};
  }
  if (guard.had_pods)
    return LossFound{Loss::kStoreEmptied, path, "is missing, although pods of a cluster are in the data directory"};
  return std::nullopt;
}

std::optional<LossFound> compare_with_witness(const std::string& path, const SqliteFile& file, Revision revision,
                                              const std::string& name, const std::optional<Witness>& witness) {
  if (!witness) return std::nullopt;
  if (file.has_identity() && witness->identity != file.identity()) {
    return LossFound{Loss::kStoreForeign, path, "is not the store that " + name + " tells of"};
  }
  // Versions without identities had no witnesses.
  if (file.has_identity() && file.generation() >= witness->generation && revision >= witness->revision)
    return std::nullopt;
  const bool known = revision != std::numeric_limits<Revision>::max();
  return LossFound{Loss::kStoreOlder, path,
                   "is an older copy: it has " + (known ? "revision " + std::to_string(revision) + " and " : "") +
                       "generation " + std::to_string(file.generation()) + ", but " + name + " tells of revision " +
                       std::to_string(witness->revision) + " and generation " + std::to_string(witness->generation)};
}

void log_accepted_loss(const LossFound& loss) {
  log_warning("store", "goes on after an accepted loss",
              {{"loss", std::string(name_of(loss.loss))}, {"file", loss.path}, {"found", loss.what}});
}

// Makes the remaining writes the complete store, after the user accepted the losses.
Status accept_losses(const std::vector<LossFound>& losses, SqliteFile& file, const Journals& journals,
                     Revision revision, const StoreGuard& guard, const std::optional<Witness>& witness) {
  const Revision floor = std::max(revision, witness ? witness->revision : 0) + kBeyondLoss;
  const std::int64_t generation = std::max(journals.generation, witness ? witness->generation + 1 : 0);
  BERTH_TRY(file.prepare_for_writes(witness ? std::optional(witness->identity) : std::nullopt));
  BERTH_TRY(file.restart_after_loss(journals.full.get(), journals.active.get(), generation, floor));
  fault::step("store.anew");
  write_witness(guard.witness, {file.identity(), file.generation(), floor});
  for (const LossFound& each : losses) log_accepted_loss(each);
  return ok_status();
}

// Renames to a name that does not exist: files of earlier losses stay.
Status rename_aside(const std::string& name) {
  for (int number = 1;; ++number) {
    const std::string kept = name + ".lost" + (number == 1 ? "" : "-" + std::to_string(number));
    if (::renameat2(AT_FDCWD, name.c_str(), AT_FDCWD, kept.c_str(), RENAME_NOREPLACE) == 0) return ok_status();
    if (errno == EEXIST) continue;
    // Some file systems do not support RENAME_NOREPLACE. The lock excludes other processes.
    if (errno == EINVAL && path_exists(kept)) continue;
    if (errno == EINVAL && ::rename(name.c_str(), kept.c_str()) == 0) return ok_status();
    return errno_error("keeping " + name + " as " + kept);
  }
}

Status rename_lost_journals(const std::string& path, SqliteFile& file) {
  for (const char* suffix : kJournalSuffixes) {
    fault::step("store.lost");
    if (path_exists(path + suffix)) BERTH_TRY(rename_aside(path + suffix));
  }
  BERTH_TRY(sync_directory_of(path));
  fault::step("store.aside");
  return file.clear_lost_journals();
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(Runtime& runtime, const std::string& path, const StoreLimits& limits) {
  return open_guarded_store(runtime, path, limits, {});
}

Result<std::unique_ptr<Store>> open_guarded_store(Runtime& runtime, const std::string& path, const StoreLimits& limits,
                                                  const StoreGuard& guard) {
  const std::optional<Witness> witness = read_witness(guard.witness);
  SqliteFile::InitialMeta initial;
  if (const std::optional<LossFound> loss = find_emptied_store(path, guard, witness)) {
    if (!guard.accepted.has(loss->loss)) return to_error({*loss}, guard.up);
    // The new store continues the old one's identity from the moment its file exists.
    initial.floor = (witness ? witness->revision : 0) + kBeyondLoss;
    if (witness) initial.identity = witness->identity, initial.generation = witness->generation + 1;
    log_accepted_loss(*loss);
  }
  BERTH_ASSIGN(std::unique_ptr<SqliteFile> file, SqliteFile::open(path, initial, guard.up));
  BERTH_ASSIGN(Journals journals, Journals::find(path, *file));
  auto map = std::make_unique<VersionedMap>(limits, true);
  map->set_compacted(std::max(file->compacted(), journals.compacted));
  Replay replay(*map);
  BERTH_TRY(file->load([&replay](const SqliteFile::Row& row) { return replay.apply(row); }));
  for (const JournalFile* journal : {journals.full.get(), journals.active.get()}) {
    if (!journal) continue;
    Status status = journal->read([&replay](const JournalEntry& entry) { return replay.apply(entry); });
    if (!status.ok()) return status.error().in("reading " + journal->path());
  }
  map->advance(std::max({file->reserved(), file->compacted(), journals.reserved, journals.compacted}));
  std::vector<LossFound> losses;
  if (journals.loss) losses.push_back(*journals.loss);
  // A journal that ends early has lost its reserved revisions, too.
  const Revision reached = journals.loss ? std::numeric_limits<Revision>::max() : map->revision();
  if (std::optional<LossFound> other = compare_with_witness(path, *file, reached, guard.witness, witness))
    losses.push_back(std::move(*other));
  if (!losses.empty()) {
    if (!guard.accepted.has_all(losses)) return to_error(losses, guard.up);
    BERTH_TRY(accept_losses(losses, *file, journals, map->revision(), guard, witness));
    file.reset();
    return open_guarded_store(runtime, path, limits, {guard.witness, false, {}, guard.up});
  }
  BERTH_TRY(file->prepare_for_writes());
  if (file->lost_journals()) BERTH_TRY(rename_lost_journals(path, *file));
  const Witness now{file->identity(), file->generation(), map->revision()};
  if (!witness || *witness != now) write_witness(guard.witness, now);
  auto log = std::make_unique<SqliteLog>(runtime, path, std::move(file), std::move(journals), limits.journal_bytes,
                                         guard.witness);
  return std::unique_ptr<Store>(std::make_unique<QueuedStore>(runtime, limits, std::move(map), std::move(log)));
}

}  // namespace berth::store
