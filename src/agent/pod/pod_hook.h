#pragma once
// PodHook: one concern of a pod's surroundings. The hooks of make_pod_hooks() (worker/pod_hooks.h) prepare in order
// before any container starts, and clean up in reverse order when none is left. Each step is idempotent. After a
// restart of the agent, prepare() runs again for pods that run, and must then change nothing that they use.
//
// To add a hook: a file in hooks/ (or volumes/), a factory in hooks/hooks.h (or volumes/volume_hooks.h), a line in
// make_pod_hooks().

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

// The surroundings of one pod, filled by its hooks. Owned by its worker.
struct PodContext {
  Services& services;
  Value pod;  // the newest object received
  PodRecord& record;
  std::string directory;                     // on disk: <data>/pods/<uid>
  std::string memory;                        // on a memory file system: <data>/memory/pods/<uid>
  std::map<std::string, PodVolume> volumes;  // by the volume's name in the spec
  std::string hostname, fqdn;
  std::string network_namespace;  // empty: the node's own
  std::string hosts_file, resolv_file, hostname_file;
  std::string user_namespace{};                            // path of the pinned one; empty: the node's users
  std::map<std::string, Result<std::string>> env_files{};  // by EnvFile::key(), of the container that is being started

  const std::string& uid() const { return record.uid; }
};

class PodHook {
 public:
  virtual ~PodHook() = default;
  virtual std::string_view name() const = 0;
  virtual void prepare(PodContext& pod, HookDone done) = 0;
  // An object that the pod refers to, or the pod's metadata, may have changed.
  virtual void update(PodContext& pod, HookDone done) { done(std::nullopt); }
  virtual void cleanup(PodContext& pod, HookDone done) { done(std::nullopt); }
};

// Runs `work` on the pool, then `done` on the loop with its result. Neither may use the context after the worker is
// destroyed.
void blocking(Runtime& runtime, std::function<Status()> work, Function<void(Status)> done);
// FailedMount, with kubelet's text around `why` of one volume.
HookFailure mount_failure(std::string_view volume, std::string_view why);
// The pod uses the network namespace of the node.
bool uses_host_network(const Value& pod);
// The directory of an emptyDir volume on disk, below the pod's directory.
std::string empty_dir_path(const std::string& directory, const std::string& volume);
// The directory of files that the node mounts into containers and that containers may write to (hosts, resolv.conf,
// termination messages). A memory file system of the pod's own, so small that filling it harms no other pod; in the
// pod's memory directory.
std::string written_files(const std::string& memory);

}  // namespace berth::agent
