// Certificates that are renewed: the real files and the real TLS server, over virtual time.

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/files.h"
#include "base/loop.h"
#include "base/text.h"
#include "base/yaml/yaml.h"
#include "client/testing/test_runtime.h"
#include "crypto/openssl_error.h"
#include "crypto/openssl_handles.h"
#include "http/client.h"
#include "http/socket_address.h"
#include "http/tls.h"
#include "main/certificate_renewal.h"

namespace berth {
namespace {

constexpr Duration kDay = 24h;

// Virtual time that starts at a time of the test's choice: OpenSSL compares certificates with the real time.
class Clock final : public Runtime {
 public:
  explicit Clock(Time start) : start_(start) {}
  Time now() const override { return start_ + virtual_.monotonic(); }
  Duration monotonic() const override { return virtual_.monotonic(); }
  void post(Task task) override { virtual_.post(std::move(task)); }
  TimerId after(Duration delay, Task task) override { return virtual_.after(delay, std::move(task)); }
  void cancel(TimerId id) override { virtual_.cancel(id); }
  void offload(Task work, Task done) override { virtual_.offload(std::move(work), std::move(done)); }
  std::uint64_t random() override { return virtual_.random(); }

  void advance(Duration time) { virtual_.advance(time); }
  std::size_t timers() const { return virtual_.timers(); }

 private:
  Time start_;
  client::testing::TestRuntime virtual_;
};

class ClusterPkiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "berth-pki-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    dir_ = host::open_cluster_dir(path).value();
    ASSERT_TRUE(make_directories(dir_.pki()).ok());
    open();
    server_ = http::make_server(
        loop_, [](std::shared_ptr<http::Exchange> exchange) { exchange->respond(200, "text/plain", "yes"); });
    address_ = server_->listen("127.0.0.1:0", pki_->serving()).value();
    renewal_ = std::make_unique<CertificateRenewal>(
        clock_, *pki_, [this](const http::TlsConfig& tls) { return server_->replace_certificate(tls); });
  }
  void TearDown() override {
    renewal_.reset();
    EXPECT_EQ(clock_.timers(), 0u);
    std::filesystem::remove_all(dir_.root);
  }

  void open() {
    pki_ = std::make_unique<ClusterPki>(ClusterPki::open(dir_, host::ClusterSettings{}, clock_.now()).value());
  }

  // The certificate that a new connection gets.
  std::string presented() {
    http::Endpoint endpoint;
    endpoint.address = address_;
    endpoint.ca_pem = pki_->ca_pem();
    endpoint.server_name = "127.0.0.1";
    http::SslContext context = http::make_client_context(endpoint).value();
    auto to = http::parse_address(address_);
    Fd fd(::socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to->storage), to->size), 0);
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
    EXPECT_TRUE(http::prepare_client(ssl.get(), endpoint).ok());
    SSL_set_fd(ssl.get(), fd.get());
    EXPECT_EQ(SSL_connect(ssl.get()), 1) << crypto::openssl_error_text();
    return pem_of(SSL_get0_peer_certificate(ssl.get()));
  }

  static std::string pem_of(X509* certificate) {
    if (!certificate) return "";
    std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_X509(bio.get(), certificate);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }

  std::string on_disk(const std::string& name) { return read_file(dir_.pki() + "/" + name + ".crt").value(); }
  std::string admin() {
    Value config = yaml::parse(read_file(dir_.kubeconfig()).value()).value();
    return base64_decode(config["users"][0]["user"]["client-certificate-data"].as_string()).value();
  }

  // Renewal happens after two thirds of 365 days, and the new certificate must also be valid in real time.
  Loop loop_;
  Clock clock_{loop_.now() - 260 * kDay};
  host::ClusterDir dir_;
  std::unique_ptr<ClusterPki> pki_;
  std::unique_ptr<http::Server> server_;
  std::string address_;
  std::unique_ptr<CertificateRenewal> renewal_;
};

TEST_F(ClusterPkiTest, NewConnectionsGetTheRenewedCertificate) {
  const std::string first = presented(), first_admin = admin();
  EXPECT_EQ(first, on_disk("apiserver"));
  EXPECT_EQ(first_admin, on_disk("admin"));
  clock_.advance(240 * kDay);
  EXPECT_EQ(presented(), first) << "a third of its life is left";
  EXPECT_EQ(admin(), first_admin);
  clock_.advance(4 * kDay);
  const std::string second = presented();
  EXPECT_NE(second, first);
  EXPECT_EQ(second, on_disk("apiserver"));
  EXPECT_GT(crypto::expiry(second).value(), clock_.now() + 360 * kDay);
  EXPECT_TRUE(crypto::verify_signed(second, pki_->ca_pem()).ok());
  EXPECT_NE(admin(), first_admin);
  EXPECT_EQ(admin(), on_disk("admin"));
  EXPECT_TRUE(crypto::verify_signed(admin(), pki_->ca_pem()).ok());
  struct stat file {};
  ASSERT_EQ(::stat(dir_.kubeconfig().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777u, 0600u);
  open();
  EXPECT_EQ(pki_->serving().certificate_pem, second) << "the next server finds it";
}

// The node's address was missing in earlier releases, and may change.
TEST_F(ClusterPkiTest, ACertificateForOtherAddressesIsMadeAnew) {
  const std::string first = on_disk("apiserver"), first_admin = on_disk("admin");
  open();
  EXPECT_EQ(on_disk("apiserver"), first);
  host::ClusterSettings moved;
  moved.node_ip = "10.244.7.1";
  pki_ = std::make_unique<ClusterPki>(ClusterPki::open(dir_, moved, clock_.now()).value());
  EXPECT_NE(on_disk("apiserver"), first);
  EXPECT_EQ(pki_->serving().certificate_pem, on_disk("apiserver"));
  EXPECT_EQ(on_disk("admin"), first_admin);
  EXPECT_TRUE(server_->replace_certificate(pki_->serving()).ok());
  crypto::CertificateRequest request;
  request.addresses = {"127.0.0.1", "10.244.7.1"};
  EXPECT_TRUE(crypto::names_all(presented(), request));
}

TEST_F(ClusterPkiTest, AKubeconfigKeepsWhatItsUserHasChanged) {
  const std::string path = dir_.kubeconfig();
  Value config = yaml::parse(read_file(path).value()).value();
  config.mut("contexts").mut(0).mut("context").set("namespace", "db");
  config.mut("clusters").push(yaml::parse("name: other\ncluster: {server: 'https://other'}").value());
  config.set("current-context", "other");
  const std::string by_hand = "# mine\n" + yaml::encode(config);
  ASSERT_TRUE(write_file(path, by_hand, 0600).ok());
  open();
  EXPECT_EQ(read_file(path).value(), by_hand) << "nothing of ours is missing";
  host::ClusterSettings moved;
  moved.api_port = 7443;
  pki_ = std::make_unique<ClusterPki>(ClusterPki::open(dir_, moved, clock_.now()).value());
  config.mut("clusters").mut(0).mut("cluster").set("server", "https://127.0.0.1:7443");
  EXPECT_EQ(yaml::parse(read_file(path).value()).value(), config);
}

// Missing entries are added, and an unreadable file is replaced.
TEST_F(ClusterPkiTest, AKubeconfigIsMendedWhereItIsDamaged) {
  const std::string path = dir_.kubeconfig(), original = read_file(path).value();
  for (const char* damaged : {"", "[]", "'x'", "clusters: 7", "clusters: [1, {name: berth}, {name: 5}]\nusers: {a: b}",
                              "\tno yaml: [", "contexts:\n- name: berth\n  context: 3\n"}) {
    ASSERT_TRUE(write_file(path, damaged, 0600).ok());
    open();
    const Value config = yaml::parse(read_file(path).value()).value(), made = yaml::parse(original).value();
    for (const char* list : {"clusters", "users", "contexts"}) {
      bool found = false;
      for (const Value& entry : config[list]) found = found || entry == made[list][0];
      EXPECT_TRUE(found) << list << " after " << damaged;
    }
    EXPECT_EQ(config["current-context"], "berth");
  }
}

TEST_F(ClusterPkiTest, WhatCouldNotBeWrittenIsTriedAgain) {
  const std::string first = presented(), first_admin = admin();
  std::filesystem::rename(dir_.pki(), dir_.pki() + "-away");
  ASSERT_TRUE(write_file(dir_.pki(), "in the way").ok());
  clock_.advance(250 * kDay);
  EXPECT_EQ(presented(), first);
  EXPECT_EQ(pki_->serving().certificate_pem, first);
  EXPECT_EQ(admin(), first_admin);
  std::filesystem::remove(dir_.pki());
  std::filesystem::rename(dir_.pki() + "-away", dir_.pki());
  clock_.advance(12h);
  EXPECT_NE(presented(), first);
  EXPECT_EQ(presented(), on_disk("apiserver"));
  EXPECT_NE(admin(), first_admin);
}

TEST_F(ClusterPkiTest, AKubeconfigThatCouldNotBeWrittenIsTriedAgain) {
  const std::string first_admin = admin();
  std::filesystem::remove(dir_.kubeconfig());
  std::filesystem::create_directory(dir_.kubeconfig());
  std::filesystem::create_directory(dir_.kubeconfig() + "/in-the-way");
  clock_.advance(250 * kDay);
  EXPECT_EQ(presented(), on_disk("apiserver")) << "one does not wait for the other";
  std::filesystem::remove_all(dir_.kubeconfig());
  clock_.advance(12h);
  EXPECT_NE(admin(), first_admin);
  EXPECT_EQ(admin(), on_disk("admin"));
}

}  // namespace
}  // namespace berth
