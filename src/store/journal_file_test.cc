// The journal file: what is read back, and how torn and damaged files are recognised.

#include "store/journal_file.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/fault.h"
#include "store/test_support.h"

namespace berth::store {
namespace {

using Kind = JournalEntry::Kind;

class JournalFileTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "journal"; }
  std::unique_ptr<JournalFile> begin(std::int64_t generation = 1, std::size_t room = 64 << 10) {
    auto file = JournalFile::create(path(), 77, generation, room);
    EXPECT_TRUE(file.ok()) << (file.ok() ? "" : file.error().message);
    return std::move(file).value();
  }
  std::unique_ptr<JournalFile> find() {
    std::unique_ptr<JournalFile> file = find_any();
    EXPECT_TRUE(!file || !file->loss()) << to_error(*file->loss()).message;
    return file;
  }
  // Also returns a file with a loss.
  std::unique_ptr<JournalFile> find_any() {
    auto file = JournalFile::open_existing(path());
    EXPECT_TRUE(file.ok()) << (file.ok() ? "" : file.error().message);
    if (!file.ok() || !*file) return nullptr;
    Status recovered = (*file)->recover();
    EXPECT_TRUE(recovered.ok()) << (recovered.ok() ? "" : recovered.error().message);
    return std::move(file).value();
  }
  // The loss's name, and the entries read before it.
  std::string loss_of(const std::string& content) {
    set_bytes(content);
    std::unique_ptr<JournalFile> file = find_any();
    EXPECT_EQ(bytes(), content) << "nothing was changed";
    if (!file) return "none begun";
    return (file->loss() ? std::string(name_of(file->loss()->loss)) : "whole") + " " + text(*file);
  }
  static void append(JournalFile& file, Revision revision, std::string_view value = "v") {
    JournalBatch batch;
    batch.clear();
    batch.add({Kind::kPut, revision, 1, "key", value});
    Status status = file.append(batch);
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  }
  static std::string text(const JournalFile& file) {
    std::string all;
    Status status = file.read([&all](const JournalEntry& entry) {
      all += std::to_string(static_cast<int>(entry.kind)) + ":" + std::to_string(entry.revision) + "/" +
             std::to_string(entry.create_revision) + ":" + std::string(entry.key) + "=" +
             std::string(entry.value.substr(0, 10)) + " ";
      return ok_status();
    });
    return status.ok() ? all : status.error().message;
  }
  std::string bytes() const { return *read_file(path()); }
  void set_bytes(const std::string& content) { ASSERT_TRUE(write_file(path(), content).ok()); }

  berth::testing::TestDirectory folder_;
};

TEST_F(JournalFileTest, GivesBackWhatItWasGiven) {
  auto file = begin(5);
  EXPECT_TRUE(file->empty());
  EXPECT_EQ(file->room(), 64u << 10);
  JournalBatch batch;
  batch.clear();
  batch.add({Kind::kPut, 1, 1, "/a", "{}"});
  batch.add({Kind::kDelete, 2, 1, "/a"});
  batch.add({Kind::kForget, 1});
  batch.add({Kind::kCompact, 2});
  batch.add({Kind::kReserve, 10'000});
  ASSERT_TRUE(file->append(batch).ok());
  EXPECT_EQ(file->used(), 8192u);
  append(*file, 3, std::string(9000, 'x'));
  const std::string all = "1:1/1:/a={} 2:2/1:/a= 3:1/0:= 5:2/0:= 4:10000/0:= 1:3/1:key=xxxxxxxxxx ";
  EXPECT_EQ(text(*file), all);
  file = find();
  EXPECT_EQ(text(*file), all);
  EXPECT_EQ(file->identity(), 77);
  EXPECT_EQ(file->generation(), 5);
  append(*file, 4);
  EXPECT_EQ(text(*find()), all + "1:4/1:key=v ");
}

TEST_F(JournalFileTest, IsFullWhenItsRoomIs) {
  auto file = begin();
  JournalBatch batch;
  batch.clear();
  batch.add({Kind::kPut, 1, 1, "key", std::string(5000, 'x')});
  EXPECT_EQ(batch.blocks(), 8192u);
  int appended = 0;
  for (; file->fits(batch); ++appended) ASSERT_TRUE(file->append(batch).ok());
  EXPECT_EQ(appended, 7) << "of 15 blocks behind the first, one of which is for its end";
  EXPECT_EQ(bytes().size(), 64u << 10);
  // A batch that does not fit extends the file.
  ASSERT_TRUE(file->append(batch).ok());
  EXPECT_EQ(bytes().size(), 72u << 10);
  EXPECT_EQ(file->room(), 72u << 10);
  EXPECT_EQ(text(*find()), text(*file));
}

TEST_F(JournalFileTest, ANewLifeKnowsNothingOfTheOneBefore) {
  auto file = begin(1);
  for (int i = 1; i <= 10; ++i) append(*file, i);
  file = begin(2);
  EXPECT_TRUE(find()->empty());
  append(*file, 11);
  EXPECT_EQ(text(*find()), "1:11/1:key=v ");
  EXPECT_EQ(find()->generation(), 2);
}

TEST_F(JournalFileTest, AHalfWrittenBatchIsNone) {
  auto file = begin();
  append(*file, 1);
  append(*file, 2);
  const std::string before = bytes();
  const std::size_t at = file->used();
  append(*file, 3, std::string(6000, 'x'));
  const std::string after = bytes();
  ASSERT_EQ(file->used(), at + 8192);
  file.reset();
  // Sectors reach a disk in any order: all subsets of single and of consecutive changed sectors.
  const std::size_t end = 24 + 25 + 3 + 6000;  // end of the checksummed bytes
  for (std::size_t first = 0; first < 16; ++first) {
    for (std::size_t last = first + 1; last <= 16; ++last) {
      std::string torn = after;
      torn.replace(at + first * 512, (last - first) * 512, before, at + first * 512, (last - first) * 512);
      set_bytes(torn);
      const bool original = first * 512 >= end;
      EXPECT_EQ(text(*find()), std::string("1:1/1:key=v 1:2/1:key=v ") + (original ? "1:3/1:key=xxxxxxxxxx " : ""))
          << first << " to " << last;
    }
  }
  // Each byte of the batch head and of the entry head.
  for (std::size_t i = 0; i < 60; ++i) {
    std::string wrong = after;
    wrong[at + i] = static_cast<char>(wrong[at + i] ^ 0x10);
    set_bytes(wrong);
    EXPECT_EQ(text(*find()), "1:1/1:key=v 1:2/1:key=v ") << i;
  }
  // The next batch takes its place, also if it is shorter.
  std::string torn = after;
  torn[at + 30] = 'y';
  set_bytes(torn);
  file = find();
  append(*file, 4);
  EXPECT_EQ(text(*find()), "1:1/1:key=v 1:2/1:key=v 1:4/1:key=v ");
  // A file that ends in the middle of the batch.
  for (std::size_t size : {at, at + 1, at + 24, at + 4096, at + 6000}) {
    EXPECT_EQ(loss_of(after.substr(0, size)), "journal-shortened 1:1/1:key=v 1:2/1:key=v ") << size;
  }
}

// The same over the content of an earlier use, and with a batch that extended the file.
TEST_F(JournalFileTest, NoTornWriteLooksLikeALoss) {
  for (const std::size_t bytes_of_it : {std::size_t{50}, std::size_t{9000}, std::size_t{100'000}}) {
    auto file = begin(1);
    for (int i = 1; i <= 5; ++i) append(*file, i, std::string(5000, 'o'));
    JournalBatch forgets;  // its bytes are mostly zeros
    forgets.clear();
    for (int i = 0; i < 400; ++i) forgets.add({Kind::kForget, 0});
    ASSERT_TRUE(file->append(forgets).ok());
    file = begin(2);
    if (bytes_of_it < 50'000) append(*file, 1);
    const std::size_t at = file->used();
    const std::string original = text(*file);
    std::string before = bytes();
    append(*file, 2, std::string(bytes_of_it, 'x'));
    const std::size_t written = file->used() - at;
    const std::string after = bytes();
    ASSERT_GE(after.size(), before.size());
    before = after.substr(0, 4096) + before.substr(4096) + std::string(after.size() - before.size(), '~');
    const std::size_t sectors = written / 512;
    for (std::size_t first = 0; first < sectors; ++first) {
      for (std::size_t last = first + 1; last <= sectors; last += 1 + sectors / 20) {
        std::string torn = after;
        torn.replace(at + first * 512, (last - first) * 512, before, at + first * 512, (last - first) * 512);
        set_bytes(torn);
        ASSERT_TRUE(text(*find()).starts_with(original)) << first << " to " << last;
      }
    }
  }
}

TEST_F(JournalFileTest, AFullDiskMakesNoFileLonger) {
  auto file = begin();
  const std::string before = bytes();
  JournalBatch batch;
  batch.clear();
  batch.add({Kind::kPut, 1, 1, "key", std::string(100'000, 'x')});
  fault::arm("store.fill", 1);
  Status refused = file->append(batch);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_TRUE(contains(refused.error().message, "No space left on device"));
  EXPECT_TRUE(bytes() == before);
  EXPECT_EQ(file->room(), 64u << 10);
  append(*file, 1);
  ASSERT_TRUE(file->append(batch).ok()) << "when there is space again";
  EXPECT_EQ(text(*find()), "1:1/1:key=v 1:1/1:key=xxxxxxxxxx ");
  // A new use gets the available room.
  fault::arm("store.fill", 2);
  ::unlink(path().c_str());
  file = begin(2, 64 << 10);
  EXPECT_EQ(file->room(), 16u << 10);
  append(*file, 2);
  EXPECT_EQ(text(*find()), "1:2/1:key=v ");
}

TEST_F(JournalFileTest, AShorterFileIsALoss) {
  auto file = begin();
  for (int i = 1; i <= 3; ++i) append(*file, i);
  const std::string original = bytes();
  EXPECT_EQ(loss_of(original), "whole 1:1/1:key=v 1:2/1:key=v 1:3/1:key=v ");
  for (std::size_t blocks = 1; blocks < 16; ++blocks) {
    std::string left = "journal-shortened ";
    for (std::size_t i = 1; i < std::min(blocks, std::size_t{4}); ++i) left += "1:" + std::to_string(i) + "/1:key=v ";
    EXPECT_EQ(loss_of(original.substr(0, blocks * 4096)), left);
  }
  const std::string error = to_error(*find_any()->loss()).message;
  EXPECT_TRUE(contains(
      error, path() +
                 " has 61440 bytes, but was made with 65536: acknowledged writes may be missing (journal-shortened). "
                 "Nothing has been changed. Put back a copy of the store with all its files, or go on with"));
  EXPECT_TRUE(contains(error, "berth up --accept-loss=journal-shortened"));
  // A batch beyond the room cannot be cut off unnoticed either.
  file = begin(2);
  append(*file, 1, std::string(100'000, 'x'));
  const std::string longer = bytes();
  EXPECT_EQ(loss_of(longer), "whole 1:1/1:key=xxxxxxxxxx ");
  EXPECT_EQ(loss_of(longer.substr(0, 64 << 10)), "journal-shortened ");
}

TEST_F(JournalFileTest, ZerosFromAnywhereToTheEndAreALoss) {
  for (std::int64_t life = 1; life <= 2; ++life) {  // the second over the content of the first
    auto file = begin(life);
    for (int i = 1; i <= 2; ++i) append(*file, i);
    append(*file, 3, std::string(5000, 'x'));
    if (life == 1) {
      for (int i = 4; i <= 8; ++i) append(*file, i);
      continue;
    }
    const std::string original = bytes();
    const std::size_t sectors_of_last = 4096 * 3 + 5120;  // followed by filler
    for (std::size_t at = 4096; at <= 4096 * 5; at += 512) {
      std::string left;  // small batches have all their bytes in the first sector
      for (std::size_t i = 1; i <= std::min<std::size_t>((at - 1) / 4096, 2); ++i)
        left += "1:" + std::to_string(i) + "/1:key=v ";
      if (at >= sectors_of_last) left += "1:3/1:key=xxxxxxxxxx ";
      std::string zeroed = original;
      zeroed.replace(at, std::string::npos, original.size() - at, '\0');
      EXPECT_EQ(loss_of(zeroed), "journal-zeroed " + left) << at;
      // A single sector of the last batch, too.
      if (at < 4096 * 3 || at >= sectors_of_last) continue;
      std::string hole = original;
      hole.replace(at, 512, 512, '\0');
      EXPECT_EQ(loss_of(hole), "journal-zeroed 1:1/1:key=v 1:2/1:key=v ") << at;
    }
    // After an unwritten block there is no batch.
    std::string behind = original;
    behind.replace(4096 * 6, std::string::npos, original.size() - 4096 * 6, '\0');
    EXPECT_TRUE(loss_of(behind).starts_with("whole "));
  }
}

TEST_F(JournalFileTest, AnEndProvesItself) {
  auto file = begin();
  append(*file, 1);
  append(*file, 2);
  EXPECT_FALSE(find()->ended());
  ASSERT_TRUE(file->write_end().ok());
  ASSERT_TRUE(file->write_end().ok()) << "once is enough";
  EXPECT_TRUE(find()->ended());
  EXPECT_EQ(text(*find()), "1:1/1:key=v 1:2/1:key=v 6:2/0:= ");
  // A full file has room for it.
  file = begin(2);
  JournalBatch batch;
  batch.clear();
  batch.add({Kind::kPut, 1, 1, "key", "v"});
  while (file->fits(batch)) ASSERT_TRUE(file->append(batch).ok());
  ASSERT_TRUE(file->write_end().ok());
  EXPECT_EQ(bytes().size(), 64u << 10);
  EXPECT_TRUE(find()->ended());
}

// A file system without direct writes.
TEST_F(JournalFileTest, WritesThroughThePageCacheWhereItMust) {
  fault::arm("store.direct", 1);
  auto file = begin();
  fault::disarm_all();
  JournalBatch batch;
  batch.clear();
  batch.add({Kind::kPut, 1, 1, "key", "v"});
  AsyncWrite write;
  Fd wake_fd(::eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(file->start_append(batch, write, wake_fd.get())) << "which would wait";
  ASSERT_TRUE(file->append(batch).ok());
  append(*file, 2, std::string(9000, 'x'));
  EXPECT_EQ(text(*find()), "1:1/1:key=v 1:2/1:key=xxxxxxxxxx ");
}

TEST_F(JournalFileTest, WhatCouldNotBeWrittenWithoutWaitingIsWrittenAgain) {
  auto file = begin();
  JournalBatch batch;
  batch.clear();
  batch.add({Kind::kPut, 1, 1, "key", "v"});
  for (std::int64_t result : {std::int64_t{-EIO}, std::int64_t{512}, std::int64_t{0}}) {
    ASSERT_TRUE(file->finish_append(batch, result).ok());
  }
  EXPECT_EQ(text(*find()), "1:1/1:key=v 1:1/1:key=v 1:1/1:key=v ");
  batch.clear();
  batch.add({Kind::kPut, 2, 1, "key", std::string(64 << 10, 'x')});
  AsyncWrite write;
  Fd wake_fd(::eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(file->start_append(batch, write, wake_fd.get())) << "it does not fit";
}

TEST_F(JournalFileTest, DamageBeforeTheEndIsNotTakenForTheEnd) {
  auto file = begin();
  for (int i = 1; i <= 5; ++i) append(*file, i);
  std::string wrong = bytes();
  wrong[4096 * 2 + 50] ^= 1;
  EXPECT_EQ(loss_of(wrong), "journal-damaged 1:1/1:key=v ");
  EXPECT_TRUE(contains(to_error(*find_any()->loss()).message,
                       path() + " is damaged: batch 2 cannot be read, although batch 3 was written after it"));
  // Batches that become unreadable after they were written are detected, too.
  file = begin(2);
  for (int i = 1; i <= 5; ++i) append(*file, i);
  Fd fd(::open(path().c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::pwrite(fd.get(), "wrong", 5, 4096 * 2 + 45), 5);
  ASSERT_EQ(::fsync(fd.get()), 0);
  EXPECT_TRUE(contains(text(*file), "batch 2 cannot be read"));
}

TEST_F(JournalFileTest, WhatWasNeverBegunIsNone) {
  EXPECT_FALSE(find());
  set_bytes("");
  EXPECT_FALSE(find());
  set_bytes(std::string(100'000, '\0'));
  EXPECT_FALSE(find());
  set_bytes("x");
  EXPECT_FALSE(find());
}

// CRC-32 of the head's 40 bytes, computed independently, bit by bit.
std::string with_sum(std::string file) {
  std::uint32_t crc = ~0u;
  for (int i = 0; i < 40; ++i) {
    crc ^= static_cast<unsigned char>(file[static_cast<std::size_t>(i)]);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
  }
  crc = ~crc;
  for (int i = 0; i < 4; ++i) file[40 + static_cast<std::size_t>(i)] = static_cast<char>(crc >> 8 * i);
  return file;
}

TEST_F(JournalFileTest, RefusesANewerFormat) {
  (void)begin();
  std::string newer = bytes();
  newer[8] = 3;
  set_bytes(newer);
  EXPECT_FALSE(find()) << "without its sum it is no journal";
  set_bytes(with_sum(newer));
  auto found = JournalFile::open_existing(path());
  ASSERT_FALSE(found.ok());
  EXPECT_TRUE(contains(found.error().message, "has format 3; this version of berth reads format 2"));
}

// As earlier versions of berth wrote it: zeros for filler, and no room in the head.
TEST_F(JournalFileTest, GoesOnWithFormatOne) {
  auto file = begin();
  append(*file, 1);
  std::string old = bytes();
  old[8] = 1;
  old.replace(12, 4, 4, '\0');
  old.replace(8192, std::string::npos, old.size() - 8192, '\0');
  set_bytes(with_sum(old));
  file = find();
  EXPECT_FALSE(file->has_end_mark());
  append(*file, 2);
  ASSERT_TRUE(file->write_end().ok());
  EXPECT_EQ(text(*find()), "1:1/1:key=v 1:2/1:key=v ");
  EXPECT_EQ(bytes().substr(4096 * 2 + 100, 10), std::string(10, '\0'));
  // The next use has filler everywhere.
  file = begin(2);
  EXPECT_EQ(bytes().find('\0', 4096), std::string::npos);
  append(*file, 3);
  EXPECT_EQ(text(*find()), "1:3/1:key=v ");
}

}  // namespace
}  // namespace berth::store
