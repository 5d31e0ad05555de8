#pragma once
// VolumeKeeper: what becomes of this node's local volumes apart from being mounted: it removes the disks of volumes that
// were deleted, and grows those whose PersistentVolume has grown. The contract is controllers/volume/local_volume.h.
// On the agent's loop; nothing runs while nothing changes.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/volumes/local_volumes.h"
#include "api/client.h"
#include "base/runtime.h"
#include "controllers/event_recorder.h"
#include "controllers/informer.h"

namespace berth::agent {

class VolumeKeeper {
 public:
  // All outlive it. `node`: the value of the node's label kubernetes.io/hostname.
  VolumeKeeper(Runtime& runtime, controllers::InformerSet& informers, api::Client& client, LocalVolumes& disks, std::string node);
  ~VolumeKeeper();
  VolumeKeeper(const VolumeKeeper&) = delete;

 private:
  void look_at(const std::string& name);
  void look_later(const std::string& name, Duration delay);
  void release(const Value& volume);
  void drop_finalizer(const Value& volume);
  void grow(const Value& volume);
  void report_size(const Value& volume);

  Runtime& runtime_;
  api::Client& client_;
  LocalVolumes& disks_;
  std::string node_;
  controllers::Informer& volumes_;
  controllers::Informer& claims_;
  controllers::EventRecorder events_;
  std::vector<std::unique_ptr<controllers::Subscription>> subscriptions_;
  std::set<std::string> busy_;             // volumes with something under way
  std::map<std::string, TimerId> timers_;  // looked at again then
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace berth::agent
