#include "agent/runtime/find_program.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/fs/rooted_dir.h"
#include "base/text.h"

namespace berth::agent {
namespace {

// The errno with which the kernel refuses to run the file; 0 if its mode allows that.
int why_not(const RootedDir& root, const std::string& file) {
  auto found = root.open(file, O_PATH);
  if (!found.ok()) return found.failed_with(Code::kNotFound) ? ENOENT : EIO;
  struct stat at {};
  if (::fstat(found->get(), &at) != 0) return errno;
  if (S_ISDIR(at.st_mode)) return EISDIR;
  return (at.st_mode & 0111) != 0 ? 0 : EACCES;
}

std::string below(const std::string& directory, const std::string& name) {
  return name.starts_with("/") ? name : directory + "/" + name;
}

}  // namespace

Status find_program(const std::string& root, const std::string& program, const std::string& path,
                    const std::string& directory) {
  auto base = RootedDir::open(root);
  if (!base.ok()) return ok_status();
  auto refusal = [&](const std::string& why) { return error(Code::kInvalid, "exec: " + quoted(program) + ": " + why); };
  if (program.find('/') == std::string::npos) {
    for (std::string_view place : split(path, ':')) {
      const std::string in(place.empty() ? "." : place);
      if (why_not(*base, below(below(directory, in), program)) == 0) return ok_status();
    }
    return refusal("executable file not found in $PATH");
  }
  switch (why_not(*base, below(directory, program))) {
    case ENOENT: return refusal("stat " + program + ": no such file or directory");
    case EISDIR: return refusal("is a directory");
    case EACCES: return refusal("permission denied");
    default: return ok_status();
  }
}

}  // namespace berth::agent
