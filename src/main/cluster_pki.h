#pragma once
// The keys and certificates of a cluster, in its directory: created if missing, renewed before they expire.

#include <string>

#include "base/result.h"
#include "base/runtime.h"
#include "crypto/pki.h"
#include "host/settings.h"
#include "http/server.h"

namespace berth {

class ClusterPki {
 public:
  // Reads or creates all of them. Writes the kubeconfig if it is missing or has another address or certificate for this
  // cluster; its user's other changes are kept.
  static Result<ClusterPki> open(const host::ClusterDir& dir, const host::ClusterSettings& settings, Time now);

  // Renews certificates with less than a third of their lifetime left, and the kubeconfig with them. If writing fails,
  // the old certificate stays in memory and on disk.
  Status renew(Time now);

  http::TlsConfig serving() const;
  const std::string& ca_pem() const { return authority_.certificate_pem; }
  const std::string& token_key_pem() const { return token_key_; }

 private:
  ClusterPki(host::ClusterDir dir, host::ClusterSettings settings)
      : dir_(std::move(dir)), settings_(std::move(settings)) {}
  Status ensure_pair(const std::string& name, const crypto::CertificateRequest& request, crypto::KeyPair& pair,
                     Time now);
  Status write_kubeconfig();

  host::ClusterDir dir_;
  host::ClusterSettings settings_;
  crypto::KeyPair authority_, serving_, admin_;
  std::string token_key_;
};

}  // namespace berth
