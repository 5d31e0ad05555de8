#include "agent/volumes/local_volumes.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "agent/disk/background.h"
#include "agent/disk/disk_space.h"
#include "agent/volumes/disk.h"
#include "agent/volumes/loop_device.h"
#include "base/fault.h"
#include "base/fs/mount_table.h"
#include "base/lifetime.h"
#include "base/log.h"
#include "base/process/process.h"
#include "base/text.h"
#include "controllers/shared/local_volume.h"

namespace berth::agent {
namespace {

using controllers::kOvercommit;
using controllers::min_volume_size;

constexpr std::int64_t kBlock = 4096;
constexpr const char* kTrash = "trash";
// EXT4_IOC_RESIZE_FS, which the kernel's exported headers leave out.
constexpr unsigned long kExt4Resize = _IOW('f', 16, std::uint64_t);

struct Place {
  std::string root, name;
  std::string directory() const { return root + "/" + name; }
  std::string disk() const { return directory() + "/disk.img"; }
  std::string identity() const { return directory() + "/identity.json"; }
  std::string mount() const { return directory() + "/mount"; }
  std::string accept() const { return directory() + "/accept-disk"; }
  Error fail(Code code, const std::string& text) const { return error(code, "volume " + name + ": " + text); }
  Error in(const Error& e) const { return e.in("volume " + name); }
};

// The result of an operation; no volume: it does not exist.
struct Outcome {
  std::optional<LocalVolume> volume;
  bool pending = false;
};

Status check_name(const std::string& name) {
  bool good = !name.empty() && name.size() <= 253 && name[0] != '.' && name != kTrash &&
              name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") == std::string::npos;
  if (!good)
    return error(Code::kInvalid,
                 "volume " + quoted(name) + ": a volume's name has lower case letters, digits, '-' and '.'");
  return {};
}

std::int64_t round_up(std::int64_t size) { return (size + kBlock - 1) / kBlock * kBlock; }

Status sync_directory(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return errno_error("syncing " + path);
  return {};
}

Result<std::int64_t> file_size(const std::string& path) {
  struct stat at {};
  if (::stat(path.c_str(), &at) == 0) return static_cast<std::int64_t>(at.st_size);
  Error e = errno_error("looking at " + path);
  if (errno == ENOENT) e.code = Code::kNotFound;
  return e;
}

std::int64_t allocated_bytes(const struct stat& file) { return static_cast<std::int64_t>(file.st_blocks) * 512; }

// Bytes that the disk files below `root`, those under construction included, may still allocate: holes of files whose
// space is to be allocated.
std::int64_t outstanding_bytes(const std::string& root) {
  std::int64_t sum = 0;
  for (const std::string& directory : {root, root + "/" + kTrash}) {
    auto names = list_directory(directory);
    if (!names.ok()) continue;
    for (const auto& name : *names) {
      struct stat file {};
      if (::stat(Place{directory, name}.disk().c_str(), &file) != 0 || allocated_bytes(file) >= file.st_size) continue;
      auto identity = read_identity(Place{directory, name}.identity());
      if (!identity.ok() || !identity->overcommit) sum += file.st_size - allocated_bytes(file);
    }
  }
  return sum;
}

// `more`: bytes that are about to be allocated.
Status check_free_space(const Place& place, std::int64_t size, std::int64_t more, bool overcommit) {
  DiskSpace space = read_disk_space(place.root);
  if (fault::hit("volumes.full")) space.free = 0;
  std::int64_t kept = kept_from_volumes(space);
  std::int64_t free = std::max<std::int64_t>(0, space.free - outstanding_bytes(place.root));
  if (free >= kept && (overcommit || free - kept >= more)) return {};
  std::string text = "no room for " + std::to_string(size) + " bytes: the disk of " + place.root + " has " +
                     rough_size(free) + " left, of which " + rough_size(kept) +
                     " are kept for the node. Free some space";
  if (!overcommit) {
    text += ", ask for less, or use a StorageClass with the parameter " + std::string(kOvercommit) +
            ": \"true\", whose volumes take space only as it is written";
  }
  return error(Code::kUnavailable, text);
}

Status set_file_size(const std::string& path, std::int64_t size) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return errno_error("opening " + path);
  if (::ftruncate(fd.get(), size) != 0)
    return errno_error("growing " + path + " to " + std::to_string(size) + " bytes");
  return {};
}

// Allocates the space of the complete file and keeps its content. On a file system that cannot do that the file stays
// sparse, and outstanding_bytes() counts the holes.
Status allocate(const std::string& path, std::int64_t size) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return errno_error("opening " + path);
  int failed = fault::hit("volumes.allocate") ? EOPNOTSUPP : ::fallocate(fd.get(), 0, 0, size) == 0 ? 0 : errno;
  if (failed == 0 || failed == EOPNOTSUPP || failed == ENOSYS) return {};
  return errno_error("taking " + std::to_string(size) + " bytes of the disk for " + path, failed);
}

// Locked from the check of the free space until the space is allocated: two volumes must not rely on the same space.
std::mutex& space_mutex() {
  static std::mutex mutex;
  return mutex;
}

Status allocate_space(const Place& place, const std::string& disk, std::int64_t before, std::int64_t size,
                      bool overcommit) {
  std::lock_guard lock(space_mutex());
  BERTH_TRY(check_free_space(place, size, size - before, overcommit));
  BERTH_TRY(set_file_size(disk, size));
  Status taken = overcommit ? Status() : allocate(disk, size);
  if (!taken.ok()) (void)!::truncate(disk.c_str(), before);
  return taken;
}

// Allocates the space of a disk file that is sparse or has lost part of its space. A failure is only logged: the data
// is still readable.
void restore_space(const Place& place, std::int64_t size) {
  struct stat file {};
  if (::stat(place.disk().c_str(), &file) != 0 || allocated_bytes(file) >= size) return;
  std::lock_guard lock(space_mutex());
  // `more` is 0: check_free_space() subtracts the holes of this file already.
  Status held = check_free_space(place, size, 0, false);
  if (held.ok()) held = allocate(place.disk(), size);
  if (!held.ok()) {
    log_warning("volumes", "the disk has less space than this volume was promised",
                {{"volume", place.name}, {"reason", held.error().message}});
  }
}

Status sync_file(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return errno_error("syncing " + path);
  return {};
}

// The topmost mount at the volume's mount point.
Result<std::optional<MountEntry>> mounted_at(const Place& place) {
  BERTH_ASSIGN(auto mounts, read_mounts());
  std::optional<MountEntry> found;
  for (auto& m : mounts) {
    if (m.target == place.mount()) found = std::move(m);
  }
  return found;
}

LocalVolume describe(const Place& place, const DiskIdentity& identity, std::int64_t size, bool mounted) {
  return LocalVolume{place.name,          size,        identity.file_system, mounted, mounted ? place.mount() : "",
                     identity.overcommit, place.disk()};
}

// --- Creating

Status make_file_system(const std::string& disk, const DiskIdentity& identity) {
  if (fault::hit("volumes.mkfs")) return error(Code::kInternal, "mkfs." + identity.file_system + ": exit code 1");
  Command command;
  if (identity.file_system == "ext4") {
    // The file reads as zeros: neither mkfs nor the kernel later needs to write zeros to unused blocks.
    command.argv = {"mkfs.ext4",
                    "-q",
                    "-F",
                    "-U",
                    identity.uuid,
                    "-L",
                    identity.label,
                    "-E",
                    "nodiscard,assume_storage_prezeroed=1",
                    disk};
  } else {
    command.argv = {"mkfs.xfs", "-q", "-f", "-K", "-m", "uuid=" + identity.uuid, "-L", identity.label, disk};
  }
  auto made = run_checked(command);
  if (made.failed_with(Code::kNotFound)) {
    return error(Code::kUnavailable, "the program " + command.argv[0] + " is not installed on this node");
  }
  if (!made.ok()) return made.error();
  return {};
}

Status fill_directory(const Place& place, const Place& made, const DiskIdentity& identity) {
  BERTH_TRY(make_directories(made.mount(), 0755));
  BERTH_TRY(allocate_space(place, made.disk(), 0, identity.size_bytes, identity.overcommit));
  BERTH_TRY(make_file_system(made.disk(), identity));
  // Where the kernel cannot zero a range (tmpfs), mkfs punches holes: allocate again.
  if (!identity.overcommit) BERTH_TRY(allocate(made.disk(), identity.size_bytes));
  BERTH_TRY(sync_file(made.disk()));
  if (fault::hit("volumes.identity")) return errno_error("writing " + made.identity(), ENOSPC);
  return write_identity(made.identity(), identity);
}

Result<Outcome> existing_volume(const Place& place, const std::string& claim_uid) {
  auto identity = read_identity(place.identity());
  if (!identity.ok()) return place.fail(Code::kConflict, "it exists, but is not usable: " + identity.error().message);
  if (identity->claim_uid != claim_uid || identity->name != place.name) {
    return place.fail(Code::kConflict, "it exists for claim " + identity->claim_uid + " (as " + identity->name +
                                           "), not for claim " + claim_uid);
  }
  BERTH_ASSIGN(auto size, file_size(place.disk()));
  BERTH_ASSIGN(auto mounted, mounted_at(place));
  return Outcome{describe(place, *identity, size, mounted.has_value()), identity->grown_to < size};
}

Result<Outcome> create_volume(const Place& place, const VolumeRequest& request) {
  BERTH_TRY(check_name(place.name));
  if (path_exists(place.directory())) return existing_volume(place, request.claim_uid);
  std::string type = request.file_system.empty() ? "ext4" : request.file_system;
  if (type != "ext4" && type != "xfs") {
    return place.fail(Code::kInvalid, "file system " + quoted(type) + " is not supported: \"ext4\" and \"xfs\" are");
  }
  if (request.size_bytes <= 0) {
    return place.fail(Code::kInvalid, "a size of " + std::to_string(request.size_bytes) + " bytes cannot be");
  }
  std::int64_t size = round_up(std::max(request.size_bytes, min_volume_size(type)));
  DiskIdentity identity{place.name, request.claim_uid, type, disk_uuid(request.claim_uid), disk_label(place.name), size,
                        size,       request.overcommit};
  // The same name at each attempt: error texts that contain it are equal, and their events are counted as one.
  Place making{place.root + "/" + kTrash, "new-" + place.name};
  BERTH_TRY(remove_all(making.directory()));
  Status made = fill_directory(place, making, identity);
  if (made.ok() &&
      (fault::hit("volumes.rename") || ::rename(making.directory().c_str(), place.directory().c_str()) != 0)) {
    made = errno_error("putting " + place.directory() + " in place");
  }
  if (!made.ok()) {
    if (Status gone = remove_all(making.directory()); !gone.ok()) log_warning("volumes", gone.error().message);
    return place.in(made.error());
  }
  BERTH_TRY(sync_directory(place.root));
  return Outcome{describe(place, identity, size, false), false};
}

// --- Checking and mounting

std::string file_system_text(const std::string& type, const std::string& uuid, const std::string& label) {
  if (type.empty()) return "no file system";
  return type + " file system UUID " + uuid + ", label " + quoted(label);
}

// " (that is volume b of claim c)" where the file system is that of another volume; otherwise empty.
std::string owner_of(const Place& place, const FileSystemInfo& found) {
  auto names = list_directory(place.root);
  if (!names.ok() || found.type.empty()) return "";
  for (const auto& name : *names) {
    auto other = read_identity(Place{place.root, name}.identity());
    if (name != place.name && other.ok() && other->uuid == found.uuid && other->label == found.label) {
      return " (that is volume " + other->name + " of claim " + other->claim_uid + ")";
    }
  }
  return "";
}

Status check_identity(const Place& place, DiskIdentity& identity, const FileSystemInfo& found) {
  if (identity.name != place.name) {
    return place.fail(Code::kConflict,
                      "its directory holds the disk of volume " + identity.name + " of claim " + identity.claim_uid);
  }
  if (found.type == identity.file_system && found.uuid == identity.uuid && found.label == identity.label) return {};
  auto accepted = read_file(place.accept());
  if (found.type.empty() || !accepted.ok() || trim(*accepted) != found.uuid) {
    std::string text = "the disk is not the one made for it: expected claim " + identity.claim_uid + " (" +
                       file_system_text(identity.file_system, identity.uuid, identity.label) + "), found " +
                       file_system_text(found.type, found.uuid, found.label) + owner_of(place, found);
    if (!found.type.empty()) text += "; to use it all the same, write " + found.uuid + " to " + place.accept();
    return place.fail(Code::kConflict, text);
  }
  log_warning("volumes", "another disk was accepted",
              {{"volume", place.name}, {"expected", identity.uuid}, {"found", found.uuid}});
  identity.file_system = found.type;
  identity.uuid = found.uuid;
  identity.label = found.label;
  BERTH_ASSIGN(identity.size_bytes, file_size(place.disk()));
  identity.grown_to = found.size_bytes;
  BERTH_TRY(write_identity(place.identity(), identity));
  ::unlink(place.accept().c_str());
  return {};
}

Status check_file_system(const Place& place, bool thorough) {
  Command command;
  command.argv = {"e2fsck", "-p", place.disk()};
  if (thorough) command.argv.insert(command.argv.begin() + 1, "-f");
  BERTH_ASSIGN(Finished finished, run_command(command));
  if (finished.exit_code == 0) return {};
  std::string output(trim(finished.standard_output + finished.standard_error));
  if (finished.exit_code == 1) {
    log_warning("volumes", "file system repaired", {{"volume", place.name}, {"e2fsck", output}});
    return {};
  }
  return place.fail(Code::kInternal, "its file system cannot be repaired by itself (e2fsck: exit code " +
                                         std::to_string(finished.exit_code) + ": " + output + "); run e2fsck -f " +
                                         place.disk());
}

// For a disk that is not attached: checks the file system and, where that is pending, grows it.
Status prepare_detached(const Place& place, DiskIdentity& identity, const FileSystemInfo& found, std::int64_t size) {
  if (identity.file_system != "ext4") return {};  // xfs replays its journal and grows when mounted
  bool grow = identity.grown_to < size;
  if (found.needs_check || grow) BERTH_TRY(check_file_system(place, grow));
  if (!grow) return {};
  Command command;
  command.argv = {"resize2fs", place.disk()};
  auto grown = run_checked(command);
  if (!grown.ok()) return place.in(grown.error());
  BERTH_TRY(sync_file(place.disk()));
  identity.grown_to = size;
  return write_identity(place.identity(), identity);
}

// False where the kernel does not grow a mounted file system: EPERM without CAP_SYS_RESOURCE.
Result<bool> grow_mounted(const Place& place, const std::string& type, std::int64_t size) {
  if (type == "xfs") {
    Command command;
    command.argv = {"xfs_growfs", "-d", place.mount()};
    auto grown = run_checked(command);
    if (!grown.ok()) return grown.error();
    return true;
  }
  Fd fd(::open(place.mount().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct statvfs at {};
  if (!fd || ::fstatvfs(fd.get(), &at) != 0) return errno_error("looking at " + place.mount());
  std::uint64_t blocks = static_cast<std::uint64_t>(size) / at.f_bsize;
  if (::ioctl(fd.get(), kExt4Resize, &blocks) == 0) return true;
  if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOTTY || errno == EBUSY) return false;
  return errno_error("growing the file system at " + place.mount());
}

Status mount_device(const Place& place, const std::string& device, const std::string& type, bool overcommit) {
  if (fault::hit("volumes.mount")) return errno_error("mounting " + device, EIO);
  // errors=remount-ro: no writes to a damaged file system.
  std::string options = type == "ext4" ? "errors=remount-ro,noinit_itable" : "";
  // Discards give the space of deleted files back to the node; on a volume with allocated space they would lose it.
  if (overcommit) options += options.empty() ? "discard" : ",discard";
  BERTH_TRY(make_directories(place.mount(), 0755));
  if (::mount(device.c_str(), place.mount().c_str(), type.c_str(), 0, options.c_str()) == 0) return {};
  return errno_error("mounting " + device + " (" + type + ") at " + place.mount());
}

Result<Outcome> mount_volume(const Place& place) {
  BERTH_TRY(check_name(place.name));
  if (!path_exists(place.directory())) return place.fail(Code::kNotFound, "there is no such volume on this node");
  auto read = read_identity(place.identity());
  if (!read.ok()) return place.fail(Code::kConflict, "nobody knows whose disk this is: " + read.error().message);
  DiskIdentity identity = std::move(*read);
  auto size = file_size(place.disk());
  if (!size.ok()) return place.in(size.error());
  BERTH_ASSIGN(auto mounted, mounted_at(place));
  if (mounted) return Outcome{describe(place, identity, *size, true), identity.grown_to < *size};
  BERTH_ASSIGN(auto found, probe_disk(place.disk()));
  BERTH_TRY(check_identity(place, identity, found));
  std::int64_t least = std::max(found.size_bytes, identity.size_bytes);
  if (*size < least) {
    return place.fail(Code::kConflict, place.disk() + " is truncated: it has " + std::to_string(*size) + " bytes of " +
                                           std::to_string(least));
  }
  if (!identity.overcommit) restore_space(place, *size);
  // The disk is still attached where a mount in another namespace, such as a container's, holds the file system: then
  // the same device is mounted again, without a check.
  auto loop = find_loop(place.disk());
  if (!loop.ok()) {
    BERTH_TRY(prepare_detached(place, identity, found, *size));
    loop = attach_loop(place.disk());
    if (!loop.ok()) return place.in(loop.error());
  }
  if (Status done = mount_device(place, loop->path, identity.file_system, identity.overcommit); !done.ok())
    return place.in(done.error());
  if (identity.file_system == "xfs" && identity.grown_to < *size) {
    auto grown = grow_mounted(place, "xfs", *size);
    if (!grown.ok()) return place.in(grown.error());
    identity.grown_to = *size;
    BERTH_TRY(write_identity(place.identity(), identity));
  }
  return Outcome{describe(place, identity, *size, true), identity.grown_to < *size};
}

// --- The other operations

Status unmount_all(const Place& place) {
  for (;;) {
    BERTH_ASSIGN(auto mounted, mounted_at(place));
    if (!mounted) return {};
    if (::umount2(place.mount().c_str(), UMOUNT_NOFOLLOW) == 0) continue;
    if (errno == EBUSY) return place.fail(Code::kConflict, "it is still in use: files are open below " + place.mount());
    if (errno != EINVAL) return place.in(errno_error("unmounting " + place.mount()));
  }
}

Result<Outcome> unmount_volume(const Place& place) {
  BERTH_TRY(check_name(place.name));
  BERTH_TRY(unmount_all(place));
  auto identity = read_identity(place.identity());
  auto size = file_size(place.disk());
  if (!identity.ok() || !size.ok()) return Outcome{};
  return Outcome{describe(place, *identity, *size, false), identity->grown_to < *size};
}

Result<Outcome> accept_disk(const Place& place, const std::string& uuid) {
  BERTH_TRY(check_name(place.name));
  if (!path_exists(place.directory())) return place.fail(Code::kNotFound, "there is no such volume on this node");
  BERTH_TRY(write_file_durably(place.accept(), uuid + "\n"));
  return Outcome{};
}

Result<Outcome> expand_volume(const Place& place, std::int64_t wanted) {
  BERTH_TRY(check_name(place.name));
  if (!path_exists(place.directory())) return place.fail(Code::kNotFound, "there is no such volume on this node");
  auto read = read_identity(place.identity());
  if (!read.ok()) return place.fail(Code::kConflict, "nobody knows whose disk this is: " + read.error().message);
  DiskIdentity identity = std::move(*read);
  BERTH_ASSIGN(auto size, file_size(place.disk()));
  std::int64_t target = round_up(wanted);
  if (target < size) {
    return place.fail(Code::kInvalid,
                      "it has " + std::to_string(size) + " bytes and cannot shrink to " + std::to_string(wanted));
  }
  if (target > size) {
    Status taken = allocate_space(place, place.disk(), size, target, identity.overcommit);
    if (!taken.ok()) return place.in(taken.error());
    BERTH_TRY(sync_file(place.disk()));
    identity.size_bytes = target;
    BERTH_TRY(write_identity(place.identity(), identity));
  }
  BERTH_ASSIGN(auto mounted, mounted_at(place));
  if (auto loop = find_loop(place.disk()); loop.ok()) BERTH_TRY(update_loop_size(*loop));
  if (mounted && identity.grown_to < target) {
    auto grown = grow_mounted(place, identity.file_system, target);
    if (!grown.ok()) return place.in(grown.error());
    if (*grown) {
      identity.grown_to = target;
      BERTH_TRY(write_identity(place.identity(), identity));
    }
  }
  return Outcome{describe(place, identity, target, mounted.has_value()), identity.grown_to < target};
}

Status delete_later(const std::string& path, Trash* trash) { return trash ? trash->take(path) : remove_all(path); }

Result<Outcome> remove_volume(const Place& place, Trash* trash) {
  BERTH_TRY(check_name(place.name));
  if (!path_exists(place.directory())) return Outcome{};
  BERTH_TRY(unmount_all(place));
  std::string gone = place.root + "/" + kTrash + "/old-" + place.name;
  BERTH_TRY(remove_all(gone));
  if (::rename(place.directory().c_str(), gone.c_str()) != 0)
    return place.in(errno_error("removing " + place.directory()));
  BERTH_TRY(sync_directory(place.root));
  // The volume does not exist from here on; files that cannot be deleted now are deleted when the root is opened next.
  Status removed =
      fault::hit("volumes.delete") ? Status(errno_error("removing " + gone, EIO)) : delete_later(gone, trash);
  if (!removed.ok()) log_warning("volumes", removed.error().message, {{"volume", place.name}});
  return Outcome{};
}

// ext4 becomes read-only (emergency_ro, shutdown since Linux 6.15); on xfs not even the root can be read.
bool has_stopped(const MountEntry& mounted) {
  for (std::string_view option : split(mounted.options, ',')) {
    if (option == "ro" || option == "emergency_ro" || option == "shutdown") return true;
  }
  if (mounted.file_system != "xfs") return false;
  Fd directory(::open(mounted.target.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return !directory && errno == EIO;
}

std::vector<std::string> stopped_volumes(const std::string& root) {
  std::vector<std::string> out;
  auto mounts = read_mounts();
  if (!mounts.ok()) return out;
  for (const auto& mounted : *mounts) {
    if (!mounted.target.starts_with(root + "/") || !has_stopped(mounted)) continue;
    Cut parts = cut(std::string_view(mounted.target).substr(root.size() + 1), "/");
    if (parts.after == "mount") out.emplace_back(parts.before);
  }
  return out;
}

// --- On the loop

class Volumes final : public LocalVolumes {
 public:
  Volumes(Runtime& runtime, std::string root, Trash* trash)
      : runtime_(runtime), root_(std::move(root)), trash_(trash) {}

  Status open() {
    BERTH_TRY(make_directories(root_ + "/" + kTrash, 0700));
    char real[PATH_MAX];
    if (::realpath(root_.c_str(), real) == nullptr) return errno_error("looking at " + root_);
    root_ = real;  // the path in mountinfo
    empty_trash();
    std::vector<std::string> freed = free_loops_below(root_);
    if (!freed.empty())
      log_info("volumes", "loop devices freed or to be freed with their last use", {{"devices", join(freed, " ")}});
    BERTH_ASSIGN(auto names, list_directory(root_));
    for (const auto& name : names) {
      if (name != kTrash) adopt(name);
    }
    return {};
  }

  void create(const std::string& name, const VolumeRequest& request,
              Function<void(Result<LocalVolume>)> done) override {
    enqueue(
        name, [place = Place{root_, name}, request] { return create_volume(place, request); },
        volume_answer(std::move(done)));
  }

  void mount(const std::string& name, Function<void(Result<LocalVolume>)> done) override {
    enqueue(
        name, [place = Place{root_, name}] { return mount_volume(place); }, volume_answer(std::move(done)));
  }

  void accept(const std::string& name, const std::string& uuid, Function<void(Status)> done) override {
    enqueue(
        name, [place = Place{root_, name}, uuid] { return accept_disk(place, uuid); }, status_answer(std::move(done)),
        false);
  }

  void unmount(const std::string& name, Function<void(Status)> done) override {
    enqueue(
        name, [place = Place{root_, name}] { return unmount_volume(place); }, status_answer(std::move(done)));
  }

  void expand(const std::string& name, std::int64_t size_bytes, Function<void(Result<Expanded>)> done) override {
    enqueue(
        name, [place = Place{root_, name}, size_bytes] { return expand_volume(place, size_bytes); },
        [done = std::move(done)](Result<Outcome> outcome) {
          if (!outcome.ok()) return done(outcome.error());
          done(Expanded{outcome->volume->size_bytes, outcome->pending});
        });
  }

  void remove(const std::string& name, Function<void(Status)> done) override {
    enqueue(
        name, [place = Place{root_, name}, trash = trash_] { return remove_volume(place, trash); },
        status_answer(std::move(done)));
  }

  void find_stopped(Function<void(std::vector<std::string>)> done) override {
    auto found = std::make_shared<std::vector<std::string>>();
    runtime_.offload([root = root_, found] { *found = stopped_volumes(root); },
                     [alive = lifetime_.guard(), found, done = std::move(done)] {
                       if (alive) done(std::move(*found));
                     });
  }

  std::vector<LocalVolume> list() const override {
    std::vector<LocalVolume> out;
    for (const auto& [name, volume] : volumes_) out.push_back(volume);
    return out;
  }

 private:
  using Work = std::function<Result<Outcome>()>;
  using Answer = Function<void(Result<Outcome>)>;
  struct Job {
    Work work;
    Answer answer;
    bool changes;  // the outcome is the volume's new state
  };

  static Answer volume_answer(Function<void(Result<LocalVolume>)> done) {
    return [done = std::move(done)](Result<Outcome> outcome) {
      if (!outcome.ok()) return done(outcome.error());
      done(std::move(*outcome->volume));
    };
  }
  static Answer status_answer(Function<void(Status)> done) {
    return
        [done = std::move(done)](Result<Outcome> outcome) { done(outcome.ok() ? Status() : Status(outcome.error())); };
  }

  void enqueue(const std::string& name, Work work, Answer answer, bool changes = true) {
    auto& queue = queues_[name];
    queue.push_back({std::move(work), std::move(answer), changes});
    if (queue.size() == 1) start(name);
  }

  void start(const std::string& name) {
    auto outcome = std::make_shared<Result<Outcome>>(error(Code::kInternal, "not run"));
    runtime_.offload([work = queues_[name].front().work, outcome] { *outcome = work(); },
                     [this, alive = lifetime_.guard(), name, outcome] {
                       if (alive) finish(name, std::move(*outcome));
                     });
  }

  void finish(const std::string& name, Result<Outcome> outcome) {
    auto queue = queues_.find(name);
    Job job = std::move(queue->second.front());
    queue->second.pop_front();
    if (queue->second.empty()) {
      queues_.erase(queue);
    } else {
      start(name);
    }
    if (outcome.ok() && job.changes) {
      if (outcome->volume) {
        volumes_[name] = *outcome->volume;
      } else {
        volumes_.erase(name);
      }
    }
    job.answer(std::move(outcome));  // may destroy this
  }

  void empty_trash() {
    std::string trash = root_ + "/" + kTrash;
    auto names = list_directory(trash);
    if (!names.ok()) return;
    for (const auto& name : *names) {
      if (Status gone = delete_later(trash + "/" + name, trash_); !gone.ok())
        log_warning("volumes", gone.error().message);
    }
  }

  // A directory whose identity cannot be read stays; mount() reports the reason.
  void adopt(const std::string& name) {
    Place place{root_, name};
    auto identity = read_identity(place.identity());
    auto size = file_size(place.disk());
    auto mounted = mounted_at(place);
    if (!identity.ok() || !size.ok() || !mounted.ok()) {
      const Error& e = !identity.ok() ? identity.error() : !size.ok() ? size.error() : mounted.error();
      log_warning("volumes", "not usable", {{"volume", name}, {"reason", e.message}});
      return;
    }
    volumes_[name] = describe(place, *identity, *size, mounted->has_value());
  }

  Runtime& runtime_;
  std::string root_;
  Trash* const trash_;
  std::map<std::string, LocalVolume> volumes_;
  std::map<std::string, std::deque<Job>> queues_;  // by volume; the first job is running
  Lifetime lifetime_;
};

}  // namespace

Result<std::unique_ptr<LocalVolumes>> open_local_volumes(Runtime& runtime, const std::string& root, Trash* trash) {
  auto volumes = std::make_unique<Volumes>(runtime, root, trash);
  BERTH_TRY(volumes->open());
  return std::unique_ptr<LocalVolumes>(std::move(volumes));
}

}  // namespace berth::agent
