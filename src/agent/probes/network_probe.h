#pragma once
// One connection to a pod and what is asked over it. Loop thread only; destroying it ends it without a callback.

#include <memory>
#include <string>

#include "agent/services.h"
#include "base/loop.h"

namespace berth::agent {

struct NetworkProbe {
  enum class Kind { kTcp, kHttp, kGrpc } kind = Kind::kTcp;
  std::string host;  // an address
  int port = 0;
  std::string url;      // for messages
  std::string request;  // kHttp: what is sent
  std::string service;  // kGrpc
};

class ProbeConnection {
 public:
  virtual ~ProbeConnection() = default;
};
std::unique_ptr<ProbeConnection> start_network_probe(Loop& loop, const NetworkProbe& probe, Duration timeout,
                                                     Function<void(ProbeResult)> done);

}  // namespace berth::agent
