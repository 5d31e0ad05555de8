// image volumes: the content of an image, read only. The image is pulled as a container's is.

#include "agent/mounts/mounts.h"
#include "agent/mounts/volume_mounts.h"
#include "agent/spec/image_step.h"
#include "agent/volumes/volume_hooks.h"
#include "client/event_recorder.h"

namespace berth::agent {
namespace {

class ImageVolumes final : public PodHook {
 public:
  std::string_view name() const override { return "image volumes"; }

  void prepare(PodContext& pod, HookDone done) override { next(pod, 0, std::move(done)); }

 private:
  void next(PodContext& pod, std::size_t at, HookDone done) {
    const Value& volumes = pod.pod["spec"]["volumes"];
    while (at < volumes.size() && volumes[at]["image"].is_null()) ++at;
    if (at >= volumes.size()) return done(std::nullopt);
    const Value& source = volumes[at]["image"];
    std::string name = volumes[at]["name"].str();
    // ImageStep takes image and pull policy from a container.
    Value wanted =
        Value::object({{"name", name}, {"image", source["reference"]}, {"imagePullPolicy", source["pullPolicy"]}});
    auto tell = [&pod](std::string_view type, std::string_view reason, std::string_view message) {
      pod.services.events.event(pod.pod, type, reason, message);
    };
    steps_[name].run(pod, wanted, tell,
                     [this, &pod, at, name, done = std::move(done)](ImageStep::Outcome outcome) mutable {
                       if (!outcome.image) return done(mount_failure(name, outcome.reason + ": " + outcome.message));
                       mount(pod, at, name, *outcome.image, std::move(done));
                     });
  }

  void mount(PodContext& pod, std::size_t at, const std::string& name, const Image& image, HookDone done) {
    std::string path = pod.directory + "/images/" + name;
    // A mount that an earlier agent made stays.
    if (!is_mount_point(path)) {
      pod.record.volume_images[name] = image.id;
    } else {
      pod.record.volume_images.try_emplace(name, image.id);
    }
    std::string empty = pod.directory + "/images.empty";
    auto work = [layers = image.layers, path, empty] { return mount_image(layers, path, empty); };
    blocking(pod.services.runtime, work, [this, &pod, at, name, path, done = std::move(done)](Status mounted) mutable {
      if (!mounted.ok()) return done(mount_failure(name, mounted.error().message));
      pod.volumes[name] = PodVolume{path, true, true};
      next(pod, at + 1, std::move(done));
    });
  }

  std::map<std::string, ImageStep> steps_;  // by volume
};

}  // namespace

std::unique_ptr<PodHook> make_image_volumes_hook() { return std::make_unique<ImageVolumes>(); }

}  // namespace berth::agent
