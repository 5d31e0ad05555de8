#include "store/sqlite_file.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/fault.h"
#include "base/text.h"

namespace berth::store {

namespace {

constexpr int kApplicationId = 0x42727468;  // "Brth"
constexpr int kFormat = 2;
constexpr int kFormatWithoutJournal = 1;

// Entries between two yields of a move: the threads that answer writes meanwhile may be on the same core, and would
// otherwise wait for the end of the mover's time slice. Measured with 64 clients on two cores: 6 % more writes than
// with a SCHED_BATCH thread that never yields.
constexpr unsigned kEntriesBetweenYields = 8;

constexpr const char* kCreateTables = R"(
  PRAGMA page_size = 8192;
  PRAGMA auto_vacuum = NONE;
  BEGIN;
  CREATE TABLE log(revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, kind INTEGER NOT NULL,
                   create_revision INTEGER NOT NULL, checksum INTEGER NOT NULL);
  CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  PRAGMA application_id = 1114797160;
  PRAGMA user_version = 2;
)";
static_assert(kApplicationId == 1114797160 && kFormat == 2);

std::int64_t checksum(Revision revision, Revision created, bool deletes, std::string_view key, std::string_view value) {
  std::uint64_t sum = fnv64a(key) * 31 + fnv64a(value);
  sum = sum * 31 + static_cast<std::uint64_t>(revision);
  sum = sum * 31 + static_cast<std::uint64_t>(created);
  return static_cast<std::int64_t>(sum * 31 + (deletes ? 1 : 0));
}

// "INSERT INTO meta ...;"; without `identity`, a random one.
std::string insert_store_rows(const std::optional<std::int64_t>& identity, std::int64_t generation) {
  return "INSERT INTO meta VALUES('identity', " + (identity ? std::to_string(*identity) : "random()") +
         "), ('generation', " + std::to_string(generation) + "), ('journal', 0);";
}

std::string create_statements(Revision floor, const std::optional<std::int64_t>& identity, std::int64_t generation) {
  const std::string number = std::to_string(floor);
  return std::string(kCreateTables) + "INSERT INTO meta VALUES('reserved', " + number + "), ('compacted', " + number +
         ");" + insert_store_rows(identity, generation) + "COMMIT;";
}

std::string upgrade_statements(const std::optional<std::int64_t>& identity) {
  return "BEGIN IMMEDIATE;" + insert_store_rows(identity, 1) + "PRAGMA user_version = 2; COMMIT;";
}

int column_int(sqlite3_stmt* statement, int column) { return sqlite3_column_int(statement, column); }

std::string_view column_text(sqlite3_stmt* statement, int column) {
  const void* bytes = sqlite3_column_blob(statement, column);
  int size = sqlite3_column_bytes(statement, column);
  return bytes ? std::string_view(static_cast<const char*>(bytes), static_cast<std::size_t>(size)) : std::string_view();
}

}  // namespace

// A statement that is finalized at the end of the scope.
class SqliteFile::Statement {
 public:
  Statement(sqlite3* db, const char* sql) { sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr); }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  sqlite3_stmt* get() const { return statement_; }  // null if preparing failed

 private:
  sqlite3_stmt* statement_ = nullptr;
};

SqliteFile::~SqliteFile() {
  for (sqlite3_stmt* statement : {begin_, commit_, rollback_, insert_, remove_, meta_}) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Error SqliteFile::damaged(const std::string& what) const { return unusable(path_, "is damaged: " + what, up_); }

// SQLite's last error, with the system's reason if it has one.
std::string SqliteFile::reason(sqlite3* db) {
  const int code = sqlite3_errcode(db) & 0xff;
  std::string text = sqlite3_errmsg(db);
  int os = code == SQLITE_FULL ? ENOSPC : 0;
  if (code == SQLITE_IOERR || code == SQLITE_CANTOPEN) os = sqlite3_system_errno(db);
  if (os != 0) text += std::string(" (") + std::strerror(os) + ")";
  return text;
}

Error SqliteFile::open_error() const {
  const int code = sqlite3_errcode(db_) & 0xff;
  if (code == SQLITE_NOTADB) {
    return error(Code::kInternal,
                 path_ + " is no store: it is not a SQLite database. Move it away, or name another file");
  }
  if (code == SQLITE_CORRUPT) return damaged(sqlite3_errmsg(db_));
  return error(Code::kInternal, "opening " + path_ + ": " + reason(db_));
}

Error SqliteFile::write_error() const { return error(Code::kUnavailable, "writing " + path_ + ": " + reason(db_)); }

Status SqliteFile::step_once(sqlite3_stmt* statement) const {
  int code = sqlite3_step(statement);
  Status status;
  if (code != SQLITE_DONE && code != SQLITE_ROW) status = write_error();
  sqlite3_reset(statement);
  return status;
}

Status SqliteFile::lock() {
  const std::string name = path_ + ".lock";
  lock_ = Fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_) return errno_error("opening " + name);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_error("locking " + name);
    char holder[32] = {};
    ssize_t got = ::pread(lock_.get(), holder, sizeof holder - 1, 0);
    std::string who = got > 0 ? " (process " + std::string(trim(holder)) + ")" : "";
    return error(Code::kUnavailable, path_ + " is in use by another process" + who +
                                         ". Stop that one first, or give this one its own data directory");
  }
  std::string pid = std::to_string(::getpid()) + "\n";
  // The pid is only for the message above: a full disk must not prevent the store from opening.
  if (::ftruncate(lock_.get(), 0) == 0) (void)!::pwrite(lock_.get(), pid.data(), pid.size(), 0);
  return ok_status();
}

// Created under another name and renamed, so that an empty or incomplete file is never mistaken for a new store.
Status SqliteFile::create(const InitialMeta& initial) {
  for (const auto& [suffix, what] :
       {std::pair("-wal", "write-ahead log"), {kJournalSuffixes[0], "journal"}, {kJournalSuffixes[1], "journal"}}) {
    if (!path_exists(path_ + suffix)) continue;
    return error(Code::kInternal, path_ + " is missing, but its " + what + " " + path_ + suffix +
                                      " is there. Put the file back, or move the " + what +
                                      " away and start with an empty store: " + up_ +
                                      " --accept-loss=" + std::string(name_of(Loss::kStoreEmptied)));
  }
  const std::string fresh = path_ + ".new";
  for (const char* suffix : {"", "-journal"}) ::unlink((fresh + suffix).c_str());
  // SQLite gives its own files the mode of the database.
  Fd made(::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!made) return errno_error("creating " + path_);
  sqlite3* db = nullptr;
  Status status;
  const std::string sql = create_statements(initial.floor, initial.identity, initial.generation);
  fault::step("store.create");
  if (sqlite3_open_v2(fresh.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr) != SQLITE_OK ||
      sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    status = error(Code::kUnavailable, "creating " + path_ + ": " + reason(db));
  }
  sqlite3_close(db);
  if (!status.ok()) {
    ::unlink(fresh.c_str());
    return status;
  }
  if (::rename(fresh.c_str(), path_.c_str()) != 0) return errno_error("creating " + path_);
  fault::step("store.created");
  return sync_directory_of(path_);
}

Result<int> SqliteFile::read_format() const {
  Statement application(db_, "PRAGMA application_id");
  if (!application.get() || sqlite3_step(application.get()) != SQLITE_ROW) return open_error();
  if (column_int(application.get(), 0) != kApplicationId) {
    return error(Code::kInternal,
                 path_ + " is no store: it is the SQLite database of another program. Name another file");
  }
  Statement format(db_, "PRAGMA user_version");
  if (!format.get() || sqlite3_step(format.get()) != SQLITE_ROW) return open_error();
  const int found = column_int(format.get(), 0);
  if (found != kFormat && found != kFormatWithoutJournal) {
    return error(Code::kInternal, path_ + " has format " + std::to_string(found) +
                                      "; this version of berth reads format " + std::to_string(kFormat) +
                                      ". Use the version that wrote it");
  }
  return found;
}

Status SqliteFile::connect() {
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path_.c_str(), &db_, kFlags, nullptr) != SQLITE_OK) return open_error();
  sqlite3_busy_timeout(db_, 10'000);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  BERTH_ASSIGN(format_, read_format());
  for (const char* sql : {"PRAGMA synchronous = FULL", "PRAGMA wal_autocheckpoint = 1000",
                          "PRAGMA journal_size_limit = 67108864", "PRAGMA cache_size = -4096"}) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return open_error();
  }
  return ok_status();
}

Status SqliteFile::prepare_for_writes(std::optional<std::int64_t> identity) {
  struct ::stat info {};
  // Earlier versions created the file with the umask's mode.
  if (::stat(path_.c_str(), &info) == 0 && (info.st_mode & 077) != 0 && ::chmod(path_.c_str(), 0600) != 0) {
    return errno_error("setting the mode of " + path_);
  }
  Statement wal(db_, "PRAGMA journal_mode = WAL");
  if (!wal.get() || sqlite3_step(wal.get()) != SQLITE_ROW) return open_error();
  if (column_text(wal.get(), 0) != "wal") {
    return error(Code::kInternal,
                 "opening " + path_ + ": its file system cannot hold a write-ahead log. Use a local one");
  }
  sqlite3_reset(wal.get());
  if (format_ == kFormatWithoutJournal) {
    const std::string sql = upgrade_statements(identity);
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return open_error();
    format_ = kFormat;
    BERTH_TRY(read_meta());
  }
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  return ok_status();
}

Status SqliteFile::prepare() {
  struct {
    sqlite3_stmt** statement;
    const char* sql;
  } const statements[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&insert_, "INSERT INTO log(revision, key, value, kind, create_revision, checksum) VALUES(?, ?, ?, ?, ?, ?)"},
      {&remove_, "DELETE FROM log WHERE revision = ?"},
      {&meta_, "UPDATE meta SET value = ? WHERE name = ?"},
  };
  for (const auto& each : statements) {
    if (sqlite3_prepare_v3(db_, each.sql, -1, SQLITE_PREPARE_PERSISTENT, each.statement, nullptr) != SQLITE_OK) {
      return open_error();
    }
  }
  return read_meta();
}

Status SqliteFile::read_meta() {
  Statement read(db_, "SELECT name, value FROM meta");
  if (!read.get()) return open_error();
  int code = 0;
  int found = 0;
  while ((code = sqlite3_step(read.get())) == SQLITE_ROW) {
    std::string_view name = column_text(read.get(), 0);
    Revision value = sqlite3_column_int64(read.get(), 1);
    if (name == "reserved") reserved_ = value, ++found;
    if (name == "compacted") compacted_ = value, ++found;
    if (name == "identity") identity_ = value, ++found;
    if (name == "generation") generation_ = value, ++found;
    if (name == "journal") journal_ = value, ++found;
    if (name == "lost") lost_ = value;
  }
  if (code != SQLITE_DONE) return open_error();
  if (format_ == kFormatWithoutJournal) generation_ = 1;
  if (found != (format_ == kFormatWithoutJournal ? 2 : 5)) return damaged("its table meta is incomplete");
  return ok_status();
}

Result<std::unique_ptr<SqliteFile>> SqliteFile::open(const std::string& path, const InitialMeta& initial,
                                                     std::string_view up) {
  std::unique_ptr<SqliteFile> file(new SqliteFile(path, up));
  BERTH_TRY(file->lock());
  struct ::stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return errno_error("opening " + path);
    BERTH_TRY(file->create(initial));
  } else if (!S_ISREG(info.st_mode)) {
    return error(Code::kInternal, path + " is no store: it is not a regular file. Name another file");
  } else if (info.st_size == 0) {
    return file->damaged("it is empty");
  }
  BERTH_TRY(file->connect());
  BERTH_TRY(file->prepare());
  return file;
}

Status SqliteFile::load(const Function<Status(const Row&)>& handle) {
  Statement read(db_, "SELECT revision, key, value, kind, create_revision, checksum FROM log ORDER BY revision");
  if (!read.get()) return open_error();
  int code = 0;
  while ((code = sqlite3_step(read.get())) == SQLITE_ROW) {
    Row row;
    row.revision = sqlite3_column_int64(read.get(), 0);
    newest_ = std::max(newest_, row.revision);
    row.key = column_text(read.get(), 1);
    row.value = column_text(read.get(), 2);
    row.deletes = column_int(read.get(), 3) != 0;
    row.create_revision = sqlite3_column_int64(read.get(), 4);
    if (sqlite3_column_int64(read.get(), 5) !=
        checksum(row.revision, row.create_revision, row.deletes, row.key, row.value)) {
      return damaged("the row of revision " + std::to_string(row.revision) + " does not match its checksum");
    }
    if (Status status = handle(row); !status.ok()) {
      return damaged("the row of revision " + std::to_string(row.revision) + ": " + status.error().message);
    }
  }
  if (code != SQLITE_DONE) return open_error();
  return ok_status();
}

Status SqliteFile::set_meta(const char* name, std::int64_t value) {
  sqlite3_bind_int64(meta_, 1, value);
  sqlite3_bind_text(meta_, 2, name, -1, SQLITE_STATIC);
  return step_once(meta_);
}

Status SqliteFile::insert_row(const JournalEntry& entry) {
  const bool deletes = entry.kind == JournalEntry::Kind::kDelete;
  newest_ = std::max(newest_, entry.revision);
  sqlite3_bind_int64(insert_, 1, entry.revision);
  sqlite3_bind_text(insert_, 2, entry.key.data(), static_cast<int>(entry.key.size()), SQLITE_STATIC);
  if (deletes) {
    sqlite3_bind_null(insert_, 3);
  } else {
    sqlite3_bind_blob(insert_, 3, entry.value.data(), static_cast<int>(entry.value.size()), SQLITE_STATIC);
  }
  sqlite3_bind_int(insert_, 4, deletes ? 1 : 0);
  sqlite3_bind_int64(insert_, 5, entry.create_revision);
  sqlite3_bind_int64(insert_, 6, checksum(entry.revision, entry.create_revision, deletes, entry.key, entry.value));
  return step_once(insert_);
}

Status SqliteFile::insert(const JournalFile& journal, const std::atomic<bool>* yields) {
  Revision reserved = 0, compacted = 0;
  unsigned entries = 0;
  BERTH_TRY(journal.read([&](const JournalEntry& entry) {
    if (++entries % kEntriesBetweenYields == 0 && yields && *yields) std::this_thread::yield();
    switch (entry.kind) {
      case JournalEntry::Kind::kPut:
      case JournalEntry::Kind::kDelete: return insert_row(entry);
      case JournalEntry::Kind::kForget: sqlite3_bind_int64(remove_, 1, entry.revision); return step_once(remove_);
      case JournalEntry::Kind::kReserve: reserved = entry.revision; break;
      case JournalEntry::Kind::kCompact: compacted = entry.revision; break;
      case JournalEntry::Kind::kEnd: break;
    }
    return ok_status();
  }));
  if (reserved != 0) BERTH_TRY(set_meta("reserved", reserved));
  if (compacted != 0) BERTH_TRY(set_meta("compacted", compacted));
  return ok_status();
}

Status SqliteFile::in_transaction(const Function<Status()>& work) {
  Status status = step_once(begin_);
  if (status.ok()) status = work();
  if (status.ok() && fault::hit("store.move")) {
    status = error(Code::kUnavailable, "writing " + path_ + ": injected fault");
  }
  if (status.ok()) status = step_once(commit_);
  if (!status.ok() && sqlite3_get_autocommit(db_) == 0) (void)step_once(rollback_);
  return status;
}

Status SqliteFile::record_journal_created() {
  BERTH_TRY(set_meta("journal", 1));
  journal_ = 1;
  return ok_status();
}

Status SqliteFile::move(const JournalFile& journal, const std::atomic<bool>* yields) {
  BERTH_TRY(in_transaction([&]() -> Status {
    BERTH_TRY(insert(journal, yields));
    return set_meta("generation", generation_ + 1);
  }));
  ++generation_;
  return ok_status();
}

Status SqliteFile::restart_after_loss(const JournalFile* full, const JournalFile* active, std::int64_t generation,
                                      Revision floor) {
  BERTH_TRY(in_transaction([&]() -> Status {
    for (const JournalFile* journal : {full, active}) {
      if (journal) BERTH_TRY(insert(*journal));
    }
    BERTH_TRY(set_meta("generation", generation));
    BERTH_TRY(set_meta("journal", 0));
    BERTH_TRY(set_meta("compacted", floor));
    if (sqlite3_exec(db_, "INSERT OR REPLACE INTO meta VALUES('lost', 1)", nullptr, nullptr, nullptr) != SQLITE_OK)
      return write_error();
    return set_meta("reserved", floor);
  }));
  lost_ = 1;
  generation_ = generation;
  journal_ = 0;
  compacted_ = reserved_ = floor;
  return ok_status();
}

Status SqliteFile::clear_lost_journals() {
  if (sqlite3_exec(db_, "DELETE FROM meta WHERE name = 'lost'", nullptr, nullptr, nullptr) != SQLITE_OK)
    return write_error();
  lost_ = 0;
  return ok_status();
}

Status SqliteFile::close(const JournalFile* journal, Revision last) {
  BERTH_TRY(in_transaction([&]() -> Status {
    if (journal) {
      BERTH_TRY(insert(*journal));
      BERTH_TRY(set_meta("generation", generation_ + 1));
      BERTH_TRY(set_meta("journal", 0));
    }
    return set_meta("reserved", last);
  }));
  if (journal) ++generation_;
  journal_ = 0;
  reserved_ = last;
  return ok_status();
}

}  // namespace berth::store
