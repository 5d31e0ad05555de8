#pragma once
// JournalFile: the file to which batches of writes are appended before they are moved into the database. An append is
// one write call, past the page cache if the file system allows it, and durable when it returns. Blocks with
// acknowledged entries are not written again before the file is reused. Blocking; one thread at a time.
//
// Layout, little endian, in blocks of 4096 bytes:
//   block 0   "BerthJnl", format (4 bytes), room in blocks (4), identity (8), generation (8), salt (8),
//             CRC-32 of all bytes before it (4)
//   batches   each from the start of a block: salt (8), number in the file (8, from 1), size of its entries (4),
//             CRC-32 of these 20 bytes and the entries (4), entries, filler up to the end of the block
//   entry     kind (1), revision (8), create revision (8), size of the key (4), size of the value (4), key, value
//   the rest  filler, or what an earlier use of the file wrote
// A batch is valid if it has the file's salt, the next number and a matching CRC. One batch is written at a time, so
// only the batch after the last valid one can be half written; a valid batch after an invalid one proves damage.
//
// How recovery proves that no acknowledged batch is missing after the last valid one:
//   * The file is never shorter than the room in its head, and no batch extends beyond the room.
//   * No sector in the room is ever zero: filler is written before anything else, and entries are not long runs of
//     zeros. A torn batch leaves each sector either old or new, so zeros were written by something else.
//   * Before the first batch of the next journal, this journal gets a batch with the entry kEnd. A journal with kEnd is
//     complete; one without it, while the next journal has batches, is not.
// Format 1 has zeros for filler, no room and no kEnd: only damage before its last valid batch can be detected. It is
// still read, and appended to until the file is reused.
// and appended to until its life ends.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/function.h"
#include "store/async_write.h"
#include "store/loss.h"
#include "store/store.h"

namespace berth::store {

// Suffixes of the database's path that give its journals' paths.
inline constexpr const char* kJournalSuffixes[] = {".journal-1", ".journal-2"};

// An error for a store that must not be opened: `what` is wrong with the file at `path`. Recommends the command `up`.
Error unusable(const std::string& path, const std::string& what, std::string_view up);

struct JournalEntry {
  enum class Kind : std::uint8_t {
    kPut = 1,      // value: JSON
    kDelete = 2,   // of the key
    kForget = 3,   // the row of `revision` is garbage
    kReserve = 4,  // revisions up to `revision` may be used without an entry
    kCompact = 5,  // history below `revision` is not promised
    kEnd = 6,      // alone in its batch, the last of this use of the file; `revision`: the number of batches before it
  };
  Kind kind;
  Revision revision;
  Revision create_revision = 0;
  std::string_view key = {};
  std::string_view value = {};
};

// A buffer of complete blocks, aligned for direct writes and reads.
class BlockBuffer {
 public:
  static constexpr std::size_t kBlock = 4096;
  static constexpr std::size_t whole_blocks(std::size_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

  char* data() { return memory_.get(); }
  const char* data() const { return memory_.get(); }
  // Room for at least `bytes`; the first `keep` are retained.
  void reserve(std::size_t bytes, std::size_t keep);
  std::size_t capacity() const { return capacity_; }
  void release();

 private:
  struct Free {
    void operator()(char* memory) const;
  };
  std::unique_ptr<char, Free> memory_;
  std::size_t capacity_ = 0;
};

// Entries encoded as on disk. Reused for the next batch.
class JournalBatch {
 public:
  void clear();
  void add(const JournalEntry& entry);
  std::size_t blocks() const { return BlockBuffer::whole_blocks(size_); }  // size on disk, in bytes

 private:
  friend class JournalFile;
  std::string_view seal(std::uint64_t salt, std::uint64_t number, char filler);
  void append(const void* bytes, std::size_t size);

  BlockBuffer buffer_;
  std::size_t size_ = 0;
};

class JournalFile {
 public:
  using EntryHandler = Function<Status(const JournalEntry&)>;

  // Starts a new use of the file: empties it and makes `room` bytes durable in advance unless disk space is short (a
  // write that extends a file also waits for the file system's own journal).
  static Result<std::unique_ptr<JournalFile>> create(const std::string& path, std::int64_t identity,
                                                     std::int64_t generation, std::size_t room);
  // Opens a file by its head alone; null if there is no file, or its head was never completed. Fails for a newer
  // format. `up`: see StoreGuard.
  static Result<std::unique_ptr<JournalFile>> open_existing(const std::string& path, std::string_view up = kUp);
  // Finds the last valid batch of an opened file, which can then be read and appended to. If acknowledged writes are
  // missing, sets loss(): read() then ends before them, and the file must not be appended to. Changes nothing on disk.
  Status recover();
  const std::optional<LossFound>& loss() const { return loss_; }

  // Calls `handle` for every entry, in order; stops at the first error.
  Status read(const EntryHandler& handle) const;
  // Appends a batch atomically and durably. kUnavailable: nothing was stored, and the next batch is written in its
  // place. kUnknown: the same, but after a crash before then the batch may reappear. A batch that does not fit extends
  // the file first.
  Status append(JournalBatch& batch);
  // Writes kEnd: no batch can be appended after it. If it fails, appending may continue.
  Status write_end();
  // append() in two steps, without waiting. False if that is impossible. `batch` must stay unchanged until
  // finish_append(), which is the only call allowed between the two, once `write` has a result.
  bool start_append(JournalBatch& batch, AsyncWrite& write, int wake_fd);
  Status finish_append(JournalBatch& batch, std::int64_t result);

  bool fits(const JournalBatch& batch) const { return used_ + batch.blocks() + end_bytes() <= room_; }
  bool empty() const { return number_ == 0; }
  bool ended() const { return ended_; }
  bool has_end_mark() const { return format_ > 1; }  // if ended() is false for a full journal, writes were lost
  std::size_t used() const { return used_; }         // bytes
  std::size_t room() const { return room_; }
  const std::string& path() const { return path_; }
  std::int64_t identity() const { return identity_; }      // of its database
  std::int64_t generation() const { return generation_; }  // incremented with each use of the file

 private:
  class Window;
  explicit JournalFile(std::string path, std::string_view up = kUp) : path_(std::move(path)), up_(up) {}

  Status open(int flags);
  Status write(std::string_view blocks, std::size_t at);
  Status write_head();
  Status make_room(std::size_t room);
  Status extend_to(std::size_t size);
  Status write_filler(int fd, std::size_t at, std::size_t end) const;
  Status append_blocks(std::string_view blocks);
  std::size_t end_bytes() const { return has_end_mark() ? BlockBuffer::kBlock : 0; }
  Result<bool> read_head(Window& window);
  Status find_last_batch(Window& window);
  Status find_damage_after_end(Window& window);
  Status find_zeros(Window& window);
  void set_loss(Loss loss, std::string what) { loss_ = LossFound{loss, path_, std::move(what)}; }
  // The entries of batch `number` at `at`; a view without data if there is no valid one.
  Result<std::string_view> batch_at(Window& window, std::size_t at, std::uint64_t number) const;
  Status parse_entries(std::string_view bytes, const EntryHandler& handle) const;

  std::string path_, up_;
  Fd fd_;
  std::int64_t identity_ = 0, generation_ = 0;
  std::uint64_t salt_ = 0;
  std::uint64_t number_ = 0;  // of the last batch
  std::size_t used_ = BlockBuffer::kBlock;
  std::size_t room_ = 0;
  std::uint32_t format_ = 0;
  bool ended_ = false;
  std::optional<LossFound> loss_;
  bool direct_ = false;  // writes bypass the page cache
};

}  // namespace berth::store
