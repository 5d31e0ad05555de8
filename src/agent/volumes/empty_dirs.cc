// emptyDir volumes: a directory on disk, or a tmpfs where the medium is Memory. Removed with the pod.

#include <sys/stat.h>

#include "agent/mounts/mounts.h"
#include "agent/pod/storage_limits.h"
#include "agent/spec/resources.h"
#include "agent/volumes/volume_hooks.h"
#include "agent/volumes/volume_ownership.h"
#include "base/files.h"

namespace berth::agent {
namespace {

struct EmptyDir {
  std::string path;
  bool memory = false;
  std::int64_t size = 0;
};

Status make(const EmptyDir& one, const VolumeOwnership& ownership) {
  bool fresh = !path_exists(one.path);
  BERTH_TRY(make_directories(one.path, 0777));
  ::chmod(one.path.c_str(), 0777);
  if (one.memory && !is_mount_point(one.path)) {
    std::string options = "mode=1777";
    if (one.size > 0) options += ",size=" + std::to_string(one.size);
    BERTH_TRY(mount_tmpfs(one.path, options));
    fresh = true;
  }
  return fresh ? apply_ownership(one.path, ownership) : Status();
}

class EmptyDirs final : public PodHook {
 public:
  std::string_view name() const override { return "empty directories"; }

  void prepare(PodContext& pod, HookDone done) override {
    std::vector<EmptyDir> wanted;
    for (const Value& volume : pod.pod["spec"]["volumes"]) {
      const Value& source = volume["emptyDir"];
      if (source.is_null()) continue;
      EmptyDir one{empty_dir_path(pod.directory, volume["name"].str()), source["medium"].as_string() == "Memory", 0};
      if (one.memory) one.size = memory_volume_size(pod.pod, source, allocatable_memory(node_memory_bytes()));
      pod.volumes[volume["name"].str()] = PodVolume{one.path, false};
      wanted.push_back(std::move(one));
    }
    if (wanted.empty()) return done(std::nullopt);
    VolumeOwnership ownership = volume_ownership(pod.pod);
    blocking(
        pod.services.runtime,
        [wanted, ownership]() -> Status {
          for (const auto& one : wanted) BERTH_TRY(make(one, ownership));
          return {};
        },
        [done = std::move(done), first = wanted.front().path](Status made) {
          if (!made.ok()) return done(mount_failure(first.substr(first.rfind('/') + 1), made.error().message));
          done(std::nullopt);
        });
  }
};

}  // namespace

std::unique_ptr<PodHook> make_empty_dirs_hook() { return std::make_unique<EmptyDirs>(); }

}  // namespace berth::agent
