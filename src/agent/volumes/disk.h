#pragma once
// One volume's disk: its identity and what the file system on it says of itself. Any thread of the pool.

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace berth::agent {

// identity.json, written when the volume is made.
struct DiskIdentity {
  std::string name;  // of the volume
  std::string claim_uid;
  std::string file_system;  // "ext4", "xfs"
  std::string uuid;         // of the file system
  std::string label;
  std::int64_t size_bytes = 0;  // that the file has at least
  std::int64_t grown_to = 0;    // the size of the file that the file system was last made to fill
  bool overcommit = false;      // the file's space is not taken of the disk in advance
};

// The claim's uid where that is a UUID, otherwise one made from it: a claim never has two disks.
std::string disk_uuid(const std::string& claim_uid);
// 12 characters made from the volume's name (the most that xfs takes).
std::string disk_label(const std::string& name);

Result<DiskIdentity> read_identity(const std::string& file);
Status write_identity(const std::string& file, const DiskIdentity& identity);

// Read from the super block.
struct FoundFileSystem {
  std::string type;  // "ext4", "xfs"; empty where there is neither
  std::string uuid, label;
  std::int64_t size_bytes = 0;
  bool needs_check = false;  // a journal to replay, or errors seen
};
Result<FoundFileSystem> probe_disk(const std::string& file);

}  // namespace berth::agent
