#pragma once
// SqliteFile: the log of writes in one SQLite database, which journals are moved into (journal_file.h). Blocking; one
// thread at a time.
//
//   log   one row a durable write, keyed by its revision, with a checksum. Rows that neither the newest state nor the
//         promised history needs are removed with later moves.
//   meta  reserved:   no revision above it was handed out without a row in the log or an entry in a journal
//         compacted:  rows at or below it may be missing, except the newest of each key
//         identity:   a number by which its journals know it
//         generation: of the journal that is to be moved next; those before it have been
//         journal:    1: that one has been begun, and must be there; 0: every write is in the log
//         lost:       1: there was a loss, and the journals from before it have not been put aside yet; else there is no such row
//
// Beside the file stand SQLite's `-wal` and `-shm`, and `.lock`, which one process at a time holds.

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

  // How a file that is made begins.
  struct Beginning {
    std::optional<std::int64_t> identity;  // none: a number by chance
    std::int64_t generation = 1;
    Revision floor = 0;  // revisions go on above it, with no history before
  };

  // Creates the file where there is none; locks it. Errors say what is wrong with which file, and what to do. A file
  // that is there stays as it is until settle(). `up`: see Guard.
  static Result<std::unique_ptr<SqliteFile>> open(const std::string& path, const Beginning& beginning,
                                                  std::string_view up = kUp);
  ~SqliteFile();

  // Calls `take` with every row in revision order. Ends with the first error, which names the file.
  Status load(const Function<Status(const Row&)>& take);
  Revision reserved() const { return reserved_; }
  Revision compacted() const { return compacted_; }

  bool has_identity() const { return format_ > 1; }  // files of format 1 get one from settle()
  std::int64_t identity() const { return identity_; }
  std::int64_t generation() const { return generation_; }
  bool journal_begun() const { return journal_ != 0; }
  const std::string& up() const { return up_; }

  // The journal of generation() is there from now on.
  Status begin_journal();
  // Stores what the journal of generation() holds, whole or not at all. The next one must have been begun. Yields the
  // processor time and again while `give_way` is true.
  Status move(const JournalFile& journal, const std::atomic<bool>* give_way = nullptr);
  // The same for the last one (null: none was begun), after which there is none, with the last revision handed out.
  Status close(const JournalFile* journal, Revision last);
  // After a loss, which settle() came after: stores what the journals (oldest first; null: none) still hold, and begins
  // a new time: journals are of `generation` from now on, there is none yet, and revisions go on above `floor`, with no
  // history before. The journals that are there are lost_journals() from then on.
  Status begin_anew(const JournalFile* full, const JournalFile* active, std::int64_t generation, Revision floor);
  // Journal files beside this one are of before a loss: they are to be put aside, not used again.
  bool lost_journals() const { return lost_ != 0; }
  Status forget_lost_journals();
  // Makes the file ready for writes: its mode, its write-ahead log, its format, for which one without an identity gets
  // `identity` or a number by chance. Until this is called, the file and its write-ahead log stay as they are. What
  // only reads need not do it.
  Status settle(std::optional<std::int64_t> identity = std::nullopt);
  Revision newest() const { return newest_; }  // of the rows that were loaded or moved

 private:
  class Statement;
  SqliteFile(std::string path, std::string_view up) : path_(std::move(path)), up_(up) {}

  Status lock();
  Status create(const Beginning& beginning);
  Result<int> read_format() const;  // and whether it is ours at all
  Status connect();
  Status prepare();
  Status read_meta();
  Status in_transaction(const Function<Status()>& work);
  Status insert(const JournalFile& journal, const std::atomic<bool>* give_way = nullptr);
  Status insert_row(const JournalEntry& entry);
  Status set_meta(const char* name, std::int64_t value);
  Status step_once(sqlite3_stmt* statement) const;
  static std::string reason(sqlite3* db);
  Error damaged(const std::string& what) const;
  // The state of the database as an error: opening gives advice, writing names the reason.
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
