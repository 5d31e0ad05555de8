#pragma once
// The keys and certificates of a cluster, in its directory: made when missing, renewed before they end.

#include <string>

#include "base/result.h"
#include "base/runtime.h"
#include "crypto/pki.h"
#include "host/settings.h"
#include "http/server.h"

namespace berth {

class ClusterPki {
 public:
  // Reads or makes everything. Writes the kubeconfig where it is missing, or has another address or certificate for
  // this cluster; what its user has changed otherwise stays.
  static Result<ClusterPki> open(const host::ClusterDir& dir, const host::Settings& settings, Time now);

  // Renews what has less than a third of its life left, and the kubeconfig with it. What cannot be written stays as it
  // was, here as on disk.
  Status renew(Time now);

  http::TlsConfig serving() const;
  const std::string& ca_pem() const { return authority_.certificate_pem; }
  const std::string& token_key_pem() const { return token_key_; }

 private:
  ClusterPki(host::ClusterDir dir, host::Settings settings) : dir_(std::move(dir)), settings_(std::move(settings)) {}
  Status keep(const std::string& name, const crypto::CertificateRequest& request, crypto::KeyPair& pair, Time now);
  Status write_kubeconfig();

  host::ClusterDir dir_;
  host::Settings settings_;
  crypto::KeyPair authority_, serving_, admin_;
  std::string token_key_;
};

}  // namespace berth
