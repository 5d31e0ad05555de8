// persistentVolumeClaim and ephemeral volumes. The claim and its volume are read from the API, not from a cache: the
// volume that is mounted must be the one that the claim is bound to now.

#include <algorithm>

#include "agent/volumes/disk_annotation.h"
#include "agent/volumes/volume_hooks.h"
#include "agent/volumes/volume_ownership.h"
#include "api/object.h"
#include "base/text.h"

namespace berth::agent {
namespace {

struct Wanted {
  std::string volume, claim;
  bool read_only = false, ephemeral = false;
};

class Claims final : public PodHook {
 public:
  std::string_view name() const override { return "claims"; }

  void prepare(PodContext& pod, HookDone done) override {
    auto wanted = std::make_shared<std::vector<Wanted>>();
    for (const Value& volume : pod.pod["spec"]["volumes"]) {
      std::string name = volume["name"].str();
      if (const Value& source = volume["persistentVolumeClaim"]; !source.is_null()) {
        wanted->push_back({name, source["claimName"].str(), source["readOnly"].as_bool(), false});
      } else if (!volume["ephemeral"].is_null()) {
        wanted->push_back({name, std::string(api::name_of(pod.pod)) + "-" + name, false, true});
      }
    }
    next(pod, std::move(wanted), 0, std::move(done));
  }

  void cleanup(PodContext& pod, HookDone done) override {
    auto left = std::make_shared<std::size_t>(pod.record.claims.size() + 1);
    auto failure = std::make_shared<std::optional<HookFailure>>();
    auto shared = std::make_shared<HookDone>(std::move(done));
    auto one_less = [left, failure, shared] {
      if (--*left == 0) (*shared)(*failure);
    };
    for (const auto& volume : std::vector<std::string>(pod.record.claims)) {
      pod.services.volumes.release(volume, pod.uid(), [&pod, volume, one_less, failure](Status released) {
        if (!released.ok())
          *failure = HookFailure{"FailedUnmount", "UnmountVolume.TearDown failed: " + released.error().message};
        if (released.ok()) std::erase(pod.record.claims, volume);
        one_less();
      });
    }
    one_less();
  }

 private:
  void next(PodContext& pod, std::shared_ptr<std::vector<Wanted>> wanted, std::size_t at, HookDone done) {
    if (at == wanted->size()) return done(std::nullopt);
    const Wanted& one = (*wanted)[at];
    std::string ns(api::namespace_of(pod.pod));
    api::Name claim{ns, one.claim};
    auto shared = std::make_shared<HookDone>(std::move(done));
    pod.services.client.get(
        api::resources::kPersistentVolumeClaims, claim, [this, &pod, wanted, at, claim, shared](Result<Value> found) {
          const Wanted& one = (*wanted)[at];
          if (!found.ok())
            return (*shared)(failed(one, "error processing PVC " + claim.to_string() + ": " + found.error().message));
          if (one.ephemeral && !api::is_controlled_by(*found, pod.uid())) {
            return (*shared)(failed(one, "PVC " + claim.to_string() + " was not created for pod " +
                                             std::string(api::namespace_of(pod.pod)) + "/" +
                                             std::string(api::name_of(pod.pod)) + " (pod is not owner)"));
          }
          if ((*found)["status"]["phase"].as_string() != "Bound" ||
              (*found)["spec"]["volumeName"].as_string().empty()) {
            return (*shared)(failed(one, "error processing PVC " + claim.to_string() + ": PVC is not bound"));
          }
          // A volume that the pod has already stays with it: the claim waits for the pod.
          const auto& held = pod.record.claims;
          const bool is_held =
              std::find(held.begin(), held.end(), (*found)["spec"]["volumeName"].as_string()) != held.end();
          if (api::is_terminating(*found) && !is_held) {
            return (*shared)(failed(one, "error processing PVC " + claim.to_string() + ": PVC is being deleted"));
          }
          read_volume(pod, wanted, at, *found, shared);
        });
  }

  void read_volume(PodContext& pod, std::shared_ptr<std::vector<Wanted>> wanted, std::size_t at, const Value& claim,
                   std::shared_ptr<HookDone> done) {
    std::string volume_name = claim["spec"]["volumeName"].str();
    std::string claim_uid(api::uid_of(claim));
    pod.services.client.get(
        api::resources::kPersistentVolumes, api::Name{"", volume_name},
        [this, &pod, wanted, at, claim_uid, volume_name, done](Result<Value> volume) {
          const Wanted& one = (*wanted)[at];
          if (!volume.ok()) return (*done)(failed(one, volume.error().message));
          if ((*volume)["spec"]["claimRef"]["uid"].as_string() != claim_uid) {
            return (*done)(failed(one, "volume " + volume_name + " is bound to another claim (uid " +
                                           (*volume)["spec"]["claimRef"]["uid"].str() + ", not " + claim_uid + ")"));
          }
          mount(pod, wanted, at, *volume, done);
        });
  }

  void mount(PodContext& pod, std::shared_ptr<std::vector<Wanted>> wanted, std::size_t at, const Value& volume,
             std::shared_ptr<HookDone> done) {
    std::string volume_name(api::name_of(volume));
    // Recorded before acquire(): after a crash in between, the clean-up releases the volume.
    auto& claims = pod.record.claims;
    if (std::find(claims.begin(), claims.end(), volume_name) == claims.end()) claims.push_back(volume_name);
    pod.services.volumes.acquire(
        volume, pod.uid(), [this, &pod, wanted, at, volume, volume_name, done](Result<std::string> path) {
          const Wanted& one = (*wanted)[at];
          if (!path.ok()) return (*done)(mount_failure(volume_name, path.error().message));
          pod.volumes[one.volume] = PodVolume{*path, one.read_only};
          annotate_disk(pod.services, volume, [this, &pod, wanted, at, volume_name, path = *path, done](Status noted) {
            if (!noted.ok()) return (*done)(mount_failure(volume_name, noted.error().message));
            own(pod, wanted, at, volume_name, path, done);
          });
        });
  }

  void own(PodContext& pod, std::shared_ptr<std::vector<Wanted>> wanted, std::size_t at, const std::string& volume_name,
           const std::string& path, std::shared_ptr<HookDone> done) {
    const Wanted& one = (*wanted)[at];
    VolumeOwnership ownership = one.read_only || pod.record.prepared ? VolumeOwnership{} : volume_ownership(pod.pod);
    if (ownership.group < 0) return next(pod, wanted, at + 1, std::move(*done));
    blocking(
        pod.services.runtime, [path, ownership] { return apply_ownership(path, ownership); },
        [this, &pod, wanted, at, volume_name, done](Status owned) {
          if (!owned.ok())
            return (*done)(mount_failure(volume_name,
                                         "applyFSGroup failed for vol " + volume_name + ": " + owned.error().message));
          next(pod, wanted, at + 1, std::move(*done));
        });
  }

  static HookFailure failed(const Wanted& one, const std::string& why) {
    return {"FailedMount", "Unable to attach or mount volumes: unmounted volumes=[" + one.volume +
                               "], unattached volumes=[], failed to process volumes=[" + one.volume + "]: " + why};
  }
};

}  // namespace

std::unique_ptr<PodHook> make_claims_hook() { return std::make_unique<Claims>(); }

}  // namespace berth::agent
