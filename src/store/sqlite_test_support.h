#pragma once
// Fixture of the tests of the store on disk: opens, closes, crashes and inspects a store.

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "base/fault.h"
#include "store/test_support.h"

namespace berth::store {

using Lines = std::vector<std::string>;

class SqliteStoreTest : public ::testing::Test {
 protected:
  ~SqliteStoreTest() override { fault::disarm_all(); }

  std::string path() const { return folder_ / "store.db"; }
  void open(const StoreLimits& limits = {}) {
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
  // Many writes in few groups, to `names` keys in turn.
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
  // Like a crash: continues with a copy of the files made while the store was open.
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
  std::int64_t size_of(const std::string& suffix) const {  // -1 if the file does not exist
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

  berth::testing::TestDirectory folder_;
  Loop loop_{1};
  std::unique_ptr<Store> store_;
};

}  // namespace berth::store
