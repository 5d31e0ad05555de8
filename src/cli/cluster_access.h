#pragma once
// Where the API is that a command speaks to, and which namespace is meant: a data directory, or a kubeconfig.

#include <string>

#include "base/result.h"
#include "http/client.h"

namespace berth::cli {

struct ClusterAccess {
  http::Endpoint endpoint;
  std::string token;           // a bearer token, or empty
  std::string ns = "default";  // of the current context
};

// The current context of a kubeconfig. Files that it names are read, relative to `directory`.
Result<ClusterAccess> access_by_kubeconfig(const std::string& text, const std::string& directory);

// A data directory that was named is reached by its socket; otherwise KUBECONFIG counts, then the usual directory.
Result<ClusterAccess> open_access(const std::string& data_dir, bool named);

}  // namespace berth::cli
