#include "net/pod_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "base/files.h"
#include "base/process/owned_namespaces.h"
#include "base/text.h"
#include "net/address_pool.h"
#include "net/netlink.h"

namespace berth::net {
namespace {

TEST(AddressPool, GivesTheSameOwnerTheSameAddressAndReusesLate) {
  AddressPool pool(parse_cidr("10.9.0.0/29").value());  // .2 to .6
  EXPECT_EQ(format_ipv4(pool.allocate("a").value()), "10.9.0.2");
  EXPECT_EQ(format_ipv4(pool.allocate("b").value()), "10.9.0.3");
  EXPECT_EQ(format_ipv4(pool.allocate("a").value()), "10.9.0.2");
  EXPECT_TRUE(pool.release("a"));
  EXPECT_FALSE(pool.release("a"));
  EXPECT_EQ(format_ipv4(pool.allocate("c").value()), "10.9.0.4");
  EXPECT_EQ(format_ipv4(pool.allocate("d").value()), "10.9.0.5");
  EXPECT_EQ(format_ipv4(pool.allocate("e").value()), "10.9.0.6");
  EXPECT_EQ(format_ipv4(pool.allocate("f").value()), "10.9.0.2");
  Result<std::uint32_t> none = pool.allocate("g");
  ASSERT_TRUE(none.failed_with(Code::kUnavailable));
  EXPECT_NE(none.error().message.find("all 5 of 10.9.0.0/29"), std::string::npos) << none.error().message;
}

TEST(AddressPool, SurvivesItsJson) {
  AddressPool pool(parse_cidr("10.9.0.0/24").value());
  (void)pool.allocate("a");
  (void)pool.allocate("b");
  pool.release("a");
  AddressPool again(parse_cidr("10.9.0.0/24").value());
  again.restore(pool.to_json());
  EXPECT_EQ(again.leases(), pool.leases());
  EXPECT_EQ(format_ipv4(again.allocate("c").value()), "10.9.0.4");
  AddressPool moved(parse_cidr("10.10.0.0/24").value());
  moved.restore(pool.to_json());
  EXPECT_TRUE(moved.leases().empty());
}

TEST(Addresses, RefuseWhatIsNone) {
  EXPECT_FALSE(parse_ipv4("10.0.0.256").ok());
  EXPECT_FALSE(parse_cidr("10.0.0.0").ok());
  EXPECT_FALSE(parse_cidr("10.0.0.0/33").ok());
  EXPECT_EQ(format_ipv4(parse_cidr("10.1.2.3/16").value().base), "10.1.0.0");
}

// A node for the tests: new network and mount namespaces for this test program.
class PodNetworkTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0) << "root is needed";
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
  }
  void SetUp() override {
    char name[] = "/tmp/berth-net-XXXXXX";
    directory_ = ::mkdtemp(name);
    config_.bridge = "brtest";
    config_.cidr = "10.99.7.0/24";
    config_.state_file = directory_ + "/leases.json";
    config_.namespaces_directory = directory_ + "/netns";
  }
  void TearDown() override {
    auto network = make_pod_network(config_);
    ASSERT_TRUE(network->prepare().ok());
    ASSERT_TRUE(network->recover({}).ok());
    Netlink netlink = std::move(Netlink::open().value());
    ASSERT_TRUE(netlink.delete_link(config_.bridge).ok());
    ASSERT_TRUE(remove_all(directory_).ok());
  }

  // Sends a byte from one pod to another over TCP.
  static Status talk(const PodAddress& from, const PodAddress& to) {
    int listener = -1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(8080);
    address.sin_addr.s_addr = htonl(parse_ipv4(to.ip).value());
    Status listening = in_network_namespace(to.namespace_path, [&]() -> Status {
      listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return errno_error("bind");
      if (::listen(listener, 1) != 0) return errno_error("listen");
      return ok_status();
    });
    Fd closing(listener);
    BERTH_TRY(listening);
    return in_network_namespace(from.namespace_path, [&]() -> Status {
      Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      timeval limit{5, 0};
      ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      if (::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        return errno_error("connect");
      return ok_status();
    });
  }

  static Result<PodAddress> attach(PodNetwork& network, const std::string& uid) {
    BERTH_ASSIGN(PodAddress address, network.lease(uid));
    BERTH_TRY(network.connect(uid, address));
    return address;
  }

  std::string directory_;
  PodNetworkConfig config_;
};

TEST_F(PodNetworkTest, PodsReachEachOther) {
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  Result<PodAddress> a = attach(*network, "uid-a"), b = attach(*network, "uid-b");
  ASSERT_TRUE(a.ok()) << a.error().message;
  ASSERT_TRUE(b.ok()) << b.error().message;
  EXPECT_EQ(a->ip, "10.99.7.2");
  EXPECT_EQ(b->ip, "10.99.7.3");
  Status talked = talk(*a, *b);
  EXPECT_TRUE(talked.ok()) << talked.error().message;
}

// On other threads, for several pods at once; one of them has its own user namespace.
TEST_F(PodNetworkTest, PodsAreConnectedAtOnce) {
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  const std::string users = directory_ + "/users";
  Status pinned = pin_user_namespace(users, 1 << 30, 65536);
  ASSERT_TRUE(pinned.ok()) << pinned.error().message;
  std::vector<PodAddress> addresses;
  std::vector<Status> made(8, ok_status());
  for (std::size_t i = 0; i < made.size(); ++i) addresses.push_back(network->lease("uid-" + std::to_string(i)).value());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < made.size(); ++i)
      threads.emplace_back(
          [&, i] { made[i] = network->connect("uid-" + std::to_string(i), addresses[i], i == 3 ? users : ""); });
  }
  for (const Status& one : made) EXPECT_TRUE(one.ok()) << one.error().message;
  for (std::size_t i = 1; i < made.size(); ++i) {
    Status talked = talk(addresses[i], addresses[i - 1]);
    EXPECT_TRUE(talked.ok()) << talked.error().message;
  }
  ASSERT_TRUE(network->recover({}).ok());
  EXPECT_EQ(list_directory(directory_ + "/netns")->size(), 0u);
  ASSERT_EQ(::umount2(users.c_str(), MNT_DETACH), 0);
}

TEST_F(PodNetworkTest, AddressesSurviveARestartOfTheAgent) {
  std::string ip;
  {
    auto network = make_pod_network(config_);
    ASSERT_TRUE(network->prepare().ok());
    (void)attach(*network, "uid-x");
    ip = attach(*network, "uid-a")->ip;
  }
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  ASSERT_TRUE(network->recover({"uid-a"}).ok());
  ASSERT_EQ(network->leases().size(), 1u);
  EXPECT_EQ(attach(*network, "uid-a")->ip, ip);
}

TEST_F(PodNetworkTest, DetachLeavesNothing) {
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  PodAddress a = attach(*network, "uid-a").value();
  ASSERT_TRUE(network->detach("uid-a").ok());
  ASSERT_TRUE(network->detach("uid-a").ok());
  EXPECT_FALSE(path_exists(a.namespace_path));
  EXPECT_TRUE(network->leases().empty());
  EXPECT_NE(attach(*network, "uid-b")->ip, a.ip);
}

TEST_F(PodNetworkTest, AnAddressIsFreeWhenItIsReleased) {
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  PodAddress a = attach(*network, "uid-a").value();
  Status gone;
  std::thread elsewhere([&] { gone = network->disconnect("uid-a"); });
  elsewhere.join();
  ASSERT_TRUE(gone.ok());
  EXPECT_FALSE(path_exists(a.namespace_path));
  ASSERT_EQ(network->leases().size(), 1u) << "whatever still knows the pod may ask for its address";
  EXPECT_EQ(network->leases()[0].second, a.ip);
  ASSERT_TRUE(network->release("uid-a").ok());
  EXPECT_TRUE(network->leases().empty());
}

TEST_F(PodNetworkTest, DetachDoesNotWaitForConnectionsToEnd) {
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  PodAddress a = attach(*network, "uid-a").value();
  Netlink netlink = std::move(Netlink::open().value());
  std::string link = "veth" + sha256_hex("uid-a").substr(0, 8);
  ASSERT_TRUE(netlink.find_link(link).has_value());
  Fd held;  // keeps the namespace, as a socket with unacknowledged data would
  ASSERT_TRUE(in_network_namespace(a.namespace_path, [&]() -> Status {
                held = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                return ok_status();
              }).ok());
  ASSERT_TRUE(held);
  ASSERT_TRUE(network->detach("uid-a").ok());
  EXPECT_FALSE(netlink.find_link(link).has_value());
}

TEST_F(PodNetworkTest, WorkPutAsideDoesNotHitTheNextInterfaceOfThatName) {
  std::vector<Task> aside;
  config_.aside = [&](Task work) { aside.push_back(std::move(work)); };
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  PodAddress b = attach(*network, "uid-b").value();
  (void)attach(*network, "uid-a").value();
  ASSERT_TRUE(network->detach("uid-a").ok());
  PodAddress again = attach(*network, "uid-a").value();
  ASSERT_EQ(aside.size(), 1u);
  aside[0]();
  EXPECT_TRUE(talk(b, again).ok());
  config_.aside = nullptr;
}

TEST_F(PodNetworkTest, HalfAnAttachmentIsMended) {
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  PodAddress a = attach(*network, "uid-a").value(), b = attach(*network, "uid-b").value();
  ASSERT_TRUE(remove_network_namespace(a.namespace_path).ok());  // as after a crash in the middle
  Result<PodAddress> again = attach(*network, "uid-a");
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->ip, a.ip);
  EXPECT_TRUE(talk(b, *again).ok());
}

// Killed between any two steps: the pair exists, and the later steps are missing or incomplete.
TEST_F(PodNetworkTest, AnAttachmentThatWasCutShortIsFinished) {
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  PodAddress a = attach(*network, "uid-a").value(), b = attach(*network, "uid-b").value();
  Netlink netlink = std::move(Netlink::open().value());
  const std::string link = "veth" + sha256_hex("uid-a").substr(0, 8);
  // Only the pair exists.
  ASSERT_TRUE(netlink.delete_link(link).ok());
  Fd inside(::open(a.namespace_path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(netlink.add_veth(link, "eth0", inside.get(), 1500, {0x0a, 0x58, 10, 99, 7, 2}).ok());
  EXPECT_FALSE(talk(b, a).ok());
  Result<PodAddress> again = attach(*network, "uid-a");
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->ip, a.ip);
  EXPECT_TRUE(talk(b, a).ok());
  // Only the bridge is missing; the namespace is kept, because containers may be in it.
  ASSERT_TRUE(netlink.set_master(*netlink.find_link(link), 0).ok());
  EXPECT_FALSE(netlink.find_master(link));
  ASSERT_TRUE(attach(*network, "uid-a").ok());
  EXPECT_EQ(netlink.find_master(link), netlink.find_link(config_.bridge));
  struct ::stat before {
  }, after{};
  ASSERT_EQ(::fstat(inside.get(), &before), 0);
  ASSERT_EQ(::stat(a.namespace_path.c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_TRUE(talk(b, a).ok());
}

// The lease file is damaged while pods run.
TEST_F(PodNetworkTest, WhatAPodLivesWithIsKept) {
  auto network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  const std::string a = network->lease("uid-a")->ip, b = network->lease("uid-b")->ip;
  ASSERT_TRUE(write_file(config_.state_file, "{\"leases\":").ok());
  network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  ASSERT_TRUE(network->keep("uid-b", b).ok());
  ASSERT_TRUE(network->keep("uid-a", a).ok());
  ASSERT_TRUE(network->keep("uid-far", "192.0.2.1").ok()) << "of a range that is not ours any more";
  EXPECT_EQ(network->lease("uid-a")->ip, a);
  EXPECT_EQ(network->lease("uid-b")->ip, b);
  const std::string c = network->lease("uid-c")->ip;
  EXPECT_TRUE(c != a && c != b) << c;
  // The pod that was given the address by mistake loses it.
  ASSERT_TRUE(network->keep("uid-d", c).ok());
  network = make_pod_network(config_);
  ASSERT_TRUE(network->prepare().ok());
  EXPECT_EQ(network->lease("uid-d")->ip, c);
  EXPECT_NE(network->lease("uid-c")->ip, c);
  ASSERT_TRUE(write_file(config_.state_file, "{}").ok());
}

}  // namespace
}  // namespace berth::net
