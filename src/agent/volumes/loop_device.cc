#include "agent/volumes/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/fault.h"
#include "base/log.h"

namespace berth::agent {
namespace {

constexpr int kLoopMajor = 7;
// Attempts to attach: another process may take the free device that the kernel named.
constexpr int kAttempts = 64;

// The numbers of the devices that have a backing file.
std::vector<std::string> attached_loops() {
  std::vector<std::string> out;
  auto names = list_directory("/sys/block");
  if (!names.ok()) return out;
  for (const auto& name : *names) {
    if (name.starts_with("loop") && path_exists("/sys/block/" + name + "/loop/backing_file"))
      out.push_back("/dev/" + name);
  }
  return out;
}

bool backed_by(int fd, const struct stat& file) {
  loop_info64 info{};
  return ::ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == file.st_ino && info.lo_device == file.st_dev;
}

// A /dev that is no devtmpfs lacks the nodes of devices created later.
Fd open_node(int number, const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd && errno == ENOENT &&
      ::mknod(path.c_str(), S_IFBLK | 0600, makedev(kLoopMajor, static_cast<unsigned>(number))) == 0) {
    fd = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  }
  return fd;
}

int configure(int loop, int file, const std::string& name, unsigned flags) {
  loop_config config{};
  config.fd = static_cast<std::uint32_t>(file);
  config.block_size = 512;
  config.info.lo_flags = flags;
  // The name that losetup -l prints. The end of a long path is kept: it has the volume's name.
  std::string shown = name.size() < LO_NAME_SIZE ? name : name.substr(name.size() - (LO_NAME_SIZE - 1));
  shown.copy(reinterpret_cast<char*>(config.info.lo_file_name), LO_NAME_SIZE - 1);
  return ::ioctl(loop, LOOP_CONFIGURE, &config) == 0 ? 0 : errno;
}

}  // namespace

Result<LoopDevice> find_loop(const std::string& file) {
  struct stat at {};
  if (::stat(file.c_str(), &at) != 0) return errno_error("looking at " + file);
  for (const auto& path : attached_loops()) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (fd && backed_by(fd.get(), at)) return LoopDevice{std::move(fd), path};
  }
  return error(Code::kNotFound, file + " is on no loop device");
}

Result<LoopDevice> attach_loop(const std::string& file) {
  if (fault::hit("volumes.attach")) return errno_error("attaching " + file, EIO);
  Fd backing(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!backing) return errno_error("opening " + file);
  Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) return errno_error("opening /dev/loop-control");
  unsigned flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  for (int i = 0; i < kAttempts; ++i) {
    int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return errno_error("getting a free loop device");
    std::string path = "/dev/loop" + std::to_string(number);
    Fd loop = open_node(number, path);
    if (!loop) return errno_error("opening " + path);
    int failed = configure(loop.get(), backing.get(), file, flags);
    if (failed == 0) return LoopDevice{std::move(loop), path};
    if (failed == EINVAL && (flags & LO_FLAGS_DIRECT_IO)) {
      flags = LO_FLAGS_AUTOCLEAR;
    } else if (failed != EBUSY) {
      return errno_error("attaching " + file + " to " + path, failed);
    }
  }
  return error(Code::kUnavailable, "attaching " + file + ": every free loop device was taken by somebody else");
}

Status update_loop_size(const LoopDevice& device) {
  if (::ioctl(device.fd.get(), LOOP_SET_CAPACITY, 0) != 0) return errno_error("growing " + device.path);
  return {};
}

std::vector<std::string> loops_below(const std::string& directory) {
  std::vector<std::string> found;
  for (const auto& path : attached_loops()) {
    auto backing = read_file("/sys/block/" + path.substr(5) + "/loop/backing_file");
    if (backing.ok() && backing->starts_with(directory + "/")) found.push_back(path);
  }
  return found;
}

std::vector<std::string> free_loops_below(const std::string& directory) {
  std::vector<std::string> freed;
  for (const auto& path : loops_below(directory)) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (fd && ::ioctl(fd.get(), LOOP_CLR_FD, 0) == 0) freed.push_back(path);
  }
  return freed;
}

}  // namespace berth::agent
