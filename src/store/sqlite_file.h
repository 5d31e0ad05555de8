#pragma once
// SqliteFile: the log of writes in one SQLite database. Blocking; one thread for commit(), another for checkpoint().
//
//   log   one row a durable write, keyed by its revision, with a checksum. Rows that neither the newest state nor the
//         promised history needs are removed with later batches.
//   meta  reserved:  no revision above it was handed out without a row in the log
//         compacted: rows at or below it may be missing, except the newest of each key
//
// Beside the file stand SQLite's `-wal` and `-shm`, and `.lock`, which one process at a time holds.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/files.h"
#include "store/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth::store {

struct Batch;

class SqliteFile {
 public:
  struct Row {
    Revision revision;
    Revision create_revision;
    std::string_view key;
    std::string_view value;  // JSON; empty for a delete
    bool deletes;
  };

  // Creates the file where there is none; locks it. Errors say what is wrong with which file, and what to do.
  static Result<std::unique_ptr<SqliteFile>> open(const std::string& path);
  ~SqliteFile();

  // Calls `take` with every row in revision order. Ends with the first error, which names the file.
  Status load(const Function<Status(const Row&)>& take);
  Revision reserved() const { return reserved_; }
  Revision compacted() const { return compacted_; }

  // Stores a batch, whole or not at all. `reserve`: the new value of meta.reserved, or 0 to leave it.
  Status commit(const Batch& batch, Revision reserve);
  // Sets meta.reserved alone.
  Status reserve(Revision revision);

  // Bytes in the write-ahead log after the last commit.
  std::size_t wal_bytes() const { return wal_bytes_.load(std::memory_order_relaxed); }
  // Gives the write-ahead log room for `bytes` on disk: a write that makes its file longer has to wait for the file
  // system's journal as well. Beside commits, on the checkpointing thread. Does nothing where space is short.
  void make_room(std::size_t bytes);
  // Moves the write-ahead log into the database, nearly all of it beside commits. Where it failed, tries again when
  // called again.
  Status checkpoint();

 private:
  class Statement;
  explicit SqliteFile(std::string path) : path_(std::move(path)) {}

  Status lock();
  Status create();
  Status verify_kind(sqlite3* db) const;
  Status connect();
  Status prepare();
  Status insert_rows(const Batch& batch, Revision reserve);
  Status set_meta(const char* name, Revision value);
  Status step_once(sqlite3_stmt* statement) const;
  static std::string reason(sqlite3* db);
  Error damaged(const std::string& what) const;
  // The state of `db` as an error: opening gives advice, writing names the reason.
  Error open_error(sqlite3* db) const;
  Error write_error(sqlite3* db) const;

  std::string path_;
  Fd lock_;
  sqlite3* writer_ = nullptr;
  sqlite3* checkpointer_ = nullptr;
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  sqlite3_stmt* rollback_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* remove_ = nullptr;
  sqlite3_stmt* meta_ = nullptr;
  std::string encoded_;  // reused between rows
  Revision reserved_ = 0;
  Revision compacted_ = 0;
  std::atomic<std::size_t> wal_bytes_{0};
  std::mutex commit_mutex_;  // the last step of a checkpoint keeps commits away for a moment
};

}  // namespace berth::store
