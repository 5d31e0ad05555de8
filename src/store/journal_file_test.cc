// The journal as a file: what is read back, what a torn or damaged one is taken for.

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
    auto file = JournalFile::begin(path(), 77, generation, room);
    EXPECT_TRUE(file.ok()) << (file.ok() ? "" : file.error().message);
    return std::move(file).value();
  }
  std::unique_ptr<JournalFile> find() {
    auto file = JournalFile::find(path());
    EXPECT_TRUE(file.ok()) << (file.ok() ? "" : file.error().message);
    return file.ok() ? std::move(file).value() : nullptr;
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

  TemporaryFolder folder_;
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
  EXPECT_EQ(appended, 7) << "of 15 blocks behind the first";
  EXPECT_EQ(bytes().size(), 64u << 10);
  // What does not fit makes it longer.
  ASSERT_TRUE(file->append(batch).ok());
  EXPECT_EQ(bytes().size(), 68u << 10);
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
  // Sectors reach a disk in any order: each subset of the sixteen that changed, by turns of one and of a run.
  const std::size_t end = 24 + 25 + 3 + 6000;  // of what is summed
  for (std::size_t first = 0; first < 16; ++first) {
    for (std::size_t last = first + 1; last <= 16; ++last) {
      std::string torn = after;
      torn.replace(at + first * 512, (last - first) * 512, before, at + first * 512, (last - first) * 512);
      set_bytes(torn);
      const bool whole = first * 512 >= end;
      EXPECT_EQ(text(*find()), std::string("1:1/1:key=v 1:2/1:key=v ") + (whole ? "1:3/1:key=xxxxxxxxxx " : ""))
          << first << " to " << last;
    }
  }
  // Each byte of the head and of the entry's.
  for (std::size_t i = 0; i < 60; ++i) {
    std::string wrong = after;
    wrong[at + i] = static_cast<char>(wrong[at + i] ^ 0x10);
    set_bytes(wrong);
    EXPECT_EQ(text(*find()), "1:1/1:key=v 1:2/1:key=v ") << i;
  }
  // The next one takes its place, also where it is shorter.
  std::string torn = after;
  torn[at + 30] = 'y';
  set_bytes(torn);
  file = find();
  append(*file, 4);
  EXPECT_EQ(text(*find()), "1:1/1:key=v 1:2/1:key=v 1:4/1:key=v ");
  // A file that ends in the middle of it.
  for (std::size_t size : {at, at + 1, at + 24, at + 4096, at + 6000}) {
    set_bytes(after.substr(0, size));
    EXPECT_EQ(text(*find()), "1:1/1:key=v 1:2/1:key=v ") << size;
  }
}

// A file system that has no direct writes.
TEST_F(JournalFileTest, WritesThroughThePageCacheWhereItMust) {
  fault::arm("store.direct", 1);
  auto file = begin();
  fault::disarm_all();
  JournalBatch batch;
  batch.clear();
  batch.add({Kind::kPut, 1, 1, "key", "v"});
  AsyncWrite write;
  Fd alarm(::eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(file->begin_append(batch, write, alarm.get())) << "which would wait";
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
  Fd alarm(::eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(file->begin_append(batch, write, alarm.get())) << "it does not fit";
}

TEST_F(JournalFileTest, DamageBeforeTheEndIsNotTakenForTheEnd) {
  auto file = begin();
  for (int i = 1; i <= 5; ++i) append(*file, i);
  std::string wrong = bytes();
  wrong[4096 * 2 + 50] ^= 1;
  set_bytes(wrong);
  auto found = JournalFile::find(path());
  ASSERT_FALSE(found.ok());
  EXPECT_TRUE(contains(found.error().message, path() + " is damaged: batch 2 cannot be read, although batch 3 was written"));
  // What was good when it was written and goes bad later is noticed as well.
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

TEST_F(JournalFileTest, RefusesANewerFormat) {
  (void)begin();
  std::string newer = bytes();
  newer[8] = 2;
  set_bytes(newer);
  EXPECT_FALSE(find()) << "without its sum it is no journal";
  // crc32 of the 40 bytes, by a table-free loop of its own.
  std::uint32_t crc = ~0u;
  for (int i = 0; i < 40; ++i) {
    crc ^= static_cast<unsigned char>(newer[static_cast<std::size_t>(i)]);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
  }
  crc = ~crc;
  for (int i = 0; i < 4; ++i) newer[40 + static_cast<std::size_t>(i)] = static_cast<char>(crc >> 8 * i);
  set_bytes(newer);
  auto found = JournalFile::find(path());
  ASSERT_FALSE(found.ok());
  EXPECT_TRUE(contains(found.error().message, "has format 2; this version of berth reads format 1"));
}

}  // namespace
}  // namespace berth::store
