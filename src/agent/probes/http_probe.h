#pragma once
// An HTTP probe, with redirects by kubelet's rules. Loop thread only.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/probes/network_probe.h"

namespace berth::agent {

struct HttpProbe {
  std::string url;                                           // absolute: http://10.244.0.7:8080/healthz?full
  std::vector<std::pair<std::string, std::string>> headers;  // may include Host
  bool hook = false;                                         // of a lifecycle hook: any status is good
};
// Follows at most ten redirects to the same host. A redirect to another host is not followed: the probe is good, with a
// warning.
std::unique_ptr<ProbeConnection> start_http_probe(Loop& loop, HttpProbe probe, Duration timeout,
                                                  Function<void(ProbeResult)> done);

// The URL of an httpGet action. Characters that a URL must not have are escaped, a fragment is removed.
std::string probe_url(const std::string& scheme, const std::string& host, int port, const std::string& path);
// `location` resolved against `base`; nothing where it is no URL.
std::optional<std::string> resolve_url(const std::string& base, const std::string& location);

}  // namespace berth::agent
