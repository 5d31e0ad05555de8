#include "main/cluster_pki.h"

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "base/yaml/yaml.h"
#include "http/jwt.h"

namespace berth {
namespace {

constexpr Duration kLifetime = std::chrono::hours(24 * 365);

Result<http::KeyPair> read_pair(const std::string& base) {
  http::KeyPair pair;
  BERTH_ASSIGN(pair.certificate_pem, read_file(base + ".crt"));
  BERTH_ASSIGN(pair.key_pem, read_file(base + ".key"));
  return pair;
}

Status write_pair(const std::string& base, const http::KeyPair& pair) {
  BERTH_TRY(write_file_durably(base + ".key", pair.key_pem, 0600));
  return write_file_durably(base + ".crt", pair.certificate_pem, 0644);
}

http::CertificateRequest serving_request(const lab::Settings& settings) {
  http::CertificateRequest request;
  request.common_name = "kube-apiserver";
  request.dns_names = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                       "kubernetes.default.svc." + settings.cluster_domain};
  request.addresses = {"127.0.0.1", settings.api_service_ip, settings.node_ip};
  request.server = true;
  request.lifetime = kLifetime;
  return request;
}

http::CertificateRequest admin_request() {
  http::CertificateRequest request;
  request.common_name = "kubernetes-admin";
  request.organizations = {"system:masters"};
  request.client = true;
  request.lifetime = kLifetime;
  return request;
}

}  // namespace

// A pair that is missing, damaged, signed by another authority, for other addresses or near its end is made anew.
Status ClusterPki::keep(const std::string& name, const http::CertificateRequest& wanted, http::KeyPair& pair, Time now) {
  std::string base = dir_.pki() + "/" + name;
  if (pair.certificate_pem.empty()) {
    Result<http::KeyPair> stored = read_pair(base);
    if (stored.ok() && http::verify_signed(stored->certificate_pem, authority_.certificate_pem).ok()) pair = *stored;
  }
  if (!pair.certificate_pem.empty()) {
    Result<Time> end = http::expiry(pair.certificate_pem);
    if (end.ok() && *end - now > kLifetime / 3 && http::names_all(pair.certificate_pem, wanted)) return ok_status();
  }
  http::CertificateRequest request = wanted;
  request.not_before = now;
  BERTH_ASSIGN(http::KeyPair issued, http::issue(authority_, request));
  BERTH_TRY(write_pair(base, issued));
  pair = std::move(issued);
  log_info("pki", "certificate issued", {{"name", name}});
  return ok_status();
}

Result<ClusterPki> ClusterPki::open(const lab::ClusterDir& dir, const lab::Settings& settings, Time now) {
  ClusterPki pki(dir, settings);
  std::string ca = dir.pki() + "/ca";
  Result<http::KeyPair> authority = read_pair(ca);
  if (authority.ok()) {
    pki.authority_ = *authority;
  } else if (authority.failed_with(Code::kNotFound) && !path_exists(dir.store())) {
    BERTH_ASSIGN(pki.authority_, http::make_authority("berth", now));
    BERTH_TRY(write_pair(ca, pki.authority_));
  } else {
    return error(Code::kInternal, "the cluster's authority " + ca + ".crt/.key cannot be read (" + authority.error().message +
                                      "); restore it from a backup, or start over with berth down --purge");
  }
  std::string token_path = dir.pki() + "/service-accounts.key";
  Result<std::string> token_key = read_file(token_path);
  if (token_key.ok()) {
    pki.token_key_ = *token_key;
  } else {
    BERTH_ASSIGN(pki.token_key_, http::make_private_key(http::KeyKind::kEcdsa));
    BERTH_TRY(write_file_durably(token_path, pki.token_key_, 0600));
  }
  BERTH_TRY(pki.renew(now));
  return pki;
}

Status ClusterPki::renew(Time now) {
  Status serving = keep("apiserver", serving_request(settings_), serving_, now);
  BERTH_TRY(keep("admin", admin_request(), admin_, now));
  BERTH_TRY(write_kubeconfig());
  return serving;
}

http::TlsConfig ClusterPki::serving() const {
  return {serving_.certificate_pem, serving_.key_pem, authority_.certificate_pem};
}

Status ClusterPki::write_kubeconfig() {
  Value config = Value::object(
      {{"apiVersion", "v1"},
       {"kind", "Config"},
       {"current-context", "berth"},
       {"clusters",
        Value::array({Value::object(
            {{"name", "berth"},
             {"cluster", Value::object({{"server", "https://127.0.0.1:" + std::to_string(settings_.api_port)},
                                        {"certificate-authority-data", base64_encode(authority_.certificate_pem)}})}})})},
       {"contexts", Value::array({Value::object({{"name", "berth"}, {"context", Value::object({{"cluster", "berth"}, {"user", "berth-admin"}})}})})},
       {"users",
        Value::array({Value::object(
            {{"name", "berth-admin"},
             {"user", Value::object({{"client-certificate-data", base64_encode(admin_.certificate_pem)},
                                     {"client-key-data", base64_encode(admin_.key_pem)}})}})})},
       {"preferences", Value::object()}});
  std::string text = yaml::encode(config);
  Result<std::string> present = read_file(dir_.kubeconfig());
  if (present.ok() && *present == text) return ok_status();
  return write_file_durably(dir_.kubeconfig(), text, 0600);
}

}  // namespace berth
