#pragma once
// grpc.health.v1.Health/Check over HTTP/2 without TLS: bytes in, bytes out. Pure.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/pod/services.h"

namespace berth::agent {

class GrpcHealthExchange {
 public:
  GrpcHealthExchange(const std::string& authority, const std::string& service);
  ~GrpcHealthExchange();
  std::string take_output();                                   // to be sent
  std::optional<ProbeResult> feed(std::string_view received);  // the verdict, once there is one

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::agent
