#include "agent/runtime/container_files.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <set>

#include "agent/disk/background.h"
#include "agent/mounts/mapped_root.h"
#include "agent/mounts/mounts.h"
#include "agent/profiles/seccomp_profile.h"
#include "agent/runtime/oci_spec.h"
#include "base/fault.h"
#include "base/fs/spread_directories.h"
#include "base/json/json.h"
#include "base/process/pids.h"
#include "base/process/spawn.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

constexpr int kStartTries = 1000, kStartPauseMs = 5;

std::string nano_text(Time time) { return std::to_string(time.time_since_epoch().count()); }
Time nano_time(const Value& value) {
  auto n = parse_int(value.as_string());
  return Time(Duration(n.ok() ? *n : 0));
}

Time modified(const struct stat& at) {
  return Time(std::chrono::seconds(at.st_mtim.tv_sec) + Duration(at.st_mtim.tv_nsec));
}

// Lowering oom_score_adj below our own needs CAP_SYS_RESOURCE.
int oom_score_floor() {
  if (::prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1) return -1000;
  auto own = read_file("/proc/self/oom_score_adj");
  auto number = own.ok() ? parse_int(trim(*own)) : Result<long>(0L);
  return number.ok() ? static_cast<int>(*number) : 0;
}

// The device nodes of this machine, for privileged containers: not terminals' own file systems, not what every /dev
// has.
std::vector<std::string> device_nodes() {
  static const std::vector<std::string> own = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"};
  std::vector<std::string> out;
  auto names = list_directory("/dev");
  if (!names.ok()) return out;
  for (const auto& name : *names) {
    struct stat at {};
    std::string path = "/dev/" + name;
    if (std::find(own.begin(), own.end(), name) != own.end() || ::lstat(path.c_str(), &at) != 0) continue;
    if (S_ISCHR(at.st_mode) || S_ISBLK(at.st_mode)) out.push_back(path);
  }
  return out;
}

Result<std::string> seccomp_for(const ContainerSpec& spec) {
  if (spec.privileged || spec.seccomp.empty() || spec.seccomp == "Unconfined") return std::string();
  if (spec.seccomp == "RuntimeDefault") return default_seccomp_filter(spec.capabilities);
  return seccomp_filter_from_file(spec.seccomp);
}

// A mount's target inside the image must be there before crun mounts onto it; crun makes it, through the overlay.
Status make_root(const RuntimePaths& paths, const ContainerSpec& spec, const SandboxSpec& sandbox) {
  const std::string at = paths.container(spec.id), rootfs = paths.running(spec.id) + "/rootfs";
  const std::vector<std::pair<std::string, mode_t>> directories = {
      {at, 0711}, {paths.running(spec.id), 0711}, {at + "/upper", 0755}, {at + "/work", 0755}, {rootfs, 0755}};
  for (const auto& [directory, mode] : directories) {
    if (::mkdir(directory.c_str(), mode) != 0 && errno != EEXIST) return errno_error("making " + directory);
  }
  fault::step("container.directories");
  if (!sandbox.user_namespace.empty()) {
    std::string place = mapped_place(spec.id);
    BERTH_TRY(make_mapped_place(spec.id));
    BERTH_TRY(make_directories(place + "/rootfs", 0711));
    return mount_mapped_overlay(spec.rootfs_layers, at + "/upper", at + "/work", place + "/rootfs", place + "/lower",
                                sandbox.user_namespace, sandbox.first_user);
  }
  return mount_overlay(spec.rootfs_layers, at + "/upper", at + "/work", rootfs);
}

// `runtime`: crun, in front of "create".
Result<Created> spawn_conmon(const CrunConfig& config, const CrunProgram& crun, const RuntimePaths& paths,
                             const ContainerSpec& spec, const std::vector<std::string>& runtime) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd reading(ends[0]), writing(ends[1]);
  ::fcntl(reading.get(), F_SETFL, O_NONBLOCK);
  std::string at = paths.running(spec.id);
  // conmon splits the option at a second colon; the path relative to its working directory has none.
  std::string log = spec.log_path;
  if (log.find(':') != std::string::npos) log = std::filesystem::path(log).lexically_relative(at).string();
  SpawnOptions options;
  options.directory = at;  // conmon writes a file named "oom" where it is
  options.argv = {config.conmon,
                  "--api-version",
                  "1",
                  "--sync",
                  "-c",
                  spec.id,
                  "-u",
                  paths.socket_name(spec.id),
                  "-n",
                  spec.name,
                  "-r",
                  runtime[0],
                  "-b",
                  at,
                  "-p",
                  at + "/pid",
                  "--exit-dir",
                  paths.exits(),
                  "--socket-dir-path",
                  paths.sockets(),
                  "--persist-dir",
                  at,
                  "-l",
                  "k8s-file:" + log,
                  "--no-sync-log"};
  for (std::size_t i = 1; i < runtime.size(); ++i) options.argv.push_back("--runtime-arg=" + runtime[i]);
  if (spec.log_limit > 0) options.argv.insert(options.argv.end(), {"--log-size-max", std::to_string(spec.log_limit)});
  if (spec.tty) options.argv.push_back("-t");
  if (spec.stdin_open) options.argv.push_back("-i");
  if (spec.stdin_open && !spec.stdin_once) options.argv.push_back("--leave-stdin-open");
  options.environment = {"_OCI_SYNCPIPE=3"};
  options.descriptors = crun.descriptors();
  options.descriptors.emplace_back(writing.get(), 3);
  BERTH_ASSIGN(pid_t pid, spawn_child(options));
  return Created{pid, std::move(reading)};
}

}  // namespace

Result<RuntimePaths> prepare_runtime_paths(const std::string& root) {
  const std::string memory = runtime_memory(root);
  BERTH_TRY(make_directories(memory, 0711));
  // Containers that an earlier release has started keep their directories below `root`.
  bool earlier = false;
  for (const char* part : {"/sandboxes", "/crun"}) {
    auto names = list_directory(root + part);
    earlier = earlier || (names.ok() && !names->empty());
  }
  if (!earlier && !is_mount_point(memory)) BERTH_TRY(mount_tmpfs(memory, "mode=0711"));
  RuntimePaths paths(root, earlier ? root : memory);
  for (const auto& directory :
       {paths.containers(), paths.exits(), paths.running_containers(), paths.sandboxes(), paths.sockets(), paths.crun(),
        paths.exec(), paths.crun_link().substr(0, paths.crun_link().rfind('/'))})
    BERTH_TRY(make_directories(directory, 0711));
  spread_directories(paths.containers());
  for (const char* directory : {"/etc", "/proc", "/sys", "/dev"})
    BERTH_TRY(make_directories(paths.mount_points() + directory));
  for (const char* file : {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}) {
    if (!path_exists(paths.mount_points() + file)) BERTH_TRY(write_file(paths.mount_points() + file, ""));
  }
  return paths;
}

Status store_container(const RuntimePaths& paths, const StoredContainer& stored) {
  const ContainerStatus& s = stored.status;
  Value value = Value::object({{"id", s.id},
                               {"podUID", s.pod_uid},
                               {"name", s.name},
                               {"attempt", s.attempt},
                               {"pid", s.pid},
                               {"created", nano_text(s.created)},
                               {"cgroup", stored.cgroup},
                               {"ownPID", stored.own_pid_namespace},
                               {"conmon", stored.conmon_pid},
                               {"conmonStart", static_cast<std::int64_t>(stored.conmon_start)},
                               {"initStart", static_cast<std::int64_t>(stored.init_start)}});
  return write_file(paths.container(s.id) + "/state.json", json::encode(value));
}

bool read_exit(const RuntimePaths& paths, const Cgroups& cgroups, const std::string& cgroup, ContainerStatus& status) {
  auto text = read_file(paths.exit_file(status.id));
  if (!text.ok()) return false;
  auto code = parse_int(trim(*text));
  if (!code.ok()) return false;
  status.state = ContainerState::kExited;
  status.exit_code = static_cast<int>(*code);
  struct stat at {};
  if (::stat(paths.exit_file(status.id).c_str(), &at) == 0) status.finished = modified(at);
  status.oom_killed =
      status.exit_code != 0 && (cgroups.oom_kills(cgroup) > 0 || path_exists(paths.running(status.id) + "/oom"));
  return true;
}

Result<StoredContainer> load_container(const RuntimePaths& paths, const Cgroups& cgroups, const std::string& id) {
  std::string at = paths.container(id);
  BERTH_ASSIGN(std::string text, read_file(at + "/state.json"));
  BERTH_ASSIGN(Value value, json::parse(text));
  StoredContainer out;
  out.status.id = value["id"].str();
  if (out.status.id != id) return error(Code::kInternal, at + "/state.json is of another container");
  out.status.pod_uid = value["podUID"].str();
  out.status.name = value["name"].str();
  out.status.attempt = static_cast<int>(value["attempt"].as_int());
  out.status.pid = static_cast<int>(value["pid"].as_int());
  out.status.created = nano_time(value["created"]);
  out.cgroup = value["cgroup"].str();
  out.own_pid_namespace = value["ownPID"].as_bool(true);
  out.conmon_pid = static_cast<pid_t>(value["conmon"].as_int());
  out.conmon_start = static_cast<std::uint64_t>(value["conmonStart"].as_int());
  out.init_start = static_cast<std::uint64_t>(value["initStart"].as_int());
  struct stat started {};
  bool was_started = ::stat((paths.running(id) + "/started").c_str(), &started) == 0;
  if (was_started) out.status.started = modified(started);
  if (read_exit(paths, cgroups, out.cgroup, out.status)) return out;
  // While its conmon runs, conmon writes the exit code.
  if (out.conmon_start != 0 && process_start_time(out.conmon_pid) == out.conmon_start) {
    out.status.state = was_started ? ContainerState::kRunning : ContainerState::kCreated;
    return out;
  }
  out.status.state = ContainerState::kUnknown;  // it ended without conmon, so its exit code is lost
  return out;
}

// For a pod with a user namespace, whose users may enter none of the node's directories: mounts each source of the
// container's mounts, with the users mapped, in a place that they may enter.
Status map_sources(const SandboxSpec& sandbox, ContainerSpec& spec, OciSurroundings& around) {
  std::string place = mapped_place(spec.id);
  around.rootfs = place + "/rootfs";
  std::size_t number = 0;
  for (Mount& mount : spec.mounts) {
    std::string target = place + "/" + std::to_string(number++);
    BERTH_TRY(mount_mapped_source(mount.source, target, sandbox.user_namespace));
    mount.source = target;
  }
  BERTH_TRY(mount_mapped_source(around.shm, place + "/shm", sandbox.user_namespace));
  around.shm = place + "/shm";
  around.devices.clear();  // of the node: not for others than its root
  return {};
}

Result<Created> create_container(const CrunConfig& config, const CrunProgram& crun, const RuntimePaths& paths,
                                 const Cgroups& cgroups, const ContainerSpec& spec, const SandboxSpec& sandbox,
                                 const std::string& processes) {
  std::string at = paths.running(spec.id);
  ContainerSpec mapped = spec;
  // At the bottom: an image that has them shows its own. Otherwise crun would make them anew for each container.
  if (!mapped.rootfs_layers.empty()) mapped.rootfs_layers += ":";
  mapped.rootfs_layers += overlay_option(paths.mount_points());
  BERTH_TRY(make_root(paths, mapped, sandbox));
  fault::step("container.root");
  SandboxPaths surroundings = sandbox_paths(paths.sandboxes(), sandbox);
  OciSurroundings around;
  around.rootfs = at + "/rootfs";
  around.network_namespace = sandbox.network_namespace;
  around.ipc_namespace = surroundings.ipc_namespace;
  around.uts_namespace = surroundings.uts_namespace;
  around.pid_namespace = processes.empty() ? surroundings.pid_namespace : processes;
  around.host_pid = sandbox.host_pid;
  around.user_namespace = sandbox.user_namespace;
  around.first_user = sandbox.first_user;
  around.node_has_mqueue = path_exists("/dev/mqueue");
  around.shm = surroundings.shm;
  around.cgroup = "/" + sandbox.cgroup_parent + "/" + spec.id;
  around.unified_cgroups = cgroups.unified();
  around.oom_score_floor = oom_score_floor();
  BERTH_ASSIGN(around.seccomp_filter, seccomp_for(spec));
  if (spec.privileged) around.devices = device_nodes();
  if (!sandbox.user_namespace.empty()) BERTH_TRY(map_sources(sandbox, mapped, around));
  BERTH_TRY(write_file(at + "/config.json", json::encode(oci_config(mapped, around)), 0600));
  if (auto slash = spec.log_path.rfind('/'); slash != std::string::npos)
    BERTH_TRY(make_directories(spec.log_path.substr(0, slash)));
  fault::step("container.config");
  const std::string group = around.cgroup.substr(1);
  if (!cgroups.unified()) BERTH_TRY(cgroups.create_everywhere(group));
  fault::step("container.cgroup");
  auto created = spawn_conmon(config, crun, paths, spec, crun_command(crun, cgroups, group, paths.crun()));
  fault::step("container.conmon");
  return created;
}

namespace {

// Lets the first process go on to its program: it reads one byte from the start pipe `fd`.
Status release_process(const RuntimePaths& paths, const std::string& id, int fd) {
  if (::write(fd, "", 1) != 1 && errno != EPIPE) return errno_error("starting container " + id);
  fault::step("container.let_go");
  // finish_start() starts the program while the pipe exists: remove it.
  ::unlink(paths.fifo(id).c_str());
  return {};
}

}  // namespace

Status start_container(const RuntimePaths& paths, const StoredContainer& stored) {
  const std::string& id = stored.status.id;
  const std::string mark = paths.running(id) + "/started";
  // The mark is written first, so that a container that ran is never recovered as one that did not; and before the pipe
  // is opened, because the first process ends if the pipe is closed without a byte, as when the agent is killed in
  // between.
  BERTH_TRY(write_file(mark, ""));
  fault::step("container.marked");
  Fd fd;
  // The first process holds the pipe open for reading from its start. ENXIO: it has ended, or has not come so far.
  for (int tries = 0; !(fd = Fd(::open(paths.fifo(id).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC))); ++tries) {
    if (errno == ENOENT) return {};
    if (errno != ENXIO || tries == kStartTries) {
      Error failure = errno_error("starting container " + id);
      ::unlink(mark.c_str());
      return failure;
    }
    if (stored.init_start == 0 || process_start_time(stored.status.pid) != stored.init_start)
      return {};  // conmon reports how it ended
    ::poll(nullptr, 0, kStartPauseMs);
  }
  return release_process(paths, id, fd.get());
}

void finish_start(const RuntimePaths& paths, const std::string& id) {
  Fd fd(::open(paths.fifo(id).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (fd) {
    (void)release_process(paths, id, fd.get());
  } else if (errno == ENXIO) {
    ::unlink(paths.fifo(id).c_str());  // no process reads it
  }
}

std::vector<std::string> crun_command(const CrunProgram& crun, const Cgroups& cgroups, const std::string& cgroup,
                                      const std::string& root) {
  std::vector<std::string> groups = cgroups.task_files(cgroup);
  if (groups.empty()) return {crun.path(), "--root=" + root, "--cgroup-manager=cgroupfs"};
  std::vector<std::string> out = {
      kShell, "-c", R"(while [ "$1" != -- ]; do echo 0 >"$1" || exit 126; shift; done; shift; exec "$@")", "crun"};
  out.insert(out.end(), groups.begin(), groups.end());
  out.insert(out.end(), {"--", crun.path(), "--root=" + root, "--cgroup-manager=disabled"});
  return out;
}

std::vector<std::string> exec_command(const CrunProgram& crun, const RuntimePaths& paths, const Cgroups& cgroups,
                                      const StoredContainer& stored) {
  const bool described = path_exists(paths.exec() + "/" + stored.status.id + "/status");
  std::vector<std::string> out = crun_command(crun, cgroups, stored.cgroup, described ? paths.exec() : paths.crun());
  out.push_back("exec");
  return out;
}

Status delete_container(const RuntimePaths& paths, const Cgroups& cgroups, const std::string& id,
                        const std::string& cgroup, Trash* trash) {
  const std::string at = paths.container(id), run = paths.running(id);
  if (!cgroup.empty()) {
    cgroups.kill(cgroup);
    BERTH_TRY(cgroups.remove(cgroup));
  }
  fault::step("container.delete_cgroup");
  unmount(run + "/rootfs");
  fault::step("container.delete_root");
  BERTH_TRY(remove_mapped_place(id));
  BERTH_TRY(remove_all(paths.exec() + "/" + id));
  BERTH_TRY(remove_all(paths.crun() + "/" + id));
  fault::step("container.delete_crun");
  // The exit code is deleted after the state: remove_incomplete() deletes a container without state completely.
  BERTH_TRY(remove_all(at + "/state.json"));
  ::unlink(paths.exit_file(id).c_str());
  fault::step("container.delete_state");
  ::unlink((paths.sockets() + "/" + paths.socket_name(id)).c_str());
  BERTH_TRY(remove_all(run));
  return trash ? trash->take(at) : remove_all(at);
}

void remove_strays(const RuntimePaths& paths, const std::vector<std::string>& ids) {
  auto sweep = [&](const std::string& directory, const std::function<bool(const std::string&)>& known) {
    auto names = list_directory(directory);
    if (!names.ok()) return;
    for (const std::string& name : *names) {
      if (!known(name)) (void)remove_all(directory + "/" + name);
    }
  };
  const std::set<std::string> whole(ids.begin(), ids.end());
  std::set<std::string> short_names;
  for (const std::string& id : ids) short_names.insert(paths.socket_name(id));
  auto known = [&](const std::string& name) { return whole.contains(name); };
  sweep(paths.exits(), known);
  sweep(paths.crun(), known);
  sweep(paths.exec(), known);
  sweep(paths.running_containers(), known);
  sweep(paths.sockets(), [&](const std::string& name) { return short_names.contains(name); });
}

}  // namespace berth::agent
