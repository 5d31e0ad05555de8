#include "crypto/pki.h"

#include "base/json/json.h"
#include "base/text.h"
#include "crypto/jwt.h"
#include "http/test_support.h"

namespace berth::crypto {
namespace {

using http::testing::Pki;

TEST(Pki, AuthorityLastsTenYears) {
  Time now = std::chrono::system_clock::now();
  KeyPair authority = make_authority("berth-ca", now).value();
  Duration lifetime = expiry(authority.certificate_pem).value() - now;
  EXPECT_GT(lifetime, std::chrono::hours(24 * 3650));
  EXPECT_TRUE(verify_signed(authority.certificate_pem, authority.certificate_pem).ok());
}

TEST(Pki, IssuedCertificatesVerifyAndEndInTime) {
  Pki pki;
  CertificateRequest request;
  request.common_name = "x";
  request.server = true;
  request.dns_names = {"a.example", "*.b.example"};
  request.addresses = {"10.0.0.1", "fd00::1"};
  request.not_before = std::chrono::system_clock::now();
  request.lifetime = std::chrono::hours(1);
  KeyPair pair = issue(pki.authority, request).value();
  EXPECT_TRUE(verify_signed(pair.certificate_pem, pki.authority.certificate_pem).ok());
  EXPECT_FALSE(verify_signed(pair.certificate_pem, Pki("test-ca").authority.certificate_pem).ok())
      << "same name, other key";
  EXPECT_TRUE(names_all(pair.certificate_pem, request));
  CertificateRequest more = request;
  more.addresses.push_back("10.0.0.2");
  EXPECT_FALSE(names_all(pair.certificate_pem, more));
  more = request;
  more.dns_names.push_back("c.example");
  EXPECT_FALSE(names_all(pair.certificate_pem, more));
  EXPECT_FALSE(names_all("no certificate", request));
  Time end = expiry(pair.certificate_pem).value();
  EXPECT_LE(end, request.not_before + request.lifetime);
  EXPECT_GT(end, request.not_before + request.lifetime - std::chrono::seconds(2));

  request.not_before -= std::chrono::hours(3);
  auto expired = verify_signed(issue(pki.authority, request).value().certificate_pem, pki.authority.certificate_pem);
  ASSERT_FALSE(expired.ok());
  EXPECT_NE(expired.error().message.find("expired"), std::string::npos);
}

TEST(Pki, BadInputIsAnError) {
  Pki pki;
  CertificateRequest request;
  request.addresses = {"not-an-address"};
  EXPECT_TRUE(issue(pki.authority, request).failed_with(Code::kInvalid));
  EXPECT_TRUE(issue(KeyPair{"x", "y"}, {}).failed_with(Code::kInvalid));
  EXPECT_TRUE(expiry("").failed_with(Code::kInvalid));
  EXPECT_TRUE(expiry("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").failed_with(Code::kInvalid));
  EXPECT_FALSE(sign_request(pki.authority, "nonsense", false, true, std::chrono::system_clock::now(), 1h).ok());
}

TEST(Tokens, SignedAndVerified) {
  for (KeyKind kind : {KeyKind::kEcdsa, KeyKind::kRsa}) {
    std::string key = make_private_key(kind).value();
    std::string other = make_private_key(kind).value();
    std::string open = public_key(key).value();
    std::string claims = R"({"iss":"https://kubernetes.default.svc","sub":"system:serviceaccount:a:b"})";
    std::string token = sign_token(key, claims).value();
    EXPECT_EQ(verify_token({open}, token).value(), claims);
    EXPECT_EQ(verify_token({public_key(other).value(), open}, token).value(), claims);
    EXPECT_TRUE(verify_token({public_key(other).value()}, token).failed_with(Code::kUnauthorized));
    EXPECT_TRUE(verify_token({}, token).failed_with(Code::kUnauthorized));
    auto parts = split(token, '.');
    std::string forged =
        std::string(parts[0]) + "." + base64url_encode(R"({"sub":"admin"})") + "." + std::string(parts[2]);
    EXPECT_TRUE(verify_token({open}, forged).failed_with(Code::kUnauthorized));
    std::string unsigned_token = base64url_encode(R"({"alg":"none"})") + "." + std::string(parts[1]) + ".";
    EXPECT_TRUE(verify_token({open}, unsigned_token).failed_with(Code::kUnauthorized));
    for (const char* bad : {"", "a", "a.b", "a.b.c", "....", "e30.e30.e30"}) {
      EXPECT_TRUE(verify_token({open}, bad).failed_with(Code::kUnauthorized)) << bad;
    }
    Value jwk = json::parse(public_key_jwk(open).value()).value();
    EXPECT_EQ(jwk["kty"].as_string(), kind == KeyKind::kRsa ? "RSA" : "EC");
    EXPECT_EQ(jwk["alg"].as_string(), kind == KeyKind::kRsa ? "RS256" : "ES256");
    EXPECT_EQ(jwk["kid"].as_string(), key_id(key).value());
    EXPECT_EQ(base64url_decode(jwk[kind == KeyKind::kRsa ? "n" : "x"].as_string()).value().size(),
              kind == KeyKind::kRsa ? 256u : 32u);
  }
}

TEST(Tokens, AKeyOfTheWrongKindIsNotTried) {
  std::string rsa = make_private_key(KeyKind::kRsa).value(), ec = make_private_key(KeyKind::kEcdsa).value();
  std::string token = sign_token(ec, "{}").value();
  EXPECT_TRUE(verify_token({public_key(rsa).value()}, token).failed_with(Code::kUnauthorized));
  EXPECT_FALSE(sign_token("nonsense", "{}").ok());
}

}  // namespace
}  // namespace berth::crypto
