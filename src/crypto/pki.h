#pragma once
// Certificates of a cluster: an authority of its own (ECDSA P-256), and what it issues. PEM in, PEM out. Any thread.

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
  Time not_before{};                    // some minutes are taken off, for clocks that disagree
  Duration lifetime = std::chrono::hours(24 * 365);
};

// Self-signed, for ten years from `now`.
Result<KeyPair> make_authority(const std::string& common_name, Time now);
Result<KeyPair> issue(const KeyPair& authority, const CertificateRequest& request);
// When the first certificate of the text ends.
Result<Time> expiry(const std::string& certificate_pem);
// Whether the first certificate stands for every name and address of the request.
bool names_all(const std::string& certificate_pem, const CertificateRequest& request);
// Whether the first certificate is signed by one of the authorities, now; the error says why not.
Status verify_signed(const std::string& certificate_pem, const std::string& authorities_pem);

// Signs what a CertificateSigningRequest (PEM, PKCS#10) asks for: its subject, key and alternative names.
Result<std::string> sign_request(const KeyPair& authority, const std::string& request_pem, bool server, bool client,
                                 Time not_before, Duration lifetime);

}  // namespace berth::crypto
