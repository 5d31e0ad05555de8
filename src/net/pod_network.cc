#include "net/pod_network.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>

#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/process/owned_namespaces.h"
#include "base/text.h"
#include "net/address_pool.h"
#include "net/lease_file.h"
#include "net/netlink.h"

namespace berth::net {
namespace {

// 0a:58 followed by the address, as the CNI bridge plugin: if an address moves to another pod the hardware address
// stays, so neighbour tables remain valid.
Mac mac_of(std::uint32_t ip) {
  return {0x0a,
          0x58,
          static_cast<std::uint8_t>(ip >> 24),
          static_cast<std::uint8_t>(ip >> 16),
          static_cast<std::uint8_t>(ip >> 8),
          static_cast<std::uint8_t>(ip)};
}

std::string veth_name(const std::string& pod_uid) { return "veth" + sha256_hex(pod_uid).substr(0, 8); }

class BridgeNetwork final : public PodNetwork {
 public:
  explicit BridgeNetwork(PodNetworkConfig config)
      : config_(std::move(config)), leases_(config_.state_file), pool_(Cidr{}) {}

  Status prepare() override {
    BERTH_ASSIGN(Cidr range, parse_cidr(config_.cidr));
    if (range.prefix > 30)
      return error(Code::kInvalid, "the pod range " + config_.cidr + " is too small; /30 is the least");
    pool_ = AddressPool(range);
    BERTH_TRY(leases_.load(pool_));
    BERTH_TRY(make_directories(config_.namespaces_directory, 0700));
    BERTH_ASSIGN(Netlink netlink, Netlink::open());
    BERTH_TRY(netlink.add_bridge(config_.bridge, config_.mtu, mac_of(pool_.gateway())));
    std::optional<int> bridge = netlink.find_link(config_.bridge);
    if (!bridge) return error(Code::kInternal, "bridge " + config_.bridge + " is not there after it was made");
    BERTH_TRY(netlink.add_address(*bridge, pool_.gateway(), pool_.prefix()));
    BERTH_TRY(netlink.set_up(*bridge));
    if (std::optional<int> loopback = netlink.find_link("lo")) BERTH_TRY(netlink.set_up(*loopback));
    return ok_status();
  }

  Result<PodAddress> lease(const std::string& pod_uid) override {
    bool known = pool_.leases().contains(pod_uid);
    BERTH_ASSIGN(std::uint32_t ip, pool_.allocate(pod_uid));
    if (!known) {
      if (Status saved = leases_.record(pool_, pod_uid); !saved.ok()) {
        pool_.release(pod_uid);
        return saved.error();
      }
    }
    fault::step("network.lease");
    return PodAddress{format_ipv4(ip), namespace_path(pod_uid)};
  }

  Status keep(const std::string& pod_uid, const std::string& ip) override {
    BERTH_ASSIGN(std::uint32_t address, parse_ipv4(ip));
    if (auto lease = pool_.leases().find(pod_uid); lease != pool_.leases().end() && lease->second == address)
      return ok_status();
    std::string before;
    if (!pool_.assign(pod_uid, address, &before)) return ok_status();  // of another range
    log_warning("net", "the lease of a pod's address was lost", {{"pod", pod_uid}, {"address", ip}});
    if (!before.empty()) BERTH_TRY(leases_.record(pool_, before));
    return leases_.record(pool_, pod_uid);
  }

  Status connect(const std::string& pod_uid, const PodAddress& address, const std::string& users) override {
    BERTH_ASSIGN(std::uint32_t ip, parse_ipv4(address.ip));
    BERTH_ASSIGN(Netlink netlink, Netlink::open());
    const bool begun = is_network_namespace(address.namespace_path) && netlink.find_link(veth_name(pod_uid));
    if (begun && netlink.find_master(veth_name(pod_uid))) return ok_status();
    Status made = begun ? ok_status() : make(netlink, pod_uid, ip, address.namespace_path, users);
    if (made.ok()) made = join(netlink, pod_uid, ip, address.namespace_path);
    if (made.ok() || begun) return made;  // a pod may be running in the existing namespace
    (void)netlink.delete_link(veth_name(pod_uid));
    (void)remove_network_namespace(address.namespace_path);
    return made;
  }

  Status disconnect(const std::string& pod_uid) override {
    BERTH_ASSIGN(Netlink netlink, Netlink::open());
    std::optional<int> link = netlink.find_link(veth_name(pod_uid));
    BERTH_TRY(remove_network_namespace(namespace_path(pod_uid)));
    fault::step("network.namespace_removed");
    if (link) remove_aside(*link);
    return ok_status();
  }

  Status release(const std::string& pod_uid) override {
    return pool_.release(pod_uid) ? leases_.record(pool_, pod_uid) : ok_status();
  }

  Status recover(const std::vector<std::string>& alive) override {
    std::vector<std::string> gone;
    auto is_alive = [&](const std::string& uid) { return std::find(alive.begin(), alive.end(), uid) != alive.end(); };
    for (const auto& [uid, ip] : pool_.leases()) {
      if (!is_alive(uid)) gone.push_back(uid);
    }
    BERTH_ASSIGN(std::vector<std::string> pinned, list_directory(config_.namespaces_directory));
    for (const std::string& uid : pinned) {
      if (!is_alive(uid) && !pool_.leases().contains(uid)) gone.push_back(uid);
    }
    Status first = ok_status();  // continue after a failure: clean up the others
    for (const std::string& uid : gone) {
      Status detached = detach(uid);
      if (first.ok()) first = std::move(detached);
    }
    return first;
  }

  std::vector<std::pair<std::string, std::string>> leases() const override {
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& [uid, ip] : pool_.leases()) out.emplace_back(uid, format_ipv4(ip));
    return out;
  }

 private:
  std::string namespace_path(const std::string& pod_uid) const { return config_.namespaces_directory + "/" + pod_uid; }

  // The kernel removes the pair together with the pod's namespace; but an unacknowledged TCP connection keeps the
  // namespace, and with it the pod's address on the bridge, alive for minutes. Deleted by index, because the name may
  // be in use again by then.
  void remove_aside(int link) {
    auto work = [link] {
      Result<Netlink> netlink = Netlink::open();
      if (netlink.ok()) (void)netlink->delete_link(link);
    };
    if (config_.aside) return config_.aside(work);
    work();
  }

  Status make(Netlink& netlink, const std::string& pod_uid, std::uint32_t ip, const std::string& path,
              const std::string& users) {
    BERTH_TRY(remove_network_namespace(path));
    BERTH_TRY(users.empty() ? make_network_namespace(path)
                            : pin_owned_namespaces(users, CLONE_NEWNET, "", {{"net", path}}));
    fault::step("network.namespace");
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return errno_error("opening " + path);
    std::string name = veth_name(pod_uid);
    BERTH_TRY(netlink.delete_link(name));
    return netlink.add_veth(name, "eth0", fd.get(), config_.mtu, mac_of(ip));
  }

  // Joining the bridge comes last and marks the connection as complete: after a crash in between, connect() repeats
  // these steps.
  Status join(Netlink& netlink, const std::string& pod_uid, std::uint32_t ip, const std::string& path) {
    fault::step("network.pair");
    BERTH_TRY(in_network_namespace(path, [&]() -> Status {
      BERTH_ASSIGN(Netlink inside, Netlink::open());
      std::optional<int> loopback = inside.find_link("lo"), eth0 = inside.find_link("eth0");
      if (!loopback || !eth0) return error(Code::kInternal, "eth0 is not in the pod's network namespace");
      BERTH_TRY(inside.set_up(*loopback));
      BERTH_TRY(inside.add_address(*eth0, ip, pool_.prefix()));
      BERTH_TRY(inside.set_up(*eth0));
      return inside.add_default_route(pool_.gateway(), *eth0);
    }));
    fault::step("network.addresses");
    const std::string name = veth_name(pod_uid);
    std::optional<int> ours = netlink.find_link(name), bridge = netlink.find_link(config_.bridge);
    if (!ours || !bridge)
      return error(Code::kInternal, "interface " + name + " or bridge " + config_.bridge + " has gone");
    return netlink.set_master(*ours, *bridge);
  }

  PodNetworkConfig config_;
  LeaseFile leases_;
  AddressPool pool_;
};

}  // namespace

std::unique_ptr<PodNetwork> make_pod_network(PodNetworkConfig config) {
  return std::make_unique<BridgeNetwork>(std::move(config));
}

}  // namespace berth::net
