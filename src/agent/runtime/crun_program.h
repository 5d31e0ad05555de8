#pragma once
// The crun program as the agent executes it.

#include <string>
#include <utility>
#include <vector>

#include "base/files.h"

namespace berth::agent {

// crun protects its file from containers, which could overwrite it through /proc/self/exe: at each start it mounts a
// read-only copy of itself and executes that, unless its file is a memory file sealed against every change. The copy
// doubles the time of a start, so crun is executed from such a file.
class CrunProgram {
 public:
  static constexpr int kDescriptor = 4;  // where the child has the memory file; conmon's pipe and "exec -p" use 3

  // Executed from its file.
  explicit CrunProgram(std::string path) : path_(std::move(path)) {}
  // Copies it into sealed memory: a crun that is upgraded on disk is used from the agent's next start. Executed from
  // its file where anything of that fails, which is logged. `link` becomes a symbolic link by which the children find
  // it, whose last part is the name they run under. Blocks.
  static CrunProgram load(const std::string& path, const std::string& link);

  const std::string& path() const { return path_; }
  std::vector<std::pair<int, int>> descriptors() const;  // for the SpawnOptions or Command that executes path()
  bool in_memory() const { return static_cast<bool>(image_); }

 private:
  std::string path_;
  Fd image_;
};

}  // namespace berth::agent
