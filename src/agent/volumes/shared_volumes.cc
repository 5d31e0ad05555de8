// Volumes that a container mounts with mountPropagation: mounts below them propagate to other containers or to the
// node. Comes after the hooks that prepare the volumes.

#include <set>

#include "agent/mounts/volume_mounts.h"
#include "agent/volumes/volume_hooks.h"

namespace berth::agent {
namespace {

class SharedVolumes final : public PodHook {
 public:
  std::string_view name() const override { return "shared volumes"; }

  void prepare(PodContext& pod, HookDone done) override {
    auto wanted = std::make_shared<std::map<std::string, std::string>>();  // name -> path
    for (const char* list : {"initContainers", "containers"}) {
      for (const Value& container : pod.pod["spec"][list]) {
        for (const Value& mount : container["volumeMounts"]) {
          std::string_view kind = mount["mountPropagation"].as_string();
          auto volume = pod.volumes.find(mount["name"].str());
          if ((kind == "HostToContainer" || kind == "Bidirectional") && volume != pod.volumes.end())
            (*wanted)[volume->first] = volume->second.path;
        }
      }
    }
    if (wanted->empty()) return done(std::nullopt);
    auto failed = std::make_shared<std::string>();
    blocking(
        pod.services.runtime,
        [wanted, failed]() -> Status {
          for (const auto& [name, path] : *wanted) {
            *failed = name;
            BERTH_TRY(share_mount(path));
          }
          return {};
        },
        [failed, done = std::move(done)](Status shared) {
          if (!shared.ok()) return done(mount_failure(*failed, shared.error().message));
          done(std::nullopt);
        });
  }
};

}  // namespace

std::unique_ptr<PodHook> make_shared_volumes_hook() { return std::make_unique<SharedVolumes>(); }

}  // namespace berth::agent
