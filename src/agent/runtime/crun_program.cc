#include "agent/runtime/crun_program.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/runtime/memory_file.h"
#include "base/log.h"
#include "base/process/process.h"

namespace berth::agent {
namespace {

Result<Fd> sealed_copy(const std::string& path) {
  Fd from(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat at {};
  if (!from || ::fstat(from.get(), &at) != 0) return errno_error("opening " + path);
  BERTH_ASSIGN(Fd image, make_memory_file("crun"));
  for (off_t done = 0; done < at.st_size;) {
    const ssize_t sent = ::sendfile(image.get(), from.get(), &done, static_cast<std::size_t>(at.st_size - done));
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return errno_error("copying " + path + " into memory", sent < 0 ? errno : EIO);
  }
  BERTH_TRY(seal_memory_file(image));
  return image;
}

}  // namespace

CrunProgram CrunProgram::load(const std::string& path, const std::string& link) {
  CrunProgram program(link);
  auto attempt = [&]() -> Status {
    BERTH_ASSIGN(program.image_, sealed_copy(path));
    ::unlink(link.c_str());
    if (::symlink(("/proc/self/fd/" + std::to_string(kDescriptor)).c_str(), link.c_str()) != 0)
      return errno_error("making " + link);
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
