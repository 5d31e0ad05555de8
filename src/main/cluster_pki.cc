#include "main/cluster_pki.h"

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "base/yaml/yaml.h"
#include "crypto/jwt.h"

namespace berth {
namespace {

constexpr Duration kLifetime = std::chrono::hours(24 * 365);

Result<crypto::KeyPair> read_pair(const std::string& base) {
  crypto::KeyPair pair;
  BERTH_ASSIGN(pair.certificate_pem, read_file(base + ".crt"));
  BERTH_ASSIGN(pair.key_pem, read_file(base + ".key"));
  return pair;
}

Status write_pair(const std::string& base, const crypto::KeyPair& pair) {
  BERTH_TRY(write_file_durably(base + ".key", pair.key_pem, 0600));
  return write_file_durably(base + ".crt", pair.certificate_pem, 0644);
}

crypto::CertificateRequest serving_request(const host::ClusterSettings& settings) {
  crypto::CertificateRequest request;
  request.common_name = "kube-apiserver";
  request.dns_names = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                       "kubernetes.default.svc." + settings.cluster_domain};
  request.addresses = {"127.0.0.1", settings.api_service_ip, settings.node_ip};
  request.server = true;
  request.lifetime = kLifetime;
  return request;
}

crypto::CertificateRequest admin_request() {
  crypto::CertificateRequest request;
  request.common_name = "kubernetes-admin";
  request.organizations = {"system:masters"};
  request.client = true;
  request.lifetime = kLifetime;
  return request;
}

// Sets fields of the named entry in one of a kubeconfig's lists; creates the entry if it is missing. Other fields are
// kept.
void set_named(Value& config, const char* list, const char* name, const char* field,
               const std::vector<std::pair<const char*, std::string>>& fields) {
  if (!config[list].is_array()) config.set(list, Value::array());
  Value& entries = config.mut(list);
  std::size_t at = 0;
  while (at < entries.size() && entries[at]["name"].as_string() != name) ++at;
  if (at == entries.size()) entries.push(Value::object({{"name", name}}));
  Value& entry = entries.mut(at);
  if (!entry[field].is_object()) entry.set(field, Value::object());
  for (const auto& [key, value] : fields) entry.mut(field).set(key, value);
}

}  // namespace

// Issues a new pair if it is missing, damaged, signed by another authority, for other addresses or close to expiry.
Status ClusterPki::ensure_pair(const std::string& name, const crypto::CertificateRequest& request,
                               crypto::KeyPair& pair, Time now) {
  std::string base = dir_.pki() + "/" + name;
  if (pair.certificate_pem.empty()) {
    Result<crypto::KeyPair> stored = read_pair(base);
    if (stored.ok() && crypto::verify_signed(stored->certificate_pem, authority_.certificate_pem).ok()) pair = *stored;
  }
  if (!pair.certificate_pem.empty()) {
    Result<Time> end = crypto::expiry(pair.certificate_pem);
    if (end.ok() && *end - now > kLifetime / 3 && crypto::names_all(pair.certificate_pem, request)) return ok_status();
  }
  crypto::CertificateRequest dated = request;
  dated.not_before = now;
  BERTH_ASSIGN(crypto::KeyPair issued, crypto::issue(authority_, dated));
  BERTH_TRY(write_pair(base, issued));
  pair = std::move(issued);
  log_info("pki", "certificate issued", {{"name", name}});
  return ok_status();
}

Result<ClusterPki> ClusterPki::open(const host::ClusterDir& dir, const host::ClusterSettings& settings, Time now) {
  ClusterPki pki(dir, settings);
  std::string ca = dir.pki() + "/ca";
  Result<crypto::KeyPair> authority = read_pair(ca);
  if (authority.ok()) {
    pki.authority_ = *authority;
  } else if (authority.failed_with(Code::kNotFound) && !path_exists(dir.store())) {
    BERTH_ASSIGN(pki.authority_, crypto::make_authority("berth", now));
    BERTH_TRY(write_pair(ca, pki.authority_));
  } else {
    return error(Code::kInternal, "the cluster's authority " + ca + ".crt/.key cannot be read (" +
                                      authority.error().message +
                                      "); restore it from a backup, or start over with berth down --purge");
  }
  std::string token_path = dir.pki() + "/service-accounts.key";
  Result<std::string> token_key = read_file(token_path);
  if (token_key.ok()) {
    pki.token_key_ = *token_key;
  } else {
    BERTH_ASSIGN(pki.token_key_, crypto::make_private_key(crypto::KeyKind::kEcdsa));
    BERTH_TRY(write_file_durably(token_path, pki.token_key_, 0600));
  }
  BERTH_TRY(pki.renew(now));
  return pki;
}

Status ClusterPki::renew(Time now) {
  Status serving = ensure_pair("apiserver", serving_request(settings_), serving_, now);
  BERTH_TRY(ensure_pair("admin", admin_request(), admin_, now));
  BERTH_TRY(write_kubeconfig());
  return serving;
}

http::TlsConfig ClusterPki::serving() const {
  return {serving_.certificate_pem, serving_.key_pem, authority_.certificate_pem};
}

// The user may have set a namespace, added a cluster or chosen another context: write only Berth's own entries, and
// only if they differ.
Status ClusterPki::write_kubeconfig() {
  Value present;
  if (Result<std::string> text = read_file(dir_.kubeconfig()); text.ok()) {
    if (Result<Value> parsed = yaml::parse(*text); parsed.ok()) present = std::move(*parsed);
  }
  Value config = present.is_object()
                     ? present
                     : Value::object({{"apiVersion", "v1"}, {"kind", "Config"}, {"preferences", Value::object()}});
  if (config["current-context"].as_string().empty()) config.set("current-context", "berth");
  set_named(config, "clusters", "berth", "cluster",
            {{"server", "https://127.0.0.1:" + std::to_string(settings_.api_port)},
             {"certificate-authority-data", base64_encode(authority_.certificate_pem)}});
  set_named(config, "users", "berth-admin", "user",
            {{"client-certificate-data", base64_encode(admin_.certificate_pem)},
             {"client-key-data", base64_encode(admin_.key_pem)}});
  set_named(config, "contexts", "berth", "context", {{"cluster", "berth"}, {"user", "berth-admin"}});
  if (config == present) return ok_status();
  return write_file_durably(dir_.kubeconfig(), yaml::encode(config), 0600);
}

}  // namespace berth
