#include "agent/runtime/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>

namespace berth::agent {

Result<Fd> make_memory_file(const char* name) {
  constexpr unsigned kExecutable =
      0x10;  // MFD_EXEC, which Linux 6.3 and later may ask for and earlier ones do not know
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  Fd file(::memfd_create(name, kFlags | kExecutable));
  if (!file && errno == EINVAL) file = Fd(::memfd_create(name, kFlags));
  if (!file) return errno_error("making a memory file");
  return file;
}

Status seal_memory_file(const Fd& file) {
  // Exactly these seals: crun checks for them to recognise a copy of itself.
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
    return errno_error("sealing a memory file");
  return {};
}

}  // namespace berth::agent
