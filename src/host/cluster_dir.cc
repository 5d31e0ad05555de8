#include "host/cluster_dir.h"

#include <sys/un.h>

#include <filesystem>

#include "base/shell_word.h"
#include "base/text.h"

namespace berth::host {

std::string ClusterDir::id() const { return sha256_hex(root).substr(0, 8); }

std::string ClusterDir::up() const {
  if (root == kDefaultRoot) return "berth up";
  return "berth up --data-dir " + shell_word(root);
}

Result<ClusterDir> open_cluster_dir(const std::string& path) {
  const auto refused = [&path](const std::string& why) {
    return error(Code::kInvalid, "--data-dir " + berth::quoted(path) + " " + why);
  };
  if (path.empty()) return refused("is empty; name a directory");
  // The path is used in line-based files and mount options.
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return refused("has a control character in it; choose another directory");
  }
  std::error_code problem;
  const std::filesystem::path absolute = std::filesystem::absolute(path, problem);
  if (problem) return refused("cannot be used: " + problem.message());
  // The same directory must have one name: the cluster's cgroups and mounts are found by it.
  ClusterDir dir{std::filesystem::weakly_canonical(absolute, problem).string()};
  if (problem) return refused("cannot be used: " + problem.message());
  while (dir.root.size() > 1 && dir.root.back() == '/') dir.root.pop_back();
  const auto status = std::filesystem::symlink_status(dir.root, problem);
  if (std::filesystem::is_symlink(status))
    return refused("is a symbolic link to a directory that does not exist; make that first");
  if (std::filesystem::exists(status) && !std::filesystem::is_directory(status)) return refused("is not a directory");
  constexpr std::size_t kLimit = sizeof(sockaddr_un::sun_path) - 1;
  if (dir.agent_socket().size() > kLimit) {
    return error(Code::kInvalid, "--data-dir " + path + " is too long: the sockets below it may have " +
                                     std::to_string(kLimit) + " characters, " + dir.agent_socket() + " has " +
                                     std::to_string(dir.agent_socket().size()) + "; choose a shorter directory");
  }
  return dir;
}

}  // namespace berth::host
