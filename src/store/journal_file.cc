#include "store/journal_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>

#include "base/fault.h"

namespace berth::store {

namespace {

static_assert(std::endian::native == std::endian::little, "the layout is the machine's");

constexpr std::size_t kBlock = BlockBuffer::kBlock;
constexpr char kMagic[8] = {'B', 'e', 'r', 't', 'h', 'J', 'n', 'l'};
constexpr std::uint32_t kFormat = 2;
constexpr std::uint32_t kFormatWithoutProof = 1;
constexpr char kFiller = '~';                // in unwritten blocks, and after the entries of a batch
constexpr std::size_t kSector = 512;         // disks write a sector completely or not at all
constexpr std::size_t kHeadBytes = 40;       // of the file head, without its CRC
constexpr std::size_t kBatchHeadBytes = 24;  // including the CRC
constexpr std::size_t kEntryHeadBytes = 25;
constexpr std::size_t kWindow = 256 << 10;  // bytes per read
constexpr std::size_t kLeastRoom = 64 << 10;
constexpr std::size_t kSpare = 20;                  // disk space must be this many times the room
constexpr std::size_t kMaxReusedBuffer = 1u << 20;  // a larger batch buffer is released

template <class T>
T get(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void set(char* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// CRC-32 of `bytes`, continued from `before`, the CRC of the bytes in front.
std::uint32_t sum(std::string_view bytes, std::uint32_t before = 0) {
  return static_cast<std::uint32_t>(::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::uint64_t random_word() {
  std::uint64_t word = 0;
  while (::getrandom(&word, sizeof word, 0) != sizeof word) {}
  return word;
}

}  // namespace

Error unusable(const std::string& path, const std::string& what, std::string_view up) {
  return error(Code::kInternal,
               path + " " + what +
                   ". Put back a copy of the store with all its files, or move them all away and start "
                   "with an empty store: " +
                   std::string(up) + " --accept-loss=" + std::string(name_of(Loss::kStoreEmptied)));
}

void BlockBuffer::Free::operator()(char* memory) const { std::free(memory); }

void BlockBuffer::reserve(std::size_t bytes, std::size_t keep) {
  if (bytes <= capacity_) return;
  const std::size_t capacity = whole_blocks(std::max(bytes, 2 * capacity_));
  std::unique_ptr<char, Free> memory(static_cast<char*>(std::aligned_alloc(kBlock, capacity)));
  if (!memory) throw std::bad_alloc();
  if (keep > 0) std::memcpy(memory.get(), memory_.get(), keep);
  memory_ = std::move(memory);
  capacity_ = capacity;
}

void BlockBuffer::release() {
  memory_.reset();
  capacity_ = 0;
}

void JournalBatch::clear() {
  if (buffer_.capacity() > kMaxReusedBuffer) buffer_.release();
  buffer_.reserve(kBlock, 0);
  size_ = kBatchHeadBytes;
}

void JournalBatch::append(const void* bytes, std::size_t size) {
  buffer_.reserve(size_ + size, size_);
  if (size > 0) std::memcpy(buffer_.data() + size_, bytes, size);
  size_ += size;
}

void JournalBatch::add(const JournalEntry& entry) {
  char head[kEntryHeadBytes];
  head[0] = static_cast<char>(entry.kind);
  set(head + 1, entry.revision);
  set(head + 9, entry.create_revision);
  set(head + 17, static_cast<std::uint32_t>(entry.key.size()));
  set(head + 21, static_cast<std::uint32_t>(entry.value.size()));
  append(head, sizeof head);
  append(entry.key.data(), entry.key.size());
  append(entry.value.data(), entry.value.size());
}

std::string_view JournalBatch::seal(std::uint64_t salt, std::uint64_t number, char filler) {
  buffer_.reserve(blocks(), size_);
  char* data = buffer_.data();
  std::memset(data + size_, filler, blocks() - size_);
  set(data, salt);
  set(data + 8, number);
  set(data + 16, static_cast<std::uint32_t>(size_ - kBatchHeadBytes));
  set(data + 20, sum({data + kBatchHeadBytes, size_ - kBatchHeadBytes}, sum({data, 20})));
  return {data, blocks()};
}

// Reads blocks of a file through a read-ahead buffer.
class JournalFile::Window {
 public:
  Window(const std::string& path, int fd) : path_(path), fd_(fd) {}

  // The bytes at `at`, a multiple of the block size; fewer at the end of the file. Valid until the next call.
  Result<std::string_view> bytes(std::size_t at, std::size_t count) {
    if (at < begin_ || at + count > begin_ + have_) BERTH_TRY(fill(at, std::max(count, kWindow)));
    return std::string_view(buffer_.data() + (at - begin_), std::min(count, begin_ + have_ - at));
  }

 private:
  Status fill(std::size_t at, std::size_t count) {
    count = BlockBuffer::whole_blocks(count);
    buffer_.reserve(count, 0);
    begin_ = at;
    have_ = 0;
    while (have_ < count) {
      ssize_t n = ::pread(fd_, buffer_.data() + have_, count - have_, static_cast<off_t>(at + have_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_error("reading " + path_);
      have_ += static_cast<std::size_t>(n);
      if (n == 0 || static_cast<std::size_t>(n) % kBlock != 0) break;
    }
    return ok_status();
  }

  const std::string& path_;
  int fd_;
  BlockBuffer buffer_;
  std::size_t begin_ = 0, have_ = 0;
};

// Falls back to buffered writes: some file systems have no direct ones.
Status JournalFile::open(int flags) {
  flags |= O_RDWR | O_CLOEXEC | O_DSYNC;
  const bool refused = fault::hit("store.direct");
  if (!refused) fd_ = Fd(::open(path_.c_str(), flags | O_DIRECT, 0600));
  direct_ = static_cast<bool>(fd_);
  if (refused || (!fd_ && errno == EINVAL)) fd_ = Fd(::open(path_.c_str(), flags, 0600));
  if (!fd_) return errno_error("opening " + path_);
  return ok_status();
}

Status JournalFile::write(std::string_view blocks, std::size_t at) {
  for (std::size_t done = 0; done < blocks.size();) {
    ssize_t n = ::pwrite(fd_.get(), blocks.data() + done, blocks.size() - done, static_cast<off_t>(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && direct_) {
      ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) & ~O_DIRECT);
      direct_ = false;
      continue;
    }
    // Direct writes must continue at the start of a block.
    const std::size_t written = n < 0 ? 0
                                : done + static_cast<std::size_t>(n) == blocks.size()
                                    ? static_cast<std::size_t>(n)
                                    : static_cast<std::size_t>(n) / kBlock * kBlock;
    if (written == 0) {
      const int why = n < 0 ? errno : ENOSPC;
      Error failed = errno_error("writing " + path_, why);
      failed.code = why == EIO ? Code::kUnknown : Code::kUnavailable;
      return failed;
    }
    done += written;
  }
  return ok_status();
}

Status JournalFile::write_head() {
  BlockBuffer block;
  block.reserve(kBlock, 0);
  char* data = block.data();
  std::memset(data, 0, kBlock);
  std::memcpy(data, kMagic, sizeof kMagic);
  set(data + 8, format_);
  set(data + 12, static_cast<std::uint32_t>(room_ / kBlock));
  set(data + 16, identity_);
  set(data + 24, generation_);
  set(data + 32, salt_);
  set(data + kHeadBytes, sum({data, kHeadBytes}));
  return write({data, kBlock}, 0);
}

// Extends the file to at least `size` with durable filler. If that fails, the file has its earlier length.
Status JournalFile::extend_to(std::size_t size) {
  Fd fd(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  struct ::stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return errno_error("writing " + path_);
  const std::size_t before = static_cast<std::size_t>(info.st_size) / kBlock * kBlock;
  room_ = std::min(before, size);
  Status filled = write_filler(fd.get(), before, size);
  if (filled.ok() && (fault::hit("store.fill") ? (errno = ENOSPC, -1) : ::fdatasync(fd.get())) != 0)
    filled = errno_error("writing " + path_);
  if (filled.ok()) {
    room_ = size;
  } else if (before < size) {
    (void)!::ftruncate(fd.get(), static_cast<off_t>(before));  // the new part may be zeros after a crash
  }
  return filled;
}

Status JournalFile::write_filler(int fd, std::size_t at, std::size_t end) const {
  const std::string filler(std::min(end, kWindow), kFiller);
  while (at < end) {
    const ssize_t n = ::pwrite(fd, filler.data(), std::min(filler.size(), end - at), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < static_cast<ssize_t>(kBlock)) return errno_error("writing " + path_, n < 0 ? errno : ENOSPC);
    at += static_cast<std::size_t>(n) / kBlock * kBlock;
  }
  return ok_status();
}

// Allocates `room` bytes, or as many as there are, down to none.
Status JournalFile::make_room(std::size_t room) {
  struct ::statvfs disk {};
  // The content of an earlier use counts as filler only if that use wrote filler itself.
  Window window(path_, fd_.get());
  JournalFile before(path_);
  Result<bool> known = before.read_head(window);
  struct ::stat info {};
  if (::fstat(fd_.get(), &info) != 0 || ::fstatvfs(fd_.get(), &disk) != 0) return errno_error("reading " + path_);
  auto size = static_cast<std::size_t>(info.st_size);
  if (!known.ok() || !*known || !before.has_end_mark() || size < before.room_) {
    if (::ftruncate(fd_.get(), 0) != 0) return errno_error("writing " + path_);
    size = 0;
  }
  while (room > kLeastRoom && room > size && disk.f_bavail * disk.f_frsize / kSpare < room) room /= 2;
  // The file is longer than requested if a batch had extended it.
  if (size > room && ::ftruncate(fd_.get(), static_cast<off_t>(BlockBuffer::whole_blocks(room))) != 0)
    return errno_error("writing " + path_);
  while (!extend_to(BlockBuffer::whole_blocks(room)).ok() && room > kBlock) room /= 2;
  return ok_status();  // if the file cannot be extended, append() reports the reason
}

Result<std::unique_ptr<JournalFile>> JournalFile::create(const std::string& path, std::int64_t identity,
                                                         std::int64_t generation, std::size_t room) {
  if (fault::hit("store.journal")) return error(Code::kUnavailable, "writing " + path + ": injected fault");
  std::unique_ptr<JournalFile> file(new JournalFile(path));
  BERTH_TRY(file->open(O_CREAT));
  BERTH_TRY(file->make_room(room));
  fault::step("store.room");
  file->format_ = kFormat;
  file->identity_ = identity;
  file->generation_ = generation;
  file->salt_ = random_word();
  BERTH_TRY(file->write_head());
  fault::step("store.begun");
  BERTH_TRY(sync_directory_of(path));
  return file;
}

Result<std::unique_ptr<JournalFile>> JournalFile::open_existing(const std::string& path, std::string_view up) {
  if (!path_exists(path)) return std::unique_ptr<JournalFile>();
  std::unique_ptr<JournalFile> file(new JournalFile(path, up));
  BERTH_TRY(file->open(0));
  Window window(path, file->fd_.get());
  BERTH_ASSIGN(bool begun, file->read_head(window));
  if (!begun) return std::unique_ptr<JournalFile>();
  return file;
}

Status JournalFile::recover() {
  struct ::stat info {};
  if (::fstat(fd_.get(), &info) != 0) return errno_error("reading " + path_);
  const auto size = static_cast<std::size_t>(info.st_size);
  if (!has_end_mark()) room_ = size;
  Window window(path_, fd_.get());
  BERTH_TRY(find_last_batch(window));
  if (ended_) return ok_status();
  if (size < room_) {
    set_loss(Loss::kJournalShortened,
             "has " + std::to_string(size) + " bytes, but was made with " + std::to_string(room_));
    return ok_status();
  }
  BERTH_TRY(find_damage_after_end(window));
  return loss_ || !has_end_mark() ? ok_status() : find_zeros(window);
}

Result<bool> JournalFile::read_head(Window& window) {
  BERTH_ASSIGN(std::string_view head, window.bytes(0, kBlock));
  if (head.size() < kHeadBytes + 4 || std::memcmp(head.data(), kMagic, sizeof kMagic) != 0 ||
      get<std::uint32_t>(head.data() + kHeadBytes) != sum(head.substr(0, kHeadBytes))) {
    return false;
  }
  format_ = get<std::uint32_t>(head.data() + 8);
  if (format_ != kFormat && format_ != kFormatWithoutProof) {
    return error(Code::kInternal, path_ + " has format " + std::to_string(format_) +
                                      "; this version of berth reads format " + std::to_string(kFormat) +
                                      ". Use the version that wrote it");
  }
  identity_ = get<std::int64_t>(head.data() + 16);
  generation_ = get<std::int64_t>(head.data() + 24);
  salt_ = get<std::uint64_t>(head.data() + 32);
  if (has_end_mark()) room_ = get<std::uint32_t>(head.data() + 12) * kBlock;
  return true;
}

Result<std::string_view> JournalFile::batch_at(Window& window, std::size_t at, std::uint64_t number) const {
  BERTH_ASSIGN(std::string_view block, window.bytes(at, kBlock));
  if (block.size() < kBatchHeadBytes || get<std::uint64_t>(block.data()) != salt_ ||
      get<std::uint64_t>(block.data() + 8) != number) {
    return std::string_view();
  }
  const std::size_t size = kBatchHeadBytes + get<std::uint32_t>(block.data() + 16);
  BERTH_ASSIGN(std::string_view sealed, window.bytes(at, size));
  if (sealed.size() < size ||
      get<std::uint32_t>(sealed.data() + 20) != sum(sealed.substr(kBatchHeadBytes), sum(sealed.substr(0, 20)))) {
    return std::string_view();
  }
  return sealed.substr(kBatchHeadBytes);
}

Status JournalFile::find_last_batch(Window& window) {
  while (!ended_) {
    BERTH_ASSIGN(std::string_view entries, batch_at(window, used_, number_ + 1));
    if (!entries.data()) break;
    ++number_;
    used_ += BlockBuffer::whole_blocks(kBatchHeadBytes + entries.size());
    ended_ = !entries.empty() && entries[0] == static_cast<char>(JournalEntry::Kind::kEnd);
  }
  return ok_status();
}

Status JournalFile::find_damage_after_end(Window& window) {
  for (std::size_t at = used_ + kBlock; at < room_; at += kBlock) {
    BERTH_ASSIGN(std::string_view block, window.bytes(at, kBlock));
    if (block.size() < kBatchHeadBytes || get<std::uint64_t>(block.data()) != salt_) continue;
    const auto number = get<std::uint64_t>(block.data() + 8);
    if (number <= number_ + 1) continue;
    BERTH_ASSIGN(std::string_view entries, batch_at(window, at, number));
    if (!entries.data()) continue;
    set_loss(Loss::kJournalDamaged, "is damaged: batch " + std::to_string(number_ + 1) +
                                        " cannot be read, although batch " + std::to_string(number) +
                                        " was written after it");
    break;
  }
  return ok_status();
}

// Zeros after a block that this use has not written hide no batch.
Status JournalFile::find_zeros(Window& window) {
  constexpr char kZeros[kSector] = {};
  for (std::size_t at = used_; at < room_; at += kBlock) {
    BERTH_ASSIGN(std::string_view block, window.bytes(at, kBlock));
    for (std::size_t sector = 0; sector + kSector <= block.size(); sector += kSector) {
      if (std::memcmp(block.data() + sector, kZeros, kSector) != 0) continue;
      set_loss(Loss::kJournalZeroed, "has zeros at byte " + std::to_string(at + sector) + ", where batch " +
                                         std::to_string(number_ + 1) + " or filler was written");
      return ok_status();
    }
    if (at == used_ && get<std::uint64_t>(block.data()) != salt_) break;
  }
  return ok_status();
}

Status JournalFile::parse_entries(std::string_view bytes, const EntryHandler& handle) const {
  while (!bytes.empty()) {
    JournalEntry entry;
    std::size_t key = 0, value = 0;
    if (bytes.size() >= kEntryHeadBytes) {
      key = get<std::uint32_t>(bytes.data() + 17);
      value = get<std::uint32_t>(bytes.data() + 21);
    }
    if (bytes.size() < kEntryHeadBytes + key + value)
      return unusable(path_, "is damaged: an entry goes beyond its batch", up_);
    entry.kind = static_cast<JournalEntry::Kind>(bytes[0]);
    entry.revision = get<std::int64_t>(bytes.data() + 1);
    entry.create_revision = get<std::int64_t>(bytes.data() + 9);
    entry.key = bytes.substr(kEntryHeadBytes, key);
    entry.value = bytes.substr(kEntryHeadBytes + key, value);
    BERTH_TRY(handle(entry));
    bytes.remove_prefix(kEntryHeadBytes + key + value);
  }
  return ok_status();
}

Status JournalFile::read(const EntryHandler& handle) const {
  Window window(path_, fd_.get());
  std::size_t at = kBlock;
  for (std::uint64_t number = 1; number <= number_; ++number) {
    BERTH_ASSIGN(std::string_view entries, batch_at(window, at, number));
    if (!entries.data()) return unusable(path_, "is damaged: batch " + std::to_string(number) + " cannot be read", up_);
    at += BlockBuffer::whole_blocks(kBatchHeadBytes + entries.size());
    BERTH_TRY(parse_entries(entries, handle));
  }
  return ok_status();
}

Status JournalFile::append(JournalBatch& batch) {
  if (has_end_mark() && !fits(batch)) {
    const std::size_t before = room_;
    Status longer = extend_to(used_ + batch.blocks() + end_bytes());
    fault::step("store.filled");
    if (longer.ok()) longer = write_head();
    fault::step("store.longer");
    if (!longer.ok()) {
      room_ = before;
      return error(Code::kUnavailable, longer.error().message);
    }
  }
  return append_blocks(batch.seal(salt_, number_ + 1, has_end_mark() ? kFiller : '\0'));
}

Status JournalFile::append_blocks(std::string_view blocks) {
  if (Status status = write(blocks, used_); !status.ok()) {
    // Return the disk space of a partially written batch beyond the room.
    if (used_ + blocks.size() > room_) (void)!::ftruncate(fd_.get(), static_cast<off_t>(std::max(used_, room_)));
    return status;
  }
  used_ += blocks.size();
  ++number_;
  return ok_status();
}

Status JournalFile::write_end() {
  if (ended_ || !has_end_mark()) return ok_status();
  JournalBatch batch;
  batch.clear();
  batch.add({JournalEntry::Kind::kEnd, static_cast<Revision>(number_)});
  BERTH_TRY(append_blocks(batch.seal(salt_, number_ + 1, kFiller)));
  ended_ = true;
  fault::step("store.ended");
  return ok_status();
}

bool JournalFile::start_append(JournalBatch& batch, AsyncWrite& write, int wake_fd) {
  return direct_ && fits(batch) &&
         write.start(fd_.get(), batch.seal(salt_, number_ + 1, has_end_mark() ? kFiller : '\0'), used_, wake_fd);
}

Status JournalFile::finish_append(JournalBatch& batch, std::int64_t result) {
  // Repeat a failed or short write synchronously, which gives the complete error.
  if (result != static_cast<std::int64_t>(batch.blocks())) return append(batch);
  used_ += batch.blocks();
  ++number_;
  return ok_status();
}

}  // namespace berth::store
