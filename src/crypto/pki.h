#pragma once
// Certificates of a cluster: its own authority (ECDSA P-256), and certificates issued by it. PEM in, PEM out. Any
// thread.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/runtime.h"

namespace berth::crypto {

struct KeyPair {
  std::string certificate_pem, key_pem;
};

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;   // servers: subject alternative names
  std::vector<std::string> addresses;   // servers: IP addresses as text
  bool server = false, client = false;  // extended key usage
  Time not_before{};                    // the certificate is valid some minutes earlier, for clocks that differ
  Duration lifetime = std::chrono::hours(24 * 365);
};

// Self-signed, for ten years from `now`.
Result<KeyPair> make_authority(const std::string& common_name, Time now);
Result<KeyPair> issue(const KeyPair& authority, const CertificateRequest& request);
// When the first certificate of the text expires.
Result<Time> expiry(const std::string& certificate_pem);
// True if the first certificate contains every name and address of the request.
bool names_all(const std::string& certificate_pem, const CertificateRequest& request);
// Succeeds if the first certificate is signed by one of the authorities and valid now; the error gives the reason.
Status verify_signed(const std::string& certificate_pem, const std::string& authorities_pem);

// Issues the certificate for a CertificateSigningRequest (PEM, PKCS#10): its subject, key and alternative names.
Result<std::string> sign_request(const KeyPair& authority, const std::string& request_pem, bool server, bool client,
                                 Time not_before, Duration lifetime);

}  // namespace berth::crypto
