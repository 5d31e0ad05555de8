#include "agent/volumes/sub_paths.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/mounts/mounts.h"
#include "agent/volumes/volume_hooks.h"
#include "base/fs/rooted_dir.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using Links = RootedDir::Links;

Error failed(const SubPath& sub, const char* what, const Error& why) {
  log_warning("agent", std::string("cannot ") + what,
              {{"container", sub.container}, {"volume", sub.volume}, {"subPath", sub.path}, {"error", why.message}});
  return error(Code::kInvalid, std::string("failed to ") + what + " for volumeMount " + quoted(sub.volume) +
                                   " of container " + quoted(sub.container));
}

Result<Fd> find_or_make(const SubPath& sub) {
  constexpr const char* kPrepare = "prepare subPath";
  constexpr const char* kCreate = "create subPath directory";
  auto volume = RootedDir::open(sub.volume_path);
  if (!volume.ok()) return failed(sub, kPrepare, volume.error());
  auto found = volume->open(sub.path, O_PATH, Links::kBeneath);
  if (found.failed_with(Code::kNotFound)) {
    struct stat root {};
    if (::fstat(volume->fd(), &root) != 0) return failed(sub, kPrepare, errno_error("looking at " + sub.volume_path));
    auto made = volume->make_directories(sub.path, root.st_mode & 07777, Links::kBeneath);
    if (!made.ok()) return failed(sub, kCreate, made.error());
    // The directory that was created, not one that has its name now.
    found = made->open("", O_PATH | O_DIRECTORY, Links::kNone);
  }
  if (!found.ok()) return failed(sub, kPrepare, found.error());
  return found;
}

// The mount point: a directory for a directory, an empty file for anything else. Only the agent writes there.
Result<Fd> make_mount_point(const SubPath& sub, bool directory) {
  BERTH_ASSIGN(RootedDir pod, RootedDir::open(sub.pod_directory));
  std::string place = sub.relative_mount_point();
  BERTH_TRY(pod.make_directories(place.substr(0, place.rfind('/')), 0711, Links::kNone));
  unmount(sub.mount_point());
  auto there = pod.stat(place, Links::kNone);
  if (there.ok() && S_ISDIR(there->st_mode) != directory) BERTH_TRY(pod.remove_tree(place, Links::kNone));
  if (!there.ok() || S_ISDIR(there->st_mode) != directory) {
    if (directory) {
      BERTH_TRY(pod.make_directory(place, 0711, Links::kNone));
    } else {
      BERTH_TRY(pod.create_file(place, 0644, Links::kNone));
    }
  }
  return pod.open(place, O_PATH, Links::kNone);
}

// Unmounts sub-paths. Their mounts keep the volumes' file systems in use, so this hook cleans up before those of
// volumes.
class SubPaths final : public PodHook {
 public:
  std::string_view name() const override { return "sub-paths"; }
  void prepare(PodContext&, HookDone done) override { done(std::nullopt); }
  void cleanup(PodContext& pod, HookDone done) override {
    blocking(
        pod.services.runtime,
        [at = pod.directory + "/subpaths"]() -> Status {
          unmount_below({at});
          return {};
        },
        [done = std::move(done)](Status) { done(std::nullopt); });
  }
};

}  // namespace

Status bind_sub_path(const SubPath& sub) {
  BERTH_ASSIGN(Fd found, find_or_make(sub));
  struct stat at {};
  if (::fstat(found.get(), &at) != 0) return failed(sub, "prepare subPath", errno_error("looking at " + sub.path));
  auto place = make_mount_point(sub, S_ISDIR(at.st_mode));
  if (!place.ok()) return failed(sub, "prepare subPath", place.error());
  Status mounted = bind_descriptor(found.get(), place->get());
  if (!mounted.ok()) return failed(sub, "prepare subPath", mounted.error());
  return {};
}

Status bind_sub_paths(const std::vector<SubPath>& all) {
  for (const SubPath& one : all) BERTH_TRY(bind_sub_path(one));
  return {};
}

std::unique_ptr<PodHook> make_sub_paths_hook() { return std::make_unique<SubPaths>(); }

}  // namespace berth::agent
