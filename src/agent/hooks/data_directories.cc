// The pod's directories: on disk for emptyDirs, on a memory file system for content from the API.

#include "agent/disk/background.h"
#include "agent/hooks/hooks.h"
#include "agent/mounts/mounts.h"
#include "base/files.h"

namespace berth::agent {
namespace {

class DataDirectories final : public PodHook {
 public:
  std::string_view name() const override { return "data directories"; }

  void prepare(PodContext& pod, HookDone done) override {
    Status made;
    for (const auto& directory : {pod.directory, pod.memory}) {
      if (made.ok()) made = make_directories(directory, 0711);
    }
    if (!made.ok())
      return done(
          HookFailure{"FailedCreatePodContainer", "unable to make pod data directories: " + made.error().message});
    done(std::nullopt);
  }

  void cleanup(PodContext& pod, HookDone done) override {
    blocking(
        pod.services.runtime,
        [directory = pod.directory, memory = pod.memory, trash = pod.services.trash]() -> Status {
          unmount_below({directory, memory});
          BERTH_TRY(trash ? trash->take(directory) : remove_all(directory));
          return remove_all(memory);
        },
        [done = std::move(done)](Status result) {
          if (!result.ok()) return done(HookFailure{"FailedKillPod", result.error().message});
          done(std::nullopt);
        });
  }
};

}  // namespace

std::unique_ptr<PodHook> make_data_directories_hook() { return std::make_unique<DataDirectories>(); }

}  // namespace berth::agent
