#pragma once
// RootedDir: access to a directory tree whose content is untrusted (a pod's volume, an image's layer) and may change
// during a call. No call leaves the tree, whatever links, mounts or renames are made in it meanwhile.
//
// Every call resolves its path from the root's descriptor with openat2(2) (Linux 5.6) and works on the descriptor that
// the kernel returned, so that nothing is looked up twice. Paths are relative to the root; a leading "/" means the
// root. A call whose name says what happens to an entry (make, remove, rename, link, change) resolves the entry's
// directory and takes the last name as it stands: a symbolic link in its place is never followed. The last name is
// neither empty nor "." nor ".." (kInvalid).
//
// Errors: kNotFound where a part of the path is missing or no directory; kForbidden where a link is met that `Links`
// does not allow; kAlreadyExists where the entry is there already; kUnavailable where the tree is renamed so fast that
// the kernel cannot decide; kInternal, with the kernel's reason, for the rest. Messages name the root and the path.
//
// Objects may be used by several threads. Every call may block as long as the file system does: for the pool.

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace berth {

class RootedDir {
 public:
  // What happens to symbolic links on the way (never to those of /proc, which are refused always).
  enum class Links {
    kInside,   // followed as for a process whose root directory this is: "/x" is below the root, ".." stops there
    kBeneath,  // followed while they stay below the root; a link that leads out, or is absolute, is kForbidden
    kNone,     // kForbidden
  };

  RootedDir() = default;
  // Only the caller controls `path`: links in it are followed.
  static Result<RootedDir> open(const std::string& path);
  // `directory` was opened for reading; `shown` names it in messages.
  RootedDir(Fd directory, std::string shown) : fd_(std::move(directory)), shown_(std::move(shown)) {}

  int fd() const { return fd_.get(); }
  const std::string& shown() const { return shown_; }
  explicit operator bool() const { return static_cast<bool>(fd_); }

  // --- Looking. The last name is resolved like the others.

  // open(2)'s flags; O_CLOEXEC and O_NOCTTY are added. Ask for O_PATH where it may be a device or a pipe.
  Result<Fd> open(std::string_view path, int flags, Links links = Links::kInside, mode_t mode = 0) const;
  // The directory at `path` as a root of its own.
  Result<RootedDir> directory(std::string_view path, Links links = Links::kInside) const;
  // A regular file's content. kTooLarge beyond `limit` bytes; kInvalid where it is anything but a regular file.
  Result<std::string> read_file(std::string_view path, std::size_t limit, Links links = Links::kInside) const;

  // --- The entry itself.

  Result<struct stat> stat(std::string_view path, Links links = Links::kInside) const;
  Result<std::string> read_link(std::string_view path, Links links = Links::kInside) const;
  // Names without "." and "..", sorted.
  Result<std::vector<std::string>> list() const;

  // The mode is set exactly, whatever the umask.
  Status make_directory(std::string_view path, mode_t mode, Links links = Links::kInside) const;
  // `path` with all its parents; existing ones (and links to directories, as `links` allows) are fine and stay as they
  // are. `fresh` is called with each directory that was made, and its path.
  using Fresh = std::function<Status(const RootedDir& made, const std::string& path)>;
  Result<RootedDir> make_directories(std::string_view path, mode_t mode, Links links = Links::kInside,
                                     const Fresh& fresh = nullptr) const;
  // A new regular file, open for writing. Nothing may be there before.
  Result<Fd> create_file(std::string_view path, mode_t mode, Links links = Links::kInside) const;
  // Written beside and renamed over what is there (not over a directory).
  Status write_file(std::string_view path, std::string_view content, mode_t mode, Links links = Links::kInside) const;
  Status make_symlink(std::string_view path, const std::string& target, Links links = Links::kInside) const;
  // As make_symlink, in the place of any entry that is no directory, which is gone at the same moment.
  Status replace_symlink(std::string_view path, const std::string& target, Links links = Links::kInside) const;
  // Both names are inside; a link at `existing` is linked itself.
  Status make_hard_link(std::string_view path, std::string_view existing, Links links = Links::kInside) const;
  // A device, pipe or socket. `mode` carries the type.
  Status make_node(std::string_view path, mode_t mode, dev_t device, Links links = Links::kInside) const;
  // renameat2(2)'s flags.
  Status rename(std::string_view from, std::string_view to, unsigned flags = 0, Links links = Links::kInside) const;
  // Anything but a directory; nothing there is fine.
  Status remove_file(std::string_view path, Links links = Links::kInside) const;
  // With all that is below it; nothing there is fine. Mounts are not crossed.
  Status remove_tree(std::string_view path, Links links = Links::kInside) const;

  // --- Walking.

  struct Entry {
    int fd;                   // opened with O_PATH; valid during the call
    struct stat at;           // of that descriptor
    const std::string& path;  // below the root, for messages; shortened in very deep trees
  };
  // Calls `visit` with the root and then with everything below it, a directory before what is in it. Other mounts are
  // left out. Ends early with the first error of `visit`. Holds a bounded number of descriptors however deep the tree
  // is. Entries that come or go meanwhile may be missed; kConflict where a directory was moved while the walk was deep
  // below it.
  Status walk(const std::function<Status(const Entry&)>& visit) const;

 private:
  struct Place {
    Fd parent;
    std::string name;
  };
  Result<Fd> resolve(std::string_view path, std::uint64_t flags, mode_t mode, Links links) const;
  Result<Place> place(std::string_view path, Links links) const;
  Error failed(std::string_view verb, std::string_view path, int errno_value) const;

  Fd fd_;
  std::string shown_;
};

// Changes of what a descriptor names, also one opened with O_PATH. No path is involved.
Status set_owner(int fd, std::int64_t user, std::int64_t group);  // negative: unchanged
Status set_mode(int fd, mode_t mode);                             // not of a symbolic link
Status set_xattr(int fd, const std::string& name, std::string_view value);
// The content of an open file. kTooLarge beyond `limit` bytes.
Result<std::string> read_all(int fd, std::size_t limit);

}  // namespace berth
