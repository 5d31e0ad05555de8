#pragma once
// rtnetlink requests through libmnl: links, addresses, routes. Each waits for the kernel's answer (microseconds).
// A socket belongs to the network namespace it was opened in and may be used from anywhere. One thread at a time.

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

  // Index of an interface; nothing where there is none.
  std::optional<int> find_link(const std::string& name);
  // Of the bridge that an interface has joined; nothing where it has joined none, or is not there.
  std::optional<int> find_master(const std::string& name);

  Status add_bridge(const std::string& name, int mtu, const Mac& mac);  // existing: fine
  // A pair: `name` here, `peer` in the namespace behind `peer_namespace_fd`, with that hardware address.
  Status add_veth(const std::string& name, const std::string& peer, int peer_namespace_fd, int mtu,
                  const Mac& peer_mac);
  Status set_up(int index);
  Status set_master(int index, int master_index);
  Status delete_link(const std::string& name);                  // none: fine
  Status delete_link(int index);                                // none: fine
  Status add_address(int index, std::uint32_t ip, int prefix);  // host byte order; existing: fine
  Status add_default_route(std::uint32_t gateway, int index);   // existing: fine

 private:
  explicit Netlink(mnl_socket* socket);
  Status request(nlmsghdr* message, const std::string& what, int tolerated_errno = 0);
  template <class Take>
  void ask_link(const std::string& name, Take take);
  mnl_socket* socket_ = nullptr;
  std::uint32_t sequence_ = 0;
};

// Runs `work` on a thread of its own inside the namespace pinned at `path`.
Status in_network_namespace(const std::string& path, const std::function<Status()>& work);
// Makes a new network namespace and pins it at `path` (an empty file is made there).
Status make_network_namespace(const std::string& path);
Status remove_network_namespace(const std::string& path);  // none: fine
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
