#pragma once
// Renews a cluster's certificates while the server runs.

#include "base/function.h"
#include "base/runtime.h"
#include "http/server.h"
#include "main/cluster_pki.h"

namespace berth {

// Looks twice a day. `serve` gets each new serving certificate; while renewing or `serve` fails, the old one goes on
// being served and the next look tries again. Ends with the object.
class CertificateRenewal {
 public:
  CertificateRenewal(Runtime& runtime, ClusterPki& pki, Function<Status(const http::TlsConfig&)> serve);
  ~CertificateRenewal();
  CertificateRenewal(const CertificateRenewal&) = delete;
  void look();  // now

 private:
  void wait();

  Runtime& runtime_;
  ClusterPki& pki_;
  Function<Status(const http::TlsConfig&)> serve_;
  std::string served_;  // the certificate that connections get
  TimerId timer_ = 0;
};

}  // namespace berth
