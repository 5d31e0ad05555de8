#pragma once
// ProbeConnection: one connection to a pod, for a probe. Loop thread only; its destructor closes it without a callback.

#include <memory>
#include <string>

#include "agent/pod/services.h"
#include "base/loop.h"
#include "http/client.h"

namespace berth::agent {

inline constexpr std::size_t kMostProbeBody = 10 * 1024;  // of an HTTP answer; the rest is not read

class ProbeConnection {
 public:
  virtual ~ProbeConnection() = default;
};

struct ProbeAddress {
  std::string host;  // an address, or "localhost"
  int port = 0;
};
std::unique_ptr<ProbeConnection> start_tcp_probe(Loop& loop, const ProbeAddress& address, Duration timeout,
                                                 Function<void(ProbeResult)> done);
std::unique_ptr<ProbeConnection> start_grpc_probe(Loop& loop, const ProbeAddress& address, const std::string& service,
                                                  Duration timeout, Function<void(ProbeResult)> done);
// Sends `request` without TLS and reads one answer. Errors have Go's texts; kUnknown: the status has come, but not the
// complete body.
std::unique_ptr<ProbeConnection> start_http_exchange(Loop& loop, const ProbeAddress& address, std::string request,
                                                     Duration timeout, Function<void(Result<http::Response>)> done);

}  // namespace berth::agent
