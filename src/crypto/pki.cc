#include "crypto/pki.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "crypto/openssl_error.h"
#include "crypto/openssl_handles.h"

namespace berth::crypto {

namespace {

constexpr Duration kClockSkew = std::chrono::minutes(5);
constexpr Duration kAuthorityLifetime = std::chrono::hours(24 * 3652);

Error openssl_error(std::string_view what) {
  return error(Code::kInternal, std::string(what) + ": " + openssl_error_text());
}

Result<std::string> certificate_text(X509* certificate) {
  Bio out(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(out.get(), certificate) != 1) return openssl_error("writing a certificate");
  return bio_text(out.get());
}

Result<Cert> read_certificate(const std::string& pem) {
  Cert certificate(PEM_read_bio_X509(memory_bio(pem).get(), nullptr, nullptr, nullptr));
  if (!certificate) return error(Code::kInvalid, "not a PEM certificate: " + openssl_error_text());
  return certificate;
}

Result<Pkey> read_key(const std::string& pem) {
  Pkey key(PEM_read_bio_PrivateKey(memory_bio(pem).get(), nullptr, nullptr, nullptr));
  if (!key) return error(Code::kInvalid, "not a PEM private key: " + openssl_error_text());
  return key;
}

Status set_time(ASN1_TIME* field, Time time) {
  std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  if (!ASN1_TIME_set(field, seconds)) return openssl_error("setting a certificate's time");
  return ok_status();
}

// A new certificate with version, random serial number, times and key.
Result<Cert> blank(EVP_PKEY* key, Time from, Time until) {
  Cert certificate(X509_new());
  if (!certificate) return openssl_error("making a certificate");
  X509_set_version(certificate.get(), X509_VERSION_3);
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) return openssl_error("random serial number");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x3f) | 0x40);  // positive, and of constant length
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  BERTH_TRY(set_time(X509_getm_notBefore(certificate.get()), from));
  BERTH_TRY(set_time(X509_getm_notAfter(certificate.get()), until));
  if (X509_set_pubkey(certificate.get(), key) != 1) return openssl_error("setting a certificate's key");
  return certificate;
}

Status add_name(X509_NAME* name, const char* field, const std::string& text) {
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.data()),
                                 static_cast<int>(text.size()), -1, 0) != 1) {
    return error(Code::kInvalid, "subject " + std::string(field) + "=" + text + ": " + openssl_error_text());
  }
  return ok_status();
}

Status add_extension(X509* certificate, X509* issuer, int kind, const std::string& text) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, text.c_str());
  if (!extension) return error(Code::kInvalid, "certificate extension " + text + ": " + openssl_error_text());
  bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  if (!added) return openssl_error("certificate extension");
  return ok_status();
}

Status add_usage(X509* certificate, X509* issuer, bool server, bool client) {
  BERTH_TRY(add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE"));
  BERTH_TRY(add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature,keyEncipherment"));
  std::string usage = server && client ? "serverAuth,clientAuth" : server ? "serverAuth" : client ? "clientAuth" : "";
  if (!usage.empty()) BERTH_TRY(add_extension(certificate, issuer, NID_ext_key_usage, usage));
  return add_extension(certificate, issuer, NID_authority_key_identifier, "keyid");
}

// Built from parts, not from OpenSSL's text form, in which a comma in a name would start another name.
Status add_names(X509* certificate, const CertificateRequest& request) {
  if (request.dns_names.empty() && request.addresses.empty()) return ok_status();
  GENERAL_NAMES* names = sk_GENERAL_NAME_new_null();
  std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>> owner(names);
  auto add = [names](int type, std::string_view bytes) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_STRING* text = type == GEN_DNS ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();
    ASN1_STRING_set(text, bytes.data(), static_cast<int>(bytes.size()));
    GENERAL_NAME_set0_value(name, type, text);
    sk_GENERAL_NAME_push(names, name);
  };
  for (const std::string& name : request.dns_names) {
    if (name.empty()) return error(Code::kInvalid, "empty DNS name in a certificate");
    add(GEN_DNS, name);
  }
  for (const std::string& address : request.addresses) {
    char bytes[16];
    if (inet_pton(AF_INET, address.c_str(), bytes) == 1) {
      add(GEN_IPADD, {bytes, 4});
    } else if (inet_pton(AF_INET6, address.c_str(), bytes) == 1) {
      add(GEN_IPADD, {bytes, 16});
    } else {
      return error(Code::kInvalid, "certificate address " + address + " is no IP address");
    }
  }
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) != 1) return openssl_error("alternative names");
  return ok_status();
}

Result<std::string> sign_certificate(X509* certificate, EVP_PKEY* key) {
  if (X509_sign(certificate, key, EVP_sha256()) == 0) return openssl_error("signing a certificate");
  return certificate_text(certificate);
}

Result<std::string> key_text(EVP_PKEY* key) {
  Bio out(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_error("writing a key");
  return bio_text(out.get());
}

}  // namespace

Result<KeyPair> make_authority(const std::string& common_name, Time now) {
  Pkey key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("making a key");
  BERTH_ASSIGN(Cert certificate, blank(key.get(), now - kClockSkew, now + kAuthorityLifetime));
  X509* c = certificate.get();
  BERTH_TRY(add_name(X509_get_subject_name(c), "CN", common_name));
  X509_set_issuer_name(c, X509_get_subject_name(c));
  BERTH_TRY(add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE"));
  BERTH_TRY(add_extension(c, c, NID_key_usage, "critical,digitalSignature,keyEncipherment,keyCertSign,cRLSign"));
  BERTH_TRY(add_extension(c, c, NID_subject_key_identifier, "hash"));
  KeyPair pair;
  BERTH_ASSIGN(pair.certificate_pem, sign_certificate(c, key.get()));
  BERTH_ASSIGN(pair.key_pem, key_text(key.get()));
  return pair;
}

Result<KeyPair> issue(const KeyPair& authority, const CertificateRequest& request) {
  BERTH_ASSIGN(Cert issuer, read_certificate(authority.certificate_pem));
  BERTH_ASSIGN(Pkey issuer_key, read_key(authority.key_pem));
  Pkey key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("making a key");
  Time from = request.not_before - kClockSkew;
  BERTH_ASSIGN(Cert certificate, blank(key.get(), from, request.not_before + request.lifetime));
  X509* c = certificate.get();
  for (const std::string& organization : request.organizations) {
    BERTH_TRY(add_name(X509_get_subject_name(c), "O", organization));
  }
  if (!request.common_name.empty()) BERTH_TRY(add_name(X509_get_subject_name(c), "CN", request.common_name));
  X509_set_issuer_name(c, X509_get_subject_name(issuer.get()));
  BERTH_TRY(add_usage(c, issuer.get(), request.server, request.client));
  BERTH_TRY(add_names(c, request));
  KeyPair pair;
  BERTH_ASSIGN(pair.certificate_pem, sign_certificate(c, issuer_key.get()));
  BERTH_ASSIGN(pair.key_pem, key_text(key.get()));
  return pair;
}

Result<std::string> sign_request(const KeyPair& authority, const std::string& request_pem, bool server, bool client,
                                 Time not_before, Duration lifetime) {
  BERTH_ASSIGN(Cert issuer, read_certificate(authority.certificate_pem));
  BERTH_ASSIGN(Pkey issuer_key, read_key(authority.key_pem));
  CertRequest request(PEM_read_bio_X509_REQ(memory_bio(request_pem).get(), nullptr, nullptr, nullptr));
  if (!request) return error(Code::kInvalid, "not a PEM certificate request: " + openssl_error_text());
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (!key || X509_REQ_verify(request.get(), key) != 1) {
    return error(Code::kInvalid, "the certificate request is not signed by its own key: " + openssl_error_text());
  }
  BERTH_ASSIGN(Cert certificate, blank(key, not_before - kClockSkew, not_before + lifetime));
  X509* c = certificate.get();
  X509_set_subject_name(c, X509_REQ_get_subject_name(request.get()));
  X509_set_issuer_name(c, X509_get_subject_name(issuer.get()));
  BERTH_TRY(add_usage(c, issuer.get(), server, client));
  // Of the requested extensions only alternative names are copied.
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(request.get());
  int at = X509v3_get_ext_by_NID(extensions, NID_subject_alt_name, -1);
  bool added = at < 0 || X509_add_ext(c, X509v3_get_ext(extensions, at), -1) == 1;
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  if (!added) return openssl_error("alternative names");
  return sign_certificate(c, issuer_key.get());
}

Result<Time> expiry(const std::string& certificate_pem) {
  BERTH_ASSIGN(Cert certificate, read_certificate(certificate_pem));
  std::tm fields{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &fields) != 1)
    return openssl_error("a certificate's time");
  return Time(std::chrono::seconds(timegm(&fields)));
}

bool names_all(const std::string& certificate_pem, const CertificateRequest& request) {
  Result<Cert> certificate = read_certificate(certificate_pem);
  if (!certificate.ok()) return false;
  for (const std::string& address : request.addresses) {
    if (X509_check_ip_asc(certificate->get(), address.c_str(), 0) != 1) return false;
  }
  for (const std::string& name : request.dns_names) {
    if (X509_check_host(certificate->get(), name.c_str(), name.size(), 0, nullptr) != 1) return false;
  }
  return true;
}

Status verify_signed(const std::string& certificate_pem, const std::string& authorities_pem) {
  BERTH_ASSIGN(Cert certificate, read_certificate(certificate_pem));
  std::unique_ptr<X509_STORE, Freer<X509_STORE_free>> store(X509_STORE_new());
  Bio bio = memory_bio(authorities_pem);
  while (Cert ca{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) X509_STORE_add_cert(store.get(), ca.get());
  openssl_error_text();
  std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr);
  if (X509_verify_cert(context.get()) == 1) return ok_status();
  int why = X509_STORE_CTX_get_error(context.get());
  openssl_error_text();
  return error(Code::kUnauthorized, std::string("certificate: ") + X509_verify_cert_error_string(why));
}

}  // namespace berth::crypto
