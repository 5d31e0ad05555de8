#pragma once
// OpenSSL contexts: one place for versions, ALPN, verification and memory modes.

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "http/client.h"
#include "http/server.h"

namespace berth::http {

using SslContext = std::shared_ptr<SSL_CTX>;

// TLS 1.2 and 1.3; offers h2 and http/1.1.
Result<SslContext> make_server_context(const TlsConfig& config);
// Offers http/1.1. The name to verify is set on each connection by prepare_client.
Result<SslContext> make_client_context(const Endpoint& endpoint);
Status prepare_client(SSL* ssl, const Endpoint& endpoint);

// Fills in the subject of a client certificate that verified; sets bad_certificate where it did not. No certificate: no
// change.
void read_peer(SSL* ssl, Peer& peer);
bool negotiated_h2(SSL* ssl);

}  // namespace berth::http
