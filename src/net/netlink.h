#pragma once
// rtnetlink requests through libmnl: links, addresses, routes. Each waits for the kernel's answer (microseconds). A
// socket belongs to the network namespace in which it was opened and may be used from any other. One thread at a time.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/function.h"
#include "base/result.h"

struct mnl_socket;
struct nlmsghdr;

namespace berth::net {

using Mac = std::array<std::uint8_t, 6>;

class Netlink {
 public:
  static Result<Netlink> open();
  Netlink(Netlink&&) noexcept;
  Netlink& operator=(Netlink&&) noexcept;
  ~Netlink();

  // Index of an interface; empty if there is none.
  std::optional<int> find_link(const std::string& name);
  // Index of the bridge that an interface has joined; empty if it has joined none, or does not exist.
  std::optional<int> find_master(const std::string& name);

  Status add_bridge(const std::string& name, int mtu, const Mac& mac);  // succeeds if it exists
  // Creates a pair: `name` in this namespace, `peer` in the namespace `peer_namespace_fd`, with that hardware address.
  Status add_veth(const std::string& name, const std::string& peer, int peer_namespace_fd, int mtu,
                  const Mac& peer_mac);
  Status set_up(int index);
  Status set_master(int index, int master_index);
  Status delete_link(const std::string& name);                  // succeeds if there is none
  Status delete_link(int index);                                // succeeds if there is none
  Status add_address(int index, std::uint32_t ip, int prefix);  // host byte order; succeeds if it exists
  Status add_default_route(std::uint32_t gateway, int index);   // succeeds if it exists

 private:
  explicit Netlink(mnl_socket* socket);
  Status request(nlmsghdr* message, const std::string& what, int tolerated_errno = 0);
  template <class LinkHandler>
  void query_link(const std::string& name, LinkHandler handle);
  mnl_socket* socket_ = nullptr;
  std::uint32_t sequence_ = 0;
};

// Runs `work` on a new thread inside the namespace pinned at `path`.
Status in_network_namespace(const std::string& path, const std::function<Status()>& work);
// Creates a network namespace and pins it at `path` (creates an empty file there).
Status make_network_namespace(const std::string& path);
Status remove_network_namespace(const std::string& path);  // succeeds if there is none
bool is_network_namespace(const std::string& path);

// "10.244.0.7" <-> host byte order.
Result<std::uint32_t> parse_ipv4(std::string_view text);
std::string format_ipv4(std::uint32_t ip);
struct Cidr {
  std::uint32_t base = 0;
  int prefix = 0;
};
Result<Cidr> parse_cidr(std::string_view text);

}  // namespace berth::net
