#include "agent/runtime/crun_program.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"

namespace berth::agent {
namespace {

#ifndef MFD_EXEC
constexpr unsigned kExecutable = 0x10;  // Linux 6.3
#else
constexpr unsigned kExecutable = MFD_EXEC;
#endif
constexpr int kEverySeal = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;  // what crun asks for

Result<Fd> sealed_copy(const std::string& path) {
  Fd from(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat at{};
  if (!from || ::fstat(from.get(), &at) != 0) return errno_error("opening " + path);
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  Fd image(::memfd_create("crun", flags | kExecutable));
  if (!image && errno == EINVAL) image = Fd(::memfd_create("crun", flags));
  if (!image) return errno_error("making a memory file");
  for (off_t done = 0; done < at.st_size;) {
    const ssize_t sent = ::sendfile(image.get(), from.get(), &done, static_cast<std::size_t>(at.st_size - done));
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return errno_error("copying " + path + " into memory", sent < 0 ? errno : EIO);
  }
  if (::fcntl(image.get(), F_ADD_SEALS, kEverySeal) != 0) return errno_error("sealing a memory file");
  return image;
}

}  // namespace

CrunProgram CrunProgram::load(const std::string& path, const std::string& link) {
  CrunProgram program(link);
  auto attempt = [&]() -> Status {
    BERTH_ASSIGN(program.image_, sealed_copy(path));
    ::unlink(link.c_str());
    if (::symlink(("/proc/self/fd/" + std::to_string(kDescriptor)).c_str(), link.c_str()) != 0) return errno_error("making " + link);
    Command version;
    version.argv = {link, "--version"};
    version.descriptors = program.descriptors();
    BERTH_TRY(run_checked(version));
    return {};
  };
  Status loaded = attempt();
  if (loaded.ok()) return program;
  log_info("agent", "crun is executed from its file", {{"error", loaded.error().message}});
  return CrunProgram(path);
}

std::vector<std::pair<int, int>> CrunProgram::descriptors() const {
  if (!image_) return {};
  return {{image_.get(), kDescriptor}};
}

}  // namespace berth::agent
