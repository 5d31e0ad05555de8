#pragma once
// A hook is one concern of a pod's surroundings. The list of make_pod_hooks() (worker/pod_hooks.h) is run in order
// before any container, and backwards when none is left. Every step is idempotent; after a restart of the agent
// `prepare` runs again for pods that already run and must then change nothing that they use.
//
// To add one: a file in hooks/ (volumes/ where it is about volumes), a factory in hooks/hooks.h
// (volumes/volume_hooks.h), its place in make_pod_hooks().

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pod/pod_record.h"
#include "agent/pod/services.h"

namespace berth::agent {

struct HookFailure {
  std::string reason;  // of the event: "FailedMount"
  std::string message;
};
using HookDone = Function<void(std::optional<HookFailure>)>;

struct PodVolume {
  std::string path;  // on the node
  bool read_only = false;
  bool no_exec = false;
};

// One pod's surroundings, filled by the hooks. Owned by its worker.
struct PodContext {
  Services& services;
  Value pod;  // the newest seen
  PodRecord& record;
  std::string directory;                     // on disk: <data>/pods/<uid>
  std::string memory;                        // on a memory file system: <data>/memory/<uid>
  std::map<std::string, PodVolume> volumes;  // by the volume's name in the spec
  std::string hostname, fqdn;
  std::string network_namespace;  // empty: the node's own
  std::string hosts_file, resolv_file, hostname_file;
  std::function<void()> poke;                              // something changed: the worker looks again
  std::string user_namespace{};                            // path of the pinned one; empty: the node's users
  std::map<std::string, Result<std::string>> env_files{};  // by EnvFile::key(), of the container that is being started

  const std::string& uid() const { return record.uid; }
};

class PodHook {
 public:
  virtual ~PodHook() = default;
  virtual std::string_view name() const = 0;
  virtual void prepare(PodContext& pod, HookDone done) = 0;
  // What the pod refers to has changed, or may have.
  virtual void update(PodContext& pod, HookDone done) { done(std::nullopt); }
  virtual void cleanup(PodContext& pod, HookDone done) { done(std::nullopt); }
};

// Runs `work` on the pool and answers on the loop. The context may be used in neither after the worker is gone.
void blocking(Runtime& runtime, std::function<Status()> work, Function<void(Status)> done);
// FailedMount with kubelet's words around what went wrong with one volume.
HookFailure mount_failure(std::string_view volume, std::string_view why);
// `"name" is the pod's own, not the node's` network, process or ipc namespace.
bool uses_host_network(const Value& pod);
// An emptyDir volume on disk, below the pod's directory.
std::string empty_dir_path(const std::string& directory, const std::string& volume);
// What containers may write to of the files that the node puts into them (hosts, resolv.conf, termination messages): a
// memory file system of the pod's own, small enough to do no harm when it is full. In the pod's memory directory.
std::string written_files(const std::string& memory);

}  // namespace berth::agent
