#pragma once
// An HTTP probe with its redirects, as kubelet follows them. Loop thread only.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/probes/network_probe.h"

namespace berth::agent {

struct HttpProbe {
  std::string url;                                           // absolute: http://10.244.0.7:8080/healthz?full
  std::vector<std::pair<std::string, std::string>> headers;  // Host may be among them
  bool hook = false;                                         // any status is good
};
// At most ten redirects to the same host are followed. A redirect to another host ends there and is good, with a
// warning.
std::unique_ptr<ProbeConnection> start_http_probe(Loop& loop, HttpProbe probe, Duration timeout,
                                                  Function<void(ProbeResult)> done);

// The URL of an httpGet action. What may not stand in a URL is escaped, a fragment dropped.
std::string probe_url(const std::string& scheme, const std::string& host, int port, const std::string& path);
// Where `location` leads from `base`; nothing where it is no URL.
std::optional<std::string> resolve_url(const std::string& base, const std::string& location);

}  // namespace berth::agent
