#include "agent/hooks/atomic_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

constexpr const char* kData = "..data";

std::string link_target(const std::string& path) {
  char target[4096];
  ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  return n < 0 ? std::string() : std::string(target, static_cast<std::size_t>(n));
}

std::string first_part(const std::string& path) { return std::string(cut(path, "/").before); }

bool holds(const std::string& directory, const Payload& payload) {
  std::string data = directory + "/" + kData;
  std::size_t files = 0;
  for (const auto& [path, content] : payload) {
    auto found = read_file(data + "/" + path);
    struct stat at {};
    if (!found.ok() || *found != content.bytes || ::stat((data + "/" + path).c_str(), &at) != 0 ||
        (at.st_mode & 07777) != content.mode)
      return false;
    ++files;
  }
  // And nothing else.
  std::set<std::string> wanted, names;
  for (const auto& [path, content] : payload) wanted.insert(first_part(path));
  auto there = list_directory(data);
  if (!there.ok()) return false;
  names.insert(there->begin(), there->end());
  return names == wanted;
}

Status link_over(const std::string& target, const std::string& path) {
  std::string temporary = path + "_tmp";
  ::unlink(temporary.c_str());
  if (::symlink(target.c_str(), temporary.c_str()) != 0) return errno_error("making " + temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return errno_error("making " + path);
  return {};
}

// Directories of a volume with an owning group are the group's, too.
Status make_directory(const std::string& path, mode_t mode, std::int64_t group) {
  BERTH_TRY(make_directories(path, 0755));
  if (group >= 0 && ::chown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(group)) != 0)
    return errno_error("giving away " + path);
  ::chmod(path.c_str(), group >= 0 ? mode | S_ISGID | 0550 : mode);
  return {};
}

Status write_files(const std::string& directory, const Payload& payload, std::int64_t group) {
  BERTH_TRY(make_directory(directory, 0755, group));
  for (const auto& [path, content] : payload) {
    std::string whole = directory + "/" + path;
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1))
      BERTH_TRY(make_directory(directory + "/" + path.substr(0, slash), 0755, group));
    BERTH_TRY(write_file(whole, content.bytes, content.mode));
    if ((group >= 0 || content.owner >= 0) &&
        ::chown(whole.c_str(), content.owner >= 0 ? static_cast<uid_t>(content.owner) : static_cast<uid_t>(-1),
                group >= 0 ? static_cast<gid_t>(group) : static_cast<gid_t>(-1)) != 0) {
      return errno_error("giving away " + whole);
    }
    ::chmod(whole.c_str(), content.mode);
  }
  return {};
}

}  // namespace

bool is_payload_path(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.starts_with("..")) return false;
  for (auto part : split(path, '/')) {
    if (part == ".." || part.empty()) return false;
  }
  return true;
}

Status write_atomically(const std::string& directory, const Payload& payload, std::int64_t group, Time now,
                        std::uint64_t random) {
  BERTH_TRY(make_directory(directory, 01777, group));  // as kubelet's, which are file systems of their own
  for (const auto& [path, content] : payload) {
    if (!is_payload_path(path)) return error(Code::kInvalid, "invalid path " + quoted(path));
  }
  if (holds(directory, payload)) return {};
  std::string stamp = format_time(now);  // 2026-01-02T03:04:05Z
  for (char& c : stamp) {
    if (c == '-' || c == 'T' || c == ':') c = '_';
  }
  std::string fresh = ".." + stamp.substr(0, 19) + "." + std::to_string(random % 10'000'000'000ull);
  BERTH_TRY(write_files(directory + "/" + fresh, payload, group));
  std::string before = link_target(directory + "/" + kData);
  BERTH_TRY(link_over(fresh, directory + "/" + kData));
  std::set<std::string> wanted;
  for (const auto& [path, content] : payload) wanted.insert(first_part(path));
  for (const auto& name : wanted) {
    std::string target = std::string(kData) + "/" + name;
    if (link_target(directory + "/" + name) != target) BERTH_TRY(link_over(target, directory + "/" + name));
  }
  BERTH_ASSIGN(auto names, list_directory(directory));
  for (const auto& name : names) {
    if (name.starts_with("..")) continue;
    if (!wanted.contains(name)) ::unlink((directory + "/" + name).c_str());
  }
  if (!before.empty() && before != fresh) return remove_all(directory + "/" + before);
  return {};
}

}  // namespace berth::agent
