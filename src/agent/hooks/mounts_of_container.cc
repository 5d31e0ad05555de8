#include "agent/hooks/mounts_of_container.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

// The directory or file at `sub` below `root`, made where missing. A link in the volume must not lead out of it, so
// each step is taken by the kernel inside the root.
Result<std::string> sub_path(const std::string& root, const std::string& sub) {
  for (auto part : split(sub, '/')) {
    if (part == "..") return error(Code::kInvalid, "must not contain '..'");
  }
  Fd base(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base) return errno_error("opening " + root);
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  Fd found(static_cast<int>(::syscall(SYS_openat2, base.get(), sub.c_str(), &how, sizeof how)));
  if (!found && errno == ENOENT) {
    struct stat at {};
    ::stat(root.c_str(), &at);
    std::string done;
    for (auto part : split(sub, '/')) {
      if (part.empty() || part == ".") continue;
      how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
      Fd parent(
          static_cast<int>(::syscall(SYS_openat2, base.get(), done.empty() ? "." : done.c_str(), &how, sizeof how)));
      if (!parent) return errno_error("opening " + root + "/" + done);
      std::string name(part);
      if (::mkdirat(parent.get(), name.c_str(), at.st_mode & 07777) == 0) {
        ::fchmodat(parent.get(), name.c_str(), at.st_mode & 07777, 0);
      } else if (errno != EEXIST) {
        return errno_error("making " + root + "/" + done + "/" + name);
      }
      done += done.empty() ? name : "/" + name;
    }
    how.flags = O_PATH | O_CLOEXEC;
    found.reset(static_cast<int>(::syscall(SYS_openat2, base.get(), sub.c_str(), &how, sizeof how)));
  }
  if (!found) return errno_error("opening " + root + "/" + sub);
  // What the kernel found, by its real path.
  char path[4096];
  ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(found.get())).c_str(), path, sizeof path);
  if (n <= 0) return errno_error("resolving " + root + "/" + sub);
  return std::string(path, static_cast<std::size_t>(n));
}

std::string propagation_of(const Value& mount) {
  std::string_view kind = mount["mountPropagation"].as_string();
  return kind == "HostToContainer" ? "rslave" : kind == "Bidirectional" ? "rshared" : "";
}

// The kernel and crun can do it everywhere, so that IfPossible always means yes.
bool read_only_below(const Value& mount) {
  std::string_view kind = mount["recursiveReadOnly"].as_string();
  return mount["readOnly"].as_bool() && (kind == "Enabled" || kind == "IfPossible");
}

bool mounts_at(const Value& container, std::string_view path) {
  for (const Value& mount : container["volumeMounts"]) {
    if (mount["mountPath"].as_string() == path) return true;
  }
  return false;
}

}  // namespace

Result<std::vector<Mount>> container_mounts(const PodContext& pod, const Value& container, const Variables& variables,
                                            const std::string& termination_file) {
  std::vector<Mount> out;
  for (const Value& mount : container["volumeMounts"]) {
    std::string name = mount["name"].str();
    auto volume = pod.volumes.find(name);
    if (volume == pod.volumes.end()) {
      return error(Code::kInvalid, "cannot find volume " + quoted(name) + " to mount into container " +
                                       quoted(container["name"].as_string()));
    }
    Mount one;
    one.source = volume->second.path;
    one.target = mount["mountPath"].str();
    if (!one.target.starts_with("/")) one.target = "/" + one.target;
    one.read_only = mount["readOnly"].as_bool() || volume->second.read_only;
    one.read_only_below = read_only_below(mount);
    one.no_exec = volume->second.no_exec;
    one.propagation = propagation_of(mount);
    std::string sub = mount["subPath"].str();
    if (!mount["subPathExpr"].as_string().empty()) sub = expand_variables(mount["subPathExpr"].as_string(), variables);
    if (!sub.empty()) {
      if (sub.starts_with("/"))
        return error(Code::kInvalid, "error SubPath `" + sub + "` must not be an absolute path");
      auto path = sub_path(volume->second.path, sub);
      if (!path.ok())
        return error(Code::kInvalid, "failed to prepare subPath for volumeMount " + quoted(name) + " of container " +
                                         quoted(container["name"].as_string()) + ": " + path.error().message);
      one.source = *path;
    }
    out.push_back(std::move(one));
  }
  auto etc = [&](const char* target, const std::string& source) {
    if (!source.empty() && !mounts_at(container, target)) out.push_back(Mount{source, target, false, false, ""});
  };
  etc("/etc/hosts", pod.hosts_file);
  etc("/etc/resolv.conf", pod.resolv_file);
  etc("/etc/hostname", pod.hostname_file);
  std::string message = container["terminationMessagePath"].str("/dev/termination-log");
  if (!message.empty()) {
    BERTH_TRY(write_file(termination_file, "", 0666));
    ::chmod(termination_file.c_str(), 0666);
    out.push_back(Mount{termination_file, message, false, false, ""});
  }
  return out;
}

}  // namespace berth::agent
