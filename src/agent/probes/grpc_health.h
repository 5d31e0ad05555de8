#pragma once
// GrpcHealthExchange: one call of grpc.health.v1.Health/Check over HTTP/2 without TLS, from bytes to bytes. Pure.

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
  std::string take_output();                                   // bytes to send
  std::optional<ProbeResult> feed(std::string_view received);  // the result, when the answer is complete

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::agent
