#pragma once
// The keys and certificates of a cluster, in its directory: made when missing, renewed before they end.

#include <string>

#include "base/result.h"
#include "base/runtime.h"
#include "http/pki.h"
#include "http/server.h"
#include "lab/settings.h"

namespace berth {

class ClusterPki {
 public:
  // Reads or makes everything. Writes the kubeconfig where it is missing, or has another address or certificate for this cluster;
  // what its user has changed otherwise stays.
  static Result<ClusterPki> open(const lab::ClusterDir& dir, const lab::Settings& settings, Time now);

  // Renews what has less than a third of its life left, and the kubeconfig with it. What cannot be written stays as it
  // was, here as on disk.
  Status renew(Time now);

  http::TlsConfig serving() const;
  const std::string& ca_pem() const { return authority_.certificate_pem; }
  const std::string& token_key_pem() const { return token_key_; }

 private:
  ClusterPki(lab::ClusterDir dir, lab::Settings settings) : dir_(std::move(dir)), settings_(std::move(settings)) {}
  Status keep(const std::string& name, const http::CertificateRequest& request, http::KeyPair& pair, Time now);
  Status write_kubeconfig();

  lab::ClusterDir dir_;
  lab::Settings settings_;
  http::KeyPair authority_, serving_, admin_;
  std::string token_key_;
};

}  // namespace berth
