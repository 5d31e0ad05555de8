// What one client, or many, can make a server keep: heads, bodies, answers, connections.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "http/server.h"
#include "http/socket.h"
#include "http/test_support.h"
#include "http/tls.h"
#include "http/unread.h"

namespace berth::http {
namespace {

using testing::drive;
using testing::RawSocket;
using namespace std::chrono_literals;

class LimitsTest : public ::testing::Test {
 protected:
  void serve(Handler handler, ServerConfig config = {}) {
    server_ = make_server(loop_, std::move(handler), std::move(config));
    address_ = server_->listen("127.0.0.1:0", std::nullopt).value();
  }
  std::unique_ptr<RawSocket> ask(const std::string& bytes) {
    auto socket = std::make_unique<RawSocket>(address_);
    EXPECT_EQ(socket->send(bytes), bytes.size());
    return socket;
  }
  bool ends(RawSocket& socket) {
    return drive(loop_, [&] { return socket.over(); });
  }
  // All of it, while the server reads.
  void push(RawSocket& socket, std::string_view bytes) {
    EXPECT_TRUE(drive(loop_, [&] {
      bytes.remove_prefix(socket.send(bytes));
      return bytes.empty();
    }));
  }
  static std::string post(const std::string& path, std::size_t length, const std::string& more = "") {
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + more + "Content-Length: " + std::to_string(length) +
           "\r\n\r\n";
  }

  Loop loop_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

// Thousands of connections that never say anything are no more than their descriptors.
TEST(SocketTest, HasNoTlsStateBeforeThePeerSaysSomething) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  Socket socket{Fd(ends[0]), false};
  Fd peer(ends[1]);
  socket.accept_tls(SslContext(SSL_CTX_new(TLS_server_method()), SSL_CTX_free));
  EXPECT_EQ(socket.handshake(), Socket::Io::kAgain);
  socket.on_events(EPOLLOUT);
  EXPECT_EQ(socket.handshake(), Socket::Io::kAgain);
  EXPECT_EQ(socket.ssl(), nullptr);
  ASSERT_EQ(::write(peer.get(), "\x16", 1), 1);
  socket.on_events(EPOLLIN);
  EXPECT_EQ(socket.handshake(), Socket::Io::kAgain) << "the rest is to come";
  EXPECT_NE(socket.ssl(), nullptr);
  ASSERT_EQ(::write(peer.get(), "no record", 9), 9);
  socket.on_events(EPOLLIN);
  EXPECT_EQ(socket.handshake(), Socket::Io::kFailed);
  EXPECT_NE(socket.failure(), "");
}

TEST_F(LimitsTest, AHeadIsLookedAtBeforeItsBody) {
  ServerConfig config;
  int screened = 0;
  config.screen = [&](Exchange& exchange) {
    ++screened;
    EXPECT_EQ(exchange.request().body, "");
    if (exchange.request().path == "/good") return true;
    exchange.respond(403, "text/plain", "not you");
    return false;
  };
  std::vector<std::string> handled;
  serve(
      [&](std::shared_ptr<Exchange> e) {
        handled.push_back(e->request().path + " " + e->request().body);
        e->respond(200, "text/plain", "done");
      },
      config);
  auto bad = ask(post("/bad", 1000) + "half");
  EXPECT_TRUE(ends(*bad));
  EXPECT_NE(bad->got.find("403 Forbidden"), std::string::npos);
  EXPECT_NE(bad->got.find("Connection: close"), std::string::npos) << "what follows is a body nobody reads";
  auto patient = ask(post("/bad", 3, "Expect: 100-continue\r\n"));
  EXPECT_TRUE(ends(*patient));
  EXPECT_EQ(patient->got.find("100 Continue"), std::string::npos);
  auto good = ask(post("/good", 6, "Expect: 100-continue\r\n"));
  EXPECT_TRUE(drive(loop_, [&] { return good->has("100 Continue"); }));
  good->send("abc");
  good->send("def");
  EXPECT_TRUE(drive(loop_, [&] { return good->has("done"); }));
  EXPECT_EQ(screened, 3);
  // What is whole at once needs no looking at; the connection goes on.
  good->send(post("/all", 2) + "xy" + post("/good", 2));
  EXPECT_TRUE(drive(loop_, [&] { return handled.size() == 2 && screened == 4; }));
  good->send("zz");
  EXPECT_TRUE(drive(loop_, [&] { return handled.size() == 3; }));
  EXPECT_EQ(handled, (std::vector<std::string>{"/good abcdef", "/all xy", "/good zz"}));
}

TEST_F(LimitsTest, BodiesOfAllRequestsTogether) {
  ServerConfig config;
  config.max_unanswered = 300'000;
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "done"); }, config);
  std::vector<std::unique_ptr<RawSocket>> sockets;
  for (int i = 0; i < 3; ++i) {
    sockets.push_back(ask(post("/", 200'000)));
    push(*sockets.back(), std::string(90'000, 'x'));
  }
  // Each further byte is one too many at some point; the request that sends it is refused.
  auto last = ask(post("/", 200'000));
  (void)last->send(std::string(90'000, 'x'));
  EXPECT_TRUE(drive(loop_, [&] { return last->has("HTTP/1.1 429 ") && last->has("Retry-After: 1"); })) << last->got;
  // Memory is free again when they are gone, and a whole body fits.
  sockets.clear();
  std::unique_ptr<RawSocket> next;
  EXPECT_TRUE(drive(loop_, [&] {
    next = ask(post("/", 200'000));
    push(*next, std::string(200'000, 'x'));
    return drive(loop_, [&] { return next->has("HTTP/1.1"); }) && next->has("done");
  }));
}

TEST_F(LimitsTest, AnswersThatNobodyReads) {
  ServerConfig config;
  config.max_unread = 12u << 20;
  const std::string big(8u << 20, 'x');
  serve(
      [&](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", e->request().path == "/big" ? big : "small"); },
      config);
  auto a = ask("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  auto b = ask("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  // Neither is read: their bytes stay here, but for what the kernel takes.
  std::unique_ptr<RawSocket> third;
  EXPECT_TRUE(drive(loop_, [&] {
    third = ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    return drive(loop_, [&] { return third->has("\r\n\r\n"); }) && third->has("429 Too Many Requests");
  }));
  // One that is read, and one that is gone, make room.
  b.reset();
  EXPECT_TRUE(drive(loop_, [&] { return a->has("\r\n\r\n") && a->got.size() > big.size(); }));
  EXPECT_TRUE(drive(loop_, [&] {
    third = ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    return drive(loop_, [&] { return third->has("\r\n\r\n"); }) && third->has("small");
  }));
}

// A user that reads nothing exhausts its share, not the total.
TEST_F(LimitsTest, EachUserHasAShareOfWhatIsUnread) {
  ServerConfig config;
  config.max_unread = 40u << 20;
  const std::string big(4u << 20, 'x');
  std::vector<std::shared_ptr<Exchange>> streams;
  int closed = 0;
  serve(
      [&](std::shared_ptr<Exchange> e) {
        e->charge_to(std::string(header(e->request().headers, "user")));
        if (e->over_share()) return e->respond(429, "text/plain", "later");
        if (e->request().path == "/stream") {
          e->start(200, {{"content-type", "text/plain"}});
          e->on_close([&] { ++closed; });
          streams.push_back(std::move(e));
          return;
        }
        e->respond(200, "text/plain", e->request().path == "/big" ? big : "small");
      },
      config);
  auto as = [&](const std::string& user, const std::string& path) {
    auto socket = ask("GET " + path + " HTTP/1.1\r\nHost: h\r\nUser: " + user + "\r\n\r\n");
    EXPECT_TRUE(drive(loop_, [&] { return streams.size() > 0 || socket->has("\r\n\r\n"); }));
    return socket;
  };
  auto peek = [&](const std::string& user) {
    auto socket = as(user, "/");
    EXPECT_TRUE(drive(loop_, [&] { return socket->has("\r\n\r\n"); }));
    return socket->got.substr(9, 3);
  };
  // An answer's first bytes are read here, and no more: 40 of them would be far more than there is.
  std::vector<std::unique_ptr<RawSocket>> unread;
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    auto socket = std::make_unique<RawSocket>(address_);
    socket->send("GET /big HTTP/1.1\r\nHost: h\r\nUser: greedy\r\n\r\n");
    EXPECT_TRUE(drive(loop_, [&] {
      socket->poll(64);
      return socket->got.size() >= 12;
    }));
    if (socket->got.substr(9, 3) == "429") ++refused;
    unread.push_back(std::move(socket));
  }
  // A quarter of the total for one of two: two or three answers, less what the kernel holds.
  EXPECT_GE(refused, 30);
  EXPECT_LT(refused, 39);
  EXPECT_EQ(peek("greedy"), "429");
  EXPECT_EQ(peek("other"), "200");
  // A stream of the user that is over its share is cut off once it is behind, that of another user is not.
  auto slow = as("other", "/stream");
  ASSERT_TRUE(drive(loop_, [&] { return streams.size() == 1; }));
  for (int i = 0; i < 10; ++i) streams[0]->write({SharedBytes::of(std::string(100'000, 'e'))});
  EXPECT_FALSE(drive(
      loop_, [&] { return closed > 0; }, 50ms));
  streams[0]->charge_to("greedy");
  for (int i = 0; i < 10; ++i) streams[0]->write({SharedBytes::of(std::string(1'000'000, 'e'))});
  EXPECT_TRUE(drive(loop_, [&] { return closed == 1; }));
  unread.clear();
  EXPECT_TRUE(drive(loop_, [&] { return peek("greedy") == "200"; }));
}

// What several answers of a user share counts once for it, and is given back with the last of them.
TEST(UnreadTest, SharedTextsCountOnceForEachUser) {
  auto all = std::make_shared<Unread>();
  UnreadUsers users;
  auto text = std::make_shared<const std::string>(1000, 'x');
  auto one = std::make_shared<const UnreadAccount>(UnreadAccount{all, users.find_or_add("one"), nullptr});
  auto two = std::make_shared<const UnreadAccount>(UnreadAccount{all, users.find_or_add("two"), nullptr});
  std::vector<std::shared_ptr<const void>> owners;
  for (int i = 0; i < 100; ++i) owners.push_back(charge_shared(*one, text, 1000));
  EXPECT_EQ(all->bytes.load(), 1000u);
  EXPECT_EQ(all->users.load(), 1);
  owners.push_back(charge_shared(*two, text, 1000));
  EXPECT_EQ(all->bytes.load(), 2000u);
  EXPECT_EQ(all->users.load(), 2);
  EXPECT_FALSE(one->over_share(6000));  // a sixth for each of two
  EXPECT_TRUE(one->over_share(5999));
  owners.clear();
  EXPECT_EQ(all->bytes.load(), 0u);
  EXPECT_EQ(all->users.load(), 0);
  EXPECT_EQ(text.use_count(), 1);
  owners.push_back(charge_shared(*one, text, 1000));
  EXPECT_EQ(users.find_or_add("one")->bytes.load(), 1000u);
}

// However many texts of a user are unread, a look for expired ones costs each new text a few entries.
TEST(UnreadTest, ExpiredTextsAreLookedForAfterDoubling) {
  UnreadUsers users;
  auto user = users.find_or_add("one");
  const UnreadAccount account{std::make_shared<Unread>(), user, nullptr};
  std::vector<std::shared_ptr<const void>> owners;
  constexpr std::size_t kTexts = 5000;
  for (std::size_t i = 0; i < kTexts; ++i)
    owners.push_back(charge_shared(account, std::make_shared<const std::string>(300, 'x'), 300));
  EXPECT_EQ(user->shared.size(), kTexts);
  EXPECT_LE(user->examined, 2 * kTexts);
  EXPECT_EQ(user->bytes.load(), 300 * kTexts);
  owners.clear();
  user->examined = 0;
  std::vector<std::shared_ptr<const std::string>> texts;  // at an address each
  for (std::size_t i = 0; i < 4 * kTexts; ++i)
    charge_shared(account, texts.emplace_back(std::make_shared<const std::string>(300, 'x')), 300);
  EXPECT_LE(user->shared.size(), 128u) << "expired ones go";
  EXPECT_LE(user->examined, 16 * kTexts);
  EXPECT_EQ(user->bytes.load(), 0u);
}

// Bytes that an answer shares with a cache cost nothing.
TEST_F(LimitsTest, SharedAnswersAreNotCounted) {
  ServerConfig config;
  config.max_unread = 1u << 20;
  auto shared = std::make_shared<const std::string>(8u << 20, 'x');
  serve(
      [&](std::shared_ptr<Exchange> e) {
        if (e->request().path == "/big")
          return e->respond(200, {{"content-type", "text/plain"}}, {SharedBytes{shared, *shared}});
        e->respond(200, "text/plain", "small");
      },
      config);
  auto a = ask("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  auto b = ask("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(drive(loop_, [&] { return shared.use_count() >= 3; }));
  auto c = ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(drive(loop_, [&] { return c->has("small"); })) << c->got;
}

TEST_F(LimitsTest, StreamsThatAreBehindAreCutWhenMemoryIsShort) {
  ServerConfig config;
  config.max_unread = 4u << 20;
  std::vector<std::shared_ptr<Exchange>> streams;
  int closed = 0;
  serve(
      [&](std::shared_ptr<Exchange> e) {
        e->start(200, {{"content-type", "text/plain"}});
        e->on_close([&] { ++closed; });
        streams.push_back(std::move(e));
      },
      config);
  std::vector<std::unique_ptr<RawSocket>> sockets;
  for (int i = 0; i < 12; ++i) sockets.push_back(ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  ASSERT_TRUE(drive(loop_, [&] { return streams.size() == 12; }));
  // All streams are sent events without end; only the first peer reads.
  std::size_t read = 0;
  EXPECT_TRUE(drive(loop_, [&] {
    for (auto& stream : streams) stream->write({SharedBytes::of(std::string(100'000, 'e'))});
    read += 100'000;
    EXPECT_TRUE(drive(loop_, [&] {
      sockets[0]->poll();
      return sockets[0]->got.size() > read || sockets[0]->ended;
    }));
    return closed >= 4;
  }));
  EXPECT_FALSE(sockets[0]->ended);
  EXPECT_GT(read, 300'000u);
}

TEST_F(LimitsTest, ANewConnectionTakesThePlaceOfOneThatOnlyWaits) {
  ServerConfig config;
  config.max_connections = 8;
  std::vector<std::shared_ptr<Exchange>> held;
  serve(
      [&](std::shared_ptr<Exchange> e) {
        if (e->request().path == "/hold") {
          held.push_back(std::move(e));
        } else {
          e->respond(200, "text/plain", "done");
        }
      },
      config);
  std::vector<std::unique_ptr<RawSocket>> working, idle;
  for (int i = 0; i < 4; ++i) working.push_back(ask("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
  ASSERT_TRUE(drive(loop_, [&] { return held.size() == 4; }));
  for (int i = 0; i < 40; ++i) {
    idle.push_back(ask(i % 2 == 0 ? "GET / HT" : "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    EXPECT_TRUE(i % 2 == 0 || drive(loop_, [&] { return idle.back()->has("done"); })) << i;
  }
  int over = 0;
  ASSERT_TRUE(drive(loop_, [&] {
    over = 0;
    for (auto& socket : idle) over += socket->over();
    return over >= 36;
  }));
  for (auto& exchange : held) exchange->respond(200, "text/plain", "late");
  for (auto& socket : working) EXPECT_TRUE(drive(loop_, [&] { return socket->has("late"); }));
}

TEST_F(LimitsTest, SlowHeadsAndBodiesEnd) {
  ServerConfig config;
  config.head_timeout = 50ms;
  config.body_timeout = 120ms;
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "done"); }, config);
  RawSocket silent(address_);
  auto head = ask("GET / HTTP/1.1\r\nHost: h\r\nX: ");
  auto body = ask(post("/", 100) + "half");
  auto fine = ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  // A byte now and then does not help.
  EXPECT_TRUE(drive(loop_, [&] {
    head->send("x");
    body->send("x");
    return silent.over() && head->over() && body->over();
  }));
  EXPECT_TRUE(fine->has("done"));
  EXPECT_FALSE(fine->over()) << "who has asked once may wait longer";
}

TEST_F(LimitsTest, AWholeAnswerHasToBeTaken) {
  ServerConfig config;
  config.answer_timeout = 80ms;
  config.answer_bytes_per_second = 1u << 30;
  const std::string big(8u << 20, 'x');
  auto owner = std::make_shared<const std::string>(big);
  serve(
      [&](std::shared_ptr<Exchange> e) {
        e->respond(200, {{"content-type", "text/plain"}}, {SharedBytes{owner, *owner}});
      },
      config);
  // Two bytes at a time are progress, but no way to take eight million.
  auto slow = ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  (void)slow;
  EXPECT_TRUE(drive(loop_, [&] { return owner.use_count() > 1; }));
  EXPECT_TRUE(drive(loop_, [&] {
    char two[2];
    (void)::recv(slow->fd.get(), two, 2, 0);
    return owner.use_count() == 1;
  }));
}

TEST_F(LimitsTest, NobodyPipelinesWithoutReading) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", std::string(200, 'a')); });
  RawSocket socket(address_);
  int size = 4096;
  setsockopt(socket.fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  // At some point the server takes no more, and what it keeps is little.
  std::size_t sent = 0;
  int stuck = 0;
  EXPECT_TRUE(drive(loop_, [&] {
    std::size_t n = socket.send(many);
    sent += n;
    stuck = n == 0 ? stuck + 1 : 0;
    return stuck > 100;
  }));
  EXPECT_LT(sent, 64u << 20);
}

// Small requests behind each other are not read faster than they are answered.
TEST_F(LimitsTest, WhatIsPipelinedWaitsWithThePeer) {
  std::size_t asked = 0;
  std::shared_ptr<Exchange> held;
  serve([&](std::shared_ptr<Exchange> e) {
    ++asked;
    held = std::move(e);
  });
  RawSocket socket(address_);
  std::string many;
  for (int i = 0; i < 4000; ++i) many += "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  std::size_t sent = 0, answered = 0, at = 0;
  int stuck = 0;
  // One answer after the other, and as much input as is taken between them.
  EXPECT_TRUE(drive(loop_, [&] {
    if (held) {
      ++answered;
      std::exchange(held, nullptr)->respond(204, Headers{}, {});
    }
    socket.poll();
    std::size_t n = socket.send(std::string_view(many).substr(at));
    at = (at + n) % many.size();
    sent += n;
    stuck = n == 0 ? stuck + 1 : 0;
    return answered >= 400 && stuck > 50;
  }));
  // Each answer lets a request's worth in, not a read's worth: the kernel's buffers hold a few megabytes.
  EXPECT_LT(sent, 24u << 20);
}

}  // namespace
}  // namespace berth::http
