#pragma once
// The pod network of one node: a bridge, a veth pair per pod, addresses that survive restarts. rtnetlink through libmnl,
// no programs run. Used by the agent inside the node's network namespace; calls block for well under a millisecond.

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
  std::string state_file;              // leases: pod uid -> address, written durably
  std::string namespaces_directory;    // pinned network namespaces: <dir>/<pod uid>
  int mtu = 1500;
  // Where work that may take tens of milliseconds is done, on any thread; empty: in the caller.
  std::function<void(Task)> aside;
};

struct PodAddress {
  std::string ip;                      // "10.244.0.7"
  std::string namespace_path;
};

class PodNetwork {
 public:
  virtual ~PodNetwork() = default;
  // The bridge is up and the leases are read. Idempotent.
  virtual Status prepare() = 0;
  // Makes and pins the namespace, lo up, veth into the bridge as eth0, address, default route. The same uid gets the same
  // address again. The namespace belongs to the user namespace at `users`, where not empty. kUnavailable where the range is used up (the text says how many and by whom).
  virtual Result<PodAddress> attach(const std::string& pod_uid, const std::string& users = {}) = 0;
  // For a pod with users of its own, before attach(), which would wait for another process otherwise: makes and pins the namespace
  // where there is none. Any thread; one at a time for a pod.
  virtual Status pin_namespace([[maybe_unused]] const std::string& pod_uid, [[maybe_unused]] const std::string& users) { return ok_status(); }
  // Removes all of it and frees the address (reused as late as possible).
  virtual Status detach(const std::string& pod_uid) = 0;
  // Frees what belongs to no pod of `alive`.
  virtual Status recover(const std::vector<std::string>& alive) = 0;
  virtual std::vector<std::pair<std::string, std::string>> leases() const = 0;  // {pod uid, ip}
};
std::unique_ptr<PodNetwork> make_pod_network(PodNetworkConfig config);

}  // namespace berth::net
