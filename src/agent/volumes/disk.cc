#include "agent/volumes/disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "base/files.h"
#include "base/json/json.h"
#include "base/text.h"

namespace berth::agent {
namespace {

std::uint64_t little(const unsigned char* at, int bytes) {
  std::uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) value = value << 8 | at[i];
  return value;
}
std::uint64_t big(const unsigned char* at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | at[i];
  return value;
}

std::string format_uuid(std::string_view raw) {
  std::string hex = hex_encode(raw);
  return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" + hex.substr(16, 4) + "-" +
         hex.substr(20);
}

bool is_uuid(const std::string& text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !std::strchr("0123456789abcdef", text[i])) return false;
  }
  return true;
}

std::string_view bytes(const unsigned char* at, std::size_t size) { return {reinterpret_cast<const char*>(at), size}; }
std::string until_zero(const unsigned char* at, std::size_t size) {
  std::string_view all = bytes(at, size);
  return std::string(all.substr(0, all.find('\0')));
}

// The ext4 super block begins at 1024. Offsets are those of the on-disk format.
bool probe_ext4(const unsigned char* s, FileSystemInfo& found) {
  constexpr std::uint64_t kMagic = 0xEF53, kClean = 1, kErrors = 2;
  constexpr std::uint64_t kNeedsRecovery = 0x4, k64Bit = 0x80;
  if (little(s + 0x38, 2) != kMagic) return false;
  std::uint64_t incompatible = little(s + 0x60, 4), state = little(s + 0x3A, 2), log_block_size = little(s + 0x18, 4);
  if (log_block_size > 6) return false;
  std::uint64_t blocks = little(s + 0x04, 4);
  if (incompatible & k64Bit) blocks |= little(s + 0x150, 4) << 32;
  found.type = "ext4";
  found.size_bytes = static_cast<std::int64_t>(blocks << (10 + log_block_size));
  found.uuid = format_uuid(bytes(s + 0x68, 16));
  found.label = until_zero(s + 0x78, 16);
  found.needs_check = (incompatible & kNeedsRecovery) || !(state & kClean) || (state & kErrors);
  return true;
}

bool probe_xfs(const unsigned char* s, FileSystemInfo& found) {
  if (bytes(s, 4) != "XFSB") return false;
  found.type = "xfs";
  found.size_bytes = static_cast<std::int64_t>(big(s + 4, 4) * big(s + 8, 8));
  found.uuid = format_uuid(bytes(s + 32, 16));
  found.label = until_zero(s + 108, 12);
  return true;
}

}  // namespace

std::string disk_uuid(const std::string& claim_uid) {
  if (is_uuid(claim_uid)) return claim_uid;
  std::string raw = sha256("berth volume of claim " + claim_uid).substr(0, 16);
  // UUID version 8 (free form), variant of RFC 9562.
  raw[6] = static_cast<char>((raw[6] & 0x0f) | 0x80);
  raw[8] = static_cast<char>((raw[8] & 0x3f) | 0x80);
  return format_uuid(raw);
}

std::string disk_label(const std::string& name) { return "bv" + sha256_hex(name).substr(0, 10); }

Result<DiskIdentity> read_identity(const std::string& file) {
  BERTH_ASSIGN(std::string text, read_file(file));
  auto parsed = json::parse(text);
  if (!parsed.ok()) return error(Code::kConflict, file + " is damaged: " + parsed.error().message);
  const Value& v = *parsed;
  DiskIdentity identity{v["name"].str(),  v["claimUid"].str(),     v["fileSystem"].str(), v["uuid"].str(),
                        v["label"].str(), v["sizeBytes"].as_int(), v["grownTo"].as_int(), v["overcommit"].as_bool()};
  for (const char* field : {"name", "claimUid", "fileSystem", "uuid"}) {
    if (v[field].as_string().empty()) return error(Code::kConflict, file + " is damaged: it has no " + field);
  }
  return identity;
}

Status write_identity(const std::string& file, const DiskIdentity& identity) {
  Value v = Value::object({{"name", identity.name},
                           {"claimUid", identity.claim_uid},
                           {"fileSystem", identity.file_system},
                           {"uuid", identity.uuid},
                           {"label", identity.label},
                           {"sizeBytes", identity.size_bytes},
                           {"grownTo", identity.grown_to}});
  if (identity.overcommit) v.set("overcommit", true);
  return write_file_durably(file, json::encode_pretty(v) + "\n");
}

Result<FileSystemInfo> probe_disk(const std::string& file) {
  Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd)
    return Error{errno == ENOENT ? Code::kNotFound : Code::kInternal, errno_error("opening " + file).message, nullptr};
  std::array<unsigned char, 2048> head{};
  std::size_t have = 0;
  while (have < head.size()) {
    ssize_t n = ::pread(fd.get(), head.data() + have, head.size() - have, static_cast<off_t>(have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("reading " + file);
    if (n == 0) break;  // shorter than a super block: the rest stays zero, and no file system is found
    have += static_cast<std::size_t>(n);
  }
  FileSystemInfo found;
  if (!probe_ext4(head.data() + 1024, found)) probe_xfs(head.data(), found);
  return found;
}

}  // namespace berth::agent
