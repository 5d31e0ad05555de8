// Journals in front of the database, and the threads that write and move them.

#include <fcntl.h>
#include <sys/eventfd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "store/async_write.h"
#include "store/journal_file.h"
#include "store/sqlite_test_support.h"

namespace berth::store {
namespace {

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
  // If it fails, nothing is lost.
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
  StoreLimits limits;
  limits.journal_bytes = 64 << 10;
  // Once with both journals full, once with one moved and not prepared again.
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
    // The refused write may be retried, and the mover continues.
    for (int i = 0; i < 100; ++i) must_write(put("k", 2000 + i));
    EXPECT_EQ(value_of("k"), 2099);
  }
  open(limits);
  EXPECT_EQ(value_of("k"), 2099);
}

TEST_F(SqliteStoreTest, WritesGoOnByThemselvesWhenTheMoverCanAgain) {
  StoreLimits limits;
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

// A batch larger than a journal gets a journal of its own.
TEST_F(SqliteStoreTest, ABatchMayBeLargerThanAJournal) {
  StoreLimits limits;
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
  EXPECT_TRUE(contains(
      with(now, wal, ""),
      "the journal with its last writes is missing: the last acknowledged writes are not there (journal-missing)"));
  EXPECT_TRUE(contains(with(old, "", journal), "knows nothing of the writes in its journal"));
  for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((path() + suffix).c_str());
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

// While the loop sleeps during the disk write, the committing thread runs the answer in its place.
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

// An I/O helper like a server's transport.
class HelperThread final : public IoHelper {
 public:
  explicit HelperThread(Loop& loop) : loop_(loop), thread_([this] { run(); }) {}
  ~HelperThread() {
    ended_ = true;
    wake();
    thread_.join();
    ::close(wake_fd_);
  }
  void run_or_post(Task task) {  // any thread
    {
      std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake();
  }
  std::thread::id id() const { return thread_.get_id(); }

  void add_work(Work work) override { work_.push_back(std::move(work)); }
  int wake_fd() const override { return wake_fd_; }

 private:
  void wake() {
    std::uint64_t one = 1;
    EXPECT_EQ(::write(wake_fd_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
  void run() {
    while (!ended_ || !work_.empty()) {
      std::uint64_t count = 0;
      EXPECT_EQ(::read(wake_fd_, &count, sizeof count), static_cast<ssize_t>(sizeof count));
      std::vector<Task> tasks;
      {
        std::lock_guard lock(mutex_);
        tasks.swap(tasks_);
      }
      for (Task& task : tasks) loop_.run_or_post(std::move(task), this);
      for (std::size_t i = 0; i < work_.size();) {  // which may grow during the loop
        Work work = std::move(work_[i]);
        work_.erase(work_.begin() + static_cast<std::ptrdiff_t>(i));
        if (work()) continue;
        work_.insert(work_.begin() + static_cast<std::ptrdiff_t>(i++), std::move(work));
      }
    }
  }

  Loop& loop_;
  int wake_fd_ = ::eventfd(0, EFD_CLOEXEC);
  std::mutex mutex_;
  std::vector<Task> tasks_;
  std::vector<Work> work_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// True if system and file system support a helper's asynchronous write.
bool writes_directly(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600)), wake_fd(::eventfd(0, EFD_CLOEXEC));
  BlockBuffer block;
  block.reserve(BlockBuffer::kBlock, 0);
  AsyncWrite write;  // declared last: its destructor waits for the write before the bytes are destroyed
  return fd && write.start(fd.get(), {block.data(), BlockBuffer::kBlock}, 0, wake_fd.get());
}

TEST_F(SqliteStoreTest, ALoneWriteIsAppendedByTheThreadThatBroughtIt) {
  StoreLimits limits;
  limits.journal_bytes = 64 << 10;  // every fifteenth write does not fit
  open(limits);
  int written = 0, by_helper = 0, failed = 0, answered_first = 0;
  Revision answered = 0;
  RecordingSink sink;
  sink.during = [&] { answered_first += sink.events.back()->revision <= answered; };
  auto watch = store_->watch("/registry/", 0, &sink);
  ASSERT_TRUE(watch.ok());
  std::optional<HelperThread> helper;
  Function<void()> next = [&] {
    store_->write(put("k" + std::to_string(written % 10), written), [&](Result<RecordPtr> result) {
      by_helper += std::this_thread::get_id() == helper->id();
      if (result.ok()) {
        EXPECT_EQ(value_of("k" + std::to_string(written % 10)), written);
        // Like an API server's answer, which is sent when the callback has returned.
        loop_.post([&, revision = (*result)->mod_revision] { answered = revision; });
      } else {
        EXPECT_TRUE(contains(result.error().message, "injected fault"));
        ++failed;
      }
      if (++written == 2000) return loop_.stop();
      helper->run_or_post([&] { next(); });
    });
  };
  for (const char* point : {"store.insert", "store.commit", "store.fsync"}) fault::arm_probability(point, 0.005);
  helper.emplace(loop_);
  helper->run_or_post([&] { next(); });
  loop_.run();
  helper.reset();
  fault::disarm_all();
  EXPECT_GT(failed, 0);
  // Each event was delivered to the watch, by the helper after its answer unless the loop woke in between.
  for (int i = 0; i < 100 && sink.events.size() < static_cast<std::size_t>(written - failed); ++i) loop_.run_once(10ms);
  EXPECT_EQ(sink.events.size(), static_cast<std::size_t>(written - failed));
  watch->reset();
  EXPECT_TRUE(answered_first > 100 || !writes_directly(folder_ / "probe")) << answered_first;
  EXPECT_TRUE(by_helper > 100 || !writes_directly(folder_ / "probe")) << by_helper;
  std::map<std::string, std::int64_t> values;
  for (int i = 0; i < 10; ++i) values["k" + std::to_string(i)] = value_of("k" + std::to_string(i));
  crash();
  open(limits);
  for (const auto& [name, value] : values) EXPECT_EQ(value_of(name), value) << name;
}

TEST_F(SqliteStoreTest, TheEndWaitsForWhatALenderHas) {
  for (int round = 0; round < 50; ++round) {
    open();
    HelperThread helper(loop_);
    helper.run_or_post([&] {
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

}  // namespace
}  // namespace berth::store
