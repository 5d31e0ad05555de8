#pragma once
// JournalFile: what batches of writes are appended to before they reach the database. An append is one write call, past
// the page cache where the file system lets it, and on disk when it returns. Blocks that hold acknowledged entries are
// never written again in the same life of the file. Blocking; one thread at a time.
//
// Layout, little endian, in blocks of 4096 bytes:
//   block 0   "BerthJnl", format (4 bytes), room in blocks (4), identity (8), generation (8), salt (8), CRC-32 of what stands
//             before (4)
//   batches   each from the beginning of a block: salt (8), number in the file (8, from 1), bytes of its entries (4),
//             CRC-32 of these 20 bytes and the entries (4), entries, filler to the end of the block
//   entry     kind (1), revision (8), create revision (8), bytes of the key (4), bytes of the value (4), key, value
//   the rest  filler, or what an earlier life of the file wrote
// A batch is valid with the file's salt, the next number and a matching sum. One batch is under way at a time, so only
// what follows the last valid one can be half written; a valid batch behind a bad one means damage.
//
// What proves that nothing acknowledged is missing behind the last valid batch:
//   * The file never gets shorter than the room in its head, and no batch goes beyond the room.
//   * No sector in the room is ever zero: it holds filler before anything else, and entries are not long runs of zeros. A torn
//     batch leaves each sector as it was or as it was to be, so zeros were put there by something else.
//   * Before the first batch of the next journal this one gets a batch with the entry kEnd. One that has it is whole; one that
//     does not, while the next journal holds batches, is not.
// Format 1 has zeros for filler, no room and no kEnd: of it only damage before the end can be told. It is still read,
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

// The names of a database's journals, behind its own.
inline constexpr const char* kJournalSuffixes[] = {".journal-1", ".journal-2"};

// A store that must not be opened: `what` is wrong with the file at `path`. Says what to do, by the command `up`.
Error unusable(const std::string& path, const std::string& what, std::string_view up);

struct JournalEntry {
  enum class Kind : std::uint8_t {
    kPut = 1,      // value: JSON
    kDelete = 2,   // of the key
    kForget = 3,   // the row of `revision` is not needed any more
    kReserve = 4,  // numbers up to `revision` may be handed out without an entry
    kCompact = 5,  // below `revision` nothing of the past is promised
    kEnd = 6,      // alone in its batch: the last of this life; `revision`: the batches before it
  };
  Kind kind;
  Revision revision;
  Revision create_revision = 0;
  std::string_view key = {};
  std::string_view value = {};
};

// Bytes in whole blocks, at an address that direct writes and reads accept.
class BlockBuffer {
 public:
  static constexpr std::size_t kBlock = 4096;
  static constexpr std::size_t whole_blocks(std::size_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

  char* data() { return memory_.get(); }
  const char* data() const { return memory_.get(); }
  // Room for at least `bytes`; the first `keep` stay.
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

// Entries in the form that they have on disk. Reused from batch to batch.
class JournalBatch {
 public:
  void clear();
  void add(const JournalEntry& entry);
  std::size_t blocks() const { return BlockBuffer::whole_blocks(size_); }  // bytes on disk

 private:
  friend class JournalFile;
  std::string_view seal(std::uint64_t salt, std::uint64_t number, char filler);
  void append(const void* bytes, std::size_t size);

  BlockBuffer buffer_;
  std::size_t size_ = 0;
};

class JournalFile {
 public:
  using Take = Function<Status(const JournalEntry&)>;

  // Begins a new life of the file: empty, durable, with `room` bytes on disk already where space is not short (a write
  // that makes a file longer has to wait for the file system's own journal as well). What it held is gone.
  static Result<std::unique_ptr<JournalFile>> begin(const std::string& path, std::int64_t identity,
                                                    std::int64_t generation, std::size_t room);
  // The file by its head alone; null where there is none, or one that never was begun. Errors: a newer format.
  // `up`: see Guard.
  static Result<std::unique_ptr<JournalFile>> find(const std::string& path, std::string_view up = kUp);
  // Finds the end of what find() found, which can then be read and appended to. Where acknowledged writes are missing,
  // what is read ends before them; the file must not be appended to then. Nothing is changed.
  Status recover();
  const std::optional<LossFound>& loss() const { return loss_; }

  // Every entry, in order. Ends with the first error.
  Status read(const Take& take) const;
  // Appends a batch, whole or not at all, and has it on disk. kUnavailable: nothing was stored, and the next batch
  // takes its place. kUnknown: that too, but a crash before then may bring it back. One that does not fit makes the
  // file longer first.
  Status append(JournalBatch& batch);
  // Nothing is appended after this. Until it has succeeded, everything may be.
  Status end();
  // The same in two steps, without waiting: false where that cannot be. `batch` stays as it is until then. Between the
  // two only finish_append() is called, when `write` has a result.
  bool begin_append(JournalBatch& batch, AsyncWrite& write, int wake_fd);
  Status finish_append(JournalBatch& batch, std::int64_t result);

  bool fits(const JournalBatch& batch) const { return used_ + batch.blocks() + end_bytes() <= room_; }
  bool empty() const { return number_ == 0; }
  bool ended() const { return ended_; }
  bool proves_its_end() const { return format_ > 1; }  // a life that is over without ended() has lost writes
  std::size_t used() const { return used_; }           // bytes
  std::size_t room() const { return room_; }
  const std::string& path() const { return path_; }
  std::int64_t identity() const { return identity_; }      // of the database that it belongs to
  std::int64_t generation() const { return generation_; }  // one more with each life

 private:
  class Window;
  explicit JournalFile(std::string path, std::string_view up = kUp) : path_(std::move(path)), up_(up) {}

  Status open(int flags);
  Status write(std::string_view blocks, std::size_t at);
  Status write_head();
  Status make_room(std::size_t room);
  Status fill_up_to(std::size_t size);
  Status write_filler(int fd, std::size_t at, std::size_t end) const;
  Status append_blocks(std::string_view blocks);
  std::size_t end_bytes() const { return proves_its_end() ? BlockBuffer::kBlock : 0; }
  Result<bool> read_head(Window& window);
  Status find_end(Window& window);
  Status look_behind_end(Window& window);
  Status look_for_zeros(Window& window);
  void lose(Loss loss, std::string what) { loss_ = LossFound{loss, path_, std::move(what)}; }
  // The entries of batch `number` at `at`; a view without data where there is no such batch.
  Result<std::string_view> batch_at(Window& window, std::size_t at, std::uint64_t number) const;
  Status take_entries(std::string_view bytes, const Take& take) const;

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
  bool direct_ = false;  // past the page cache
};

}  // namespace berth::store
