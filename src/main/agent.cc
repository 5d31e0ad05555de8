// The agent role: everything a node runs, inside the node's namespaces, on one loop.
#include "agent/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/disk/background.h"
#include "agent/dns/cluster_dns.h"
#include "agent/images/image_routes.h"
#include "agent/images/image_store.h"
#include "agent/logs/log_files.h"
#include "agent/mounts/mounts.h"
#include "agent/node/pod_shutdown.h"
#include "agent/node/usage_service.h"
#include "agent/probes/probe_runner.h"
#include "agent/runtime/crun_runtime.h"
#include "agent/streams/stream_server.h"
#include "agent/volumes/claim_volumes.h"
#include "agent/volumes/local_volumes.h"
#include "agent/volumes/volume_keeper.h"
#include "base/files.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "client/http_client.h"
#include "client/informer.h"
#include "host/daemon.h"
#include "host/node_space.h"
#include "host/settings.h"
#include "http/server.h"
#include "main/roles.h"
#include "main/signals.h"
#include "net/dns/forwarder.h"
#include "net/dns/server.h"
#include "net/pod_network.h"

namespace berth {
namespace {

constexpr int kLockTries = 50, kLockPauseMs = 100;

class AgentRole {
 public:
  // `host_network`: path of the network namespace in which `berth up` ran. Images are pulled through it.
  AgentRole(host::ClusterDir dir, host::ClusterSettings settings, std::string host_network)
      : dir_(std::move(dir)), settings_(std::move(settings)), host_network_(std::move(host_network)) {}

  Loop& loop() { return loop_; }

  Status start() {
    BERTH_TRY(open_node());
    http::Endpoint api;
    api.address = "unix:" + dir_.api_socket();
    client_ = client::make_http_client(loop_, api, "berth-agent");
    agent::AgentConfig config;
    config.node_name = settings_.node_name;
    config.node_ip = settings_.node_ip;
    config.data_dir = dir_.node();
    config.cluster_dns = settings_.dns_service_ip;
    config.cluster_domain = settings_.cluster_domain;
    config.cgroup = dir_.cgroup();
    config.resolver_file = "/etc/resolv.conf";
    config.allowed_unsafe_sysctls = settings_.allowed_unsafe_sysctls;
    probes_ = agent::make_probe_runner(loop_, *containers_);
    log_remover_.start();
    logs_ = std::make_unique<agent::LogFiles>(loop_, log_remover_, config.log_files);
    agent_ = std::make_unique<agent::Agent>(
        config, agent::AgentDependencies{loop_, *client_, *containers_, *images_, *volumes_, *network_, *probes_,
                                         trash_.get(), &measuring_, logs_.get()});
    BERTH_TRY(start_watchers());
    BERTH_TRY(start_socket());
    agent_->start([this](Status status) {
      if (!status.ok()) {
        host::report_failure(status.error().message);
        exit_code_ = 1;
        return loop_.stop();
      }
      log_info("agent", "node is ready", {{"node", settings_.node_name}});
      host::report_ready();
    });
    return ok_status();
  }

  // SIGTERM: the containers continue. SIGUSR1: they are stopped first.
  void stop(int signal) {
    if (signal != SIGUSR1 || shutdown_) return loop_.stop();
    log_info("agent", "ending the pods of this node");
    agent::PodShutdown::Config config{dir_.node() + "/ends.json", dir_.shutdown_progress(), {}, {}};
    if (Result<std::string> grace = read_file(dir_.grace()); grace.ok()) {
      if (Result<long> seconds = parse_int(trim(*grace)); seconds.ok() && *seconds >= 0)
        config.most = std::chrono::seconds(*seconds);
    }
    for (const agent::PodSummary& pod : agent_->pods()) config.pods[pod.uid] = {pod.ns + "/" + pod.name, pod.grace};
    shutdown_ = std::make_unique<agent::PodShutdown>(loop_, *containers_, std::move(config), [this] { loop_.stop(); });
    usage_.reset();
    agent_.reset();  // stops restarts of containers
    shutdown_->start();
  }

  int exit_code() const { return exit_code_; }

 private:
  // A second agent would modify the node's state concurrently.
  Status lock_node() {
    const std::string path = dir_.node() + "/agent.lock";
    BERTH_TRY(make_directories(dir_.node(), 0711));
    lock_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock_) return errno_error("opening " + path);
    // An agent that was just killed may still be exiting.
    for (int tries = 0; ::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
      if (errno != EWOULDBLOCK && errno != EINTR) return errno_error("locking " + path);
      if (tries == kLockTries)
        return error(Code::kConflict,
                     "another agent runs in " + dir_.node() + "; there is one for each data directory");
      ::poll(nullptr, 0, kLockPauseMs);
    }
    return ok_status();
  }

  // Network namespaces do not survive a reboot, so their pins are in the runtime's tmpfs; while the directory used by
  // earlier releases contains pins, that one is used. Called after make_crun_runtime().
  std::string namespaces_directory() const {
    const std::string earlier = dir_.node() + "/netns", memory = agent::runtime_memory(dir_.node() + "/runtime");
    Result<std::vector<std::string>> pinned = list_directory(earlier);
    const bool in_use = pinned.ok() && !pinned->empty();
    return in_use || !agent::is_mount_point(memory) ? earlier : memory + "/netns";
  }

  Status open_node() {
    BERTH_TRY(lock_node());
    agent::CrunConfig crun;
    crun.root = dir_.node() + "/runtime";
    BERTH_ASSIGN(trash_, agent::Trash::open(dir_.node() + "/trash"));
    crun.trash = trash_.get();
    BERTH_ASSIGN(containers_, agent::make_crun_runtime(loop_, crun));
    BERTH_ASSIGN(images_, agent::open_image_store(loop_, dir_.node() + "/images", host_network_));
    BERTH_ASSIGN(disks_, agent::open_local_volumes(loop_, dir_.node() + "/volumes", trash_.get()));
    volumes_ = agent::make_claim_volumes(loop_, *disks_);
    net::PodNetworkConfig network;
    network.cidr = settings_.pod_cidr;
    network.state_file = dir_.node() + "/addresses.json";
    network.namespaces_directory = namespaces_directory();
    network.aside = [this](Task work) {
      loop_.post([this, work = std::move(work)]() mutable { loop_.offload(std::move(work), [] {}); });
    };
    network_ = net::make_pod_network(network);
    return network_->prepare();
  }

  Status start_watchers() {
    net::dns::DnsServerConfig config;
    config.address = settings_.dns_service_ip;
    if (Result<std::string> resolv = read_file("/etc/resolv.conf"); resolv.ok())
      config.upstreams = net::dns::nameservers_of(*resolv);
    // The machine's own resolver (127.0.0.53) is not reachable from this network namespace.
    std::erase_if(config.upstreams, net::dns::is_loopback);
    BERTH_ASSIGN(dns_, net::dns::start_server(loop_, settings_.cluster_domain, config));
    informers_ = std::make_unique<client::InformerSet>(loop_, *client_);
    cluster_dns_ = std::make_unique<agent::ClusterDns>(*informers_, *dns_);
    keeper_ = std::make_unique<agent::VolumeKeeper>(loop_, *informers_, *client_, *disks_, settings_.node_name);
    return ok_status();
  }

  Status start_socket() {
    streams_ = std::make_unique<agent::StreamServer>(loop_, *agent_, *containers_);
    image_routes_ = std::make_unique<agent::ImageRoutes>(*images_);
    usage_ = std::make_unique<agent::UsageService>(
        loop_, [this] { return agent_->pods(); }, [this](const std::string& id) { return containers_->usage(id); });
    http::ServerConfig config;
    config.transport_threads = 1;
    http_ = http::make_server(
        loop_,
        [this](std::shared_ptr<http::Exchange> exchange) {
          if (!agent_) return agent::answer_error(*exchange, error(Code::kUnavailable, "the agent is stopping"));
          if (usage_->handle(exchange) || streams_->handle(exchange) || image_routes_->handle(exchange)) return;
          agent::answer_error(*exchange, error(Code::kNotFound, "the agent serves no " + exchange->request().path));
        },
        config);
    BERTH_TRY(http_->listen("unix:" + dir_.agent_socket(), std::nullopt));
    return ok_status();
  }

  host::ClusterDir dir_;
  host::ClusterSettings settings_;
  std::string host_network_;
  Loop loop_{4};
  agent::BackgroundThread measuring_;
  Fd lock_;
  std::unique_ptr<agent::Trash> trash_;
  std::unique_ptr<agent::ContainerRuntime> containers_;
  std::unique_ptr<agent::ImageStore> images_;
  std::unique_ptr<agent::LocalVolumes> disks_;
  std::unique_ptr<agent::VolumeProvider> volumes_;
  std::unique_ptr<net::PodNetwork> network_;
  std::unique_ptr<agent::ProbeRunner> probes_;
  ThreadPool log_remover_{loop_, 1};
  std::unique_ptr<agent::LogFiles> logs_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<client::InformerSet> informers_;
  std::unique_ptr<net::dns::DnsServer> dns_;
  std::unique_ptr<agent::ClusterDns> cluster_dns_;
  std::unique_ptr<agent::VolumeKeeper> keeper_;
  std::unique_ptr<agent::Agent> agent_;
  std::unique_ptr<agent::StreamServer> streams_;
  std::unique_ptr<agent::UsageService> usage_;
  std::unique_ptr<agent::ImageRoutes> image_routes_;
  std::unique_ptr<http::Server> http_;
  std::unique_ptr<agent::PodShutdown> shutdown_;
  int exit_code_ = 0;
};

}  // namespace

int run_agent(const std::string& data_dir) {
  auto give_up = [](const Error& error) {
    host::report_failure(error.message);
    return 1;
  };
  Result<host::ClusterDir> dir = host::open_cluster_dir(data_dir);
  if (!dir.ok()) return give_up(dir.error());
  Result<host::ClusterSettings> settings = host::load_settings(*dir);
  if (!settings.ok()) return give_up(settings.error());
  Fd host_network(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (Status entered = host::enter_node_space(*dir); !entered.ok()) return give_up(entered.error());
  AgentRole role(*dir, *settings, "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(host_network.get()));
  Signals signals(role.loop(), {SIGTERM, SIGINT, SIGUSR1}, [&role](int signal) { role.stop(signal); });
  if (Status started = role.start(); !started.ok()) return give_up(started.error());
  role.loop().run();
  return role.exit_code();
}

}  // namespace berth
