#pragma once
// The crun program as the agent executes it.

#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace berth::agent {

// crun never works from a file that a container could overwrite through /proc/self/exe: whenever it is executed, it first mounts
// itself somewhere, unmounts that and executes itself again, unless it finds that it is a memory file sealed against every change.
// That costs as much as all the rest of what it does for a container. So it is given such a file.
class CrunProgram {
 public:
  static constexpr int kDescriptor = 4;  // where the child has the memory file; conmon's pipe and "exec -p" use 3

  // Executed from its file.
  explicit CrunProgram(std::string path) : path_(std::move(path)) {}
  // Executed from memory, as it is now; from its file where the kernel does not let a memory file be executed. `link` becomes a
  // symbolic link by which the children find it, whose last part is the name they run under. Blocks.
  static Result<CrunProgram> load(const std::string& path, const std::string& link);

  const std::string& path() const { return path_; }
  std::vector<std::pair<int, int>> descriptors() const;  // for SpawnOptions and Command of whoever executes path()
  bool in_memory() const { return static_cast<bool>(image_); }

 private:
  std::string path_;
  Fd image_;
};

}  // namespace berth::agent
