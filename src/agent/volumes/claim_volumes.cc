#include "agent/volumes/claim_volumes.h"

#include <algorithm>
#include <map>
#include <set>

#include "agent/volumes/disk_annotation.h"
#include "agent/volumes/host_path.h"
#include "api/object.h"
#include "api/quantity.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "controllers/shared/local_volume.h"

namespace berth::agent {
namespace {

class ClaimVolumes final : public VolumeProvider {
 public:
  ClaimVolumes(Runtime& runtime, LocalVolumes& volumes) : runtime_(runtime), volumes_(volumes) {}

  void acquire(const Value& volume, const std::string& pod_uid, Function<void(Result<std::string>)> done) override {
    std::string name(api::name_of(volume));
    const Value& spec = volume["spec"];
    if (std::string path = spec["local"]["path"].str(); !path.empty()) {
      if (path_exists(path)) return answer(std::move(done), path);
      return answer(std::move(done), error(Code::kNotFound, "path " + quoted(path) + " does not exist"));
    }
    if (std::string path = spec["hostPath"]["path"].str(); !path.empty()) {
      Status ready = prepare_host_path(path, spec["hostPath"]["type"].str());
      return answer(std::move(done), ready.ok() ? Result<std::string>(path) : ready.error());
    }
    if (spec["csi"]["driver"].as_string() != kLocalDriver) {
      return answer(std::move(done), error(Code::kUnimplemented,
                                           "volume " + name + " is of a kind that this node cannot mount (driver " +
                                               quoted(spec["csi"]["driver"].as_string()) + ")"));
    }
    std::string handle = spec["csi"]["volumeHandle"].str();
    users_[name].insert(pod_uid);
    handles_[name] = handle;
    auto shared = std::make_shared<Function<void(Result<std::string>)>>(std::move(done));
    std::string made_on = volume["metadata"]["annotations"][kDiskAnnotation].str();
    mount(handle, [this, handle, spec, shared, made_on](Result<LocalVolume> mounted) {
      if (mounted.ok()) return (*shared)(mounted->mount_path);
      if (!mounted.failed_with(Code::kNotFound)) return (*shared)(mounted.error());
      if (!made_on.empty()) {
        // A new, empty disk would hide that data is missing.
        return (*shared)(
            error(Code::kConflict,
                  "the disk of volume " + handle + " was made on node " + quoted(made_on) +
                      " and is not here any more; bring it back, or delete the claim to begin with an empty one"));
      }
      create(handle, spec, shared);
    });
  }

  void release(const std::string& name, const std::string& pod_uid, Function<void(Status)> done) override {
    auto users = users_.find(name);
    if (users != users_.end()) {
      users->second.erase(pod_uid);
      if (!users->second.empty()) return answer_status(std::move(done));
      users_.erase(users);
    }
    auto handle = handles_.find(name);
    if (handle == handles_.end()) return answer_status(std::move(done));
    volumes_.unmount(handle->second, std::move(done));
  }

  void adopt(const std::string& name, const std::string& pod_uid) override {
    users_[name].insert(pod_uid);
    handles_.try_emplace(name, name);  // the built-in provisioner gives volume and handle one name
  }

  void release_unused() override {
    std::set<std::string> used;
    for (const auto& [name, pods] : users_) {
      if (auto handle = handles_.find(name); !pods.empty() && handle != handles_.end()) used.insert(handle->second);
    }
    for (const LocalVolume& volume : volumes_.list()) {
      if (!volume.mounted || used.contains(volume.name)) continue;
      volumes_.unmount(volume.name, [name = volume.name](Status done) {
        if (!done.ok())
          log_warning("agent", "cannot unmount a volume that nobody uses",
                      {{"volume", name}, {"error", done.error().message}});
      });
    }
  }

  void find_stopped(Function<void(std::vector<Stopped>)> done) override {
    if (handles_.empty()) return done({});
    volumes_.find_stopped([this, done = std::move(done)](std::vector<std::string> handles) {
      std::vector<Stopped> out;
      for (const auto& [name, handle] : handles_) {
        auto users = users_.find(name);
        if (users == users_.end() || std::find(handles.begin(), handles.end(), handle) == handles.end()) continue;
        out.push_back({name, {users->second.begin(), users->second.end()}});
      }
      done(std::move(out));
    });
  }

  std::vector<std::string> growing_files(const std::string& pod_uid) const override {
    std::vector<std::string> out;
    std::vector<LocalVolume> disks;
    for (const auto& [name, users] : users_) {
      auto handle = handles_.find(name);
      if (!users.contains(pod_uid) || handle == handles_.end()) continue;
      if (disks.empty()) disks = volumes_.list();
      for (const LocalVolume& disk : disks) {
        if (disk.name == handle->second && disk.overcommit) out.push_back(disk.disk_path);
      }
    }
    return out;
  }

 private:
  void mount(const std::string& handle, Function<void(Result<LocalVolume>)> done) {
    volumes_.mount(handle, std::move(done));
  }

  void create(const std::string& handle, const Value& spec, std::shared_ptr<Function<void(Result<std::string>)>> done) {
    auto size = api::Quantity::parse(spec["capacity"]["storage"].as_string());
    std::string claim_uid = spec["claimRef"]["uid"].str();
    if (!size.ok() || size->value() <= 0 || claim_uid.empty()) {
      return (*done)(error(Code::kInvalid, "volume " + handle + " has no size or no claim"));
    }
    bool overcommit = spec["csi"]["volumeAttributes"][controllers::kOvercommit].as_string() == "true";
    volumes_.create(handle, {claim_uid, size->value(), spec["csi"]["fsType"].str("ext4"), overcommit},
                    [this, handle, done](Result<LocalVolume> created) {
                      if (!created.ok()) return (*done)(created.error());
                      mount(handle, [done](Result<LocalVolume> mounted) {
                        if (!mounted.ok()) return (*done)(mounted.error());
                        (*done)(mounted->mount_path);
                      });
                    });
  }

  void answer(Function<void(Result<std::string>)> done, Result<std::string> result) {
    runtime_.post([done = std::move(done), result = std::move(result)] { done(result); });
  }
  void answer_status(Function<void(Status)> done) {
    runtime_.post([done = std::move(done)] { done({}); });
  }

  Runtime& runtime_;
  LocalVolumes& volumes_;
  std::map<std::string, std::set<std::string>> users_;  // by volume: pod uids
  std::map<std::string, std::string> handles_;
};

}  // namespace

std::unique_ptr<VolumeProvider> make_claim_volumes(Runtime& runtime, LocalVolumes& volumes) {
  return std::make_unique<ClaimVolumes>(runtime, volumes);
}

}  // namespace berth::agent
