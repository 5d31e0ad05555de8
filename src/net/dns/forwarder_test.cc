// Forwarded questions: the choice of upstream, which replies are accepted, and the answer if there is none.

#include "net/dns/forwarder.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <ldns/ldns.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "net/dns/server.h"
#include "net/dns/test_support.h"

namespace berth::net::dns {
namespace {

unsigned id_of(std::string_view wire) {
  return static_cast<unsigned>(static_cast<unsigned char>(wire[0])) << 8 | static_cast<unsigned char>(wire[1]);
}
int code_of(std::string_view wire) { return wire.size() < 12 ? -1 : wire[3] & 15; }

// The question as a response, with a mark at its end that identifies it.
std::string response_to(std::string wire, const std::string& mark, int code = LDNS_RCODE_NOERROR) {
  wire[2] = static_cast<char>(wire[2] | 0x80);
  wire[3] = static_cast<char>(code);
  return wire + mark;
}

class Upstream {
 public:
  explicit Upstream(int family = AF_INET) : family_(family), socket_(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage any{};
    any.ss_family = static_cast<sa_family_t>(family);
    if (family == AF_INET) {
      reinterpret_cast<sockaddr_in&>(any).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
      reinterpret_cast<sockaddr_in6&>(any).sin6_addr = IN6ADDR_LOOPBACK_INIT;
    }
    socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    usable_ = ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&any), length) == 0;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&any), &length);
    port_ = ntohs(reinterpret_cast<sockaddr_in&>(any).sin_port);  // at the same offset in both
  }
  bool usable() const { return usable_; }
  int port() const { return port_; }
  std::string name() const { return (family_ == AF_INET ? "127.0.0.1:" : "[::1]:") + std::to_string(port_); }

  struct ReceivedQuestion {
    std::string wire;
    sockaddr_storage from{};
    int port = 0;
  };
  // Received messages, without waiting.
  std::optional<ReceivedQuestion> get() {
    char buffer[4096];
    ReceivedQuestion got;
    socklen_t length = sizeof got.from;
    const ssize_t size =
        ::recvfrom(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&got.from), &length);
    if (size < 0) return std::nullopt;
    got.wire.assign(buffer, static_cast<std::size_t>(size));
    got.port = ntohs(reinterpret_cast<sockaddr_in&>(got.from).sin_port);
    return got;
  }
  void send(const ReceivedQuestion& to, const std::string& wire) {
    const socklen_t length = family_ == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    EXPECT_EQ(::sendto(socket_.get(), wire.data(), wire.size(), 0, reinterpret_cast<const sockaddr*>(&to.from), length),
              static_cast<ssize_t>(wire.size()));
  }
  void close() { socket_.reset(); }

 private:
  int family_;
  Fd socket_;
  int port_ = 0;
  bool usable_ = false;
};

// The same over TCP.
class TcpUpstream {
 public:
  TcpUpstream() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof any;
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&any), length), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&any), &length);
    port_ = ntohs(any.sin_port);
  }
  std::string name() const { return "127.0.0.1:" + std::to_string(port_); }
  Fd accept() { return Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)); }
  // The received message without its length.
  static std::string get(const Fd& connection) {
    char buffer[4096];
    const ssize_t size = ::recv(connection.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return size <= 2 ? std::string() : std::string(buffer + 2, static_cast<std::size_t>(size) - 2);
  }
  static std::string framed(const std::string& wire) {
    return std::string{static_cast<char>(wire.size() >> 8), static_cast<char>(wire.size() & 255)} + wire;
  }
  static void send(const Fd& connection, const std::string& bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::send(connection.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      ASSERT_GT(n, 0);
      done += static_cast<std::size_t>(n);
    }
  }

 private:
  Fd listener_;
  int port_ = 0;
};

class ForwarderTest : public ::testing::Test {
 protected:
  void make(std::vector<std::string> upstreams, Duration timeout = 2s) {
    ForwarderConfig config;
    config.upstreams = std::move(upstreams);
    config.timeout = timeout;
    forwarder_.emplace(loop_, std::move(config));
  }
  // The answer is stored in answers_ under this number.
  std::size_t ask(const std::string& name, bool tcp = false, std::uint32_t asker = 1) {
    const std::size_t number = answers_.size();
    answers_.emplace_back();
    forwarder_->forward(question(name), tcp, asker,
                        [this, number](std::string wire) { answers_[number] = std::move(wire); });
    return number;
  }
  const std::string& wait_for(std::size_t number) {
    for (int rounds = 0; rounds < 5000 && answers_[number].empty(); ++rounds) loop_.run_once(5ms);
    return answers_[number];
  }
  void turn() {
    for (int i = 0; i < 5; ++i) loop_.run_once(1ms);
  }

  Loop loop_{1};
  std::optional<Forwarder> forwarder_;
  std::vector<std::string> answers_;
};

TEST_F(ForwarderTest, EachQuestionHasAPortAndAnIdOfItsOwn) {
  Upstream upstream;
  make({upstream.name()});
  std::set<unsigned> ids;
  std::set<int> ports;
  for (int i = 0; i < 32; ++i) {
    const std::size_t number = ask("example.com.");
    auto got = upstream.get();
    ASSERT_TRUE(got);
    ids.insert(id_of(got->wire));
    ports.insert(got->port);
    upstream.send(*got, response_to(got->wire, "yes"));
    const std::string& answer = wait_for(number);
    EXPECT_EQ(id_of(answer), kAskersId);
    EXPECT_TRUE(answer.ends_with("yes"));
  }
  EXPECT_GE(ids.size(), 28u);
  EXPECT_GE(ports.size(), 16u);
  EXPECT_LE(ids.count(kAskersId), 1u);
}

TEST_F(ForwarderTest, OnlyAnAnswerToTheQuestionIsTaken) {
  Upstream upstream;
  make({upstream.name()});
  const std::size_t number = ask("example.com.");
  auto got = upstream.get();
  ASSERT_TRUE(got);
  std::string other_id = got->wire;
  other_id[1] = static_cast<char>(other_id[1] ^ 1);
  std::string other_name = question("example.org.");
  other_name.replace(0, 2, got->wire, 0, 2);
  std::string other_type = got->wire;
  other_type[other_type.size() - 3] = 28;
  std::string no_question = got->wire.substr(0, 12);
  no_question[5] = 0;
  for (const std::string& wrong :
       {response_to(other_id, "no"), response_to(other_name, "no"), response_to(other_type, "no"),
        response_to(no_question, ""), got->wire, std::string("short")}) {
    upstream.send(*got, wrong);
    turn();
    EXPECT_EQ(answers_[number], "") << "waited on for";
  }
  std::string capitals = got->wire;
  capitals.replace(13, 7, "EXAMPLE");
  upstream.send(*got, response_to(capitals, "yes"));
  EXPECT_TRUE(wait_for(number).ends_with("yes")) << "letters are letters";
}

TEST_F(ForwarderTest, AsksOverIpv6) {
  Upstream upstream(AF_INET6);
  if (!upstream.usable()) GTEST_SKIP() << "no IPv6 here";
  ForwarderConfig config;
  config.upstreams = nameservers_of("nameserver ::1\n");
  config.port = upstream.port();
  forwarder_.emplace(loop_, std::move(config));
  const std::size_t number = ask("example.com.");
  auto got = upstream.get();
  ASSERT_TRUE(got);
  upstream.send(*got, response_to(got->wire, "yes"));
  EXPECT_TRUE(wait_for(number).ends_with("yes"));
}

TEST_F(ForwarderTest, NobodyToAskIsNo) {
  make({});
  EXPECT_EQ(code_of(wait_for(ask("example.com."))), LDNS_RCODE_NXDOMAIN);
  EXPECT_EQ(id_of(answers_[0]), kAskersId);
  make({"nonsense", "fe80::1%no-such-interface"});
  EXPECT_EQ(code_of(wait_for(ask("example.com."))), LDNS_RCODE_NXDOMAIN);
}

TEST_F(ForwarderTest, NoRouteToAnyoneIsNo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a network of its own";
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(1);
    Loop loop(1);
    Forwarder forwarder(loop, {{"192.0.2.1", "2001:db8::1"}});
    int code = -1;
    forwarder.forward(question("example.com."), false, 1, [&code](std::string wire) { code = code_of(wire); });
    ::_exit(code == LDNS_RCODE_NXDOMAIN ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(ForwarderTest, AClosedPortIsAFailureAtOnce) {
  Upstream closed, open;
  closed.close();
  make({closed.name()}, 1h);
  EXPECT_EQ(code_of(wait_for(ask("example.com."))), LDNS_RCODE_SERVFAIL);
  make({closed.name(), open.name()}, 1h);
  const std::size_t number = ask("example.com.");
  std::optional<Upstream::ReceivedQuestion> got;
  for (int i = 0; i < 1000 && !(got = open.get()); ++i) loop_.run_once(5ms);
  ASSERT_TRUE(got) << "the next one is asked";
  open.send(*got, response_to(got->wire, "yes"));
  EXPECT_TRUE(wait_for(number).ends_with("yes"));
}

TEST_F(ForwarderTest, ASilentOneIsLeftOutUntilItAnswers) {
  Upstream silent;
  make({silent.name()}, 50ms);
  for (const char* name : {"a.example.com.", "b.example.com.", "c.example.com."}) {
    EXPECT_EQ(code_of(wait_for(ask(name))), LDNS_RCODE_SERVFAIL);
    EXPECT_TRUE(silent.get());
  }
  const std::size_t failed_at_once = ask("b.example.com.");
  EXPECT_EQ(code_of(answers_[failed_at_once]), LDNS_RCODE_SERVFAIL);
  EXPECT_FALSE(silent.get());
  // A second later one question tests whether it answers again.
  std::optional<Upstream::ReceivedQuestion> got;
  std::size_t number = 0;
  for (int i = 0; i < 1000 && !got; ++i) {
    loop_.run_once(5ms);
    number = ask("c.example.com.");
    got = silent.get();
  }
  ASSERT_TRUE(got);
  silent.send(*got, response_to(got->wire, "yes"));
  EXPECT_TRUE(wait_for(number).ends_with("yes"));
  number = ask("d.example.com.");
  EXPECT_TRUE(silent.get()) << "it is asked again";
}

TEST_F(ForwarderTest, ANameThatNobodyAnswersForTakesNothingFromTheOthers) {
  Upstream upstream;
  make({upstream.name()}, 100ms);
  // Also if it is repeated.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(code_of(wait_for(ask("slow.example.com."))), LDNS_RCODE_SERVFAIL);
    EXPECT_TRUE(upstream.get()) << i;
  }
  // Nor do several such names, if another one is answered meanwhile.
  std::vector<std::size_t> slow;
  for (const char* name : {"s1.example.com.", "s2.example.com.", "s3.example.com.", "s4.example.com."}) {
    slow.push_back(ask(name));
    EXPECT_TRUE(upstream.get());
  }
  const std::size_t quick = ask("quick.example.com.");
  auto got = upstream.get();
  ASSERT_TRUE(got);
  upstream.send(*got, response_to(got->wire, "yes"));
  EXPECT_TRUE(wait_for(quick).ends_with("yes"));
  for (std::size_t one : slow) EXPECT_EQ(code_of(wait_for(one)), LDNS_RCODE_SERVFAIL);
  ask("next.example.com.");
  EXPECT_TRUE(upstream.get());
}

TEST_F(ForwarderTest, EachAskerLooksWhetherASilentOneIsBack) {
  Upstream silent;
  make({silent.name()}, 50ms);
  for (const char* name : {"a.example.com.", "b.example.com.", "c.example.com."}) {
    wait_for(ask(name));
    EXPECT_TRUE(silent.get());
  }
  // One client uses up the test questions of its own.
  bool looked = false;
  for (int i = 0; i < 1000 && !looked; ++i) {
    loop_.run_once(5ms);
    ask("d.example.com.", false, 7);
    looked = silent.get().has_value();
  }
  ASSERT_TRUE(looked);
  const std::size_t number = ask("e.example.com.", false, 8);
  auto got = silent.get();
  ASSERT_TRUE(got);
  silent.send(*got, response_to(got->wire, "yes"));
  EXPECT_TRUE(wait_for(number).ends_with("yes"));
}

TEST_F(ForwarderTest, OneAskerLeavesRoomForTheOthers) {
  Upstream upstream;
  make({upstream.name()}, 1h);
  for (int i = 0; i < 600; ++i) ask("x" + std::to_string(i) + ".example.com.", false, 1);
  const auto refused = [this](std::size_t number) { return code_of(answers_[number]) == LDNS_RCODE_SERVFAIL; };
  EXPECT_FALSE(refused(0));
  EXPECT_TRUE(refused(599));
  EXPECT_FALSE(refused(ask("y.example.com.", false, 2)));
  EXPECT_TRUE(refused(ask("z.example.com.", false, 1)));
}

TEST_F(ForwarderTest, WhoRefusesIsNotTheLastOneAsked) {
  Upstream first, second;
  make({first.name(), second.name()});
  for (int code : {LDNS_RCODE_SERVFAIL, LDNS_RCODE_REFUSED, LDNS_RCODE_NOTIMPL}) {
    const std::size_t number = ask("example.com.");
    auto got = first.get();
    ASSERT_TRUE(got);
    first.send(*got, response_to(got->wire, "", code));
    turn();
    got = second.get();
    ASSERT_TRUE(got);
    second.send(*got, response_to(got->wire, "", LDNS_RCODE_REFUSED));
    EXPECT_EQ(code_of(wait_for(number)), LDNS_RCODE_REFUSED) << "as it says";
  }
  const std::size_t number = ask("example.com.");
  auto got = first.get();
  ASSERT_TRUE(got);
  first.send(*got, response_to(got->wire, "", LDNS_RCODE_NXDOMAIN));
  EXPECT_EQ(code_of(wait_for(number)), LDNS_RCODE_NXDOMAIN) << "which is an answer";
}

TEST_F(ForwarderTest, AskersOverTcpGetTheWholeAnswer) {
  TcpUpstream upstream, closing;
  make({closing.name(), upstream.name()}, 1h);
  const std::size_t number = ask("example.com.", true);
  turn();
  Fd first = closing.accept();
  ASSERT_TRUE(first);
  first.reset();  // closed without an answer
  turn();
  Fd connection = upstream.accept();
  ASSERT_TRUE(connection);
  turn();
  const std::string wire = TcpUpstream::get(connection);
  ASSERT_NE(wire, "");
  const std::string answer = TcpUpstream::framed(response_to(wire, std::string(60'000, 'y') + "yes"));
  TcpUpstream::send(connection, answer.substr(0, 1));
  turn();
  TcpUpstream::send(connection, answer.substr(1, 5000));
  turn();
  EXPECT_EQ(answers_[number], "");
  TcpUpstream::send(connection, answer.substr(5001));
  EXPECT_TRUE(wait_for(number).ends_with("yes"));
  EXPECT_EQ(answers_[number].size(), answer.size() - 2);
  EXPECT_EQ(id_of(answers_[number]), kAskersId);
  // A reply to another question ends the connection.
  make({upstream.name()}, 1h);
  const std::size_t wrong = ask("example.com.", true);
  turn();
  connection = upstream.accept();
  ASSERT_TRUE(connection);
  turn();
  std::string other = TcpUpstream::get(connection);
  ASSERT_NE(other, "");
  other[1] = static_cast<char>(other[1] ^ 1);
  TcpUpstream::send(connection, TcpUpstream::framed(response_to(other, "no")));
  EXPECT_EQ(code_of(wait_for(wrong)), LDNS_RCODE_SERVFAIL);
}

TEST_F(ForwarderTest, AClosedPortIsAFailureAtOnceOverTcpToo) {
  Upstream closed;
  closed.close();
  make({closed.name()}, 1h);
  EXPECT_EQ(code_of(wait_for(ask("example.com.", true))), LDNS_RCODE_SERVFAIL);
}

TEST(Upstreams, AreReadInTheirForms) {
  auto text = [](std::string_view name) -> std::string {
    auto address = upstream_address(name, 53);
    if (!address.ok()) return "";
    char out[INET6_ADDRSTRLEN] = {};
    if (address->storage.ss_family == AF_INET) {
      const auto& v4 = reinterpret_cast<const sockaddr_in&>(address->storage);
      ::inet_ntop(AF_INET, &v4.sin_addr, out, sizeof out);
      return std::string(out) + " " + std::to_string(ntohs(v4.sin_port));
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address->storage);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, out, sizeof out);
    return std::string(out) + " " + std::to_string(ntohs(v6.sin6_port)) + " " + std::to_string(v6.sin6_scope_id);
  };
  EXPECT_EQ(text("192.0.2.1"), "192.0.2.1 53");
  EXPECT_EQ(text("192.0.2.1:5353"), "192.0.2.1 5353");
  EXPECT_EQ(text("::1"), "::1 53 0");
  EXPECT_EQ(text("[2001:db8::1]:5353"), "2001:db8::1 5353 0");
  EXPECT_EQ(text("fe80::1%3"), "fe80::1 53 3");
  EXPECT_EQ(text("[fe80::1%lo]:54"), "fe80::1 54 1");
  for (const char* wrong : {"", "x", "1.2.3", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "[::1", "[::1]x", "::1%",
                            "fe80::1%nowhere", "1.2.3.4:53x"}) {
    EXPECT_EQ(text(wrong), "") << wrong;
  }
  EXPECT_TRUE(is_loopback("127.0.0.53") && is_loopback("::1") && !is_loopback("192.0.2.1") && !is_loopback("x"));
}

// The descriptor of this process whose peer is `client`: the other end of its connection.
int other_end(int client) {
  sockaddr_in ours{}, peer{};
  socklen_t length = sizeof ours;
  ::getsockname(client, reinterpret_cast<sockaddr*>(&ours), &length);
  for (int fd = 0; fd < 1024; ++fd) {
    length = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0 && peer.sin_family == AF_INET &&
        peer.sin_port == ours.sin_port)
      return fd;
  }
  return -1;
}

TEST(DnsServer, AnAnswerDoesNotReachWhoeverHasTheDescriptorNow) {
  Loop loop(1);
  TcpUpstream upstream;
  DnsServerConfig config;
  config.address = "127.0.0.1";
  config.port = 0;
  config.upstreams = {upstream.name()};
  auto server = std::move(start_server(loop, "cluster.local", config).value());
  auto turn = [&loop] {
    for (int i = 0; i < 5; ++i) loop.run_once(1ms);
  };
  auto connect = [&] {
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(server->port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return client;
  };
  auto send = [](const Fd& client, const std::string& wire) {
    const std::string framed = TcpUpstream::framed(wire);
    EXPECT_EQ(::write(client.get(), framed.data(), framed.size()), static_cast<ssize_t>(framed.size()));
  };
  auto receive = [](const Fd& client) {
    char buffer[4096];
    const ssize_t size = ::recv(client.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return size <= 0 ? std::string() : std::string(buffer, static_cast<std::size_t>(size));
  };
  Fd first = connect();
  send(first, question("first.example.com."));
  turn();
  const int descriptor = other_end(first.get());
  Fd to_first = upstream.accept();
  ASSERT_TRUE(to_first);
  turn();
  const std::string asked_first = TcpUpstream::get(to_first);
  ASSERT_NE(asked_first, "");
  first.reset();
  turn();
  Fd second = connect();
  send(second, question("second.example.com."));
  turn();
  ASSERT_EQ(other_end(second.get()), descriptor) << "the case to be looked at";
  Fd to_second = upstream.accept();
  ASSERT_TRUE(to_second);
  turn();
  const std::string asked_second = TcpUpstream::get(to_second);
  ASSERT_NE(asked_second, "");
  TcpUpstream::send(to_first, TcpUpstream::framed(response_to(asked_first, "first")));
  turn();
  EXPECT_EQ(receive(second), "");
  TcpUpstream::send(to_second, TcpUpstream::framed(response_to(asked_second, "second")));
  turn();
  EXPECT_TRUE(receive(second).ends_with("second"));
}

}  // namespace
}  // namespace berth::net::dns
