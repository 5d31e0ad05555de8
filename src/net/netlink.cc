#include "net/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "base/text.h"

namespace berth::net {
namespace {

constexpr long kNsfsMagic = 0x6e736673;

// A request under construction, with its buffer.
struct Message {
  alignas(nlmsghdr) char buffer[2048] = {};
  nlmsghdr* header;

  Message(int type, int flags) : header(mnl_nlmsg_put_header(buffer)) {
    header->nlmsg_type = static_cast<std::uint16_t>(type);
    header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  }
  template <class T>
  T* extra() {
    return static_cast<T*>(mnl_nlmsg_put_extra_header(header, sizeof(T)));
  }
};

void put_mac(nlmsghdr* header, const Mac& mac) { mnl_attr_put(header, IFLA_ADDRESS, mac.size(), mac.data()); }

// Without these attributes the kernel allocates a queue per processor and immediately frees all but one, which waits
// for an RCU grace period while holding the lock of all interfaces.
void put_one_queue(nlmsghdr* header) {
  mnl_attr_put_u32(header, IFLA_NUM_TX_QUEUES, 1);
  mnl_attr_put_u32(header, IFLA_NUM_RX_QUEUES, 1);
}

}  // namespace

Netlink::Netlink(mnl_socket* socket) : socket_(socket) {}
Netlink::Netlink(Netlink&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)), sequence_(other.sequence_) {}
Netlink& Netlink::operator=(Netlink&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(sequence_, other.sequence_);
  return *this;
}
Netlink::~Netlink() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

Result<Netlink> Netlink::open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return errno_error("opening a netlink socket");
  Netlink netlink(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) return errno_error("binding a netlink socket");
  return netlink;
}

Status Netlink::request(nlmsghdr* message, const std::string& what, int tolerated_errno) {
  message->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_, message, message->nlmsg_len) < 0) return errno_error(what);
  alignas(nlmsghdr) char answer[8192];
  int state = MNL_CB_OK;
  while (state > MNL_CB_STOP) {
    ssize_t length = mnl_socket_recvfrom(socket_, answer, sizeof answer);
    if (length < 0) return errno_error(what);
    state = mnl_cb_run(answer, static_cast<std::size_t>(length), sequence_, mnl_socket_get_portid(socket_), nullptr,
                       nullptr);
  }
  if (state == MNL_CB_ERROR && errno != tolerated_errno) return errno_error(what);
  return ok_status();
}

// Calls `take` with the kernel's description of an interface, if it exists.
template <class LinkHandler>
void Netlink::query_link(const std::string& name, LinkHandler handle) {
  Message message(RTM_GETLINK, 0);
  message.extra<ifinfomsg>()->ifi_family = AF_UNSPEC;
  mnl_attr_put_strz(message.header, IFLA_IFNAME, name.c_str());
  message.header->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_, message.header, message.header->nlmsg_len) < 0) return;
  int state = MNL_CB_OK;
  alignas(nlmsghdr) char answer[16384];
  auto each = [](const nlmsghdr* header, void* data) {
    if (header->nlmsg_type == RTM_NEWLINK) (*static_cast<LinkHandler*>(data))(header);
    return MNL_CB_OK;
  };
  while (state > MNL_CB_STOP) {
    ssize_t length = mnl_socket_recvfrom(socket_, answer, sizeof answer);
    if (length < 0) return;
    state =
        mnl_cb_run(answer, static_cast<std::size_t>(length), sequence_, mnl_socket_get_portid(socket_), each, &handle);
  }
}

std::optional<int> Netlink::find_link(const std::string& name) {
  std::optional<int> index;
  query_link(name, [&index](const nlmsghdr* header) {
    index = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header))->ifi_index;
  });
  return index;
}

std::optional<int> Netlink::find_master(const std::string& name) {
  std::optional<int> master;
  query_link(name, [&master](const nlmsghdr* header) {
    auto attribute = [](const nlattr* each, void* found) {
      if (mnl_attr_get_type(each) == IFLA_MASTER)
        *static_cast<std::optional<int>*>(found) = static_cast<int>(mnl_attr_get_u32(each));
      return MNL_CB_OK;
    };
    mnl_attr_parse(header, sizeof(ifinfomsg), attribute, &master);
  });
  return master;
}

Status Netlink::add_bridge(const std::string& name, int mtu, const Mac& mac) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  ifinfomsg* info = message.extra<ifinfomsg>();
  info->ifi_family = AF_UNSPEC;
  info->ifi_change = IFF_UP;
  info->ifi_flags = IFF_UP;
  mnl_attr_put_strz(message.header, IFLA_IFNAME, name.c_str());
  mnl_attr_put_u32(message.header, IFLA_MTU, static_cast<std::uint32_t>(mtu));
  put_mac(message.header, mac);
  nlattr* link = mnl_attr_nest_start(message.header, IFLA_LINKINFO);
  mnl_attr_put_strz(message.header, IFLA_INFO_KIND, "bridge");
  nlattr* data = mnl_attr_nest_start(message.header, IFLA_INFO_DATA);
  // Ports forward immediately: no loop is possible.
  mnl_attr_put_u32(message.header, IFLA_BR_FORWARD_DELAY, 0);
  mnl_attr_put_u32(message.header, IFLA_BR_STP_STATE, 0);
  mnl_attr_nest_end(message.header, data);
  mnl_attr_nest_end(message.header, link);
  return request(message.header, "making bridge " + name, EEXIST);
}

Status Netlink::add_veth(const std::string& name, const std::string& peer, int peer_namespace_fd, int mtu,
                         const Mac& peer_mac) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  ifinfomsg* info = message.extra<ifinfomsg>();
  info->ifi_family = AF_UNSPEC;
  mnl_attr_put_strz(message.header, IFLA_IFNAME, name.c_str());
  mnl_attr_put_u32(message.header, IFLA_MTU, static_cast<std::uint32_t>(mtu));
  put_one_queue(message.header);
  nlattr* link = mnl_attr_nest_start(message.header, IFLA_LINKINFO);
  mnl_attr_put_strz(message.header, IFLA_INFO_KIND, "veth");
  nlattr* data = mnl_attr_nest_start(message.header, IFLA_INFO_DATA);
  nlattr* other = mnl_attr_nest_start(message.header, VETH_INFO_PEER);
  ifinfomsg* other_info = static_cast<ifinfomsg*>(mnl_nlmsg_get_payload_tail(message.header));
  message.header->nlmsg_len += MNL_ALIGN(sizeof(ifinfomsg));
  *other_info = ifinfomsg{};
  mnl_attr_put_strz(message.header, IFLA_IFNAME, peer.c_str());
  mnl_attr_put_u32(message.header, IFLA_MTU, static_cast<std::uint32_t>(mtu));
  mnl_attr_put_u32(message.header, IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_namespace_fd));
  put_mac(message.header, peer_mac);
  put_one_queue(message.header);
  mnl_attr_nest_end(message.header, other);
  mnl_attr_nest_end(message.header, data);
  mnl_attr_nest_end(message.header, link);
  return request(message.header, "making interface " + name);
}

Status Netlink::set_up(int index) {
  Message message(RTM_NEWLINK, 0);
  ifinfomsg* info = message.extra<ifinfomsg>();
  info->ifi_family = AF_UNSPEC;
  info->ifi_index = index;
  info->ifi_change = IFF_UP;
  info->ifi_flags = IFF_UP;
  return request(message.header, "setting interface " + std::to_string(index) + " up");
}

Status Netlink::set_master(int index, int master_index) {
  Message message(RTM_NEWLINK, 0);
  ifinfomsg* info = message.extra<ifinfomsg>();
  info->ifi_family = AF_UNSPEC;
  info->ifi_index = index;
  info->ifi_change = IFF_UP;
  info->ifi_flags = IFF_UP;
  mnl_attr_put_u32(message.header, IFLA_MASTER, static_cast<std::uint32_t>(master_index));
  return request(message.header, "joining interface " + std::to_string(index) + " to the bridge");
}

Status Netlink::delete_link(const std::string& name) {
  Message message(RTM_DELLINK, 0);
  message.extra<ifinfomsg>()->ifi_family = AF_UNSPEC;
  mnl_attr_put_strz(message.header, IFLA_IFNAME, name.c_str());
  return request(message.header, "deleting interface " + name, ENODEV);
}

Status Netlink::delete_link(int index) {
  Message message(RTM_DELLINK, 0);
  ifinfomsg* info = message.extra<ifinfomsg>();
  info->ifi_family = AF_UNSPEC;
  info->ifi_index = index;
  return request(message.header, "deleting interface " + std::to_string(index), ENODEV);
}

Status Netlink::add_address(int index, std::uint32_t ip, int prefix) {
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  ifaddrmsg* info = message.extra<ifaddrmsg>();
  info->ifa_family = AF_INET;
  info->ifa_prefixlen = static_cast<unsigned char>(prefix);
  info->ifa_index = static_cast<unsigned>(index);
  mnl_attr_put_u32(message.header, IFA_LOCAL, htonl(ip));
  mnl_attr_put_u32(message.header, IFA_ADDRESS, htonl(ip));
  return request(message.header, "giving address " + format_ipv4(ip) + " to interface " + std::to_string(index),
                 EEXIST);
}

Status Netlink::add_default_route(std::uint32_t gateway, int index) {
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg* route = message.extra<rtmsg>();
  route->rtm_family = AF_INET;
  route->rtm_table = RT_TABLE_MAIN;
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_scope = RT_SCOPE_UNIVERSE;
  route->rtm_type = RTN_UNICAST;
  mnl_attr_put_u32(message.header, RTA_GATEWAY, htonl(gateway));
  mnl_attr_put_u32(message.header, RTA_OIF, static_cast<std::uint32_t>(index));
  return request(message.header, "adding the default route via " + format_ipv4(gateway), EEXIST);
}

Status in_network_namespace(const std::string& path, const std::function<Status()>& work) {
  Status status = ok_status();
  std::thread worker([&] {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || ::setns(fd.get(), CLONE_NEWNET) != 0) {
      status = errno_error("entering network namespace " + path);
      return;
    }
    status = work();
  });
  worker.join();
  return status;
}

bool is_network_namespace(const std::string& path) {
  struct statfs fs {};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == kNsfsMagic;
}

Status make_network_namespace(const std::string& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return errno_error("making " + path);
  Status status = ok_status();
  std::thread worker([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      status = errno_error("making a network namespace");
      return;
    }
    std::string self = "/proc/self/task/" + std::to_string(::gettid()) + "/ns/net";
    if (::mount(self.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
      status = errno_error("pinning a network namespace at " + path);
  });
  worker.join();
  if (!status.ok()) ::unlink(path.c_str());
  return status;
}

Status remove_network_namespace(const std::string& path) {
  while (is_network_namespace(path)) {
    if (::umount2(path.c_str(), MNT_DETACH) != 0) return errno_error("unpinning " + path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error("removing " + path);
  return ok_status();
}

Result<std::uint32_t> parse_ipv4(std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) {
    return error(Code::kInvalid, quoted(text) + " is no IPv4 address");
  }
  return ntohl(address.s_addr);
}

std::string format_ipv4(std::uint32_t ip) {
  return std::to_string(ip >> 24) + "." + std::to_string((ip >> 16) & 255) + "." + std::to_string((ip >> 8) & 255) +
         "." + std::to_string(ip & 255);
}

Result<Cidr> parse_cidr(std::string_view text) {
  Cut parts = cut(text, "/");
  Result<long> prefix = parse_int(parts.after);
  if (!parts.found || !prefix.ok() || *prefix < 0 || *prefix > 32) {
    return error(Code::kInvalid, quoted(text) + " is no address range; expected e.g. 10.244.0.0/24");
  }
  BERTH_ASSIGN(std::uint32_t ip, parse_ipv4(parts.before));
  std::uint32_t mask = *prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - *prefix);
  return Cidr{ip & mask, static_cast<int>(*prefix)};
}

}  // namespace berth::net
