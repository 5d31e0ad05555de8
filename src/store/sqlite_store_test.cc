// Properties of the store on disk: restarts, durability, damage.

#include "store/sqlite_test_support.h"

namespace berth::store {
namespace {

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
  // A durable write after an ephemeral one makes the complete value durable.
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
  // A durable delete after an ephemeral one leaves no older version to reappear.
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
  StoreLimits limits;
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
  // The newest row may be garbage; the revision stays.
  must_write(removal("other0"));
  // A store opened with larger limits does not offer history that was removed.
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
  auto original = read_file(path());
  ASSERT_TRUE(original.ok());
  auto with = [&](std::string content) {
    EXPECT_TRUE(write_file(path(), content).ok());
    return open_error();
  };
  EXPECT_TRUE(contains(with(original->substr(0, original->size() / 2)), path() + " is damaged: "));
  EXPECT_TRUE(contains(with(original->substr(0, 8192)), path() + " is damaged: "));
  EXPECT_TRUE(contains(with(original->substr(0, 100)), path()));
  // One letter of one value: only the checksum detects it.
  std::string letter = *original;
  const std::size_t at = letter.find("yyyyyyyyyy", letter.size() / 2);
  ASSERT_NE(at, std::string::npos);
  letter[at] = 'z';
  EXPECT_TRUE(contains(with(letter), "does not match its checksum. Put back a copy"));
  // A page of noise in the middle of the B-tree.
  std::string noise = *original;
  for (std::size_t i = 0; i < 8192; ++i) noise[8192 * 4 + i] = static_cast<char>(i * 37);
  EXPECT_TRUE(contains(with(noise), " is damaged: "));
  EXPECT_TRUE(write_file(path(), *original).ok());
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

}  // namespace
}  // namespace berth::store
