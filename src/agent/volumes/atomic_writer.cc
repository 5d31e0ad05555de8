#include "agent/volumes/atomic_writer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <set>

#include "base/files.h"
#include "base/fs/rooted_dir.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

// A container that may remount may write to the directory: the content is not trusted, nor are the links made here.
using Links = RootedDir::Links;

constexpr const char* kData = "..data";

std::string first_part(const std::string& path) { return std::string(cut(path, "/").before); }

bool holds(const RootedDir& directory, const Payload& payload) {
  auto data = directory.directory(kData, Links::kBeneath);
  if (!data.ok()) return false;
  for (const auto& [path, content] : payload) {
    auto found = data->read_file(path, content.bytes.size(), Links::kNone);
    if (!found.ok() || *found != content.bytes) return false;
    auto at = data->stat(path, Links::kNone);
    if (!at.ok() || (at->st_mode & 07777) != content.mode) return false;
  }
  // And no other files.
  std::set<std::string> wanted, names;
  for (const auto& [path, content] : payload) wanted.insert(first_part(path));
  auto there = data->list();
  if (!there.ok()) return false;
  names.insert(there->begin(), there->end());
  return names == wanted;
}

// Sets mode and owning group of a directory of the volume.
Status set_directory_access(const RootedDir& directory, mode_t mode, std::int64_t group) {
  if (group >= 0) {
    Status owned = set_owner(directory.fd(), -1, group);
    if (!owned.ok()) return owned.error().in("giving away " + directory.shown());
  }
  return set_mode(directory.fd(), group >= 0 ? mode | S_ISGID | 0550 : mode);
}

Status write_files(const RootedDir& directory, const Payload& payload, std::int64_t group) {
  BERTH_TRY(set_directory_access(directory, 0755, group));
  auto give = [group](const RootedDir& made, const std::string&) { return set_directory_access(made, 0755, group); };
  for (const auto& [path, content] : payload) {
    if (auto slash = path.rfind('/'); slash != std::string::npos)
      BERTH_TRY(directory.make_directories(path.substr(0, slash), 0755, Links::kNone, give));
    BERTH_TRY(directory.write_file(path, content.bytes, content.mode, Links::kNone));
    if (group < 0 && content.owner < 0) continue;
    BERTH_ASSIGN(Fd file, directory.open(path, O_PATH, Links::kNone));
    Status owned = set_owner(file.get(), content.owner, group);
    if (!owned.ok()) return owned.error().in("giving away " + directory.shown() + "/" + path);
    BERTH_TRY(set_mode(file.get(), content.mode));
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
  BERTH_TRY(make_directories(directory, 0755));
  BERTH_ASSIGN(RootedDir root, RootedDir::open(directory));
  BERTH_TRY(set_directory_access(root, 01777, group));  // the mode of kubelet's volumes, which are roots of a tmpfs
  for (const auto& [path, content] : payload) {
    if (!is_payload_path(path)) return error(Code::kInvalid, "invalid path " + quoted(path));
  }
  if (holds(root, payload)) return {};
  std::string stamp = format_time(now);  // 2026-01-02T03:04:05Z
  for (char& c : stamp) {
    if (c == '-' || c == 'T' || c == ':') c = '_';
  }
  std::string fresh = ".." + stamp.substr(0, 19) + "." + std::to_string(random % 10'000'000'000ull);
  BERTH_TRY(root.remove_tree(fresh));
  BERTH_TRY(root.make_directory(fresh, 0755));
  BERTH_ASSIGN(RootedDir files, root.directory(fresh, Links::kNone));
  BERTH_TRY(write_files(files, payload, group));
  auto before = root.read_link(kData);
  BERTH_TRY(root.replace_symlink(kData, fresh));
  std::set<std::string> wanted;
  for (const auto& [path, content] : payload) wanted.insert(first_part(path));
  for (const auto& name : wanted) {
    std::string target = std::string(kData) + "/" + name;
    auto link = root.read_link(name);
    if (!link.ok() || *link != target) BERTH_TRY(root.replace_symlink(name, target));
  }
  BERTH_ASSIGN(auto names, root.list());
  for (const auto& name : names) {
    if (!name.starts_with("..") && !wanted.contains(name)) (void)root.remove_file(name);
  }
  if (before.ok() && *before != fresh && before->find('/') == std::string::npos) return root.remove_tree(*before);
  return {};
}

}  // namespace berth::agent
