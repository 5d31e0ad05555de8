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
// Upgrades with the first protocol that the client names and `accepted` has; with the last of `accepted` where the
// client names none. Nothing: the exchange has been answered with an error.
std::optional<AcceptedSpdy> accept_spdy(Exchange& exchange, const std::vector<std::string>& accepted);

}  // namespace berth::http
