#include "lab/cluster_dir.h"

#include <sys/un.h>

#include <filesystem>

#include "base/text.h"

namespace berth::lab {

std::string ClusterDir::id() const { return sha256_hex(root).substr(0, 8); }

Result<ClusterDir> open_cluster_dir(const std::string& path) {
  std::error_code problem;
  // One directory has one name, also where a link leads to it: its control groups, mounts and loop devices are found by it.
  std::filesystem::path absolute = std::filesystem::absolute(path, problem).lexically_normal();
  if (!problem) absolute = std::filesystem::weakly_canonical(absolute, problem);
  if (problem) return error(Code::kInvalid, "--data-dir " + path + ": " + problem.message());
  ClusterDir dir{absolute.string()};
  while (dir.root.size() > 1 && dir.root.back() == '/') dir.root.pop_back();
  constexpr std::size_t kLimit = sizeof(sockaddr_un::sun_path) - 1;
  if (dir.agent_socket().size() > kLimit) {
    return error(Code::kInvalid, "--data-dir " + path + " is too long: the sockets below it may have " + std::to_string(kLimit) +
                                     " characters, " + dir.agent_socket() + " has " + std::to_string(dir.agent_socket().size()) +
                                     "; choose a shorter directory");
  }
  return dir;
}

}  // namespace berth::lab
