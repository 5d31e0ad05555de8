#include "crypto/jwt.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include "base/json/json.h"
#include "base/text.h"
#include "crypto/openssl_error.h"
#include "crypto/openssl_handles.h"

namespace berth::crypto {

namespace {

constexpr std::size_t kEcdsaHalf = 32;  // P-256

Result<Pkey> read_any_key(const std::string& pem) {
  Pkey key(pem.find("PRIVATE KEY") != std::string::npos
               ? PEM_read_bio_PrivateKey(memory_bio(pem).get(), nullptr, nullptr, nullptr)
               : PEM_read_bio_PUBKEY(memory_bio(pem).get(), nullptr, nullptr, nullptr));
  if (!key) return error(Code::kInvalid, "not a PEM key: " + openssl_error_text());
  int kind = EVP_PKEY_get_base_id(key.get());
  bool p256 = kind == EVP_PKEY_EC && EVP_PKEY_get_bits(key.get()) == 256;
  if (!p256 && kind != EVP_PKEY_RSA) return error(Code::kInvalid, "token keys must be RSA or ECDSA P-256");
  return key;
}

std::string algorithm(EVP_PKEY* key) { return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? "RS256" : "ES256"; }

std::string id_of(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  std::string bytes(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return base64url_encode(sha256(bytes));
}

// JWS has r and s concatenated, OpenSSL encodes them as DER.
Result<std::string> raw_signature(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>> signature(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!signature) return error(Code::kInternal, "signature: " + openssl_error_text());
  std::string raw(2 * kEcdsaHalf, '\0');
  auto* to = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), to, kEcdsaHalf);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), to + kEcdsaHalf, kEcdsaHalf);
  return raw;
}

std::string der_signature(const std::string& raw) {
  std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>> signature(ECDSA_SIG_new());
  const auto* from = reinterpret_cast<const unsigned char*>(raw.data());
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(from, kEcdsaHalf, nullptr),
                 BN_bin2bn(from + kEcdsaHalf, kEcdsaHalf, nullptr));
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string out(reinterpret_cast<char*>(der), size > 0 ? static_cast<std::size_t>(size) : 0);
  OPENSSL_free(der);
  return out;
}

bool signature_good(EVP_PKEY* key, std::string_view text, const std::string& raw) {
  bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
  if (!rsa && raw.size() != 2 * kEcdsaHalf) return false;
  std::string signature = rsa ? raw : der_signature(raw);
  DigestContext context(EVP_MD_CTX_new());
  bool good = EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
              EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                               signature.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
  openssl_error_text();
  return good;
}

Result<std::string> number(EVP_PKEY* key, const char* name, std::size_t size) {
  BIGNUM* value = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &value) != 1) return error(Code::kInternal, "key: " + openssl_error_text());
  std::size_t length = std::max(size, static_cast<std::size_t>(BN_num_bytes(value)));
  std::string bytes(length, '\0');
  BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(length));
  BN_free(value);
  return base64url_encode(bytes);
}

}  // namespace

Result<std::string> make_private_key(KeyKind kind) {
  Pkey key(kind == KeyKind::kRsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  Bio out(BIO_new(BIO_s_mem()));
  if (!key || PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return error(Code::kInternal, "making a key: " + openssl_error_text());
  }
  return bio_text(out.get());
}

Result<std::string> public_key(const std::string& private_key_pem) {
  BERTH_ASSIGN(Pkey key, read_any_key(private_key_pem));
  Bio out(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PUBKEY(out.get(), key.get()) != 1)
    return error(Code::kInternal, "writing a key: " + openssl_error_text());
  return bio_text(out.get());
}

Result<std::string> key_id(const std::string& key_pem) {
  BERTH_ASSIGN(Pkey key, read_any_key(key_pem));
  return id_of(key.get());
}

Result<std::string> public_key_jwk(const std::string& key_pem) {
  BERTH_ASSIGN(Pkey key, read_any_key(key_pem));
  Value jwk = Value::object({{"use", "sig"}, {"kid", id_of(key.get())}, {"alg", algorithm(key.get())}});
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA) {
    BERTH_ASSIGN(std::string n, number(key.get(), OSSL_PKEY_PARAM_RSA_N, 0));
    BERTH_ASSIGN(std::string e, number(key.get(), OSSL_PKEY_PARAM_RSA_E, 0));
    jwk.set("kty", "RSA").set("n", n).set("e", e);
  } else {
    BERTH_ASSIGN(std::string x, number(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, kEcdsaHalf));
    BERTH_ASSIGN(std::string y, number(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, kEcdsaHalf));
    jwk.set("kty", "EC").set("crv", "P-256").set("x", x).set("y", y);
  }
  return json::encode(jwk);
}

Result<std::string> sign_token(const std::string& private_key_pem, std::string_view claims) {
  BERTH_ASSIGN(Pkey key, read_any_key(private_key_pem));
  Value head = Value::object({{"alg", algorithm(key.get())}, {"kid", id_of(key.get())}});
  std::string text = base64url_encode(json::encode(head)) + "." + base64url_encode(claims);
  DigestContext context(EVP_MD_CTX_new());
  std::size_t size = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, data, text.size()) != 1) {
    return error(Code::kInternal, "signing a token: " + openssl_error_text());
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, data, text.size()) !=
      1) {
    return error(Code::kInternal, "signing a token: " + openssl_error_text());
  }
  signature.resize(size);
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) {
    BERTH_ASSIGN(signature, raw_signature(signature));
  }
  return text + "." + base64url_encode(signature);
}

Result<std::string> verify_token(const std::vector<std::string>& keys_pem, std::string_view token) {
  Error bad = error(Code::kUnauthorized, "malformed token");
  auto parts = split(token, '.');
  if (parts.size() != 3) return bad;
  auto head_text = base64url_decode(parts[0]);
  auto claims = base64url_decode(parts[1]);
  auto signature = base64url_decode(parts[2]);
  if (!head_text.ok() || !claims.ok() || !signature.ok()) return bad;
  auto head = json::parse(*head_text);
  if (!head.ok() || !head->is_object()) return bad;
  std::string_view named_algorithm = (*head)["alg"].as_string();
  std::string_view name = (*head)["kid"].as_string();
  std::string_view text = token.substr(0, parts[0].size() + 1 + parts[1].size());
  for (const std::string& pem : keys_pem) {
    BERTH_ASSIGN(Pkey key, read_any_key(pem));
    // The key determines the algorithm; tokens with another one are not verified with it.
    if (named_algorithm != algorithm(key.get())) continue;
    if (!name.empty() && name != id_of(key.get()) && keys_pem.size() > 1) continue;
    if (signature_good(key.get(), text, *signature)) return std::move(*claims);
  }
  return error(Code::kUnauthorized, "the token's signature does not match any known key");
}

}  // namespace berth::crypto
