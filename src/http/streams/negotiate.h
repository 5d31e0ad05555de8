#pragma once
// Upgrades to SPDY/3.1 with Kubernetes' choice of a sub-protocol.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/server.h"

namespace berth::http {

struct AcceptedSpdy {
  std::unique_ptr<Channel> channel;
  std::string protocol;
};
// The client's first choice among `accepted`; its last one where the client names none. Nothing: has been answered.
std::optional<AcceptedSpdy> accept_spdy(Exchange& exchange, const std::vector<std::string>& accepted);

}  // namespace berth::http
