#pragma once
// Reads, verifies and unpacks archives on disk as overlay layers. Archives are hostile: nothing outside the given
// directories is read, written or linked, and every size and count is bounded. All functions block: for the pool.

#include <string>
#include <vector>

#include "agent/images/disk_room.h"
#include "base/fs/rooted_dir.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

// Limits of one image. Docker makes no image of more than 127 layers, and the options of one mount (a page) hold
// the names of about 200. Real manifests and configurations stay far below the 4 MiB that registries accept.
inline constexpr std::size_t kMostLayers = 200, kMostImagesInArchive = 1000;
inline constexpr std::size_t kLongestDocument = 4 << 20;

// "sha256:" and 64 hex digits in lower case. Nothing else may become part of a path.
bool is_digest(std::string_view text);

// Every regular file of a tar (compressed or not) into `directory`, under its own relative name. Links to other members
// become hard links to them (docker's older layers). kInvalid, naming the file and what is wrong, for a damaged
// archive; kUnavailable where the disk is too full.
Status extract_files(const std::string& archive, const RootedDir& directory);

// One layer: decompressed (gzip, bzip2, xz, zstd) and unpacked into `directory`, which is empty, while its sha256 is
// computed; kInvalid where that is not `diff_id`. `layer`: the file's name in `files`. `below`: the layers under it,
// lowest first, by the names of their directories in `layers`. What was unpacked before an error is left in
// `directory`.
Status unpack_layer(const RootedDir& files, const std::string& layer, const std::string& diff_id,
                    const RootedDir& directory, const RootedDir& layers, const std::vector<std::string>& below);

// An image found in an extracted docker-archive or OCI layout. Files are relative to it.
struct FoundImage {
  std::string config_text;               // verified where the archive names its digest
  std::vector<std::string> layer_files;  // lowest first
  std::vector<std::string> tags;
  std::string manifest_digest;  // OCI only
};
Result<std::vector<FoundImage>> find_images(const RootedDir& directory);

}  // namespace berth::agent
