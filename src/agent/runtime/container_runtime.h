#pragma once
// ContainerRuntime: the verbs of the Container Runtime Interface, as the pod worker uses them. Implemented with crun
// and conmon (crun_runtime.h) and by fakes in tests. Calls come from the agent's loop, and callbacks go back there.
// Every verb is idempotent: starting a started container and removing a missing one are no errors.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/json/json.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::agent {

struct Mount {
  std::string source;  // on the node
  std::string target;  // in the container
  bool read_only = false;
  bool recursive = true;
  std::string propagation;       // "", "rprivate", "rslave", "rshared"
  bool read_only_below = false;  // read_only holds for what is mounted below it, too
  bool no_exec = false;
};

struct Limits {  // zero: none
  std::int64_t cpu_milli_limit = 0, cpu_milli_request = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t pids = 0;
};

// New limits for containers that run, in this order: the pod's own, so that they have room; theirs; the pod's own
// again.
struct PodResize {
  std::optional<Limits> before;
  std::vector<std::pair<std::string, Limits>> containers;  // by id
  std::optional<Limits> after;                             // written where nothing before failed
};

// A pod's own surroundings: namespaces (net, ipc, uts) held by bind mounts, a cgroup, /etc/hosts, /etc/resolv.conf.
struct SandboxSpec {
  std::string pod_uid, ns, name;
  std::string hostname;
  std::string network_namespace;  // path of the pinned namespace; empty: the node's own
  bool host_pid = false, host_ipc = false, share_pid = false;
  std::map<std::string, std::string> sysctls;
  std::string cgroup_parent;  // relative, e.g. "berth/pod<uid>"
  // Where its root is another user than the node's: the first of kUserRange ids of the node that the pod's ids 0 and on
  // stand for. 0: it has the node's own users.
  std::int64_t first_user = 0;
  std::string user_namespace;  // path of the pinned one; empty: the node's users
  Limits limits;               // of the whole pod
};

inline constexpr std::int64_t kUserRange = 65536;

struct ContainerSpec {
  std::string id;  // 64 hex digits, chosen by the agent, unique for ever
  std::string pod_uid, pod_ns, pod_name, name;
  int attempt = 0;
  std::string rootfs_layers;      // colon-separated lower directories of the image, topmost first
  std::vector<std::string> args;  // entrypoint and arguments, resolved
  std::vector<std::string> env;   // "K=V"
  std::string working_directory;
  std::vector<Mount> mounts;
  Limits limits;
  int oom_score_adj = 0;
  bool tty = false, stdin_open = false, stdin_once = false;
  // Resolved security settings
  std::int64_t uid = 0, gid = 0;
  std::vector<std::int64_t> groups;
  bool privileged = false, read_only_rootfs = false, no_new_privileges = false;
  std::vector<std::string> capabilities;  // exactly these ("CAP_CHOWN")
  std::string seccomp;                    // "RuntimeDefault", "Unconfined", or a profile path
  std::string apparmor;                   // name of a loaded profile; empty: none
  std::string selinux_label;              // empty: none
  bool unmasked_proc = false;             // all of /proc as it is
  std::string
      processes_of;      // the id of another container of the pod, in whose process namespace it is to be; empty: none
  std::string log_path;  // CRI-format log
  std::int64_t log_limit =
      0;  // bytes at which its writer starts the log anew by itself, however fast it grows; 0: none
  std::string termination_log_target;  // where the node-side termination file is mounted, already in mounts
};

enum class ContainerState { kCreated, kRunning, kExited, kUnknown };

struct ContainerStatus {
  std::string id, pod_uid, name;
  int attempt = 0;
  ContainerState state = ContainerState::kUnknown;
  int pid = 0;
  int exit_code = 0;
  bool oom_killed = false;
  Time created{}, started{}, finished{};
};

struct ExecResult {
  int exit_code = 0;
  std::string output;  // of both streams, bounded to 16 KiB
};

struct ContainerUsage {  // for metrics; zero where unknown
  std::uint64_t cpu_nanoseconds = 0;
  std::uint64_t memory_working_set_bytes = 0;
};

class ContainerRuntime {
 public:
  using Done = Function<void(Status)>;
  virtual ~ContainerRuntime() = default;

  // After a restart of the agent: finds containers and sandboxes of earlier agents, and follows the containers.
  virtual void recover(Function<void(Result<std::vector<ContainerStatus>>)> done) = 0;
  // Called on the loop whenever a container's state changes.
  virtual void on_change(std::function<void(const ContainerStatus&)> changed) = 0;

  virtual void create_sandbox(const SandboxSpec& spec, Done done) = 0;
  virtual void remove_sandbox(const std::string& pod_uid, Done done) = 0;

  // Creates and starts.
  virtual void run_container(const ContainerSpec& spec, Function<void(Result<ContainerStatus>)> done) = 0;
  virtual void signal_container(const std::string& id, int signal, Done done) = 0;  // its first process
  virtual void kill_container(const std::string& id, Done done) = 0;                // SIGKILL to all of it
  virtual void remove_container(const std::string& id, Done done) = 0;              // its rootfs and state; not its log
  virtual std::optional<ContainerStatus> status(const std::string& id) const = 0;
  // `done` receives how many of `containers` have their new limits, and the error of the next step, if there was one.
  virtual void resize(const std::string& pod_uid, PodResize order, Function<void(std::size_t, Status)> done) = 0;

  // Runs to the end or to the timeout (kTimeout; killed). For exec probes and hooks.
  virtual void exec(const std::string& id, std::vector<std::string> argv, Duration timeout,
                    Function<void(Result<ExecResult>)> done) = 0;

  // An interactive process in a container, for kubectl exec. The descriptors are the near ends of its streams, which
  // `started` takes over (non-blocking; -1 where not asked for); with a tty only `terminal` is set. `exited` is
  // called once with the exit code, after `started`; not at all where `started` received an error before crun was
  // started.
  struct ExecStreams {
    int standard_input = -1, standard_output = -1, standard_error = -1;
    int terminal = -1;
    int pid = 0;
  };
  struct ExecOptions {
    std::vector<std::string> argv;
    bool tty = false, standard_input = false, standard_output = false, standard_error = false;
  };
  virtual void exec_interactive(const std::string& id, const ExecOptions& options,
                                Function<void(Result<ExecStreams>)> started, Function<void(int exit_code)> exited) = 0;

  // For kubectl attach: conmon's attach socket and control pipe paths.
  virtual std::string attach_socket(const std::string& id) const = 0;
  virtual void resize_terminal(const std::string& id, int columns, int rows, Done done) = 0;
  virtual void reopen_log(const std::string& id, Done done) = 0;  // after the agent renamed it (rotation)

  // A container of some pod will be run soon: slow work of the kernel that is the same for all pods may begin.
  virtual void expect_container() {}

  // The directory with the files that the container has written to its root file system; empty where there is none.
  virtual std::string writable_layer(const std::string& id) const {
    (void)id;
    return {};
  }
  virtual std::optional<ContainerUsage> usage(const std::string& id) const = 0;

  // The uids of pods whose sandboxes recover() has found, complete or not, and that have not been removed since.
  virtual std::set<std::string> found_sandboxes() const { return {}; }
};

}  // namespace berth::agent
