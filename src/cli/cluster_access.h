#pragma once
// The API endpoint and namespace of a command: from a data directory or a kubeconfig.

#include <string>

#include "base/result.h"
#include "http/client.h"

namespace berth::cli {

struct ClusterAccess {
  http::Endpoint endpoint;
  std::string token;           // a bearer token, or empty
  std::string ns = "default";  // of the current context
};

// From the current context of a kubeconfig. Files that it names are read relative to `directory`.
Result<ClusterAccess> access_from_kubeconfig(const std::string& text, const std::string& directory);

// If the user named a data directory, its socket; else the file in KUBECONFIG; else the default directory's socket.
Result<ClusterAccess> open_access(const std::string& data_dir, bool named);

}  // namespace berth::cli
