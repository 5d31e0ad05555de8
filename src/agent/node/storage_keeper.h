#pragma once
// StorageKeeper: holds pods to their limits of local storage, and keeps the node's disk from running full.
//
//   limits    A pod whose emptyDirs, writable layers or logs have outgrown its limits is evicted, as by kubelet. Measured
//             at every heartbeat (10 s), on a low-priority thread, and for no more than a twentieth of the time. Only
//             pods that have such limits are measured; if there are none, only the free space is checked.
//   pressure  Below pressure_threshold() the node has the condition DiskPressure and new pods are turned away; unused
//             images are removed, then the pod that uses most is evicted, one at a time. Pods that use next to nothing
//             stay: evicting them would free nothing. The condition is cleared after ten seconds with space. The fuller
//             the disk, the more often it is checked: at least once in the time in which a fast writer could fill it.
//
//   volumes    A pod whose volume has stopped after an I/O error is evicted, so that the next pod has it checked
//              and mounted anew. Before that happens, the growth of overcommitted volumes counts as use of the disk.
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
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::agent
