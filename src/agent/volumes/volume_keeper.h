#pragma once
// VolumeKeeper: what becomes of this node's local volumes apart from being mounted: it removes the disks of volumes
// that were deleted, and grows those whose PersistentVolume has grown. The contract is
// controllers/shared/local_volume.h. On the agent's loop; nothing runs while nothing changes.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/volumes/local_volumes.h"
#include "base/lifetime.h"
#include "base/runtime.h"
#include "client/client.h"
#include "client/event_recorder.h"
#include "client/informer.h"

namespace berth::agent {

class VolumeKeeper {
 public:
  // All outlive it. `node`: the value of the node's label kubernetes.io/hostname.
  VolumeKeeper(Runtime& runtime, client::InformerSet& informers, client::Client& client, LocalVolumes& disks,
               std::string node);
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
  client::Client& client_;
  LocalVolumes& disks_;
  std::string node_;
  client::Informer& volumes_;
  client::Informer& claims_;
  client::EventRecorder events_;
  std::vector<std::unique_ptr<client::Subscription>> subscriptions_;
  std::set<std::string> busy_;             // volumes with something under way
  std::map<std::string, TimerId> timers_;  // looked at again then
  Lifetime lifetime_;
};

}  // namespace berth::agent
