#pragma once
// The disk file of a local volume: its identity, and the file system on it. Blocks: any thread of the pool.

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace berth::agent {

// identity.json, written when the volume is created.
struct DiskIdentity {
  std::string name;  // of the volume
  std::string claim_uid;
  std::string file_system;  // "ext4", "xfs"
  std::string uuid;         // of the file system
  std::string label;
  std::int64_t size_bytes = 0;  // least size of the file
  std::int64_t grown_to = 0;    // size of the file when the file system was last grown to fill it
  bool overcommit = false;      // the file's space is not allocated in advance
};

// The claim's uid where that is a UUID, otherwise a UUID derived from it: the same claim always gets the same UUID.
std::string disk_uuid(const std::string& claim_uid);
// 12 characters derived from the volume's name: the longest label of xfs.
std::string disk_label(const std::string& name);

Result<DiskIdentity> read_identity(const std::string& file);
Status write_identity(const std::string& file, const DiskIdentity& identity);

// As read from the super block.
struct FileSystemInfo {
  std::string type;  // "ext4", "xfs"; empty: neither
  std::string uuid, label;
  std::int64_t size_bytes = 0;
  bool needs_check = false;  // a journal to replay, or recorded errors
};
Result<FileSystemInfo> probe_disk(const std::string& file);

}  // namespace berth::agent
