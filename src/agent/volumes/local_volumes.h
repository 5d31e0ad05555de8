#pragma once
// LocalVolumes: the built-in provisioner's storage on a node. A volume is one file with a file system of the requested
// size, on a loop device, mounted once on the node and bind-mounted into the pods that use it. The file's space is
// allocated when the volume is created, so that a full disk of the node does not fail writes to the volume; with
// `overcommit` the file takes space as it is written.
//
// Layout below the root: <volume>/disk.img  <volume>/identity.json  <volume>/mount/  trash/
// A volume is created inside trash/ and renamed when it is complete, and removed the same way: after a crash there is
// no incomplete volume. The content of trash/ is deleted when the root is opened.
//
// Calls and callbacks are on the agent's loop, blocking work on the pool. Operations on one volume run in the order of
// their calls, those on different volumes beside each other. Each operation is idempotent.
//
// A disk that is not the one created for the volume is mounted only after an explicit override that names it: accept(),
// or a file <volume>/accept-disk with the UUID from the error. The next mount() then uses that disk, writes its
// identity and deletes the file.

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
  std::string mount_path;  // empty: not mounted
  bool overcommit = false;
  std::string disk_path;  // of the file
};

struct VolumeRequest {
  std::string claim_uid;
  std::int64_t size_bytes = 0;  // at least min_volume_size(): rounded up to it
  std::string file_system;      // "ext4" (also where empty), "xfs"
  bool overcommit = false;      // the file takes space of the disk as it is written
};

class LocalVolumes {
 public:
  virtual ~LocalVolumes() = default;
  // Creates the file and its file system. The identity (volume name and claim uid) is written beside the file and into
  // label and UUID of the file system, so that a swapped or re-created disk is recognised. kConflict: a volume of the
  // name exists for another claim. kUnavailable (with the numbers): the disk has too little space.
  virtual void create(const std::string& name, const VolumeRequest& request,
                      Function<void(Result<LocalVolume>)> done) = 0;
  // Checks the identity, runs fsck where needed, grows the file system to the file's size where pending, and mounts.
  // kConflict: the disk is not the one that was created for the volume (the text names both), or the file is shorter
  // than its file system. kNotFound: there is no such volume.
  virtual void mount(const std::string& name, Function<void(Result<LocalVolume>)> done) = 0;
  // The override described above, for the next mount().
  virtual void accept(const std::string& name, const std::string& uuid, Function<void(Status)> done) = 0;
  // kConflict: files are open on the volume. Bind mounts of pods are no obstacle; while one exists, the file system
  // stays in use.
  virtual void unmount(const std::string& name, Function<void(Status)> done) = 0;
  // Grows the file, and the mounted file system where the kernel allows it; otherwise the next mount() does
  // (`pending`). kInvalid: it would shrink. kUnavailable: the disk is too full.
  struct Expanded {
    std::int64_t size_bytes;
    bool pending;
  };
  virtual void expand(const std::string& name, std::int64_t size_bytes, Function<void(Result<Expanded>)> done) = 0;
  // Unmounts and deletes the volume with its data.
  virtual void remove(const std::string& name, Function<void(Status)> done) = 0;
  virtual std::vector<LocalVolume> list() const = 0;
  // Names of mounted volumes whose file system refuses writes: the kernel stops it after an I/O error, such as that of
  // a full disk under an overcommitted volume. It accepts writes again after it has been unmounted everywhere and
  // checked by mount().
  virtual void find_stopped(Function<void(std::vector<std::string>)> done) = 0;
};
// Adopts volumes that are mounted (after a restart of the agent), and detaches loop devices below `root` that are not
// mounted. `trash`: deletes the files of removed volumes, which takes long where each freed block is discarded on the
// disk; null: remove() waits for that. Outlives the volumes.
Result<std::unique_ptr<LocalVolumes>> open_local_volumes(Runtime& runtime, const std::string& root,
                                                         Trash* trash = nullptr);

}  // namespace berth::agent
