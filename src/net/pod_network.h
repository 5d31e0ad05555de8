#pragma once
// The pod network of one node: a bridge, a veth pair per pod, addresses that survive restarts. rtnetlink through
// libmnl, no programs run. Used by the agent inside the node's network namespace. One thread, but for connect() and
// disconnect().

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/result.h"

namespace berth::net {

struct PodNetworkConfig {
  std::string bridge = "berth0";
  std::string cidr = "10.244.0.0/24";  // .1 is the bridge
  std::string state_file;              // leases: pod uid -> address (LeaseFile)
  std::string namespaces_directory;    // pinned network namespaces: <dir>/<pod uid>
  int mtu = 1500;
  // Called on any thread with what may take tens of milliseconds and nobody waits for, to be done on any thread; empty:
  // in the caller.
  std::function<void(Task)> aside;
};

struct PodAddress {
  std::string ip;  // "10.244.0.7"
  std::string namespace_path;
};

class PodNetwork {
 public:
  virtual ~PodNetwork() = default;
  // The bridge is up and the leases are read. Idempotent.
  virtual Status prepare() = 0;
  // The pod's address and the place of its namespace; the same uid gets the same again. kUnavailable where the range is
  // used up (the text says how many and by whom).
  virtual Result<PodAddress> lease(const std::string& pod_uid) = 0;
  // The pod lives and has this address already: its lease, whatever became of the record of it. Called before the first
  // lease().
  virtual Status keep(const std::string& pod_uid, const std::string& ip) = 0;
  // Makes and pins the namespace, lo up, veth into the bridge as eth0, address, default route. The namespace belongs to
  // the user namespace at `users`, where not empty. What is there already stays. Blocks for some milliseconds; any
  // thread, for one pod at a time, and not while the pod is disconnected.
  virtual Status connect(const std::string& pod_uid, const PodAddress& address, const std::string& users = {}) = 0;
  // Removes all of it but the address. Waits for the kernel's locks of network and mounts, which others may hold for
  // long; any thread, as connect().
  virtual Status disconnect(const std::string& pod_uid) = 0;
  // Frees the address of a pod that is disconnected (reused as late as possible).
  virtual Status release(const std::string& pod_uid) = 0;
  Status detach(const std::string& pod_uid) {  // both
    BERTH_TRY(disconnect(pod_uid));
    return release(pod_uid);
  }
  // Frees what belongs to no pod of `alive`.
  virtual Status recover(const std::vector<std::string>& alive) = 0;
  virtual std::vector<std::pair<std::string, std::string>> leases() const = 0;  // {pod uid, ip}
};
std::unique_ptr<PodNetwork> make_pod_network(PodNetworkConfig config);

}  // namespace berth::net
