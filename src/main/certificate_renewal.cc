#include "main/certificate_renewal.h"

#include "base/log.h"

namespace berth {

CertificateRenewal::CertificateRenewal(Runtime& runtime, ClusterPki& pki,
                                       Function<Status(const http::TlsConfig&)> serve)
    : runtime_(runtime), pki_(pki), serve_(std::move(serve)), served_(pki.serving().certificate_pem) {
  schedule();
}

CertificateRenewal::~CertificateRenewal() { runtime_.cancel(timer_); }

void CertificateRenewal::schedule() {
  timer_ = runtime_.after(12h, [this] {
    renew_now();
    schedule();
  });
}

void CertificateRenewal::renew_now() {
  Status renewed = pki_.renew(runtime_.now());
  if (!renewed.ok()) log_error("pki", "renewing certificates failed", {{"error", renewed.error().message}});
  // One certificate may have been renewed although another could not be.
  const http::TlsConfig serving = pki_.serving();
  if (serving.certificate_pem == served_) return;
  Status replaced = serve_(serving);
  if (!replaced.ok())
    return log_error("pki", "the new certificate cannot be served", {{"error", replaced.error().message}});
  served_ = serving.certificate_pem;
}

}  // namespace berth
