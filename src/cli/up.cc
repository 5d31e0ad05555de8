#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "agent/node/pod_shutdown.h"
#include "agent/runtime/sysctls.h"
#include "api/schema/feature_gates.h"
#include "base/files.h"
#include "base/fs/remove_unfinished.h"
#include "base/shell_word.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "controllers/handling.h"
#include "host/daemon.h"
#include "host/node_space.h"
#include "host/ownership.h"
#include "host/reserve.h"
#include "host/restarts.h"
#include "host/settings.h"
#include "store/loss.h"

namespace berth::cli {
namespace {

using host::ClusterDir;

Status make_cluster_directories(const ClusterDir& dir) {
  BERTH_TRY(make_directories(dir.root, 0755));
  for (const std::string& path : {dir.pki(), dir.root + "/store", dir.node(), dir.logs(), dir.run()}) {
    BERTH_TRY(make_directories(path, 0700));
  }
  return ok_status();
}

// Only one `up` or `down` runs at a time. Held until the process exits.
Status lock_cluster(const ClusterDir& dir) {
  std::string path = dir.root + "/lock";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno_error("opening " + path);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return error(Code::kUnavailable, "another berth up or down is at work in " + dir.root + "; wait for it to finish");
  }
  return ok_status();
}

Status check_port_free(int port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int one = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return error(Code::kUnavailable, "port " + std::to_string(port) + " on 127.0.0.1 is taken (" +
                                         std::strerror(errno) + "); choose another with --api-port");
  }
  return ok_status();
}

// Creates the node's namespaces anew, unless processes of this cluster still use them: containers, or a server that
// listens there.
Status prepare_node_space(const ClusterDir& dir, const host::ClusterSettings& settings, bool something_runs) {
  bool keep = host::node_space_exists(dir) && (something_runs || !host::node_processes(dir).empty());
  if (!keep) BERTH_TRY(host::destroy_node_space(dir));
  return host::make_node_space(dir, {settings.api_service_ip, settings.dns_service_ip});
}

// A command that selects the kubeconfig. KUBECONFIG is a list separated by colons.
std::string kubeconfig_command(const std::string& kubeconfig) {
  return (kubeconfig.find(':') == std::string::npos ? "export KUBECONFIG=" : "kubectl --kubeconfig=") +
         shell_word(kubeconfig);
}

// "what (was up); restarted once, at ..."
std::string role_detail(const ClusterDir& dir, const std::string& role, std::string what, bool was_up) {
  if (was_up) what += " (was up)";
  const std::string restarts = host::describe(host::read_restarts(dir.restarts(), role));
  return restarts.empty() ? what : what + "; " + restarts;
}

// True if the process runs the same executable as this one.
bool is_this_program(int pid) {
  struct stat ours {
  }, theirs{};
  return ::stat("/proc/self/exe", &ours) == 0 &&
         ::stat(("/proc/" + std::to_string(pid) + "/exe").c_str(), &theirs) == 0 && ours.st_dev == theirs.st_dev &&
         ours.st_ino == theirs.st_ino;
}

Status bring_up(const ClusterDir& dir, const host::ClusterSettings& settings) {
  const host::DaemonSpec server = host::server_daemon(dir), agent = host::agent_daemon(dir),
                         supervisor = host::supervisor_daemon(dir);
  const bool server_was_up = host::daemon_is_ready(server), agent_was_up = host::daemon_is_ready(agent);
  const std::optional<int> supervised = host::running_daemon(supervisor.pid_file);
  const bool nothing_to_do =
      server_was_up && agent_was_up && supervised && is_this_program(*supervised) && host::daemon_is_ready(supervisor);
  // A waiting or starting supervisor would interfere; the daemons that it supervises continue.
  if (!nothing_to_do) BERTH_TRY(host::stop_daemon(supervisor.pid_file, 5s, SIGTERM));
  const bool server_runs = host::running_daemon(server.pid_file).has_value(),
             agent_runs = host::running_daemon(agent.pid_file).has_value();
  if (!server_runs) BERTH_TRY(check_port_free(settings.api_port));

  ProgressStep space("node surroundings");
  BERTH_TRY(prepare_node_space(dir, settings, server_runs || agent_runs));
  space.done("network and mount namespace");
  ProgressStep both("API server"), node("node agent");
  if (!nothing_to_do) {
    BERTH_ASSIGN(host::StartedDaemon started, host::start_daemon(supervisor));
    BERTH_ASSIGN(const std::string word, host::await_report(supervisor, started, 40s));
    if (word.empty()) return host::failed_start(supervisor, word);
    if (word != "READY") return error(Code::kInternal, word);  // the message is about the server or the agent
  }
  both.done(role_detail(dir, "server", "https://127.0.0.1:" + std::to_string(settings.api_port), server_was_up));
  node.done(role_detail(dir, "agent", "node " + settings.node_name + " is Ready", agent_was_up));
  return ok_status();
}

// Prints the quarantined objects: the server died on them repeatedly.
void print_quarantined(const ClusterDir& dir) {
  for (const controllers::Death& one : controllers::HandlingRecord::quarantined_in(dir.run())) {
    print_line("left alone  " + one.key + ": the server died " + std::to_string(one.times) +
               " times while the controller " + one.controller + " handled it; change or delete it to end that");
  }
}

// Deletes all files of a cluster that is down.
int purge(const ClusterDir& dir) {
  ProgressStep data("data");
  for (const std::string& path :
       {dir.node(), dir.root + "/store", dir.pki(), dir.logs(), dir.kubeconfig(), dir.settings(), dir.store_witness(),
        dir.root + "/lock", dir.reserve(), dir.root + "/cache"}) {
    if (Status removed = remove_all(path); !removed.ok()) return fail(removed.error());
  }
  remove_unfinished(dir.root);
  ::rmdir(dir.root.c_str());
  data.done("deleted");
  return 0;
}

// SIGUSR1: the agent stops the pods in order, then exits. SIGTERM would leave them running for the next agent.
Status stop_pods(const ClusterDir& dir, const DownOptions& options) {
  constexpr int kPollMs = 100;
  constexpr Duration kQuiet = 2s, kMargin = 10s;
  const std::optional<int> agent = host::running_daemon(dir.agent_pid());
  if (!agent) return host::stop_daemon(dir.agent_pid(), 5s, SIGUSR1);
  // -1 if the process has just exited: poll() then waits for its timeout.
  const Fd end(static_cast<int>(::syscall(SYS_pidfd_open, *agent, 0)));
  ::kill(*agent, SIGUSR1);
  const Stopwatch watch;
  // Until the agent reports its progress: the grace period of a pod that it knows nothing about.
  Duration longest =
      options.grace_seconds < 0 ? agent::PodShutdown::kUnknownGrace : std::chrono::seconds(options.grace_seconds);
  bool said = false, read = false;
  while (host::running_daemon(dir.agent_pid()) && watch.spent() < longest + kMargin) {
    pollfd waiting{end.get(), POLLIN, 0};
    ::poll(&waiting, 1, kPollMs);
    const std::vector<agent::ShutdownLine> lines = agent::read_shutdown_progress(dir.shutdown_progress());
    std::vector<std::string> pods;
    std::int64_t most = 0;
    for (const agent::ShutdownLine& line : lines) {
      most = std::max(most, line.seconds);
      if (!line.killed) pods.push_back(line.pod + " (" + std::to_string(line.seconds) + " s)");
    }
    if (!read && !lines.empty()) {
      read = true;
      longest = std::chrono::seconds(most);
    }
    if (said || watch.spent() < kQuiet || pods.empty()) continue;
    said = true;
    constexpr std::size_t kShown = 10;
    const std::size_t more = pods.size() > kShown ? pods.size() - kShown : 0;
    pods.resize(pods.size() - more);
    print_line("  waiting for " + join(pods, ", ") + (more > 0 ? " and " + std::to_string(more) + " more" : "") +
               "; --grace SECONDS bounds that");
  }
  return host::stop_daemon(dir.agent_pid(), 5s, SIGTERM);
}

// Options of this `up` replace those that the cluster was started with.
Status apply_options(const ClusterDir& dir, const UpOptions& options, bool server_runs,
                     host::ClusterSettings& settings) {
  if (options.api_port != 0 && options.api_port != settings.api_port) {
    if (server_runs) {
      return error(Code::kInvalid, "the cluster in " + dir.root + " is up on port " +
                                       std::to_string(settings.api_port) + "; run berth down first to change it");
    }
    BERTH_TRY(check_port_free(options.api_port));
    settings.api_port = options.api_port;
  }
  if (!options.node_name.empty()) settings.node_name = options.node_name;
  if (options.feature_gates) {
    if (Result<void> known = api::schema::FeatureGates().set(*options.feature_gates); !known.ok()) return known.error();
    if (server_runs && *options.feature_gates != settings.feature_gates) {
      return error(Code::kInvalid, "the cluster in " + dir.root + " is up with --feature-gates " +
                                       quoted(settings.feature_gates) + "; run berth down first to change them");
    }
    settings.feature_gates = *options.feature_gates;
  }
  if (options.allowed_unsafe_sysctls) {
    settings.allowed_unsafe_sysctls.clear();
    for (const std::string& one : *options.allowed_unsafe_sysctls) {
      if (one.empty()) continue;  // an empty value removes all of them
      if (Status valid = agent::check_sysctl_pattern(one); !valid.ok())
        return valid.error().in("--allowed-unsafe-sysctls");
      settings.allowed_unsafe_sysctls.push_back(one);
    }
    if (host::running_daemon(dir.agent_pid()))
      print_line("the node obeys --allowed-unsafe-sysctls from its next start on");
  }
  return ok_status();
}

// For the next server.
Status store_accepted_losses(const ClusterDir& dir, const std::vector<std::string>& names, bool server_runs) {
  std::string losses;
  for (const std::string& name : names) {
    if (!store::loss_named(name)) {
      return error(Code::kInvalid,
                   "--accept-loss: there is no loss " + quoted(name) + "; there are " + store::loss_names());
    }
    losses += name + "\n";
  }
  if (server_runs && !losses.empty()) {
    return error(Code::kInvalid, "the cluster in " + dir.root +
                                     " is up, so its store was read without a loss; --accept-loss is not needed");
  }
  if (!losses.empty()) return write_file(dir.accepted_losses(), losses, 0600);
  ::unlink(dir.accepted_losses().c_str());  // left by a server that did not come up
  return ok_status();
}

}  // namespace

int up(const UpOptions& options) {
  if (::geteuid() != 0)
    return fail(error(Code::kForbidden, "up needs root: it makes namespaces, mounts and cgroups; try sudo berth up"));
  Result<ClusterDir> dir = host::open_cluster_dir(options.data_dir);
  if (!dir.ok()) return fail(dir.error());
  if (Status owned = host::check_ownership(*dir); !owned.ok()) return fail(owned.error());
  // Before anything is created or written: a refused port must leave no files.
  const bool fresh = !path_exists(dir->settings());
  if (const int port = options.api_port != 0 ? options.api_port : host::ClusterSettings().api_port; fresh) {
    if (Status is_free = check_port_free(port); !is_free.ok()) return fail(is_free.error());
  }
  if (Status made = make_cluster_directories(*dir); !made.ok()) return fail(made.error());
  if (Status locked = lock_cluster(*dir); !locked.ok()) return fail(locked.error());
  host::free_reserve(*dir);
  Result<host::ClusterSettings> settings = host::load_settings(*dir);
  if (!settings.ok()) return fail(settings.error());
  const bool server_runs = host::running_daemon(dir->server_pid()).has_value();
  if (Status applied = apply_options(*dir, options, server_runs, *settings); !applied.ok())
    return fail(applied.error());
  if (Status stored = store_accepted_losses(*dir, options.accepted_losses, server_runs); !stored.ok())
    return fail(stored.error());
  if (Status saved = host::save_settings(*dir, *settings); !saved.ok()) return fail(saved.error());
  if (Status status = bring_up(*dir, *settings); !status.ok()) return fail(status.error());
  host::allocate_reserve(*dir);
  print_quarantined(*dir);
  print_line("\n  " + kubeconfig_command(dir->kubeconfig()));
  return 0;
}

int down(const DownOptions& options) {
  if (::geteuid() != 0) return fail(error(Code::kForbidden, "down needs root; try sudo berth down"));
  Result<ClusterDir> dir = host::open_cluster_dir(options.data_dir);
  if (!dir.ok()) return fail(dir.error());
  if (!path_exists(dir->settings())) {
    print_line("nothing to stop: there is no cluster in " + dir->root);
    return 0;
  }
  if (Status locked = lock_cluster(*dir); !locked.ok()) return fail(locked.error());
  host::free_reserve(*dir);
  // The run directory also contains what a killed daemon left.
  if (!path_exists(dir->run())) {
    print_line("nothing to stop: the cluster in " + dir->root + " is down");
    return options.purge ? purge(*dir) : 0;
  }

  // Stop the supervisor first: it would restart the daemons.
  if (Status stopped = host::stop_daemon(dir->supervisor_pid(), 5s, SIGTERM); !stopped.ok())
    return fail(stopped.error());
  ProgressStep pods("pods and node agent");
  if (!host::running_daemon(dir->agent_pid()) && host::node_space_exists(*dir) && !host::node_processes(*dir).empty()) {
    // The containers of a dead agent are stopped in order by a new one. If it does not start, they are killed below.
    if (Result<host::StartedDaemon> agent = host::start_daemon(host::agent_daemon(*dir)); agent.ok())
      ::close(agent->ready_fd);
  }
  if (host::running_daemon(dir->agent_pid())) {
    ::unlink(dir->grace().c_str());
    ::unlink(dir->shutdown_progress().c_str());
    Status stored =
        options.grace_seconds < 0 ? ok_status() : write_file(dir->grace(), std::to_string(options.grace_seconds));
    if (!stored.ok())
      print_line("each pod gets its own time to end: " +
                 stored.error().message);  // a full disk must not prevent the shutdown
  }
  Status status = stop_pods(*dir, options);
  std::string killed;
  for (const agent::ShutdownLine& line : agent::read_shutdown_progress(dir->shutdown_progress())) {
    if (line.killed) killed += "  killed after " + std::to_string(line.seconds) + " s: " + line.pod + "\n";
  }
  if (status.ok()) status = host::destroy_node_space(*dir);
  if (!status.ok()) return fail(status.error());
  pods.done(killed.empty() ? "stopped" : "stopped; not all pods ended by themselves");
  if (!killed.empty()) print_line(killed.substr(0, killed.size() - 1));
  ProgressStep server("API server");
  status = host::stop_daemon(dir->server_pid(), 10s, SIGTERM);
  if (status.ok()) status = remove_all(dir->run());
  if (!status.ok()) return fail(status.error());
  server.done("stopped");
  if (!options.purge) host::allocate_reserve(*dir);
  return options.purge ? purge(*dir) : 0;
}

int status(const std::string& data_dir) {
  Result<ClusterDir> dir = host::open_cluster_dir(data_dir);
  if (!dir.ok()) return fail(dir.error());
  if (!path_exists(dir->settings()))
    return fail(error(Code::kNotFound, "there is no cluster in " + dir->root + "; make one with berth up"));
  Result<host::ClusterSettings> settings = host::load_settings(*dir);
  if (!settings.ok()) return fail(settings.error());
  auto describe = [](const std::optional<int>& pid) {
    return pid ? "running, pid " + std::to_string(*pid) : std::string("not running");
  };
  std::optional<int> server = host::running_daemon(dir->server_pid()), agent = host::running_daemon(dir->agent_pid());
  print_line("data        " + dir->root);
  const std::optional<int> supervisor = host::running_daemon(dir->supervisor_pid());
  auto role = [&](const std::string& name, const std::optional<int>& pid, const std::string& what) {
    const host::RestartHistory restarts = host::read_restarts(dir->restarts(), name);
    std::string out = describe(pid);
    if (!pid && supervisor && restarts.next)
      out += ": " + restarts.next->why + ", " + host::describe(*restarts.next, std::chrono::system_clock::now());
    out += ", " + what;
    const std::string before = host::describe(restarts);
    return before.empty() ? out : out + "; " + before;
  };
  print_line("API server  " + role("server", server, "https://127.0.0.1:" + std::to_string(settings->api_port)));
  print_line("node agent  " + role("agent", agent, "node " + settings->node_name));
  const bool some = server || agent || supervisor, all = server && agent && supervisor;
  print_line("supervisor  " + describe(supervisor) +
             (server && agent && !supervisor ? ": what ends now is not started again" : ""));
  print_line("kubeconfig  " + dir->kubeconfig());
  print_quarantined(*dir);
  const std::string up = "berth up --data-dir " + dir->root;
  if (!some) print_line("down        " + up + " starts what is missing");
  if (some && !all)
    print_line("incomplete  " + (supervisor ? "the supervisor starts what is missing; " + up + " does so at once"
                                            : up + " starts what is missing"));
  return all ? 0 : 3;
}

}  // namespace berth::cli
