#include "agent/images/layer_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::size_t kLongestPath = 4095;
constexpr std::string_view kWhiteout = ".wh.", kWhiteoutMeta = ".wh..wh.", kOpaque = ".wh..wh..opq";
constexpr const char* kOpaqueXattr = "trusted.overlay.opaque";

// What an image may say of its files. The overlay's own marks (trusted.overlay.*, user.overlay.*) would be taken for
// ours, and the labels of security modules are the machine's business.
bool is_allowed_xattr(std::string_view name) {
  if (name.starts_with("user.")) return !name.starts_with("user.overlay.");
  return name == "security.capability" || name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

timespec modified(archive_entry* entry) { return {archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)}; }

bool is_id(la_int64_t id) { return id >= 0 && id < std::numeric_limits<std::uint32_t>::max(); }

// As an overlay takes it.
bool is_whiteout(const struct stat& file) { return S_ISCHR(file.st_mode) && file.st_rdev == makedev(0, 0); }

}  // namespace

std::optional<std::string> inner_path(std::string_view raw) {
  std::vector<std::string> parts;
  if (raw.starts_with("/") || raw.size() > kLongestPath) return std::nullopt;
  for (std::string_view part : split(raw, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return std::nullopt;
    parts.emplace_back(part);
  }
  return join(parts, "/");
}

Error LayerWriter::wrong(const std::string& path, const std::string& why) const {
  return error(Code::kInvalid, name_ + ": entry " + quoted(path) + " " + why);
}

Status LayerWriter::write(archive* reader, archive_entry* entry) {
  const char* raw = archive_entry_pathname(entry);
  if (raw == nullptr) raw = archive_entry_pathname_utf8(entry);
  if (raw == nullptr) return wrong("", "has no name");
  std::optional<std::string> path = inner_path(raw);
  if (!path) return wrong(raw, "leads out of the image");
  if (path->empty()) return {};  // the root directory is the agent's
  if (!is_id(archive_entry_uid(entry)) || !is_id(archive_entry_gid(entry)))
    return wrong(*path, "has no possible owner");
  BERTH_TRY(leave_directories(*path));
  std::size_t slash = path->rfind('/');
  std::string name = slash == std::string::npos ? *path : path->substr(slash + 1);
  BERTH_ASSIGN(const RootedDir* parent, parent_of(slash == std::string::npos ? "" : path->substr(0, slash)));
  BERTH_TRY(room_.take(0, 1));
  if (name.starts_with(kWhiteout)) return whiteout(*parent, name);
  const char* link = archive_entry_hardlink(entry);
  if (link == nullptr) link = archive_entry_hardlink_utf8(entry);
  if (link != nullptr) {
    std::optional<std::string> target = inner_path(link);
    if (!target || target->empty())
      return wrong(*path, "is a link to " + quoted(link) + ", which leads out of the image");
    if (*target == *path) return wrong(*path, "is a link to itself");
    BERTH_TRY(clear_way(*parent, name, false));
    Status made = root_.make_hard_link(*path, *target);
    if (!made.ok()) return wrong(*path, "cannot be linked: " + made.error().message);
    return {};
  }
  switch (archive_entry_filetype(entry)) {
    case AE_IFDIR: {
      BERTH_TRY(make_directory(*parent, name, entry));
      dated_.push_back({*path, modified(entry)});
      return {};
    }
    case AE_IFREG: return make_file(*parent, name, reader, entry);
    case AE_IFLNK:
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO: return make_other(*parent, name, entry);
    default: return wrong(*path, "is of a kind that no image has");
  }
}

Result<const RootedDir*> LayerWriter::parent_of(const std::string& path) {
  if (path.empty()) return &root_;
  if (!parent_ || path != parent_path_) {
    parent_.reset();
    if (Status replaced = replace_whiteouts(path); !replaced.ok())
      return wrong(path, "cannot be a directory: " + replaced.error().message);
    auto made =
        root_.make_directories(path, 0755, RootedDir::Links::kInside,
                               [this](const RootedDir& made, const std::string& at) { return inherit(made, at); });
    if (!made.ok()) return wrong(path, "cannot be a directory: " + made.error().message);
    parent_ = std::move(*made);
    parent_path_ = path;
  }
  return &*parent_;
}

Status LayerWriter::inherit(const RootedDir& made, const std::string& path) const {
  for (auto layer = below_.rbegin(); layer != below_.rend(); ++layer) {
    auto found = layers_.stat(*layer + "/" + path, RootedDir::Links::kNone);
    if (found.failed_with(Code::kNotFound)) continue;
    if (!found.ok() || !S_ISDIR(found->st_mode)) return {};
    BERTH_TRY(set_owner(made.fd(), found->st_uid, found->st_gid));
    return set_mode(made.fd(), found->st_mode & 07777);
  }
  return {};
}

Status LayerWriter::clear_way(const RootedDir& parent, const std::string& name, bool for_directory) {
  auto found = parent.stat(name);
  if (found.failed_with(Code::kNotFound)) return {};
  if (!found.ok()) return found.error();
  if (for_directory && S_ISDIR(found->st_mode)) return {};
  if (!S_ISDIR(found->st_mode) && !S_ISLNK(found->st_mode)) return parent.remove_file(name);
  // Paths through it may lead somewhere else now. `parent` itself is not inside of it.
  Status gone = parent.remove_tree(name);
  if (&parent == &root_) parent_.reset();
  return gone;
}

Status LayerWriter::whiteout(const RootedDir& parent, const std::string& name) {
  if (name == kOpaque) {
    Status marked = set_xattr(parent.fd(), kOpaqueXattr, "y");
    return marked.ok() ? marked : Status(marked.error().in("marking " + parent.shown() + " opaque"));
  }
  if (name.starts_with(kWhiteoutMeta)) return {};  // of aufs; means nothing here
  std::string hidden = name.substr(kWhiteout.size());
  if (hidden.empty() || hidden == "." || hidden == "..") return wrong(name, "hides no file");
  Status made = parent.make_node(hidden, S_IFCHR, makedev(0, 0));
  // What the same layer holds is not hidden by it, but a directory's content below this layer is.
  if (!made.failed_with(Code::kAlreadyExists)) return made;
  BERTH_ASSIGN(struct stat there, parent.stat(hidden, RootedDir::Links::kNone));
  return S_ISDIR(there.st_mode) ? mark_opaque(parent, hidden) : ok_status();
}

Status LayerWriter::mark_opaque(const RootedDir& parent, const std::string& name) {
  BERTH_ASSIGN(Fd fd, parent.open(name, O_RDONLY | O_DIRECTORY, RootedDir::Links::kNone));
  return set_xattr(fd.get(), kOpaqueXattr, "y");
}

// A whiteout where the layer has a directory that it does not list itself.
Status LayerWriter::replace_whiteouts(const std::string& path) {
  for (std::size_t slash = path.find('/');; slash = path.find('/', slash + 1)) {
    const std::string at = path.substr(0, slash);
    auto found = root_.stat(at);
    if (found.failed_with(Code::kNotFound)) return {};
    if (!found.ok()) return found.error();
    if (is_whiteout(*found)) {
      BERTH_TRY(root_.remove_file(at));
      BERTH_TRY(root_.make_directory(at, 0755));
      BERTH_TRY(mark_opaque(root_, at));
    }
    if (slash == std::string::npos) return {};
  }
}

Status LayerWriter::make_directory(const RootedDir& parent, const std::string& name, archive_entry* entry) {
  auto before = parent.stat(name, RootedDir::Links::kNone);
  BERTH_TRY(clear_way(parent, name, true));
  Status made = parent.make_directory(name, 0755);
  if (!made.ok() && !made.failed_with(Code::kAlreadyExists)) return made;
  if (before.ok() && is_whiteout(*before)) BERTH_TRY(mark_opaque(parent, name));
  BERTH_ASSIGN(Fd fd, parent.open(name, O_RDONLY | O_DIRECTORY, RootedDir::Links::kNone));
  return describe(fd.get(), entry, false);
}

Status LayerWriter::make_file(const RootedDir& parent, const std::string& name, archive* reader, archive_entry* entry) {
  BERTH_TRY(clear_way(parent, name, false));
  BERTH_ASSIGN(Fd fd, parent.create_file(name, 0600));
  Status written = copy_data(reader, fd.get(), archive_entry_size(entry));
  if (!written.ok()) return written.error().in("unpacking " + quoted(name) + " of " + name_);
  BERTH_TRY(describe(fd.get(), entry, false));
  timespec times[] = {{0, UTIME_OMIT}, modified(entry)};
  if (::futimens(fd.get(), times) != 0) return errno_error("dating " + name);
  return {};
}

Status LayerWriter::copy_data(archive* reader, int fd, std::int64_t size) {
  const void* block = nullptr;
  std::size_t length = 0;
  la_int64_t offset = 0;
  for (;;) {
    int state = archive_read_data_block(reader, &block, &length, &offset);
    if (state == ARCHIVE_EOF) break;
    if (state < ARCHIVE_WARN) {
      const char* why = archive_error_string(reader);
      return error(Code::kInvalid, std::string("it is damaged: ") + (why ? why : "unexpected end"));
    }
    const char* from = static_cast<const char*>(block);
    while (length > 0) {
      ssize_t n = ::pwrite(fd, from, length, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == ENOSPC) return error(Code::kUnavailable, "no room for the image: the disk is full");
      if (n < 0) return errno_error("write");
      from += n;
      offset += n;
      length -= static_cast<std::size_t>(n);
      BERTH_TRY(room_.take(n, 0));
    }
  }
  if (size > 0 && ::ftruncate(fd, size) != 0) return errno_error("a file of " + std::to_string(size) + " bytes");
  return {};
}

Status LayerWriter::make_other(const RootedDir& parent, const std::string& name, archive_entry* entry) {
  BERTH_TRY(clear_way(parent, name, false));
  bool is_link = archive_entry_filetype(entry) == AE_IFLNK;
  if (is_link) {
    const char* target = archive_entry_symlink(entry);
    if (target == nullptr) target = archive_entry_symlink_utf8(entry);
    if (target == nullptr || *target == '\0') return wrong(name, "is a link to nothing");
    BERTH_TRY(parent.make_symlink(name, target));
  } else {
    dev_t device = makedev(archive_entry_rdevmajor(entry), archive_entry_rdevminor(entry));
    BERTH_TRY(parent.make_node(name, archive_entry_filetype(entry) | 0600, device));
  }
  BERTH_ASSIGN(Fd fd, parent.open(name, O_PATH | O_NOFOLLOW, RootedDir::Links::kInside));
  BERTH_TRY(describe(fd.get(), entry, is_link));
  timespec times[] = {{0, UTIME_OMIT}, modified(entry)};
  if (::utimensat(parent.fd(), name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return errno_error("dating " + name);
  return {};
}

// The owner first: to change it takes set-user-id bits and capabilities away.
Status LayerWriter::describe(int fd, archive_entry* entry, bool is_link) const {
  BERTH_TRY(set_owner(fd, archive_entry_uid(entry), archive_entry_gid(entry)));
  if (is_link) return {};
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  archive_entry_xattr_reset(entry);
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr || !is_allowed_xattr(name)) continue;
    Status set = set_xattr(fd, name, std::string_view(static_cast<const char*>(value), size));
    const int why = errno;
    if (!set.ok() && why != EOPNOTSUPP && why != EPERM) return set.error().in("unpacking " + name_);
  }
  return set_mode(fd, archive_entry_perm(entry));
}

Status LayerWriter::leave_directories(std::string_view path) {
  while (!dated_.empty()) {
    const Dated& last = dated_.back();
    if (path == last.path || (path.starts_with(last.path) && path.substr(last.path.size()).starts_with("/"))) break;
    // Replaced meanwhile by something else: nothing to date.
    if (auto fd = root_.open(last.path, O_RDONLY | O_DIRECTORY, RootedDir::Links::kNone); fd.ok()) {
      timespec times[] = {{0, UTIME_OMIT}, last.modified};
      (void)::futimens(fd->get(), times);
    }
    dated_.pop_back();
  }
  return {};
}

Status LayerWriter::finish() { return leave_directories(""); }

}  // namespace berth::agent
