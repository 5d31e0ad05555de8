// What only the backend on disk has: restarts, crashes, damage, full disks.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "base/fault.h"
#include "base/log.h"
#include "store/journal_file.h"
#include "store/test_support.h"

namespace berth::store {
namespace {

using Lines = std::vector<std::string>;

class SqliteStoreTest : public ::testing::Test {
 protected:
  ~SqliteStoreTest() override { fault::disarm_all(); }

  std::string path() const { return folder_ / "store.db"; }
  void open(const Limits& limits = {}) {
    store_.reset();
    auto store = open_sqlite_store(loop_, path(), limits);
    ASSERT_TRUE(store.ok()) << store.error().message;
    store_ = std::move(store).value();
  }
  std::string open_error() {
    auto store = open_sqlite_store(loop_, path(), {});
    EXPECT_FALSE(store.ok());
    return store.ok() ? "" : store.error().message;
  }
  Revision must_write(Write write) {
    auto result = write_now(loop_, *store_, std::move(write));
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result.ok() ? (*result)->mod_revision : -1;
  }
  // Many writes in few groups: of `names` keys, in turn.
  void write_many(int count, int names, std::string_view prefix, const Value& data = 1) {
    for (int i = 0; i < count; ++i) {
      store_->write(put(std::string(prefix) + std::to_string(i % names), data),
                    [](Result<RecordPtr> result) { EXPECT_TRUE(result.ok()); });
    }
    flush();
  }
  std::int64_t value_of(std::string_view name) {
    RecordPtr record = store_->get(key_of(name));
    return record ? record->value["data"]["x"].as_int() : -1;
  }
  void flush() {
    bool flushed = false;
    store_->flush([&flushed] { flushed = true; });
    EXPECT_TRUE(run_until(loop_, [&flushed] { return flushed; }));
    run_turns(loop_);
  }
  // As after a crash: a copy of the files while the store is open.
  void crash() {
    std::map<std::string, std::string> files;
    for (const char* suffix : {".journal-1", ".journal-2", "", "-wal"}) {
      auto content = read_file(path() + suffix);
      if (content.ok()) files[path() + suffix] = *content;
    }
    store_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((path() + suffix).c_str());
    for (const auto& [name, content] : files) ASSERT_TRUE(write_file(name, content).ok());
  }
  std::int64_t size_of(const std::string& suffix) const {  // -1 where there is none
    struct ::stat info {};
    return ::stat((path() + suffix).c_str(), &info) == 0 ? info.st_size : -1;
  }
  std::int64_t query(const std::string& sql) {
    sqlite3* db = nullptr;
    sqlite3_stmt* statement = nullptr;
    std::int64_t value = -1;
    if (sqlite3_open(path().c_str(), &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
      value = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
  }

  TemporaryFolder folder_;
  Loop loop_{1};
  std::unique_ptr<Store> store_;
};

TEST_F(SqliteStoreTest, EverythingIsBackAfterAnOrderlyStop) {
  open();
  must_write(put("a", 1));
  must_write(put("b", 2));
  must_write(put("a", 3));
  must_write(removal("b"));
  open();
  EXPECT_EQ(store_->revision(), 4);
  EXPECT_EQ(value_of("a"), 3);
  EXPECT_FALSE(store_->get(key_of("b")));
  RecordPtr a = store_->get(key_of("a"));
  EXPECT_EQ(a->create_revision, 1);
  EXPECT_EQ(a->mod_revision, 3);
  EXPECT_EQ(a->value["metadata"]["resourceVersion"].str(), "3");
  EXPECT_EQ(must_write(put("c", 1)), 5) << "numbers go on without a gap";
}

TEST_F(SqliteStoreTest, WatchesResumeAcrossARestart) {
  open();
  must_write(put("a", 1));
  must_write(put("a", 2));
  must_write(put("b", 3));
  must_write(removal("a"));
  open();
  RecordingSink sink;
  auto watch = store_->watch("/registry/", 1, &sink);
  ASSERT_TRUE(watch.ok());
  must_write(put("c", 5));
  flush();
  EXPECT_EQ(sink.text(), (Lines{"M a 2 @2", "A b 3 @3", "D a 2 @4", "A c 5 @5"}));
  EXPECT_EQ(sink.events[2]->previous->mod_revision, 2);
  EXPECT_EQ(store_->list_at(2, "/registry/")->records.size(), 1u);
}

TEST_F(SqliteStoreTest, EphemeralWritesAreGoneAfterARestartButTheirNumbersAreNot) {
  open();
  must_write(put("lease", 1));
  const Revision given = must_write(ephemeral_put("lease", 2));
  must_write(ephemeral_put("memory-only", 1));
  EXPECT_EQ(value_of("lease"), 2);
  crash();
  open();
  EXPECT_EQ(value_of("lease"), 1);
  EXPECT_FALSE(store_->get(key_of("memory-only")));
  EXPECT_GT(store_->revision(), given);
  EXPECT_GT(must_write(put("a", 1)), given + 1);
  // A durable write on top of an ephemeral one makes all of it durable.
  must_write(ephemeral_put("lease", 5));
  must_write(put("lease", 6));
  open();
  EXPECT_EQ(value_of("lease"), 6);
  EXPECT_EQ(store_->get(key_of("lease"))->create_revision, 1);
}

TEST_F(SqliteStoreTest, EphemeralWritesReserveNumbersInBlocks) {
  open();
  must_write(put("lease", 0));
  Revision last = 0;
  for (int i = 0; i < 25'000; ++i) {
    store_->write(ephemeral_put("lease", i), [&last](Result<RecordPtr> result) {
      ASSERT_TRUE(result.ok());
      EXPECT_GT((*result)->mod_revision, last);
      last = (*result)->mod_revision;
    });
    if (i % 1000 == 0) flush();
  }
  flush();
  EXPECT_EQ(last, 25'001);
  crash();
  open();
  EXPECT_GE(store_->revision(), last);
  EXPECT_LE(store_->revision(), last + 10'000);
  EXPECT_EQ(value_of("lease"), 0);
}

TEST_F(SqliteStoreTest, AnEphemeralDeleteComesUndone) {
  open();
  must_write(put("a", 1));
  Write write = removal("a");
  write.ephemeral = true;
  must_write(std::move(write));
  EXPECT_FALSE(store_->get(key_of("a")));
  crash();
  open();
  EXPECT_EQ(value_of("a"), 1);
  // A delete for good after such a one leaves no older version to come back.
  write = removal("a");
  write.ephemeral = true;
  must_write(std::move(write));
  must_write(put("a", 2));
  must_write(removal("a"));
  write_many(600, 1, "b");
  store_->compact(store_->revision());
  must_write(put("b", 1));
  open();
  EXPECT_EQ(query("SELECT count(*) FROM log WHERE key LIKE '%/a'"), 0);
  EXPECT_FALSE(store_->get(key_of("a")));
}

TEST_F(SqliteStoreTest, CompactionKeepsTheNewestOfEachKeyAndTheRevision) {
  Limits limits;
  limits.history_events = 100;
  open(limits);
  must_write(put("kept", 7));
  write_many(3000, 5, "k");
  for (int i = 0; i < 5; ++i) must_write(removal("k" + std::to_string(i)));
  for (int round = 0; round < 10; ++round) write_many(150, 1, "other");
  const Revision last = store_->revision();
  open(limits);
  EXPECT_LT(query("SELECT count(*) FROM log"), 700);
  EXPECT_EQ(query("SELECT count(*) FROM log WHERE key LIKE '%/k1'"), 0) << "nothing is left of what was deleted";
  // The newest rows of all may be gone; the revision does not follow them.
  must_write(removal("other0"));
  // Even a store that would keep more history does not pretend to have what is gone.
  open();
  EXPECT_EQ(store_->revision(), last + 1);
  EXPECT_EQ(value_of("kept"), 7);
  EXPECT_EQ(store_->count("/registry/"), 1u);
  EXPECT_GE(store_->compacted(), last - 1000);
  EXPECT_TRUE(store_->watch("/registry/", 5, nullptr).failed_with(Code::kExpired));
  EXPECT_EQ(store_->list_at(store_->compacted(), "/registry/")->records.size(), 2u) << "kept and other0";
  EXPECT_EQ(must_write(put("kept", 8, 1)), last + 2);
}

TEST_F(SqliteStoreTest, RowsThatTheHistoryNeedsStay) {
  open();
  write_many(1500, 5, "k");
  write_many(1500, 5, "k");
  must_write(removal("k3"));
  must_write(put("k4", 4));
  open();
  EXPECT_EQ(store_->compacted(), 0);
  RecordingSink sink;
  auto watch = store_->watch("/registry/", 0, &sink);
  ASSERT_TRUE(watch.ok());
  EXPECT_TRUE(run_until(loop_, [&] { return sink.events.size() >= 3002; }));
  EXPECT_EQ(sink.events.size(), 3002u);
  EXPECT_EQ(store_->list_at(3, "/registry/")->records.size(), 3u);
}

TEST_F(SqliteStoreTest, JournalsAndWriteAheadLogAreBounded) {
  open();
  const std::string kilobyte(1000, 'x');
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 1000; ++i) {
      store_->write(put("k" + std::to_string(i), kilobyte), [](Result<RecordPtr> result) { ASSERT_TRUE(result.ok()); });
    }
    flush();
  }
  EXPECT_LT(size_of("-wal"), 40 << 20);
  for (const char* suffix : {".journal-1", ".journal-2"}) {
    EXPECT_GT(size_of(suffix), 0);
    EXPECT_LE(size_of(suffix), 8 << 20);
  }
  open();
  EXPECT_EQ(store_->count("/registry/"), 1000u);
}

TEST_F(SqliteStoreTest, OnlyABusyStoreHasRoom) {
  open();
  must_write(put("a", 1));
  EXPECT_EQ(size_of(".journal-1"), 1 << 20);
  EXPECT_EQ(size_of(".journal-2"), -1);
  const std::string kilobyte(1000, 'x');
  int written = 0;
  ASSERT_TRUE(run_until(loop_, [&] {
    must_write(put("k" + std::to_string(written++ % 100), kilobyte));
    return size_of(".journal-1") == 8 << 20 && size_of(".journal-2") == 8 << 20;
  }));
  EXPECT_EQ(store_->count("/registry/"), static_cast<std::size_t>(std::min(written, 100)) + 1);
}

TEST_F(SqliteStoreTest, AnOrderlyEndLeavesTheDatabaseAlone) {
  open();
  must_write(put("a", 1));
  EXPECT_GE(size_of(".journal-1"), 0);
  store_.reset();
  for (const char* suffix : {".journal-1", ".journal-2", "-wal", "-shm"}) EXPECT_EQ(size_of(suffix), -1) << suffix;
  EXPECT_EQ(query("SELECT count(*) FROM log"), 1);
  // Where it fails, nothing is lost.
  open();
  must_write(put("a", 2));
  fault::arm("store.move", 1);
  store_.reset();
  EXPECT_GE(size_of(".journal-1"), 0);
  open();
  EXPECT_EQ(value_of("a"), 2);
  const Revision last = must_write(put("a", 3));
  EXPECT_EQ(store_->revision(), last);
}

TEST_F(SqliteStoreTest, WhatTheMoverLeftBehindIsThereAfterACrash) {
  Limits limits;
  limits.journal_bytes = 64 << 10;
  // Once with both journals full of it, once with one moved and not yet begun again.
  for (const char* point : {"store.move", "store.journal"}) {
    open(limits);
    for (int i = 0; i < 100; ++i) must_write(put("before", i));
    fault::arm(point, 1'000'000);
    int stored = 0;
    Result<RecordPtr> result = write_now(loop_, *store_, put("k", 0));
    while (result.ok() && stored < 1000) result = write_now(loop_, *store_, put("k", ++stored));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, Code::kUnavailable);
    EXPECT_TRUE(contains(result.error().message, "writing " + path()));
    EXPECT_GE(stored, 8) << "a journal's worth at least";
    EXPECT_EQ(value_of("k"), stored - 1) << "reading goes on";
    EXPECT_TRUE(write_now(loop_, *store_, ephemeral_put("lease", 1)).ok());
    crash();
    open(limits);
    EXPECT_EQ(value_of("k"), stored - 1);
    EXPECT_EQ(value_of("before"), 99);
    fault::disarm_all();
    // The one that was refused may be tried again, and the mover goes on.
    for (int i = 0; i < 100; ++i) must_write(put("k", 2000 + i));
    EXPECT_EQ(value_of("k"), 2099);
  }
  open(limits);
  EXPECT_EQ(value_of("k"), 2099);
}

TEST_F(SqliteStoreTest, WritesGoOnByThemselvesWhenTheMoverCanAgain) {
  Limits limits;
  limits.journal_bytes = 64 << 10;
  open(limits);
  fault::arm("store.move", 3);
  int refused = 0;
  for (int i = 0; i < 200; ++i) refused += !write_now(loop_, *store_, put("k" + std::to_string(i), i)).ok();
  EXPECT_LE(refused, 3);
  EXPECT_EQ(store_->count("/registry/"), 200u - static_cast<unsigned>(refused));
  open(limits);
  EXPECT_EQ(store_->count("/registry/"), 200u - static_cast<unsigned>(refused));
}

// A batch of more than a journal holds has one for itself.
TEST_F(SqliteStoreTest, ABatchMayBeLargerThanAJournal) {
  Limits limits;
  limits.journal_bytes = 64 << 10;
  open(limits);
  for (int round = 0; round < 3; ++round) {
    must_write(put("small", round));
    write_many(100, 100, "k", std::string(10'000, 'x'));
  }
  crash();
  open(limits);
  EXPECT_EQ(store_->count("/registry/"), 101u);
  EXPECT_EQ(value_of("small"), 2);
}

TEST_F(SqliteStoreTest, RefusesFilesThatDoNotBelongTogether) {
  open();
  must_write(put("a", 1));
  store_.reset();
  const std::string old = *read_file(path());
  open();
  must_write(put("a", 2));
  crash();
  const std::string journal = *read_file(path() + ".journal-1");
  const std::string now = *read_file(path()), wal = *read_file(path() + "-wal");
  auto with = [&](const std::string& database, const std::string& log, const std::string& kept) {
    for (const char* suffix : {"-shm", "-wal", ".journal-1"}) ::unlink((path() + suffix).c_str());
    EXPECT_TRUE(write_file(path(), database).ok());
    EXPECT_TRUE(log.empty() || write_file(path() + "-wal", log).ok());
    EXPECT_TRUE(kept.empty() || write_file(path() + ".journal-1", kept).ok());
    return open_error();
  };
  EXPECT_TRUE(contains(with(now, wal, ""), "the journal with its last writes is missing. Put back a copy"));
  EXPECT_TRUE(contains(with(old, "", journal), "knows nothing of the writes in its journal"));
  ::unlink(path().c_str());
  EXPECT_TRUE(contains(open_error(), path() + " is missing, but its journal " + path() + ".journal-1 is there"));
  ::unlink((path() + ".journal-1").c_str());
  open();
  must_write(put("a", 7));
  crash();
  const std::string other = *read_file(path()), other_wal = *read_file(path() + "-wal");
  EXPECT_TRUE(contains(with(other, other_wal, journal), "they are of another store"));
  EXPECT_EQ(*read_file(path() + ".journal-1"), journal) << "nothing of it is lost";
  (void)with(now, wal, "");
  ASSERT_TRUE(write_file(path() + ".journal-1", journal).ok());
  query("INSERT INTO log SELECT 2, key, value, kind, create_revision, checksum + 31 * 31 FROM log WHERE revision = 1");
  EXPECT_TRUE(contains(open_error(), "its revision 2 comes after revision 2: the database was changed by other hands"));
  query("DELETE FROM log WHERE revision = 2");
  open();
  EXPECT_EQ(value_of("a"), 2);
}

TEST_F(SqliteStoreTest, TakesOverAStoreWithoutJournals) {
  open();
  must_write(put("a", 1));
  must_write(put("b", 2));
  store_.reset();
  query("DELETE FROM meta WHERE name IN ('identity', 'generation', 'journal')");
  query("PRAGMA user_version = 1");
  open();
  EXPECT_EQ(value_of("b"), 2);
  EXPECT_EQ(must_write(put("a", 3)), 3);
  crash();
  open();
  EXPECT_EQ(value_of("a"), 3);
  EXPECT_EQ(query("PRAGMA user_version"), 2);
}

TEST_F(SqliteStoreTest, OneProcessAtATime) {
  open();
  const std::string text = open_error();
  EXPECT_TRUE(contains(text, path() + " is in use by another process (process " + std::to_string(::getpid()) + ")"));
  EXPECT_TRUE(contains(text, "Stop that one first"));
  must_write(put("a", 1));
  open();
  EXPECT_EQ(value_of("a"), 1);
}

TEST_F(SqliteStoreTest, RefusesWhatIsNoStore) {
  ASSERT_TRUE(write_file(path(), std::string(20'000, 'x')).ok());
  EXPECT_TRUE(contains(open_error(), path() + " is no store: it is not a SQLite database"));
  ASSERT_TRUE(write_file(path(), "").ok());
  EXPECT_TRUE(contains(open_error(), path() + " is damaged: it is empty"));
  ::unlink(path().c_str());
  query("CREATE TABLE t(x)");
  query("SELECT 1");
  {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS u(x)", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
  }
  EXPECT_TRUE(contains(open_error(), "is the SQLite database of another program"));
  ::unlink(path().c_str());
  ASSERT_EQ(::mkdir(path().c_str(), 0700), 0);
  EXPECT_TRUE(contains(open_error(), "it is not a regular file"));
  ::rmdir(path().c_str());
  ASSERT_TRUE(write_file(path() + "-wal", "x").ok());
  EXPECT_TRUE(contains(open_error(), path() + " is missing, but its write-ahead log"));
  ::unlink((path() + "-wal").c_str());
  auto nowhere = open_sqlite_store(loop_, folder_ / "absent/store.db", {});
  ASSERT_FALSE(nowhere.ok());
  EXPECT_TRUE(contains(nowhere.error().message, "absent/store.db.lock: No such file or directory"));
}

TEST_F(SqliteStoreTest, RefusesANewerFormat) {
  open();
  must_write(put("a", 1));
  store_.reset();
  query("PRAGMA user_version = 3");
  EXPECT_TRUE(contains(open_error(), "has format 3; this version of berth reads format 2"));
}

TEST_F(SqliteStoreTest, RefusesDamage) {
  open();
  write_many(200, 200, "k", std::string(500, 'y'));
  store_.reset();
  auto whole = read_file(path());
  ASSERT_TRUE(whole.ok());
  auto with = [&](std::string content) {
    EXPECT_TRUE(write_file(path(), content).ok());
    return open_error();
  };
  EXPECT_TRUE(contains(with(whole->substr(0, whole->size() / 2)), path() + " is damaged: "));
  EXPECT_TRUE(contains(with(whole->substr(0, 8192)), path() + " is damaged: "));
  EXPECT_TRUE(contains(with(whole->substr(0, 100)), path()));
  // One letter of one value: only the checksum can tell.
  std::string letter = *whole;
  const std::size_t at = letter.find("yyyyyyyyyy", letter.size() / 2);
  ASSERT_NE(at, std::string::npos);
  letter[at] = 'z';
  EXPECT_TRUE(contains(with(letter), "does not match its checksum. Put back a copy"));
  // A page of noise in the middle of the tree.
  std::string noise = *whole;
  for (std::size_t i = 0; i < 8192; ++i) noise[8192 * 4 + i] = static_cast<char>(i * 37);
  EXPECT_TRUE(contains(with(noise), " is damaged: "));
  EXPECT_TRUE(write_file(path(), *whole).ok());
  open();
  EXPECT_EQ(store_->count("/registry/"), 200u);
}

TEST_F(SqliteStoreTest, AFailureHalfWayStoresNothing) {
  open();
  must_write(put("a", 1));
  for (const char* point : {"store.insert", "store.commit", "store.fsync"}) {
    fault::arm(point, 1);
    auto result = write_now(loop_, *store_, put("a", 2));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, std::string_view(point) == "store.fsync" ? Code::kUnknown : Code::kUnavailable);
    EXPECT_TRUE(contains(result.error().message, "writing " + path()));
    EXPECT_EQ(value_of("a"), 1);
  }
  must_write(put("b", 2));
  crash();
  open();
  EXPECT_EQ(value_of("a"), 1);
  EXPECT_EQ(value_of("b"), 2);
}

TEST_F(SqliteStoreTest, NoWriteAtRestNorForEphemeralWrites) {
  open();
  must_write(put("lease", 1));
  flush();
  auto stamp = [&] {
    std::string all;
    for (const char* suffix : {"", "-wal", ".journal-1"}) {
      auto content = read_file(path() + suffix);
      struct ::stat info {};
      EXPECT_EQ(::stat((path() + suffix).c_str(), &info), 0);
      all += content.ok() ? *content : "";
      all += std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec) + ";";
    }
    return all;
  };
  const std::string before = stamp();
  for (int i = 0; i < 1000; ++i) must_write(ephemeral_put("lease", i));
  flush();
  EXPECT_TRUE(stamp() == before);
}

// --- Crashes

// While the loop sleeps for the disk, the thread that commits answers in its place.
TEST_F(SqliteStoreTest, LoneWritesAreAnsweredInOrderByWhoeverHasTheTurn) {
  open();
  const auto owner = std::this_thread::get_id();
  int written = 0, elsewhere = 0;
  Revision last = 0;
  Function<void()> next = [&] {
    Write write = put("k", ++written);
    write.keep_json = true;
    store_->write(std::move(write), [&, value = written](Result<RecordPtr> result) {
      elsewhere += std::this_thread::get_id() != owner;
      ASSERT_TRUE(result.ok());
      EXPECT_EQ((*result)->json(), json::encode((*result)->value));
      EXPECT_GT((*result)->mod_revision, std::exchange(last, (*result)->mod_revision));
      EXPECT_EQ(value_of("k"), value);
      if ((written >= 200 && elsewhere > 0) || written >= 20'000) return loop_.stop();
      next();
    });
  };
  loop_.post([&] { next(); });
  loop_.run();
  EXPECT_GT(elsewhere, 0);
  open();
  EXPECT_EQ(value_of("k"), written);
}

// A thread that lends itself, as the transports of a server do.
class LendingThread final : public Lender {
 public:
  explicit LendingThread(Loop& loop) : loop_(loop), thread_([this] { run(); }) {}
  ~LendingThread() {
    ended_ = true;
    wake();
    thread_.join();
    ::close(alarm_);
  }
  void lend(Task task) {  // any thread
    {
      std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake();
  }
  std::thread::id id() const { return thread_.get_id(); }

  void take_on(Work work) override { work_.push_back(std::move(work)); }
  int alarm() const override { return alarm_; }

 private:
  void wake() {
    std::uint64_t one = 1;
    EXPECT_EQ(::write(alarm_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
  void run() {
    while (!ended_ || !work_.empty()) {
      std::uint64_t count = 0;
      EXPECT_EQ(::read(alarm_, &count, sizeof count), static_cast<ssize_t>(sizeof count));
      std::vector<Task> tasks;
      {
        std::lock_guard lock(mutex_);
        tasks.swap(tasks_);
      }
      for (Task& task : tasks) loop_.lend(std::move(task), this);
      for (std::size_t i = 0; i < work_.size();) {  // which may grow meanwhile
        Work work = std::move(work_[i]);
        work_.erase(work_.begin() + static_cast<std::ptrdiff_t>(i));
        if (work()) continue;
        work_.insert(work_.begin() + static_cast<std::ptrdiff_t>(i++), std::move(work));
      }
    }
  }

  Loop& loop_;
  int alarm_ = ::eventfd(0, EFD_CLOEXEC);
  std::mutex mutex_;
  std::vector<Task> tasks_;
  std::vector<Work> work_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// Whether this system and file system can do what a lender's write needs.
bool writes_directly(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600)), alarm(::eventfd(0, EFD_CLOEXEC));
  BlockBuffer block;
  block.reserve(BlockBuffer::kBlock, 0);
  AsyncWrite write;  // before its bytes are gone, it has ended
  return fd && write.begin(fd.get(), {block.data(), BlockBuffer::kBlock}, 0, alarm.get());
}

TEST_F(SqliteStoreTest, ALoneWriteIsAppendedByTheThreadThatBroughtIt) {
  Limits limits;
  limits.journal_bytes = 64 << 10;  // every fifteenth finds no room
  open(limits);
  int written = 0, by_lender = 0, failed = 0;
  std::optional<LendingThread> lender;
  Function<void()> next = [&] {
    store_->write(put("k" + std::to_string(written % 10), written), [&](Result<RecordPtr> result) {
      by_lender += std::this_thread::get_id() == lender->id();
      if (result.ok()) {
        EXPECT_EQ(value_of("k" + std::to_string(written % 10)), written);
      } else {
        EXPECT_TRUE(contains(result.error().message, "injected fault"));
        ++failed;
      }
      if (++written == 2000) return loop_.stop();
      lender->lend([&] { next(); });
    });
  };
  for (const char* point : {"store.insert", "store.commit", "store.fsync"}) fault::arm_probability(point, 0.005);
  lender.emplace(loop_);
  lender->lend([&] { next(); });
  loop_.run();
  lender.reset();
  fault::disarm_all();
  EXPECT_GT(failed, 0);
  EXPECT_TRUE(by_lender > 100 || !writes_directly(folder_ / "probe")) << by_lender;
  std::map<std::string, std::int64_t> values;
  for (int i = 0; i < 10; ++i) values["k" + std::to_string(i)] = value_of("k" + std::to_string(i));
  crash();
  open(limits);
  for (const auto& [name, value] : values) EXPECT_EQ(value_of(name), value) << name;
}

TEST_F(SqliteStoreTest, TheEndWaitsForWhatALenderHas) {
  for (int round = 0; round < 50; ++round) {
    open();
    LendingThread lender(loop_);
    lender.lend([&] {
      store_->write(put("k", round), [](Result<RecordPtr>) {});
      loop_.stop();
    });
    loop_.run();
    store_.reset();
    EXPECT_EQ(size_of(".journal-1"), -1);
  }
  open();
  EXPECT_GE(value_of("k"), -1);
}

struct Report {  // one acknowledged write, through a pipe
  std::int32_t key;
  std::int32_t value;
  std::int64_t revision;
  std::int64_t ephemeral;
};

constexpr int kStormKeys = 20;

// Writes as fast as it can, with 64 writes outstanding, until it is killed.
class Storm {
 public:
  Storm(const std::string& path, int round, int pipe) : pipe_(pipe), value_(round * 1'000'000) {
    Limits limits;
    limits.history_events = 300;  // so that compaction takes part
    limits.journal_bytes = round % 2 == 0 ? 64 << 10 : 8 << 20;  // and moves
    auto store = open_sqlite_store(loop_, path, limits);
    if (!store.ok()) ::_exit(3);
    store_ = std::move(store).value();
  }
  [[noreturn]] void run() {
    for (int i = 0; i < 64; ++i) next();
    loop_.run();
    ::_exit(4);
  }

 private:
  void next() {
    const int value = ++value_;
    const int key = value % kStormKeys;
    const bool ephemeral = value % 7 == 0;
    Write write = ephemeral ? ephemeral_put("e", value) : put("k" + std::to_string(key), value);
    store_->write(std::move(write), [this, key, value, ephemeral](Result<RecordPtr> result) {
      if (!result.ok()) ::_exit(5);
      Report report{key, value, (*result)->mod_revision, ephemeral ? 1 : 0};
      if (::write(pipe_, &report, sizeof report) != sizeof report) ::_exit(6);
      next();
    });
  }
  int pipe_;
  int value_;
  Loop loop_{1};
  std::unique_ptr<Store> store_;
};

TEST(SqliteStoreCrash, EveryAcknowledgedWriteSurvivesKill9) {
  TemporaryFolder folder;
  const std::string path = folder / "store.db";
  std::map<int, int> acknowledged;
  Revision highest = 0;
  std::size_t total = 0;
  for (int round = 1; round <= 50; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) Storm(path, round, ends[1]).run();
    ASSERT_GT(child, 0);
    ::close(ends[1]);
    const int kill_after = 1 + (round * 7919) % 1500;
    Report report;
    int read = 0;
    while (::read(ends[0], &report, sizeof report) == static_cast<ssize_t>(sizeof report)) {
      if (!report.ephemeral) acknowledged[report.key] = std::max(acknowledged[report.key], report.value);
      EXPECT_GT(report.revision, highest) << "a revision went back, or came twice";
      highest = std::max(highest, report.revision);
      if (++read == kill_after) ::kill(child, SIGKILL);
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    total += static_cast<std::size_t>(read);

    Loop loop(1);
    auto store = open_sqlite_store(loop, path);
    ASSERT_TRUE(store.ok()) << store.error().message;
    EXPECT_GE((*store)->revision(), highest);
    for (auto [key, value] : acknowledged) {
      RecordPtr record = (*store)->get(key_of("k" + std::to_string(key)));
      ASSERT_TRUE(record) << "round " << round;
      EXPECT_GE(record->value["data"]["x"].as_int(), value) << "round " << round;
    }
    auto written = write_now(loop, **store, put("after", round));
    ASSERT_TRUE(written.ok());
    EXPECT_GT((*written)->mod_revision, highest);
    highest = (*written)->mod_revision;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(total, 10'000u);
}

// --- A full disk. In a child with a mount namespace of its own.

#define REQUIRE(condition)                                                                        \
  do {                                                                                            \
    if (!(condition)) {                                                                           \
      ::dprintf(2, "line %d: %s\n", __LINE__, #condition);                                        \
      ::_exit(1);                                                                                 \
    }                                                                                             \
  } while (false)

[[noreturn]] void fill_the_disk(const TemporaryFolder& folder) {
  REQUIRE(::unshare(CLONE_NEWNS) == 0);
  REQUIRE(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  REQUIRE(::mount("tiny", folder.path().c_str(), "tmpfs", 0, "size=1m") == 0);
  const std::string path = folder / "store.db";
  {
    Loop loop(1);
    auto opened = open_sqlite_store(loop, path);
    REQUIRE(opened.ok());
    Store& store = **opened;
    const std::string ten_kilobytes(10'000, 'x');
    Result<RecordPtr> result = error(Code::kInternal, "");
    int stored = 0;
    RecordingSink sink;
    auto watch = store.watch("/registry/", 0, &sink);
    do {
      result = write_now(loop, store, put("k" + std::to_string(stored), ten_kilobytes));
      if (result.ok()) ++stored;
    } while (result.ok() && stored < 1000);
    REQUIRE(!result.ok());
    REQUIRE(result.error().code == Code::kUnavailable);
    REQUIRE(result.error().message.find("writing " + path) != std::string::npos);
    REQUIRE(result.error().message.find("No space left on device") != std::string::npos);
    REQUIRE(stored > 10);
    REQUIRE(store.count("/registry/") == static_cast<std::size_t>(stored));
    REQUIRE(store.get(key_of("k0")));
    // Ephemeral writes need no disk.
    REQUIRE(write_now(loop, store, ephemeral_put("lease", 1)).ok());
    // A group that does not fit fails whole.
    int failed = 0;
    for (int i = 0; i < 300; ++i) {
      store.write(put("group" + std::to_string(i), ten_kilobytes),
                  [&](Result<RecordPtr> answer) { failed += !answer.ok(); });
    }
    REQUIRE(run_until(loop, [&] { return failed == 300; }));
    run_turns(loop);
    REQUIRE(sink.events.size() == static_cast<std::size_t>(stored) + 1);
    // Space comes back: the store goes on by itself.
    REQUIRE(::mount("tiny", folder.path().c_str(), "tmpfs", MS_REMOUNT, "size=16m") == 0);
    REQUIRE(write_now(loop, store, put("after", 7)).ok());
    REQUIRE(store.get(key_of("after")));
  }
  Loop loop(1);
  auto again = open_sqlite_store(loop, path);
  REQUIRE(again.ok());
  REQUIRE((*again)->get(key_of("after")));
  REQUIRE(!(*again)->get(key_of("group0")));
  ::_exit(0);
}

TEST(SqliteStoreCrash, AFullDiskFailsWritesAndNothingElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a mount of its own";
  TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    set_log_file("/dev/null");
    fill_the_disk(folder);
  }
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace
}  // namespace berth::store
