#pragma once
// LocalVolumes: the built-in provisioner's storage on a node. A volume is one file with a file system of exactly the
// size asked for, on a loop device, mounted once on the node and bind-mounted into the pods that use it. The file's
// space is taken of the node's disk when it is made, so that a full disk never reaches what is in it; with `overcommit`
// it takes space as it is written. Layout below the root: <volume>/disk.img  <volume>/identity.json  <volume>/mount/
// trash/ A volume is made inside trash/ and renamed into place when it is whole, and leaves the same way, so whatever
// happens in between no half of one is ever seen. Whatever lies in trash/ when the root is opened is deleted. Calls
// come from the agent's loop, blocking work goes to the pool, callbacks go back. Verbs on one volume run one after
// another in the order they were called, those on different volumes beside each other. Every verb is idempotent.
//
// A disk that is not the one made under a volume's name is never mounted by itself. The override is explicit and names
// what it accepts: accept(), or a file <volume>/accept-disk that holds the UUID which the refusal printed. The next
// mount() then takes that disk for the volume's own, writes its identity anew and deletes the file.

#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::agent {

class Trash;

struct LocalVolume {
  std::string name;             // the PersistentVolume's name: "pvc-<uid>"
  std::int64_t size_bytes = 0;  // of the block device
  std::string file_system;      // "ext4" (default), "xfs"
  bool mounted = false;
  std::string mount_path;  // where mounted
  bool overcommit = false;
  std::string disk_path;  // of the file
};

struct VolumeRequest {
  std::string claim_uid;
  std::int64_t size_bytes = 0;  // less than least_volume_size() is rounded up to it
  std::string file_system;      // "ext4" (also where empty), "xfs"
  bool overcommit = false;      // no more is taken of the disk than is written
};

class LocalVolumes {
 public:
  virtual ~LocalVolumes() = default;
  // Makes the file and its file system, and writes its identity (volume name and claim uid) both beside it and into a
  // file system label/uuid, so that a swapped or re-created disk is recognised. kConflict where a volume of that name
  // exists for another claim; kUnavailable (with the numbers) where the disk has not that much to give.
  virtual void create(const std::string& name, const VolumeRequest& request,
                      Function<void(Result<LocalVolume>)> done) = 0;
  // Checks identity, replays the journal (fsck where needed), grows to the file's size where pending, mounts.
  // kConflict, naming both identities, where the disk found is not the one that was created under this name, and where
  // the file is shorter than its file system; kNotFound where there is no such volume.
  virtual void mount(const std::string& name, Function<void(Result<LocalVolume>)> done) = 0;
  // The override described above. Nothing happens before the next mount().
  virtual void accept(const std::string& name, const std::string& uuid, Function<void(Status)> done) = 0;
  // kConflict where files are open on it. Pods' bind mounts do not hinder; while one lives the file system stays in
  // use.
  virtual void unmount(const std::string& name, Function<void(Status)> done) = 0;
  // Grows the file, and the file system on-line where the kernel allows it; otherwise at the next mount (`pending`).
  // kInvalid where it would shrink; kUnavailable where the disk is too full.
  struct Expanded {
    std::int64_t size_bytes;
    bool pending;
  };
  virtual void expand(const std::string& name, std::int64_t size_bytes, Function<void(Result<Expanded>)> done) = 0;
  // Unmounts and deletes. Gone for good.
  virtual void remove(const std::string& name, Function<void(Status)> done) = 0;
  virtual std::vector<LocalVolume> list() const = 0;
  // Names of mounted volumes whose file system takes no more writes: the kernel stops it after an I/O error, such as
  // that of a full disk under an overcommitted volume. It goes on when it is unmounted everywhere, and checked by
  // mount().
  virtual void find_stopped(Function<void(std::vector<std::string>)> done) = 0;
};
// Adopts volumes that are mounted already (the agent was restarted), frees loop devices of ours that nobody mounts.
// `trash`: deletes the files of removed volumes, which takes long where the disk is told of each freed block; null:
// remove() waits for that. Outlives the volumes.
Result<std::unique_ptr<LocalVolumes>> open_local_volumes(Runtime& runtime, const std::string& root,
                                                         Trash* trash = nullptr);

}  // namespace berth::agent
