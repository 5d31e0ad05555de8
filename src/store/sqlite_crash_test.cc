// The store on disk under kill -9, and on a full disk.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

#include "base/log.h"
#include "store/test_support.h"

namespace berth::store {
namespace {

struct Report {  // one acknowledged write, through a pipe
  std::int32_t key;
  std::int32_t value;
  std::int64_t revision;
  std::int64_t ephemeral;
};

constexpr int kStormKeys = 20;

// Writes as fast as possible, with 64 writes outstanding, until it is killed.
class Storm {
 public:
  Storm(const std::string& path, int round, int pipe) : pipe_(pipe), value_(round * 1'000'000) {
    StoreLimits limits;
    limits.history_events = 300;                                 // so that compaction happens
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
  berth::testing::TestDirectory folder;
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

#define REQUIRE(condition)                                 \
  do {                                                     \
    if (!(condition)) {                                    \
      ::dprintf(2, "line %d: %s\n", __LINE__, #condition); \
      ::_exit(1);                                          \
    }                                                      \
  } while (false)

[[noreturn]] void fill_the_disk(const berth::testing::TestDirectory& folder) {
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
    // A group that does not fit fails as a whole.
    int failed = 0;
    for (int i = 0; i < 300; ++i) {
      store.write(put("group" + std::to_string(i), ten_kilobytes),
                  [&](Result<RecordPtr> answer) { failed += !answer.ok(); });
    }
    REQUIRE(run_until(loop, [&] { return failed == 300; }));
    run_turns(loop);
    REQUIRE(sink.events.size() == static_cast<std::size_t>(stored) + 1);
    // When space is freed the store continues by itself.
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

[[noreturn]] void run_short_of_space(const berth::testing::TestDirectory& folder) {
  REQUIRE(::unshare(CLONE_NEWNS) == 0);
  REQUIRE(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  REQUIRE(::mount("tiny", folder.path().c_str(), "tmpfs", 0, "size=20m") == 0);
  Loop loop(1);
  auto opened = open_sqlite_store(loop, folder / "store.db");
  REQUIRE(opened.ok());
  Store& store = **opened;
  auto event = [](const std::string& name, int value) {
    Write write = put(name, value);
    write.expendable = true;
    return write;
  };
  REQUIRE(write_now(loop, store, event("event", 1)).ok());
  REQUIRE(write_now(loop, store, put("a", 1)).ok());
  // A tenth of the disk is reserved from events, half of that from other growth.
  Fd filler(::open((folder / "filler").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  auto leave = [&](std::int64_t bytes) {
    struct ::statvfs disk {};
    struct ::stat info {};
    REQUIRE(::fstatvfs(filler.get(), &disk) == 0 && ::fstat(filler.get(), &info) == 0);
    const auto size = static_cast<std::int64_t>(disk.f_bavail * disk.f_frsize) + info.st_size - bytes;
    REQUIRE(::ftruncate(filler.get(), 0) == 0 && ::fallocate(filler.get(), 0, 0, size) == 0);
    // The free space is checked every kDiskSeen.
    REQUIRE(run_until(loop, [&, until = loop.monotonic() + 150ms] { return loop.monotonic() > until; }));
  };
  leave(1500 << 10);
  Result<RecordPtr> refused = write_now(loop, store, event("event-2", 1));
  REQUIRE(!refused.ok() && refused.error().code == Code::kUnavailable);
  REQUIRE(refused.error().message.find("No space left on device") != std::string::npos);
  REQUIRE(refused.error().message.find("kept for objects that are needed more") != std::string::npos);
  REQUIRE(!write_now(loop, store, event("event", 2)).ok());
  REQUIRE(write_now(loop, store, put("b", 1)).ok());
  REQUIRE(write_now(loop, store, removal("event")).ok());
  leave(500 << 10);
  REQUIRE(!write_now(loop, store, put("c", 1)).ok());
  REQUIRE(write_now(loop, store, put("b", 2)).ok());
  REQUIRE(::ftruncate(filler.get(), 0) == 0);
  REQUIRE(write_now(loop, store, event("event", 3)).ok());
  ::_exit(0);
}

TEST(SqliteStoreCrash, EventsAreTheFirstToBeRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a mount of its own";
  berth::testing::TestDirectory folder;
  const pid_t child = ::fork();
  if (child == 0) {
    set_log_file("/dev/null");
    run_short_of_space(folder);
  }
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

TEST(SqliteStoreCrash, AFullDiskFailsWritesAndNothingElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a mount of its own";
  berth::testing::TestDirectory folder;
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
