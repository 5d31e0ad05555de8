#pragma once
// The files of one container on disk, and the blocking steps of creating and removing it. Called on threads of the
// pool.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/runtime/cgroup.h"
#include "agent/runtime/container_runtime.h"
#include "agent/runtime/crun_program.h"
#include "agent/runtime/crun_runtime.h"
#include "agent/runtime/sandbox.h"
#include "base/files.h"

namespace berth::agent {

inline constexpr const char* kShell = "/bin/sh";

class RuntimePaths {
 public:
  // `run`: for files that are of no use after a restart of the machine.
  RuntimePaths(std::string root, std::string run) : root_(std::move(root)), run_(std::move(run)) {}
  std::string containers() const { return root_ + "/containers"; }
  std::string container(const std::string& id) const { return containers() + "/" + id; }
  std::string running_containers() const { return run_ + "/containers"; }
  std::string running(const std::string& id) const { return running_containers() + "/" + id; }
  std::string writable_layer(const std::string& id) const { return container(id) + "/upper"; }
  std::string exits() const { return root_ + "/exits"; }
  std::string exit_file(const std::string& id) const { return exits() + "/" + id; }
  std::string sandboxes() const { return run_ + "/sandboxes"; }
  std::string sockets() const { return run_ + "/sockets"; }
  std::string socket_name(const std::string& id) const { return id.substr(0, 20); }  // socket paths are short
  std::string attach(const std::string& id) const { return sockets() + "/" + socket_name(id) + "/attach"; }
  std::string crun() const { return run_ + "/crun"; }
  std::string crun_link() const { return run_ + "/program/crun"; }
  // Of an earlier release: crun's state of a container, for "crun exec".
  std::string exec() const { return run_ + "/exec"; }
  std::string mount_points() const { return root_ + "/mount-points"; }
  std::string fifo(const std::string& id) const { return crun() + "/" + id + "/exec.fifo"; }

 private:
  std::string root_, run_;
};
// Makes the directories below `root`, and mounts the tmpfs.
Result<RuntimePaths> prepare_runtime_paths(const std::string& root);

// state.json: written once the container is created, before it is started.
struct StoredContainer {
  ContainerStatus status;
  std::string cgroup;  // relative
  bool own_pid_namespace = true;
  pid_t conmon_pid = 0;
  std::uint64_t conmon_start = 0, init_start = 0;
};
Status store_container(const RuntimePaths& paths, const StoredContainer& stored);
// With the state brought up to now: from the exit file, the processes, the start pipe.
Result<StoredContainer> load_container(const RuntimePaths& paths, const Cgroups& cgroups, const std::string& id);

// Reads exits/<id>: the exit code, the time, and whether the kernel ended something in it for lack of memory.
bool read_exit(const RuntimePaths& paths, const Cgroups& cgroups, const std::string& cgroup, ContainerStatus& status);

struct Created {
  pid_t conmon_pid = 0;
  Fd sync;  // conmon writes one line: the pid of the first process, or why there is none
};
// Mounts the root, writes config.json, starts conmon (which runs `crun create`). `processes`: the process namespace to
// join in place of the pod's, where not empty.
Result<Created> create_container(const CrunConfig& config, const CrunProgram& crun, const RuntimePaths& paths,
                                 const Cgroups& cgroups, const ContainerSpec& spec, const SandboxSpec& sandbox,
                                 const std::string& processes);
// Lets the created process go on to its program. Does nothing where that process has ended or runs its program already.
Status start_container(const RuntimePaths& paths, const StoredContainer& stored);
// For a container marked as started, if the agent was killed before it let the process go on: does that now.
void finish_start(const RuntimePaths& paths, const std::string& id);
// crun for a container in this control group, in front of its own arguments ("create", "exec"). The kernel stops every
// fork of the machine while a process is moved between control groups by its number, and waits for those under way:
// behind a pod that forks without end that takes seconds. A process that moves itself, as one thread, does not wait.
// So a shell moves itself into the groups and becomes crun, whose children are born there. Version 1 only: with version
// 2 crun moves them.
std::vector<std::string> crun_command(const CrunProgram& crun, const Cgroups& cgroups, const std::string& cgroup,
                                      const std::string& root);
// The same, up to and with "exec".
std::vector<std::string> exec_command(const CrunProgram& crun, const RuntimePaths& paths, const Cgroups& cgroups,
                                      const StoredContainer& stored);
// Ends what is left of it and removes everything but its log.
Status delete_container(const RuntimePaths& paths, const Cgroups& cgroups, const std::string& id,
                        const std::string& cgroup, Trash* trash);
// Removes exit codes, sockets and crun's state that belong to none of these containers.
void remove_strays(const RuntimePaths& paths, const std::vector<std::string>& ids);

}  // namespace berth::agent
