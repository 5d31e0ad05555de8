#include "http/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <ctime>

#include "base/text.h"
#include "crypto/openssl_error.h"
#include "crypto/openssl_handles.h"

namespace berth::http {

namespace {

Status use_certificate(SSL_CTX* context, const std::string& certificate_pem, const std::string& key_pem) {
  crypto::Bio chain = crypto::memory_bio(certificate_pem);
  X509* leaf = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr);
  if (!leaf) return error(Code::kInvalid, "certificate: no PEM certificate in it: " + crypto::openssl_error_text());
  bool used = SSL_CTX_use_certificate(context, leaf) == 1;
  X509_free(leaf);
  if (!used) return error(Code::kInvalid, "certificate: " + crypto::openssl_error_text());
  while (X509* more = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, more) != 1) {
      X509_free(more);
      return error(Code::kInvalid, "certificate chain: " + crypto::openssl_error_text());
    }
  }
  ERR_clear_error();
  crypto::Bio key_bio = crypto::memory_bio(key_pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr);
  if (!key) return error(Code::kInvalid, "private key: no PEM key in it: " + crypto::openssl_error_text());
  used = SSL_CTX_use_PrivateKey(context, key) == 1;
  EVP_PKEY_free(key);
  if (!used)
    return error(Code::kInvalid, "private key: does not belong to the certificate: " + crypto::openssl_error_text());
  return ok_status();
}

// Adds every certificate of the text to the trusted ones and, for servers, to the names sent to clients.
Status trust(SSL_CTX* context, const std::string& ca_pem, bool announce) {
  crypto::Bio bio = crypto::memory_bio(ca_pem);
  int count = 0;
  while (X509* ca = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca);
    if (announce) SSL_CTX_add_client_CA(context, ca);
    X509_free(ca);
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return error(Code::kInvalid, "certificate authority: no PEM certificate in it");
  return ok_status();
}

int select_protocol(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* offered,
                    unsigned offered_length, void*) {
  auto find = [&](std::string_view wanted) {
    for (unsigned i = 0; i + 1 <= offered_length;) {
      unsigned size = offered[i];
      if (i + 1 + size > offered_length) return false;
      if (std::string_view(reinterpret_cast<const char*>(offered) + i + 1, size) == wanted) {
        *out = offered + i + 1;
        *length = offered[i];
        return true;
      }
      i += 1 + size;
    }
    return false;
  };
  if (find("h2") || find("http/1.1")) return SSL_TLSEXT_ERR_OK;
  return SSL_TLSEXT_ERR_NOACK;
}

// Index of an SSL's application data that says: the client's certificate did not verify.
int untrusted_index() {
  static int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// An unknown certificate does not fail the handshake: the API server answers its requests 401.
int mark_untrusted(int good, X509_STORE_CTX* store) {
  if (!good) {
    auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    SSL_set_ex_data(ssl, untrusted_index(), const_cast<char*>("untrusted"));
  }
  return 1;
}

void set_common(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  // One system call for a small record instead of two (its header, its content).
  SSL_CTX_set_read_ahead(context, 1);
}

std::string entry_text(const X509_NAME_ENTRY* entry) {
  unsigned char* utf8 = nullptr;
  int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
  if (size < 0) return {};
  std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

}  // namespace

Result<SslContext> make_server_context(const TlsConfig& config) {
  SslContext context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return error(Code::kInternal, "TLS context: " + crypto::openssl_error_text());
  set_common(context.get());
  BERTH_TRY(use_certificate(context.get(), config.certificate_pem, config.key_pem));
  // Tickets resume sessions without state in the server. One is enough; each makes the handshake longer.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 1);
  static constexpr unsigned char kIdContext[] = "berth";
  SSL_CTX_set_session_id_context(context.get(), kIdContext, sizeof kIdContext - 1);
  SSL_CTX_set_alpn_select_cb(context.get(), select_protocol, nullptr);
  if (!config.client_ca_pem.empty()) {
    BERTH_TRY(trust(context.get(), config.client_ca_pem, true));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, mark_untrusted);
  }
  return context;
}

Result<SslContext> make_client_context(const Endpoint& endpoint) {
  SslContext context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (!context) return error(Code::kInternal, "TLS context: " + crypto::openssl_error_text());
  set_common(context.get());
  if (!endpoint.certificate_pem.empty()) {
    BERTH_TRY(use_certificate(context.get(), endpoint.certificate_pem, endpoint.key_pem));
  }
  static constexpr unsigned char kProtocols[] = "\x08http/1.1";
  SSL_CTX_set_alpn_protos(context.get(), kProtocols, sizeof kProtocols - 1);
  if (endpoint.insecure) {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  } else {
    BERTH_TRY(trust(context.get(), endpoint.ca_pem, false));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

Status prepare_client(SSL* ssl, const Endpoint& endpoint) {
  const std::string& name = endpoint.server_name;
  if (name.empty()) return ok_status();
  unsigned char address[16];
  bool is_address = inet_pton(AF_INET, name.c_str(), address) == 1 || inet_pton(AF_INET6, name.c_str(), address) == 1;
  if (!is_address) SSL_set_tlsext_host_name(ssl, name.c_str());
  if (endpoint.insecure) return ok_status();
  bool set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1
                        : SSL_set1_host(ssl, name.c_str()) == 1;
  if (!set) return error(Code::kInvalid, "server name " + name + ": " + crypto::openssl_error_text());
  return ok_status();
}

void read_peer(SSL* ssl, Peer& peer) {
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (!certificate) return;
  if (SSL_get_ex_data(ssl, untrusted_index()) || SSL_get_verify_result(ssl) != X509_V_OK) {
    peer.bad_certificate = true;
    return;
  }
  std::tm ends{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &ends) == 1)
    peer.certificate_ends = Time(std::chrono::seconds(timegm(&ends)));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &digest_size) == 1) {
    peer.certificate_sha256 = hex_encode({reinterpret_cast<const char*>(digest), digest_size});
  }
  const X509_NAME* subject = X509_get_subject_name(certificate);
  for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(subject, i);
    int kind = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (kind == NID_commonName) peer.common_name = entry_text(entry);
    if (kind == NID_organizationName) peer.organizations.push_back(entry_text(entry));
  }
}

bool negotiated_h2(SSL* ssl) {
  const unsigned char* protocol = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl, &protocol, &length);
  return length == 2 && std::memcmp(protocol, "h2", 2) == 0;
}

}  // namespace berth::http
