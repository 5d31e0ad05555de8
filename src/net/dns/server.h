#pragma once
// The node's DNS server: UDP and TCP on a Loop, answers from a Zone, forwards everything else (forwarder.h).

#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "net/dns/zone.h"

namespace berth::net::dns {

struct DnsServerConfig {
  std::string address = "10.96.0.10";
  int port = 53;                       // 0: any port, for tests
  std::vector<std::string> upstreams;  // see forwarder.h
  int upstream_port = 53;              // of upstreams without a port
};

class DnsServer {
 public:
  virtual ~DnsServer() = default;
  virtual Zone& zone() = 0;  // modified between questions, on the loop
  virtual int port() const = 0;
};
// The server owns the zone. Fails if address or port cannot be bound.
Result<std::unique_ptr<DnsServer>> start_server(Loop& loop, std::string domain, DnsServerConfig config);

// The nameservers of a resolv.conf text, in order.
std::vector<std::string> nameservers_of(std::string_view resolv_conf);

}  // namespace berth::net::dns
