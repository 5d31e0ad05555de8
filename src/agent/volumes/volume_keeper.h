#pragma once
// VolumeKeeper: removes the disks of deleted local volumes of this node, and grows the disks whose PersistentVolume has
// grown. The contract with the volume controller is controllers/shared/local_volume.h. Owner: the agent role, on its
// loop; idle while nothing changes. A failed step is reported as an event and retried.

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
  // All references outlive the keeper. `node`: the value of the node's label kubernetes.io/hostname.
  VolumeKeeper(Runtime& runtime, client::InformerSet& informers, client::Client& client, LocalVolumes& disks,
               std::string node);
  ~VolumeKeeper();
  VolumeKeeper(const VolumeKeeper&) = delete;

 private:
  void sync(const std::string& name);
  void sync_after(const std::string& name, Duration delay);
  void remove_disk(const Value& volume);
  void remove_finalizer(const Value& volume);
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
  std::set<std::string> busy_;             // volumes with a write or a job under way
  std::map<std::string, TimerId> timers_;  // the next sync of a volume
  Lifetime lifetime_;
};

}  // namespace berth::agent
