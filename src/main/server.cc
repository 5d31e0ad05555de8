// The server role: store, API, controllers and scheduler on one loop.
#include "http/server.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include "apiserver/registry/registry.h"
#include "apiserver/rest/node_usage.h"
#include "apiserver/rest/rest_server.h"
#include "apiserver/rest/static_tokens.h"
#include "base/files.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "base/time/clock_watch.h"
#include "base/version.h"
#include "controllers/driver.h"
#include "crypto/jwt.h"
#include "host/daemon.h"
#include "host/node_space.h"
#include "host/ownership.h"
#include "host/settings.h"
#include "main/certificate_renewal.h"
#include "main/cluster_pki.h"
#include "main/control_plane.h"
#include "main/roles.h"
#include "main/signals.h"
#include "main/token_authority.h"
#include "store/sqlite_store.h"

namespace berth {
namespace {

constexpr const char* kIssuer = "https://kubernetes.default.svc.cluster.local";

// Raises the limit of descriptors as far as allowed; shells often set a lower one.
rlim_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised{std::min<rlim_t>(limit.rlim_max, 1 << 20), limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return std::max<rlim_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 20), 512);
}

class ServerRole {
 public:
  ServerRole(host::ClusterDir dir, host::ClusterSettings settings)
      : dir_(std::move(dir)), settings_(std::move(settings)) {}

  Status start() {
    BERTH_TRY(host::check_ownership(dir_));
    BERTH_ASSIGN(ClusterPki pki, ClusterPki::open(dir_, settings_, loop_.now()));
    pki_ = std::make_unique<ClusterPki>(std::move(pki));
    BERTH_TRY(open_store());
    apiserver::registry::RegistryConfig config;
    config.service_cidr = settings_.service_cidr;
    config.token_issuer = kIssuer;
    BERTH_TRY(config.gates.set(settings_.feature_gates));
    config.token_signer = [this](const Value& claims) {
      return sign_service_account_token(pki_->token_key_pem(), claims);
    };
    registry_ = std::make_unique<apiserver::registry::Registry>(loop_, *store_, api::schema::builtin(), config);
    BERTH_TRY(start_rest());
    registry_->bootstrap([this] { start_control_plane(); });
    renewal_ = std::make_unique<CertificateRenewal>(
        loop_, *pki_, [this](const http::TlsConfig& tls) { return http_->replace_certificate(tls); });
    return ok_status();
  }

  Loop& loop() { return loop_; }

  // Flushes the store before the loop ends: all accepted writes are durable.
  void stop() {
    log_info("server", "stopping");
    clock_.reset();
    renewal_.reset();
    http_.reset();
    control_plane_.reset();
    store_->flush([this] { loop_.stop(); });
  }

 private:
  Status open_store() {
    store::StoreGuard guard;
    guard.witness = dir_.store_witness();
    guard.up = dir_.up();
    if (Result<std::vector<std::string>> pods = list_directory(dir_.node() + "/pods"); pods.ok())
      guard.had_pods = !pods->empty();
    std::vector<store::Loss> accepted;
    if (Result<std::string> names = read_file(dir_.accepted_losses()); names.ok()) {
      for (std::string_view name : split(*names, '\n')) {
        if (std::optional<store::Loss> loss = store::loss_named(name)) accepted.push_back(*loss);
      }
    }
    guard.accepted = store::AcceptedLosses(std::move(accepted));
    BERTH_ASSIGN(store_, store::open_guarded_store(loop_, dir_.store(), {}, guard));
    ::unlink(dir_.accepted_losses().c_str());  // accepted for one start only
    return ok_status();
  }

  Status start_rest() {
    apiserver::rest::RestConfig config;
    config.issuer = kIssuer;
    BERTH_ASSIGN(std::string jwk, crypto::public_key_jwk(pki_->token_key_pem()));
    config.jwks = "{\"keys\":[" + jwk + "]}";
    config.address =
        (host::node_space_exists(dir_) ? settings_.node_ip : "127.0.0.1") + ":" + std::to_string(settings_.api_port);
    BERTH_ASSIGN(static_tokens_, apiserver::rest::read_static_tokens(dir_.pki() + "/tokens.csv"));
    config.audiences = {kIssuer};
    config.authenticate_token =
        [this, own = config.audiences](
            std::string_view token,
            const std::vector<std::string>& accepted_audiences) -> Result<apiserver::rest::TokenHolder> {
      if (auto known = static_tokens_.find(std::string(token)); known != static_tokens_.end())
        return apiserver::rest::static_holder(known->second, own, accepted_audiences);
      return authenticate_service_account({pki_->token_key_pem(), kIssuer, own}, *registry_, token, accepted_audiences,
                                          loop_.now());
    };
    config.node_endpoint = [this](std::string_view node) -> Result<http::Endpoint> {
      if (node != settings_.node_name)
        return error(Code::kUnavailable, "node " + std::string(node) + " is not connected to this server");
      http::Endpoint endpoint;
      endpoint.address = "unix:" + dir_.agent_socket();
      return endpoint;
    };
    usage_ = std::make_unique<apiserver::rest::NodeUsage>(loop_, config.node_endpoint);
    config.usage = usage_.get();
    config.ready = [this] { return ready_; };
    rest_ = std::make_unique<apiserver::rest::RestServer>(loop_, *registry_, config);
    http::ServerConfig http = apiserver::rest::server_config();
    http.screen = rest_->screen();
    // The remaining descriptors are for the store, the agent and file watches.
    http.max_connections = std::min(http.max_connections, static_cast<int>(raise_descriptor_limit()) - 256);
    http_ = http::make_server(loop_, rest_->handler(), std::move(http));
    BERTH_TRY(http_->listen("127.0.0.1:" + std::to_string(settings_.api_port), pki_->serving()));
    BERTH_TRY(http_->listen("unix:" + dir_.api_socket(), std::nullopt));
    // Pods reach the API by its Service address, which the node itself has.
    if (host::node_space_exists(dir_)) {
      BERTH_ASSIGN(int fd, host::listen_in_node(dir_, settings_.api_service_ip, 443));
      BERTH_TRY(http_->listen_fd(fd, pki_->serving()));
      listen_for_endpoints();
    }
    return ok_status();
  }

  // The Endpoints of default/kubernetes contain the node's address and the API's port, as on any control plane node. A
  // pod in the node's network may have bound the port while the server was down; the Service's address works even then.
  void listen_for_endpoints() {
    address_ = {settings_.node_ip, settings_.api_port};
    Result<int> fd = host::listen_in_node(dir_, settings_.node_ip, settings_.api_port);
    Status heard = fd.ok() ? http_->listen_fd(*fd, pki_->serving()) : Status(fd.error());
    if (!heard.ok())
      log_warning("server", "the endpoints of the Service kubernetes do not answer",
                  {{"error", heard.error().message}});
  }

  // For autoscalers: the usage of a namespace's pods, from those nodes that answer.
  controllers::hpa::ReadMetrics metrics_reader() {
    return [this](const std::string& ns, Function<void(Result<std::vector<Value>>)> done) {
      const api::schema::Kind& nodes = *api::schema::builtin().find(api::resources::kNodes);
      std::vector<std::string> names;
      for (const store::RecordPtr& node : store_->list(apiserver::registry::store_key(nodes, "", "")).records)
        names.emplace_back(api::name_of(node->value));
      usage_->ask(names, [ns, done = std::move(done)](const apiserver::rest::NodeUsage::Reports& reports) {
        done(apiserver::rest::NodeUsage::pods_of(reports, ns));
      });
    };
  }

  controllers::serviceaccount::SignToken secret_signer() {
    return [this](const Value& account, const Value& secret) {
      return sign_secret_token(pki_->token_key_pem(), account, secret);
    };
  }

  void start_control_plane() {
    client_ =
        apiserver::registry::make_direct_client(*registry_, {"system:kube-controller-manager", {"system:masters"}});
    // Without the record the server runs, too, but deaths are not counted.
    Result<std::unique_ptr<controllers::HandlingRecord>> record =
        controllers::HandlingRecord::open(dir_.run(), kVersion);
    if (record.ok()) {
      record_ = std::move(*record);
    } else {
      log_warning("server", "cannot note what is being handled", {{"error", record.error().message}});
    }
    control_plane_ = std::make_unique<ControlPlane>(
        loop_, *client_,
        ControlPlaneConfig{pki_->ca_pem(), metrics_reader(), secret_signer(), address_, record_.get()});
    clock_ = std::make_unique<ClockWatch>(loop_, [this] {
      renewal_->renew_now();
      control_plane_->on_clock_changed();
    });
    ready_ = true;
    log_info("server", "ready", {{"address", "https://127.0.0.1:" + std::to_string(settings_.api_port)}});
    host::report_ready();
  }

  host::ClusterDir dir_;
  host::ClusterSettings settings_;
  Loop loop_{2};
  std::unique_ptr<ClusterPki> pki_;
  apiserver::rest::StaticTokens static_tokens_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<apiserver::registry::Registry> registry_;
  std::unique_ptr<apiserver::rest::NodeUsage> usage_;
  std::unique_ptr<apiserver::rest::RestServer> rest_;
  std::unique_ptr<http::Server> http_;
  std::unique_ptr<CertificateRenewal> renewal_;
  std::unique_ptr<ClockWatch> clock_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<controllers::HandlingRecord> record_;
  std::unique_ptr<ControlPlane> control_plane_;
  controllers::endpoint::ApiServerAddress address_;  // of default/kubernetes
  bool ready_ = false;
};

}  // namespace

int run_server(const std::string& data_dir) {
  auto give_up = [](const Error& error) {
    host::report_failure(error.message);
    return 1;
  };
  Result<host::ClusterDir> dir = host::open_cluster_dir(data_dir);
  if (!dir.ok()) return give_up(dir.error());
  Result<host::ClusterSettings> settings = host::load_settings(*dir);
  if (!settings.ok()) return give_up(settings.error());
  ServerRole role(*dir, *settings);
  Signals signals(role.loop(), {SIGTERM, SIGINT}, [&role](int) { role.stop(); });
  if (Status started = role.start(); !started.ok()) return give_up(started.error());
  role.loop().run();
  return 0;
}

}  // namespace berth
