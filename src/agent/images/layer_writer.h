#pragma once
// LayerWriter: the entries of one image layer, written as a lower directory of an overlay. The layer's author chooses
// every name, link and type in it; nothing is written, linked or changed outside the directory. Paths through links are
// resolved as in a container whose root the directory is, as containerd does.
// One thread of the pool; blocks.

#include <archive.h>
#include <archive_entry.h>

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/images/disk_room.h"
#include "base/fs/rooted_dir.h"
#include "base/result.h"

namespace berth::agent {

// "./a/b/" -> "a/b", "." -> ""; nothing where the path is absolute, climbs out or is longer than a path may be.
std::optional<std::string> inner_path(std::string_view raw);

class LayerWriter {
 public:
  // `below`: the layers under this one, lowest first, by the names of their directories in `layers`. A directory that
  // the layer does not list itself gets the owner and mode that it has there. `name` is the layer's in messages. All
  // outlive the writer.
  LayerWriter(const RootedDir& root, const RootedDir& layers, const std::vector<std::string>& below, DiskRoom& room,
              std::string name)
      : root_(root), layers_(layers), below_(below), room_(room), name_(std::move(name)) {}

  // Writes the entry whose header was read last, with owner, mode, times, user's xattrs and capabilities; whiteouts in
  // overlay's form. kInvalid, naming the entry, for what no layer may hold; kUnavailable where the disk is too full.
  Status write(archive* reader, archive_entry* entry);
  // After the last entry.
  Status finish();

 private:
  struct Dated {
    std::string path;
    timespec modified;
  };
  Result<const RootedDir*> parent_of(const std::string& path);
  Status whiteout(const RootedDir& parent, const std::string& name);
  // Hides what the layers below have in the directory.
  Status mark_opaque(const RootedDir& parent, const std::string& name);
  Status replace_whiteouts(const std::string& path);
  Status make_directory(const RootedDir& parent, const std::string& name, archive_entry* entry);
  Status make_file(const RootedDir& parent, const std::string& name, archive* reader, archive_entry* entry);
  Status make_other(const RootedDir& parent, const std::string& name, archive_entry* entry);
  Status copy_data(archive* reader, int fd, std::int64_t size);
  Status describe(int fd, archive_entry* entry, bool is_link) const;
  Status inherit(const RootedDir& made, const std::string& path) const;
  Status leave_directories(std::string_view path);
  // An entry that stands where another is to be made goes, unless both are directories.
  Status clear_way(const RootedDir& parent, const std::string& name, bool for_directory);
  Error wrong(const std::string& path, const std::string& why) const;

  const RootedDir& root_;
  const RootedDir& layers_;
  const std::vector<std::string>& below_;
  DiskRoom& room_;
  std::string name_;
  // The directory that the last entry was in: entries of one directory follow each other.
  std::string parent_path_;
  std::optional<RootedDir> parent_;
  std::vector<Dated> dated_;  // directories that are being filled, each inside the one before
};

}  // namespace berth::agent
