#pragma once
// The pod network of one node: a bridge, a veth pair per pod, and addresses that survive restarts. Uses rtnetlink
// through libmnl and runs no programs. Used by the agent inside the node's network namespace. One thread, except
// connect() and disconnect().

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
  // Called on any thread with work that may take tens of milliseconds and whose end is not waited for; may run it on
  // any thread. Empty: the caller runs it.
  std::function<void(Task)> aside;
};

struct PodAddress {
  std::string ip;  // "10.244.0.7"
  std::string namespace_path;
};

class PodNetwork {
 public:
  virtual ~PodNetwork() = default;
  // Sets the bridge up and reads the leases. Idempotent.
  virtual Status prepare() = 0;
  // The pod's address and the path of its namespace; stable for a uid. kUnavailable if the range is exhausted (with the
  // number of leases).
  virtual Result<PodAddress> lease(const std::string& pod_uid) = 0;
  // Records the address of a running pod, whatever the lease file contains. Called before the first lease().
  virtual Status keep(const std::string& pod_uid, const std::string& ip) = 0;
  // Creates and pins the namespace: lo up, veth joined to the bridge, eth0 with address and default route. The
  // namespace belongs to the user namespace at `users`, if not empty. Existing parts are kept. Blocks for some
  // milliseconds; any thread, one call per pod at a time, and not during disconnect() of the pod.
  virtual Status connect(const std::string& pod_uid, const PodAddress& address, const std::string& users = {}) = 0;
  // Removes everything except the address. Waits for the kernel's network and mount locks, which may be held for long;
  // any thread, as connect().
  virtual Status disconnect(const std::string& pod_uid) = 0;
  // Frees the address of a disconnected pod (reused as late as possible).
  virtual Status release(const std::string& pod_uid) = 0;
  Status detach(const std::string& pod_uid) {  // both
    BERTH_TRY(disconnect(pod_uid));
    return release(pod_uid);
  }
  // Frees the resources of all pods that are not in `alive`.
  virtual Status recover(const std::vector<std::string>& alive) = 0;
  virtual std::vector<std::pair<std::string, std::string>> leases() const = 0;  // {pod uid, ip}
};
std::unique_ptr<PodNetwork> make_pod_network(PodNetworkConfig config);

}  // namespace berth::net
