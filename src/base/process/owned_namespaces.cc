#include "base/process/owned_namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "base/files.h"

namespace berth {
namespace {

// Runs `inside` in a child, which may do nothing but system calls, and then `outside` with its pid while it waits.
// `inside` answers 0 or an errno.
Status with_child(const char* what, const std::function<int()>& inside, const std::function<Status(pid_t)>& outside) {
  int up[2], down[2];
  if (::pipe2(up, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd from_child(up[0]), to_parent(up[1]);
  if (::pipe2(down, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd from_parent(down[0]), to_child(down[1]);
  pid_t child = ::fork();
  if (child < 0) return errno_error("fork");
  if (child == 0) {
    ::close(up[0]);
    ::close(down[1]);
    int problem = inside();
    if (::write(up[1], &problem, sizeof problem) == sizeof problem && problem == 0) {
      char go = 0;
      [[maybe_unused]] auto n = ::read(down[0], &go, 1);
    }
    ::_exit(0);
  }
  to_parent.reset();
  int problem = ECHILD;
  ssize_t n = 0;
  do {
    n = ::read(from_child.get(), &problem, sizeof problem);
  } while (n < 0 && errno == EINTR);
  Status result = n == sizeof problem && problem == 0 ? outside(child) : Status(errno_error(what, problem));
  [[maybe_unused]] auto m = ::write(to_child.get(), "", 1);
  to_child.reset();
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {}
  return result;
}

Status pin(pid_t pid, const std::string& kind, const std::string& path) {
  BERTH_TRY(write_file(path, "", 0444));
  std::string from = "/proc/" + std::to_string(pid) + "/ns/" + kind;
  if (::mount(from.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return errno_error("pinning a namespace at " + path);
  return {};
}

// In one write: the kernel accepts only one.
Status write_map(const std::string& path, const std::string& map) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), map.data(), map.size()) != static_cast<ssize_t>(map.size()))
    return errno_error("writing " + path);
  return {};
}

}  // namespace

Status pin_user_namespace(const std::string& path, std::int64_t first, std::int64_t count) {
  auto inside = [] { return ::unshare(CLONE_NEWUSER) == 0 ? 0 : errno; };
  return with_child("making a user namespace", inside, [&](pid_t child) -> Status {
    std::string at = "/proc/" + std::to_string(child),
                map = "0 " + std::to_string(first) + " " + std::to_string(count) + "\n";
    BERTH_TRY(write_map(at + "/uid_map", map));
    BERTH_TRY(write_map(at + "/gid_map", map));
    return pin(child, "user", path);
  });
}

Status pin_owned_namespaces(const std::string& owner, int flags, const std::string& hostname, const TextPairs& pins,
                            const TextPairs& writes) {
  Fd users(::open(owner.c_str(), O_RDONLY | O_CLOEXEC));
  if (!users) return errno_error("opening " + owner);
  const int fd = users.get();
  const char* name = hostname.data();
  const std::size_t length = hostname.size();
  auto inside = [fd, flags, name, length, &writes] {
    if (::setns(fd, CLONE_NEWUSER) != 0 || ::unshare(flags) != 0) return errno;
    if (length > 0 && ::sethostname(name, length) != 0) return errno;
    // Settings of a namespace belong to its root user, which the node's root is not.
    if (::syscall(SYS_setresgid, 0, 0, 0) != 0 || ::syscall(SYS_setresuid, 0, 0, 0) != 0) return errno;
    for (const auto& [path, value] : writes) {
      int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
      if (file < 0 || ::write(file, value.data(), value.size()) < 0) return errno;
      ::close(file);
    }
    return 0;
  };
  return with_child("making namespaces of a user namespace", inside, [&](pid_t child) -> Status {
    for (const auto& [kind, path] : pins) BERTH_TRY(pin(child, kind, path));
    return {};
  });
}

}  // namespace berth
