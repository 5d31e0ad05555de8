#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <ldns/ldns.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "net/dns/answer.h"
#include "net/dns/server.h"
#include "net/dns/test_support.h"

namespace berth::net::dns {
namespace {

const std::string kService = "web.default.svc.cluster.local";

Zone sample_zone() {
  Zone zone("cluster.local");
  zone.replace("svc/default/web", {{kService, RecordType::kA, "10.244.0.2"},
                                   {"web-0." + kService, RecordType::kA, "10.244.0.2"},
                                   {"_http._tcp." + kService, RecordType::kSrv, "web-0." + kService, 80, 100},
                                   {"2.0.244.10.in-addr.arpa", RecordType::kPtr, "web-0." + kService}});
  return zone;
}

// The answer as text: "NOERROR aa | answers | authority | additional".
std::string ask(const Zone& zone, const std::string& wire, bool tcp = false) {
  std::string reply = answer(zone, wire, tcp).wire;
  ldns_pkt* packet = nullptr;
  if (reply.empty() ||
      ldns_wire2pkt(&packet, reinterpret_cast<const std::uint8_t*>(reply.data()), reply.size()) != LDNS_STATUS_OK)
    return "";
  EXPECT_EQ(ldns_pkt_id(packet), kAskersId);
  char* code = ldns_pkt_rcode2str(ldns_pkt_get_rcode(packet));
  std::string text = std::string(code) + (ldns_pkt_aa(packet) ? " aa" : "") + (ldns_pkt_tc(packet) ? " tc" : "");
  ::free(code);
  for (ldns_rr_list* list : {ldns_pkt_answer(packet), ldns_pkt_authority(packet), ldns_pkt_additional(packet)}) {
    char* rows = ldns_rr_list2str(list);
    text += std::string(" | ") + rows;
    ::free(rows);
  }
  ldns_pkt_free(packet);
  return text;
}

TEST(Dns, AnswersAddressesServicesAndReverse) {
  Zone zone = sample_zone();
  EXPECT_NE(ask(zone, question("Web-0.WEB.default.svc.cluster.local.", LDNS_RR_TYPE_A)).find("10.244.0.2"),
            std::string::npos);
  std::string srv = ask(zone, question("_http._tcp." + kService + ".", LDNS_RR_TYPE_SRV));
  EXPECT_NE(srv.find("0 100 80 web-0." + kService), std::string::npos) << srv;
  EXPECT_NE(srv.rfind("10.244.0.2"), std::string::npos)
      << "the target's address belongs into the additional section: " << srv;
  EXPECT_NE(ask(zone, question("2.0.244.10.in-addr.arpa.", LDNS_RR_TYPE_PTR)).find("web-0." + kService),
            std::string::npos);
  EXPECT_NE(ask(zone, question("10-1-2-3.default.pod.cluster.local.", LDNS_RR_TYPE_A)).find("10.1.2.3"),
            std::string::npos);
}

TEST(Dns, NoIsNeverKept) {
  Zone zone = sample_zone();
  std::string absent = ask(zone, question("web-9." + kService + ".", LDNS_RR_TYPE_A));
  EXPECT_TRUE(absent.starts_with("NXDOMAIN aa")) << absent;
  EXPECT_NE(absent.find("cluster.local.\t0\tIN\tSOA"), std::string::npos) << absent;
  std::string other_type = ask(zone, question("web-0." + kService + ".", LDNS_RR_TYPE_AAAA));
  EXPECT_TRUE(other_type.starts_with("NOERROR aa")) << other_type;
  // A name with records below it exists (RFC 8020).
  EXPECT_TRUE(ask(zone, question("_tcp." + kService + ".", LDNS_RR_TYPE_A)).starts_with("NOERROR"));
}

TEST(Dns, ABareNameIsAnsweredHere) {
  Zone zone = sample_zone();
  for (ldns_rr_type type : {LDNS_RR_TYPE_A, LDNS_RR_TYPE_AAAA}) {
    EXPECT_TRUE(ask(zone, question("web-0.", type)).starts_with("NXDOMAIN")) << "not forwarded";
  }
  EXPECT_TRUE(answer(zone, question("com.", LDNS_RR_TYPE_NS), false).wire.empty()) << "forwarded";
  EXPECT_TRUE(answer(zone, question("example.com.", LDNS_RR_TYPE_A), false).wire.empty()) << "forwarded";
}

TEST(Dns, AReplacedOwnerLeavesNothingBehind) {
  Zone zone = sample_zone();
  EXPECT_FALSE(zone.replace("svc/default/other", {}));
  EXPECT_TRUE(zone.replace("svc/default/web", {}));
  EXPECT_EQ(zone.size(), 0u);
  EXPECT_TRUE(ask(zone, question(kService + ".", LDNS_RR_TYPE_A)).starts_with("NXDOMAIN"));
}

TEST(Dns, LongAnswersAreTruncatedOverUdpOnly) {
  Zone zone("cluster.local");
  std::vector<DnsRecord> many;
  for (int i = 0; i < 60; ++i) many.push_back({kService, RecordType::kA, "10.244.1." + std::to_string(i + 1)});
  zone.replace("x", many);
  EXPECT_TRUE(ask(zone, question(kService + ".", LDNS_RR_TYPE_A)).starts_with("NOERROR aa tc"));
  EXPECT_TRUE(ask(zone, question(kService + ".", LDNS_RR_TYPE_A, true)).starts_with("NOERROR aa |"));
  EXPECT_TRUE(ask(zone, question(kService + ".", LDNS_RR_TYPE_A), true).starts_with("NOERROR aa |"));
}

TEST(Dns, GarbageIsDroppedOrRefused) {
  Zone zone = sample_zone();
  EXPECT_TRUE(answer(zone, "short", false).malformed);
  std::string torn = question(kService + ".", LDNS_RR_TYPE_A);
  torn.resize(20);
  EXPECT_EQ(answer(zone, torn, false).wire.size(), 12u);
  DnsReply foreign = answer(zone, question("example.com.", LDNS_RR_TYPE_A), false);
  EXPECT_TRUE(foreign.wire.empty() && !foreign.malformed);
}

class DnsServerTest : public ::testing::Test {
 protected:
  std::unique_ptr<DnsServer> start(Loop& loop, std::vector<std::string> upstreams, int upstream_port = 53) {
    DnsServerConfig config;
    config.address = "127.0.0.1";
    config.port = 0;
    config.upstreams = std::move(upstreams);
    config.upstream_port = upstream_port;
    return std::move(start_server(loop, "cluster.local", config).value());
  }

  // Sends a question from another thread while the loop runs, and returns the raw answer.
  static std::string exchange(Loop& loop, int port, const std::string& wire, bool tcp) {
    std::string reply;
    std::thread asker([&] {
      Fd socket(::socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
      timeval limit{5, 0};
      ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<std::uint16_t>(port));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
      std::string framed = wire;
      if (tcp) framed = std::string{static_cast<char>(wire.size() >> 8), static_cast<char>(wire.size() & 255)} + wire;
      (void)!::write(socket.get(), framed.data(), framed.size());
      char buffer[4096];
      ssize_t size = ::read(socket.get(), buffer, sizeof buffer);
      if (size > 0) reply.assign(buffer, static_cast<std::size_t>(size));
      if (tcp && size == 2) {
        size = ::read(socket.get(), buffer, sizeof buffer);
        reply.append(buffer, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
      }
      loop.stop();
    });
    loop.run();
    asker.join();
    return reply;
  }
};

TEST_F(DnsServerTest, ServesUdpAndTcp) {
  Loop loop(1);
  auto server = start(loop, {});
  server->zone().replace("x", {{kService, RecordType::kA, "10.244.0.9"}});
  std::string wire = question(kService + ".", LDNS_RR_TYPE_A);
  std::string udp = exchange(loop, server->port(), wire, false);
  EXPECT_NE(udp.find("\x0a\xf4\x00\x09", 0, 4), std::string::npos);
  std::string tcp = exchange(loop, server->port(), wire, true);
  EXPECT_EQ(tcp.substr(2), udp);
}

TEST_F(DnsServerTest, ForwardsOtherNamesAndSaysNoWhenThereIsNobodyToAsk) {
  Loop loop(1);
  auto upstream = start(loop, {});
  upstream->zone().replace("x", {{"www.example.cluster.local", RecordType::kA, "192.0.2.7"}});
  // A server with another zone forwards to it.
  DnsServerConfig config;
  config.address = "127.0.0.1";
  config.port = 0;
  config.upstreams = {"127.0.0.1"};
  config.upstream_port = upstream->port();
  auto server = std::move(start_server(loop, "other.domain", config).value());
  std::string reply = exchange(loop, server->port(), question("www.example.cluster.local.", LDNS_RR_TYPE_A), false);
  EXPECT_NE(reply.find("\xc0\x00\x02\x07", 0, 4), std::string::npos);
  auto alone = start(loop, {});
  std::string refused = exchange(loop, alone->port(), question("example.com.", LDNS_RR_TYPE_A), false);
  ASSERT_GE(refused.size(), 12u);
  EXPECT_EQ(refused[3] & 15, LDNS_RCODE_NXDOMAIN);
}

// With so many open sockets some have the UDP or TCP port that the kernel chose for the server's other socket.
TEST_F(DnsServerTest, AnyPortIsOneThatBothKindsOfSocketGet) {
  Loop loop(1);
  std::vector<Fd> taken;
  std::vector<std::unique_ptr<DnsServer>> servers;
  for (int i = 0; i < 400; ++i) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
        ::listen(socket.get(), 1) == 0) {
      taken.push_back(std::move(socket));
    }
  }
  ASSERT_GT(taken.size(), 300u);
  for (int i = 0; i < 200; ++i) {
    DnsServerConfig config;
    config.address = "127.0.0.1";
    config.port = 0;
    auto server = start_server(loop, "cluster.local", config);
    ASSERT_TRUE(server.ok()) << server.error().message;
    servers.push_back(std::move(server).value());
  }
}

TEST(Dns, ReadsNameservers) {
  EXPECT_EQ(nameservers_of("# x\nnameserver 1.2.3.4\nsearch a\n nameserver\t5.6.7.8 \n"),
            (std::vector<std::string>{"1.2.3.4", "5.6.7.8"}));
}

}  // namespace
}  // namespace berth::net::dns
