#pragma once
// Renews a cluster's certificates while the server runs.

#include "base/function.h"
#include "base/runtime.h"
#include "http/server.h"
#include "main/cluster_pki.h"

namespace berth {

// Checks twice a day. Calls `serve` with each new serving certificate; if renewing or `serve` fails, the old one
// continues to be served and the next check retries. Stops when destroyed.
class CertificateRenewal {
 public:
  CertificateRenewal(Runtime& runtime, ClusterPki& pki, Function<Status(const http::TlsConfig&)> serve);
  ~CertificateRenewal();
  CertificateRenewal(const CertificateRenewal&) = delete;
  void renew_now();  // checks now

 private:
  void schedule();

  Runtime& runtime_;
  ClusterPki& pki_;
  Function<Status(const http::TlsConfig&)> serve_;
  std::string served_;  // the certificate that new connections get
  TimerId timer_ = 0;
};

}  // namespace berth
