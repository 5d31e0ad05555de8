#pragma once
// StorageKeeper: holds pods to their limits of local storage, and keeps the node's disk from running full.
//
//   limits    A pod whose emptyDirs, writable layers or logs have outgrown its limits is evicted, as kubelet does. Measured
//             at every heartbeat (10 s), on a thread that gives way, and no more than a twentieth of the time. Only
//             pods that have such limits are measured; with none of them only the free space is looked at.
//   pressure  Below pressure_threshold() the node has the condition DiskPressure and new pods are turned away; images
//             that nothing uses go, then the pod that takes most, one at a time. Pods that take next to nothing stay: their
//             end would free nothing. The condition goes when there has been space for ten seconds. The fuller the
//             disk, the more often it is looked at: at least once in the time in which a fast writer could fill it.
//
//   volumes    A pod whose volume has stopped after an I/O error is evicted, so that whoever comes after it gets the volume
//              checked and mounted anew. Before it comes to that, the growth of overcommitted volumes counts as use of
//              the disk.
//
// On the agent's loop.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/disk/background.h"
#include "agent/disk/disk_space.h"
#include "agent/pod/services.h"
#include "agent/worker/pod_worker.h"

namespace berth::agent {

class StorageKeeper {
 public:
  using Workers = std::function<std::vector<std::shared_ptr<PodWorker>>()>;

  // `pressure_changed`: disk_pressure() has another answer. `aside`: where pods are measured; null: on the runtime's
  // pool.
  StorageKeeper(Services& services, Workers workers, std::function<void()> pressure_changed, BackgroundThread* aside);
  ~StorageKeeper();
  StorageKeeper(const StorageKeeper&) = delete;

  void look();  // to be called at every heartbeat
  bool disk_pressure() const;

  // For tests: how the disk's space is read.
  void read_space_by(std::function<DiskSpace()> read);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::agent
