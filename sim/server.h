#pragma once
// Server: one run of the API server's process: its lane, the real store over a simulated disk, the real registry.

#include <cstdint>
#include <memory>

#include "client/client.h"
#include "sim/disk.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

class SimServer {
 public:
  virtual ~SimServer() = default;
  virtual const std::shared_ptr<Lane>& lane() = 0;
  // A client without faults.
  virtual client::Client& client() = 0;
  // Compacts history except the last `kept` revisions: watches that are further behind end.
  virtual void compact(std::int64_t kept) = 0;
};

// `ready` runs on the server's lane when the cluster's initial objects exist.
std::unique_ptr<SimServer> start_server(World& world, Disk& disk, Task ready);

}  // namespace berth::sim
