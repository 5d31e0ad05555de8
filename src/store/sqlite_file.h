#pragma once
// SqliteFile: the log of writes in one SQLite database, into which journals are moved (journal_file.h). Blocking; one
// thread at a time.
//
//   log   one row per durable write, keyed by its revision, with a checksum. Rows that neither the newest state nor the
//         promised history needs are removed with later moves.
//   meta  reserved:   no revision above it was used without a row in the log or an entry in a journal
//         compacted:  rows at or below it may be missing, except the newest of each key
//         identity:   a number that its journals contain, too
//         generation: of the journal to move next; earlier ones were moved
//         journal:    1: the journal of that generation was created, and must exist; 0: every write is in the log
//         lost:       1: a loss was accepted, and the journals from before it have not been renamed yet; else no such row
//
// Files beside it: SQLite's `-wal` and `-shm`, and `.lock`, which one process at a time has locked.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/files.h"
#include "store/journal_file.h"
#include "store/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth::store {

class SqliteFile {
 public:
  struct Row {
    Revision revision;
    Revision create_revision;
    std::string_view key;
    std::string_view value;  // JSON; empty for a delete
    bool deletes;
  };

  // The meta values of a new file.
  struct InitialMeta {
    std::optional<std::int64_t> identity;  // empty: a random number
    std::int64_t generation = 1;
    Revision floor = 0;  // revisions start above it, without history before
  };

  // Creates the file if there is none; locks it. Errors name the file, the problem and the remedy. An existing file is
  // not modified before prepare_for_writes(). `up`: see StoreGuard.
  static Result<std::unique_ptr<SqliteFile>> open(const std::string& path, const InitialMeta& initial,
                                                  std::string_view up = kUp);
  ~SqliteFile();

  // Calls `handle` for every row in revision order. Stops at the first error, which names the file.
  Status load(const Function<Status(const Row&)>& handle);
  Revision reserved() const { return reserved_; }
  Revision compacted() const { return compacted_; }

  bool has_identity() const { return format_ > 1; }  // files of format 1 get one in prepare_for_writes()
  std::int64_t identity() const { return identity_; }
  std::int64_t generation() const { return generation_; }
  bool has_journal() const { return journal_ != 0; }
  const std::string& up() const { return up_; }

  // Records that the journal of generation() exists.
  Status record_journal_created();
  // Stores the entries of the journal of generation(), atomically. The next journal must have been created. Yields the
  // CPU at intervals while `yields` is true.
  Status move(const JournalFile& journal, const std::atomic<bool>* yields = nullptr);
  // The same for the last journal (null: none was created), and records that there is no journal, and the last revision
  // used.
  Status close(const JournalFile* journal, Revision last);
  // After a loss and prepare_for_writes(): stores the remaining entries of the journals (oldest first; null: none) and
  // starts a new period: journals have `generation` from now on, none exists yet, and revisions start above `floor`,
  // without history before. Existing journal files are lost_journals() from then on.
  Status restart_after_loss(const JournalFile* full, const JournalFile* active, std::int64_t generation,
                            Revision floor);
  // Journal files beside this one are from before a loss: rename them, do not use them.
  bool lost_journals() const { return lost_ != 0; }
  Status clear_lost_journals();
  // Prepares the file for writes: its mode, its write-ahead log, its format; a file without identity gets `identity` or
  // a random number. Before this call the file and its write-ahead log are not modified. Not needed for reading only.
  Status prepare_for_writes(std::optional<std::int64_t> identity = std::nullopt);
  Revision newest() const { return newest_; }  // of the rows that were loaded or moved

 private:
  class Statement;
  SqliteFile(std::string path, std::string_view up) : path_(std::move(path)), up_(up) {}

  Status lock();
  Status create(const InitialMeta& initial);
  Result<int> read_format() const;  // and checks that the file is a store
  Status connect();
  Status prepare();
  Status read_meta();
  Status in_transaction(const Function<Status()>& work);
  Status insert(const JournalFile& journal, const std::atomic<bool>* yields = nullptr);
  Status insert_row(const JournalEntry& entry);
  Status set_meta(const char* name, std::int64_t value);
  Status step_once(sqlite3_stmt* statement) const;
  static std::string reason(sqlite3* db);
  Error damaged(const std::string& what) const;
  // The database's last error as an Error: open_error() gives advice, write_error() names the reason.
  Error open_error() const;
  Error write_error() const;

  std::string path_, up_;
  Fd lock_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  sqlite3_stmt* rollback_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* remove_ = nullptr;
  sqlite3_stmt* meta_ = nullptr;
  Revision reserved_ = 0, compacted_ = 0, newest_ = 0;
  std::int64_t identity_ = 0, generation_ = 0, journal_ = 0, lost_ = 0;
  int format_ = 0;
};

}  // namespace berth::store
