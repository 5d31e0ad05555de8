// Stores that lack acknowledged writes: bad disks, deleted files, restored copies.

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>

#include <atomic>

#include "store/journal_file.h"
#include "store/sqlite_store.h"
#include "store/sqlite_test_support.h"
#include "store/witness.h"

namespace berth::store {
namespace {

using Files = std::map<std::string, std::string>;  // by name

class SqliteLossTest : public SqliteStoreTest {
 protected:
  SqliteLossTest() {
    EXPECT_EQ(::mkdir(directory().c_str(), 0700), 0);
    limits_.journal_bytes = 64 << 10;
  }

  std::string directory() const { return folder_ / "store"; }
  std::string witness() const { return folder_ / "witness.json"; }
  std::string name(const std::string& suffix) const { return directory() + "/berth.db" + suffix; }

  Result<std::unique_ptr<Store>> try_open(std::vector<Loss> accepted = {}, bool had_pods = false) {
    store_.reset();
    return open_guarded_store(loop_, name(""), limits_, {witness(), had_pods, AcceptedLosses(std::move(accepted))});
  }
  void open_guarded(std::vector<Loss> accepted = {}) {
    auto opened = try_open(std::move(accepted));
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(opened).value();
  }
  // The name of the loss, or the message if there is none. Also checks that opening changed nothing and is refused
  // again.
  std::string refused(bool had_pods = false) {
    const Files before = files();
    std::string text[2];
    for (std::string& each : text) {
      auto opened = try_open({}, had_pods);
      if (opened.ok()) return "opened";
      each = opened.error().message;
      EXPECT_TRUE(files() == before) << each;
    }
    EXPECT_EQ(text[0], text[1]);
    const std::size_t at = text[0].find("Nothing has been changed") == std::string::npos
                               ? std::string::npos
                               : text[0].find("--accept-loss=");
    return at == std::string::npos ? text[0] : text[0].substr(at + 14);
  }
  std::vector<std::string> names() const { return list_directory(directory()).value(); }
  // Without the files that SQLite creates for readers, and without the lock.
  Files files() const {
    Files all;
    for (const std::string& each : names()) {
      if (each == "berth.db-shm" || each == "berth.db.lock" || each == "berth.db.reserve") continue;
      Result<std::string> read = read_file(directory() + "/" + each);
      if (!read.ok()) continue;  // a directory
      std::string content = std::move(*read);
      if (each != "berth.db-wal" || !content.empty()) all[each] = std::move(content);
    }
    return all;
  }
  void put_back(const Files& all) {
    store_.reset();
    for (const std::string& each : names()) ::unlink((directory() + "/" + each).c_str());
    for (const auto& [file, content] : all) ASSERT_TRUE(write_file(directory() + "/" + file, content).ok());
  }
  // As after a crash; the witness describes this state.
  Files crashed() {
    const Files all = files();
    const std::string seen = *read_file(witness());
    put_back(all);
    EXPECT_TRUE(write_file(witness(), seen).ok());
    return all;
  }
  void write_numbers(int first, int last) {
    for (int i = first; i <= last; ++i) must_write(put("n" + std::to_string(i), i));
  }
  int numbers() const { return static_cast<int>(store_->count("/registry/")); }

  // A store with both journals in use: the older one has its kEnd and is not moved, the newer one has batches.
  Files with_two_journals() {
    open_guarded();
    write_numbers(1, 4);  // the first journal is half empty: no spare yet
    fault::arm("store.move", 1'000'000);
    const auto used = [&](const std::string& suffix) {
      auto file = JournalFile::open_existing(name(suffix));
      return file.ok() && *file && (*file)->recover().ok() && !(*file)->empty();
    };
    int last = 4;
    while (!(used(".journal-1") && used(".journal-2")) && last < 100) {
      ++last;
      write_numbers(last, last);
    }
    EXPECT_LT(last, 100);
    write_numbers(last + 1, last + 2);
    count_ = last + 2;
    const Files all = crashed();
    fault::disarm_all();
    return all;
  }

  StoreLimits limits_;
  int count_ = 0;
};

TEST_F(SqliteLossTest, AJournalThatEndsEarlyIsRefusedByName) {
  open_guarded();
  write_numbers(1, 5);
  const Files original = crashed();
  const std::string& journal = original.at("berth.db.journal-1");
  auto with = [&](const std::string& content) {
    Files changed = original;
    changed["berth.db.journal-1"] = content;
    put_back(changed);
    return refused();
  };
  EXPECT_EQ(with(journal.substr(0, 4096 * 4)), "journal-shortened");
  EXPECT_EQ(with(journal.substr(0, 4096)), "journal-shortened");
  EXPECT_EQ(with(journal.substr(0, journal.size() - 4096)), "journal-shortened");
  for (std::size_t at : {4096, 4096 * 3, 4096 * 5, 4096 * 6}) {
    EXPECT_EQ(with(journal.substr(0, at) + std::string(journal.size() - at, '\0')), "journal-zeroed") << at;
  }
  EXPECT_EQ(with(std::string(journal.size(), '\0')), "journal-missing");
  EXPECT_EQ(with(""), "journal-missing");
  std::string damaged = journal;
  damaged[4096 * 2 + 60] = 'x';
  EXPECT_EQ(with(damaged), "journal-damaged");
  put_back(original);
  EXPECT_EQ(refused(), "opened");
}

TEST_F(SqliteLossTest, AnAcceptedLossIsGoneOnAfter) {
  open_guarded();
  write_numbers(1, 5);
  const Revision last = store_->revision();
  Files changed = crashed();
  std::string& journal = changed["berth.db.journal-1"];
  journal.replace(4096 * 4, std::string::npos, journal.size() - 4096 * 4, '\0');
  put_back(changed);
  EXPECT_FALSE(try_open({Loss::kJournalShortened, Loss::kStoreOlder}).ok()) << "only what it is";
  open_guarded({Loss::kJournalZeroed});
  EXPECT_EQ(numbers(), 3);
  EXPECT_EQ(*read_file(name(".journal-1.lost")), journal);
  EXPECT_GT(store_->revision(), last + 100'000) << "no revision is given twice";
  EXPECT_TRUE(store_->watch("/registry/", last, nullptr).failed_with(Code::kExpired)) << "nor is the history";
  must_write(put("after", 1));
  crashed();
  open_guarded();
  EXPECT_EQ(numbers(), 4);
}

TEST_F(SqliteLossTest, OfTwoJournalsEachIsMissed) {
  const Files original = with_two_journals();
  const auto older = original.at("berth.db.journal-1")[24] < original.at("berth.db.journal-2")[24]
                         ? "berth.db.journal-1"
                         : "berth.db.journal-2";
  const auto newer = older == std::string("berth.db.journal-1") ? "berth.db.journal-2" : "berth.db.journal-1";
  auto with = [&](const std::string& file, const std::optional<std::string>& content) {
    Files changed = original;
    changed.erase(file);
    if (content) changed[file] = *content;
    put_back(changed);
    return refused();
  };
  for (const char* file : {older, newer}) {
    const std::string& content = original.at(file);
    EXPECT_EQ(with(file, std::nullopt), "journal-missing") << file;
    EXPECT_EQ(with(file, ""), "journal-missing") << file;
    EXPECT_EQ(with(file, content.substr(0, 30)), "journal-missing") << file;
    EXPECT_EQ(with(file, std::string(4096, '\0') + content.substr(4096)), "journal-missing") << file;
    EXPECT_EQ(with(file, content.substr(0, 4096)), "journal-shortened") << file;
    EXPECT_EQ(with(file, content.substr(0, 4096) + std::string(content.size() - 4096, '\0')), "journal-zeroed") << file;
  }
  // The older journal without its last batches, as an earlier copy of it would be.
  const std::string& ended = original.at(older);
  EXPECT_EQ(with(older, ended.substr(0, 4096 * 10) + std::string(ended.size() - 4096 * 10, '~')), "journal-damaged");
  put_back(original);
  open_guarded();
  EXPECT_EQ(numbers(), count_);
  // With two losses, the writes before the first are a state that once existed.
  Files changed = original;
  changed[older].replace(4096 * 10, std::string::npos, ended.size() - 4096 * 10, '\0');
  put_back(changed);
  (void)::unlink(witness().c_str());
  open_guarded({Loss::kJournalZeroed});
  const int left = numbers();
  EXPECT_GE(left, 9);
  EXPECT_LT(left, count_);
  for (int i = 1; i <= left; ++i) EXPECT_EQ(value_of("n" + std::to_string(i)), i);
}

TEST_F(SqliteLossTest, AnEndedJournalAndItsEmptySuccessorAreACrashOfTheirKind) {
  Files files = with_two_journals();
  const bool first_is_older = files["berth.db.journal-1"][24] < files["berth.db.journal-2"][24];
  std::string& newer = files[first_is_older ? "berth.db.journal-2" : "berth.db.journal-1"];
  newer.replace(4096, std::string::npos, newer.size() - 4096, '~');  // its first batch is not written yet
  put_back(files);
  open_guarded();
  const int before = numbers();
  EXPECT_GT(before, 4);
  write_numbers(100, 140);
  crashed();
  open_guarded();
  EXPECT_EQ(numbers(), before + 41);
}

// Moved entries may exist only in SQLite's write-ahead log, which SQLite treats as empty if it cannot be read.
TEST_F(SqliteLossTest, AWriteAheadLogIsMissed) {
  open_guarded();
  write_numbers(1, 100);
  const Files original = crashed();
  ASSERT_TRUE(original.contains("berth.db-wal"));
  Files changed = original;
  changed.erase("berth.db-wal");
  put_back(changed);
  EXPECT_NE(refused(), "opened");
  changed["berth.db-wal"] = std::string(original.at("berth.db-wal").size(), '\0');
  put_back(changed);
  EXPECT_NE(refused(), "opened");
  put_back(original);
  open_guarded();
  EXPECT_EQ(numbers(), 100);
}

// An orderly shutdown killed before it removed the last spare leaves a journal with the generation of the next first
// journal.
TEST_F(SqliteLossTest, AnEmptyJournalOfTheSameTimeHidesNothing) {
  open_guarded();
  write_numbers(1, 3);
  crashed();
  const auto used = JournalFile::open_existing(name(".journal-1"));
  ASSERT_TRUE(used.ok() && *used);
  const Files original = files();
  for (const bool first : {false, true}) {
    Files both = original;
    if (first) std::swap(both["berth.db.journal-1"], both["berth.db.journal-2"]);
    put_back(both);
    ::unlink(witness().c_str());
    ASSERT_TRUE(JournalFile::create(name(first ? ".journal-1" : ".journal-2"), (*used)->identity(),
                                    (*used)->generation(), 64 << 10)
                    .ok());
    open_guarded();
    EXPECT_EQ(numbers(), 3) << first;
  }
  put_back(original);
  ::unlink(witness().c_str());
  // Two journals with entries and one generation are never written by a store.
  ASSERT_TRUE(write_file(name(".journal-2"), *read_file(name(".journal-1"))).ok());
  EXPECT_TRUE(contains(refused(), "has two journals of one time"));
}

TEST_F(SqliteLossTest, AnEmptiedStoreIsNotANewOne) {
  open_guarded();
  write_numbers(1, 5);
  const Revision last = store_->revision();
  store_.reset();
  put_back({});
  EXPECT_EQ(refused(), "store-emptied");
  EXPECT_EQ(names(), std::vector<std::string>());
  // Without the witness, the pods are the evidence.
  const std::string seen = *read_file(witness());
  ::unlink(witness().c_str());
  EXPECT_EQ(refused(true), "store-emptied");
  ASSERT_TRUE(write_file(witness(), seen).ok());
  open_guarded({Loss::kStoreEmptied});
  EXPECT_EQ(numbers(), 0);
  EXPECT_GT(must_write(put("a", 1)), last);
  open_guarded();
  EXPECT_EQ(numbers(), 1);
}

TEST_F(SqliteLossTest, AnOlderCopyIsNotTheStore) {
  open_guarded();
  write_numbers(1, 5);
  const Files running = files();  // as a copy of a running store
  store_.reset();
  const Files stopped = files();
  open_guarded();
  write_numbers(6, 7);
  const Revision last = store_->revision();
  store_.reset();
  put_back(stopped);
  EXPECT_EQ(refused(), "store-older");
  put_back(running);
  EXPECT_EQ(refused(), "store-older");
  open_guarded({Loss::kStoreOlder});
  EXPECT_EQ(numbers(), 5);
  EXPECT_GT(must_write(put("a", 1)), last);
  open_guarded();
  EXPECT_EQ(numbers(), 6);
  // Older by moved journals, and crashed.
  const Files before = files();
  write_numbers(1, 60);
  crashed();
  put_back(before);
  EXPECT_EQ(refused(), "store-older");
}

TEST_F(SqliteLossTest, TheStoreOfAnotherClusterIsRefused) {
  open_guarded();
  write_numbers(1, 5);
  store_.reset();
  const Files mine = files();
  put_back({});
  ::unlink(witness().c_str());
  open_guarded();
  write_numbers(1, 1);
  store_.reset();
  put_back(mine);
  EXPECT_EQ(refused(), "store-foreign");
  open_guarded({Loss::kStoreForeign});
  EXPECT_EQ(numbers(), 5);
  open_guarded();
}

TEST_F(SqliteLossTest, TheWitnessIsNotWrittenForSingleWrites) {
  open_guarded();
  must_write(put("a", 0));
  struct ::stat before {
  }, after{};
  ASSERT_EQ(::stat(witness().c_str(), &before), 0);
  for (int i = 1; i < 6; ++i) must_write(put("a", i));
  ASSERT_EQ(::stat(witness().c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(before.st_mode & 0777, 0600u);
  // A witness that cannot be read or written does not prevent the start.
  store_.reset();
  ASSERT_TRUE(write_file(witness(), "{\"identity\":").ok());
  open_guarded();
  store_.reset();
  ::unlink(witness().c_str());
  ASSERT_EQ(::mkdir(witness().c_str(), 0700), 0);
  ASSERT_TRUE(write_file(witness() + "/x", "").ok());
  open_guarded();
  EXPECT_EQ(value_of("a"), 5);
}

TEST_F(SqliteLossTest, FilesAreTheirOwnersAlone) {
  const mode_t umask_before = ::umask(0);
  open_guarded();
  write_numbers(1, 60);
  for (const std::string& each : names()) {
    struct ::stat info {};
    ASSERT_EQ(::stat((directory() + "/" + each).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << each;
  }
  store_.reset();
  ASSERT_EQ(::chmod(name("").c_str(), 0644), 0) << "as earlier versions made it";
  open_guarded();
  ::umask(umask_before);
  struct ::stat info {};
  ASSERT_EQ(::stat(name("").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

// One run of a store, killed at its `moment`th fault step; acknowledged writes are reported through a pipe. Returns
// true if it was not killed.
class Life {
 public:
  Life(std::string path, std::string witness, StoreLimits limits)
      : path_(std::move(path)), witness_(std::move(witness)), limits_(limits) {}

  // All numbers below the returned one were acknowledged.
  int live_until(int moment, const std::vector<Loss>& accepted, bool& ended, bool had_pods = false) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) run(moment, accepted, ends[1], had_pods);
    ::close(ends[1]);
    int last = -1, told = 0;
    while (::read(ends[0], &told, sizeof told) == static_cast<ssize_t>(sizeof told)) last = told;
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "moment " << moment << ": " << WEXITSTATUS(status);
    ended = WIFEXITED(status);
    return last;
  }

 private:
  [[noreturn]] void run(int moment, const std::vector<Loss>& accepted, int pipe, bool had_pods) const {
    fault::on_step([left = std::make_shared<std::atomic<int>>(moment)](std::string_view name) {
      if (name.starts_with("store.") && --*left == 0) ::kill(::getpid(), SIGKILL);
    });
    Loop loop(1);
    auto store = open_guarded_store(loop, path_, limits_, {witness_, had_pods, AcceptedLosses(accepted)});
    if (!store.ok()) {
      ::dprintf(2, "%s\n", store.error().message.c_str());
      ::_exit(3);
    }
    for (int i = 0; i < 50; ++i) {
      const Value data = i == 25 ? Value(std::string(100'000, 'x')) : Value(i);  // larger than a journal
      if (!write_now(loop, **store, put("k" + std::to_string(i), data)).ok()) ::_exit(4);
      if (::write(pipe, &i, sizeof i) != sizeof i) ::_exit(5);
    }
    std::move(store).value().reset();
    ::_exit(0);
  }

  const std::string path_, witness_;
  const StoreLimits limits_;
};

TEST_F(SqliteLossTest, KilledAtAnyStepItOpensWithWhatWasAcknowledged) {
  Life life(name(""), witness(), limits_);
  int moment = 1;
  for (bool ended = false; !ended; ++moment) {
    ASSERT_LT(moment, 1000);
    put_back({});
    ::unlink(witness().c_str());
    const int last = life.live_until(moment, {}, ended);
    auto store = try_open();
    ASSERT_TRUE(store.ok()) << "moment " << moment << ": " << store.error().message;
    for (int i = 0; i <= last; ++i)
      ASSERT_TRUE((*store)->get(key_of("k" + std::to_string(i)))) << "moment " << moment << ", " << i << " of " << last;
  }
  EXPECT_GT(moment, 30);
}

TEST_F(SqliteLossTest, KilledWhileALossIsAcceptedItCanBeAcceptedAgain) {
  open_guarded();
  write_numbers(1, 5);
  Files cut = crashed();
  cut["berth.db.journal-1"].resize(4096 * 4);
  const std::string seen = *read_file(witness());
  Life life(name(""), witness(), limits_);
  int moment = 1;
  for (bool ended = false; !ended && moment < 8; ++moment) {
    put_back(cut);
    ASSERT_TRUE(write_file(witness(), seen).ok());
    const int last = life.live_until(moment, {Loss::kJournalShortened}, ended);
    auto store = try_open({Loss::kJournalShortened});
    ASSERT_TRUE(store.ok()) << "moment " << moment << ": " << store.error().message;
    EXPECT_EQ((*store)->count("/registry/"), static_cast<std::size_t>(3 + last + 1)) << "moment " << moment;
  }
  EXPECT_EQ(moment, 8);
}

TEST_F(SqliteLossTest, KilledWhileAnEmptyStoreIsAcceptedItGoesOnAboveWhatWas) {
  open_guarded();
  write_numbers(1, 5);
  const Revision before = store_->revision();
  store_.reset();
  const std::string seen = *read_file(witness());
  Life life(name(""), witness(), limits_);
  for (const bool told : {true, false}) {  // evidence: the witness, or the pods
    int moment = 1;
    bool made = false;
    for (bool ended = false; !ended && moment < 12; ++moment) {
      put_back({});
      ::unlink(witness().c_str());
      if (told) {
        ASSERT_TRUE(write_file(witness(), seen).ok());
      }
      const int last = life.live_until(moment, {Loss::kStoreEmptied}, ended, !told);
      // Once the database exists it needs no acceptance.
      made = path_exists(name(""));
      auto store = try_open(made ? std::vector<Loss>{} : std::vector{Loss::kStoreEmptied}, true);
      ASSERT_TRUE(store.ok()) << "moment " << moment << ": " << store.error().message;
      const auto found = static_cast<int>((*store)->count("/registry/"));
      EXPECT_TRUE(found == last + 1 || found == last + 2)
          << "moment " << moment << ": " << found << " of " << last + 1;  // one may be unreported
      EXPECT_GT((*store)->revision(), (told ? before : 0) + 100'000) << "moment " << moment;
    }
    EXPECT_EQ(moment, 12);
    EXPECT_TRUE(made);
  }
}

TEST_F(SqliteLossTest, TwoLossesAreNamedAndAcceptedAtOnce) {
  open_guarded();
  write_numbers(1, 60);  // some of them moved
  Files old = crashed();
  open_guarded();
  write_numbers(61, 120);
  const Revision last = store_->revision();
  store_.reset();
  old.erase("berth.db.journal-1");
  old.erase("berth.db.journal-2");
  put_back(old);
  EXPECT_EQ(refused(), "journal-missing,store-older");
  for (const Loss one : {Loss::kJournalMissing, Loss::kStoreOlder}) {
    auto opened = try_open({one});
    ASSERT_FALSE(opened.ok());
    EXPECT_TRUE(contains(opened.error().message, "--accept-loss=journal-missing,store-older"))
        << opened.error().message;
  }
  auto opened = open_guarded_store(loop_, name(""), limits_, {witness(), false, {}, "berth up --data-dir /srv/a"});
  ASSERT_FALSE(opened.ok());
  EXPECT_TRUE(
      contains(opened.error().message, ": berth up --data-dir /srv/a --accept-loss=journal-missing,store-older"))
      << opened.error().message;
  open_guarded({Loss::kStoreOlder, Loss::kJournalMissing});
  EXPECT_GT(numbers(), 0);
  EXPECT_GT(must_write(put("a", 1)), last);
  crashed();
  open_guarded();
}

// Errors without a Loss: the remaining remedy is an empty store, in this data directory.
TEST_F(SqliteLossTest, ErrorsNameTheCommandOfThisCluster) {
  const auto error = [this] {
    auto opened = open_guarded_store(loop_, name(""), limits_, {witness(), false, {}, "berth up --data-dir /srv/a"});
    return opened.ok() ? "opened" : opened.error().message;
  };
  const std::string advice = "start with an empty store: berth up --data-dir /srv/a --accept-loss=store-emptied";
  open_guarded();
  write_numbers(1, 3);
  const Files original = crashed();
  Files files = original;
  files["berth.db"].clear();
  put_back(files);
  EXPECT_TRUE(contains(error(), "is damaged: it is empty") && contains(error(), advice)) << error();
  files = original;
  files.erase("berth.db");
  put_back(files);
  EXPECT_TRUE(contains(error(), "is missing, but its") && contains(error(), advice)) << error();
  files = original;
  files["berth.db.journal-2"] = files["berth.db.journal-1"];
  put_back(files);
  EXPECT_TRUE(contains(error(), "has two journals of one time") && contains(error(), advice)) << error();
}

TEST_F(SqliteLossTest, JournalsFromBeforeEachLossAreKept) {
  open_guarded();
  write_numbers(1, 5);
  std::vector<std::string> lost;
  for (int round = 0; round < 2; ++round) {
    Files cut = crashed();
    cut["berth.db.journal-1"].resize(4096 * 4);
    lost.push_back(cut["berth.db.journal-1"]);
    put_back(cut);
    ASSERT_EQ(refused(), "journal-shortened") << round;
    open_guarded({Loss::kJournalShortened});
    write_numbers(10, 15);
  }
  EXPECT_EQ(*read_file(name(".journal-1.lost")), lost[0]);
  EXPECT_EQ(*read_file(name(".journal-1.lost-2")), lost[1]);
  // Killed before the first was renamed: the next start does it.
  Files cut = crashed();
  cut["berth.db.journal-1"].resize(4096 * 4);
  put_back(cut);
  const pid_t child = ::fork();
  if (child == 0) {
    fault::arm("store.lost", 1);
    Loop loop(1);
    (void)open_guarded_store(loop, name(""), limits_, {witness(), false, AcceptedLosses({Loss::kJournalShortened})});
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(files().at("berth.db.journal-1"), cut["berth.db.journal-1"]);
  // An existing file with that name stays.
  ASSERT_EQ(::mkdir(name(".journal-1.lost-3").c_str(), 0700), 0);
  open_guarded();
  EXPECT_EQ(*read_file(name(".journal-1.lost-4")), cut["berth.db.journal-1"]);
  ::rmdir(name(".journal-1.lost-3").c_str());
  write_numbers(20, 25);
  store_.reset();
  open_guarded();
  EXPECT_FALSE(path_exists(name(".journal-1.lost-5")));
}

// A copy of a store written by an earlier version stays readable for that version until it is accepted.
TEST_F(SqliteLossTest, AnOlderCopyOfAnEarlierFormatIsRefusedAsItIs) {
  open_guarded();
  write_numbers(1, 5);
  const Revision last = store_->revision();
  store_.reset();
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(name("").c_str(), &db), SQLITE_OK);
  EXPECT_EQ(
      sqlite3_exec(
          db,
          "DELETE FROM meta WHERE name NOT IN ('reserved', 'compacted'); PRAGMA user_version = 1; PRAGMA journal_mode = DELETE",
          nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(db);
  ASSERT_EQ(::chmod(name("").c_str(), 0644), 0);
  EXPECT_EQ(refused(), "store-older");
  struct ::stat info {};
  ASSERT_EQ(::stat(name("").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
  open_guarded({Loss::kStoreOlder});
  EXPECT_EQ(numbers(), 5);
  EXPECT_GT(must_write(put("a", 1)), last);
  open_guarded();
  EXPECT_EQ(numbers(), 6);
}

TEST_F(SqliteLossTest, AReserveThatWasNotFinishedIsMadeAgain) {
  open_guarded();
  write_numbers(1, 60);
  store_.reset();
  struct ::stat info {};
  if (::stat(name(".reserve").c_str(), &info) != 0) GTEST_SKIP() << "no space for a reserve here";
  const off_t original = info.st_size;
  ASSERT_TRUE(write_file(name(".reserve"), "").ok());
  open_guarded();
  write_numbers(1, 60);
  store_.reset();
  ASSERT_EQ(::stat(name(".reserve").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, original);
}

// A crash at any moment is not mistaken for a loss: copies of the files in the order in which the store writes them.
TEST_F(SqliteLossTest, NoCrashIsTakenForALoss) {
  int opened = 0;
  for (int round = 0; round < 24; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      Loop loop(1);
      auto store = open_guarded_store(loop, name(""), limits_, {witness(), false, {}});
      if (!store.ok()) {
        ::dprintf(2, "%s\n", store.error().message.c_str());
        ::_exit(3);
      }
      for (int i = 0;; ++i) {
        // Some values are larger than a journal.
        const Value data = i % 40 == 39 ? Value(std::string(100'000, 'x')) : Value(i);
        if (!write_now(loop, **store, put("k" + std::to_string(i % 30), data)).ok()) ::_exit(4);
        if (::write(ends[1], "w", 1) != 1) ::_exit(5);
      }
    }
    ASSERT_GT(child, 0);
    ::close(ends[1]);
    char one = 0;
    for (int written = 0; written < round * 13 && ::read(ends[0], &one, 1) == 1; ++written) {}
    ::kill(child, SIGKILL);  // in the middle of the next write
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    auto store = try_open();
    ASSERT_TRUE(store.ok()) << store.error().message;
    ++opened;
    if (round % 3 == 0) continue;  // followed by an orderly shutdown
    std::move(store).value().reset();
  }
  EXPECT_EQ(opened, 24);
}

}  // namespace
}  // namespace berth::store
