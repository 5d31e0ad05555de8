#pragma once
// Archives on disk: taken apart, verified, unpacked as overlay layers. All of it blocks: for the pool.

#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

// Every regular file of a tar (compressed or not) into `directory`, under its own relative name. Links to other members
// become copies of them (docker's older layers). kInvalid, naming the file and what is wrong, for a damaged archive.
Status extract_files(const std::string& archive, const std::string& directory);

// One layer: decompressed, its sha256 compared with `diff_id` ("sha256:<hex>"), unpacked into `directory` with owners,
// modes, xattrs, links and devices; whiteouts in overlay's form. Entries that would leave the directory are refused.
// `work` is a directory for temporary files.
Status unpack_layer(const std::string& layer, const std::string& diff_id, const std::string& directory, const std::string& work);

// An image found in an extracted docker-archive or OCI layout.
struct FoundImage {
  std::string config_file;                 // path of the config blob
  std::vector<std::string> layer_files;    // lowest first
  std::vector<std::string> tags;
  std::string manifest_digest;             // OCI only
};
Result<std::vector<FoundImage>> find_images(const std::string& directory);

}  // namespace berth::agent
