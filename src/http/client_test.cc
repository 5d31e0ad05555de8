#include "http/client.h"

#include "http/test_support.h"

namespace berth::http {
namespace {

using testing::drive;
using testing::Pki;

class ClientTest : public ::testing::Test {
 protected:
  void serve(Handler handler, bool tls = true) {
    server_ = make_server(loop_, std::move(handler));
    auto address = server_->listen("127.0.0.1:0", tls ? std::optional(pki_.tls()) : std::nullopt);
    ASSERT_TRUE(address.ok()) << address.error().message;
    address_ = *address;
  }
  Endpoint endpoint() const { return pki_.endpoint(address_); }
  Endpoint plain() const {
    Endpoint e;
    e.address = address_;
    return e;
  }
  Result<Response> get(Client& client, ClientRequest request = {}) {
    std::optional<Result<Response>> answer;
    client.send(std::move(request), [&](Result<Response> r) { answer = std::move(r); });
    EXPECT_FALSE(answer) << "not within the call";
    EXPECT_TRUE(drive(loop_, [&] { return answer.has_value(); }));
    return answer ? std::move(*answer) : Result<Response>(error(Code::kInternal, "no answer"));
  }
  // A listener that answers every connection with these bytes and closes.
  std::string canned(std::string bytes) {
    auto to = parse_address("127.0.0.1:0");
    listener_ = bind_and_listen(*to).value();
    EXPECT_TRUE(loop_
                    .watch_fd(listener_.get(), 1 /* EPOLLIN */,
                              [this, bytes](std::uint32_t) {
                                int fd = ::accept(listener_.get(), nullptr, nullptr);
                                if (fd < 0) return;
                                (void)loop_.watch_fd(fd, 1, [this, fd, answer = bytes](std::uint32_t) {
                                  Fd own(fd);
                                  char room[4096];
                                  [[maybe_unused]] ssize_t n = ::recv(fd, room, sizeof room, 0);
                                  n = ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
                                  loop_.unwatch_fd(fd);
                                });
                              })
                    .ok());
    return local_address(listener_.get()).value();
  }

  Loop loop_;
  Pki pki_;
  std::unique_ptr<Server> server_;
  std::string address_;
  Fd listener_;
};

TEST_F(ClientTest, RequestsOverTlsReuseTheConnection) {
  std::vector<std::string> peers;
  serve([&](std::shared_ptr<Exchange> e) {
    peers.push_back(e->request().peer.address);
    e->respond(200, "text/plain", e->request().method + e->request().target + e->request().body);
  });
  auto client = make_client(loop_, endpoint());
  for (int i = 0; i < 3; ++i) {
    ClientRequest request;
    request.method = "POST";
    request.target = "/x?y=1";
    request.body = std::string(200'000, 'b');
    auto answer = get(*client, std::move(request));
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "POST/x?y=1" + std::string(200'000, 'b'));
    EXPECT_EQ(header(answer->headers, "Content-Type"), "text/plain");
  }
  ASSERT_EQ(peers.size(), 3u);
  EXPECT_EQ(peers[0], peers[2]);
}

TEST_F(ClientTest, TheServerKnowsAClientByItsCertificate) {
  Peer peer;
  serve([&](std::shared_ptr<Exchange> e) {
    peer = e->request().peer;
    e->respond(200, "text/plain", "");
  });
  crypto::KeyPair admin = pki_.client("admin", {"system:masters", "ops"});
  Endpoint known = endpoint();
  known.certificate_pem = admin.certificate_pem;
  known.key_pem = admin.key_pem;
  auto client = make_client(loop_, known);
  ASSERT_TRUE(get(*client).ok());
  EXPECT_EQ(peer.common_name, "admin");
  EXPECT_EQ(peer.organizations, (std::vector<std::string>{"system:masters", "ops"}));

  crypto::KeyPair stranger = Pki("other-ca").client("admin", {"system:masters"});
  Endpoint unknown = endpoint();
  unknown.certificate_pem = stranger.certificate_pem;
  unknown.key_pem = stranger.key_pem;
  client = make_client(loop_, unknown);
  ASSERT_TRUE(get(*client).ok()) << "served, as nobody";
  EXPECT_EQ(peer.common_name, "");
  EXPECT_TRUE(peer.bad_certificate);
  EXPECT_TRUE(peer.organizations.empty());

  // A server's certificate is no proof of a client's identity, although our own authority signed it.
  crypto::KeyPair misused = pki_.server();
  unknown.certificate_pem = misused.certificate_pem;
  unknown.key_pem = misused.key_pem;
  client = make_client(loop_, unknown);
  ASSERT_TRUE(get(*client).ok());
  EXPECT_EQ(peer.common_name, "");
  EXPECT_TRUE(peer.bad_certificate);
}

// Ours, but of another time.
TEST_F(ClientTest, ACertificateCountsInItsTimeOnly) {
  Peer peer;
  serve([&](std::shared_ptr<Exchange> e) {
    peer = e->request().peer;
    e->respond(200, "text/plain", "");
  });
  const Time now = std::chrono::system_clock::now();
  for (Time from : {now - std::chrono::hours(48), now + std::chrono::hours(24), now}) {
    crypto::CertificateRequest request;
    request.common_name = "admin";
    request.client = true;
    request.not_before = from;
    request.lifetime = std::chrono::hours(1);
    crypto::KeyPair pair = crypto::issue(pki_.authority, request).value();
    Endpoint known = endpoint();
    known.certificate_pem = pair.certificate_pem;
    known.key_pem = pair.key_pem;
    auto client = make_client(loop_, known);
    ASSERT_TRUE(get(*client).ok());
    EXPECT_EQ(peer.bad_certificate, from != now);
    EXPECT_EQ(peer.common_name, from == now ? "admin" : "");
    EXPECT_EQ(peer.certificate_sha256.size(), from == now ? 64u : 0u);
    EXPECT_EQ(peer.certificate_ends, from == now ? crypto::expiry(pair.certificate_pem).value() : Time{});
  }
}

TEST_F(ClientTest, TrustsOnlyItsAuthorityAndTheRightName) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "hi"); });
  Endpoint wrong_ca = endpoint();
  wrong_ca.ca_pem = Pki("test-ca").authority.certificate_pem;
  auto answer = get(*make_client(loop_, wrong_ca));
  EXPECT_TRUE(answer.failed_with(Code::kUnavailable));
  Endpoint wrong_name = endpoint();
  wrong_name.server_name = "elsewhere";
  answer = get(*make_client(loop_, wrong_name));
  ASSERT_TRUE(answer.failed_with(Code::kUnavailable));
  EXPECT_NE(answer.error().message.find("hostname mismatch"), std::string::npos) << answer.error().message;
  Endpoint by_address = endpoint();
  by_address.server_name = "127.0.0.1";
  EXPECT_TRUE(get(*make_client(loop_, by_address)).ok());
  Endpoint careless = wrong_name;
  careless.insecure = true;
  careless.ca_pem = "";
  EXPECT_TRUE(get(*make_client(loop_, careless)).ok());
  Endpoint no_ca = endpoint();
  no_ca.ca_pem = "";
  EXPECT_TRUE(get(*make_client(loop_, no_ca)).failed_with(Code::kUnavailable));
}

TEST_F(ClientTest, CertificatesAreReplacedWhileRunning) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "hi"); });
  auto old_client = make_client(loop_, endpoint());
  ASSERT_TRUE(get(*old_client).ok());
  Pki next("next-ca");
  ASSERT_TRUE(server_->replace_certificate(next.tls()).ok());
  EXPECT_TRUE(get(*old_client).ok()) << "an open connection stays";
  EXPECT_FALSE(get(*make_client(loop_, endpoint())).ok());
  EXPECT_TRUE(get(*make_client(loop_, next.endpoint(address_))).ok());
  EXPECT_FALSE(server_->replace_certificate(TlsConfig{"x", "y", ""}).ok());
  EXPECT_TRUE(get(*make_client(loop_, next.endpoint(address_))).ok()) << "a bad one changes nothing";
}

TEST_F(ClientTest, UnixSockets) {
  berth::testing::TestDirectory folder;
  server_ = make_server(loop_, [](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "unix"); });
  Endpoint to;
  to.address = "unix:" + folder.path() + "/s";
  ASSERT_TRUE(server_->listen(to.address, std::nullopt).ok());
  EXPECT_EQ(get(*make_client(loop_, to)).value().body, "unix");
  to.address = "unix:" + folder.path() + "/absent";
  EXPECT_TRUE(get(*make_client(loop_, to)).failed_with(Code::kUnavailable));
}

TEST_F(ClientTest, ErrorsSayWhatIsKnown) {
  serve([](std::shared_ptr<Exchange>) {}, false);
  std::string gone = address_;
  server_.reset();
  auto client = make_client(loop_, plain());
  EXPECT_TRUE(get(*client).failed_with(Code::kUnavailable)) << "nobody listens";

  std::vector<std::shared_ptr<Exchange>> held;
  serve(
      [&](std::shared_ptr<Exchange> e) {
        if (e->request().path == "/cut") {
          e->start(200, {{"content-length", "10"}});
          e->write({SharedBytes::of("12345")});
          loop_.after(std::chrono::milliseconds(5), [e] {});
          return;
        }
        held.push_back(e);
      },
      false);
  client = make_client(loop_, plain());
  ClientRequest slow;
  slow.timeout = std::chrono::milliseconds(30);
  EXPECT_TRUE(get(*client, std::move(slow)).failed_with(Code::kTimeout));
  ClientRequest cut;
  cut.target = "/cut";
  EXPECT_TRUE(get(*client, std::move(cut)).failed_with(Code::kUnknown));
  std::optional<Result<Response>> answer;
  client->send({}, [&](Result<Response> r) { answer = std::move(r); });
  ASSERT_TRUE(drive(loop_, [&] { return held.size() >= 2; }));
  server_.reset();
  ASSERT_TRUE(drive(loop_, [&] { return answer.has_value(); }));
  EXPECT_TRUE(answer->failed_with(Code::kUnknown));
}

TEST_F(ClientTest, ReadsAnswersOfAllShapes) {
  struct Case {
    const char* bytes;
    const char* body;  // null: an error
  } cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc"},
      {"HTTP/1.1 200 OK\r\n\r\nuntil close", "until close"},
      {"HTTP/1.0 200 OK\r\n\r\nold", "old"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "x"},
      {"HTTP/1.1 204 No Content\r\n\r\n", ""},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", nullptr},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", nullptr},
      {"SSH-2.0-OpenSSH\r\n", nullptr},
      {"", nullptr},
  };
  for (const Case& c : cases) {
    address_ = canned(c.bytes);
    auto answer = get(*make_client(loop_, plain()));
    EXPECT_EQ(answer.ok(), c.body != nullptr) << c.bytes;
    if (answer.ok() && c.body) {
      EXPECT_EQ(answer->body, c.body) << c.bytes;
    }
    loop_.unwatch_fd(listener_.get());
  }
}

TEST_F(ClientTest, RefusesAnswersThatAreTooLarge) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", std::string(1000, 'x')); });
  auto client = make_client(loop_, endpoint());
  ClientRequest request;
  request.max_body = 999;
  EXPECT_TRUE(get(*client, std::move(request)).failed_with(Code::kTooLarge));
  ClientRequest enough;
  enough.max_body = 1000;
  EXPECT_TRUE(get(*client, std::move(enough)).ok());
}

TEST_F(ClientTest, AskedAgainWhereAKeptConnectionHadDied) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "hi"); }, false);
  auto client = make_client(loop_, plain());
  ASSERT_TRUE(get(*client).ok());
  std::string same = address_;
  server_.reset();
  server_ = make_server(loop_, [](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "again"); });
  ASSERT_TRUE(server_->listen(same, std::nullopt).ok());
  // The client has not run since and still believes in its connection.
  auto answer = get(*client);
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->body, "again");
}

TEST_F(ClientTest, StreamsHeadDataEnd) {
  std::shared_ptr<Exchange> exchange;
  serve([&](std::shared_ptr<Exchange> e) {
    exchange = e;
    e->start(201, {{"x-a", "b"}});
    e->write({SharedBytes::of("one")});
  });
  auto client = make_client(loop_, endpoint());
  int status = 0;
  std::string data;
  std::optional<Status> end;
  auto stream = client->stream(
      {}, [&](const Response& head) { status = head.status; }, [&](std::string_view bytes) { data += bytes; },
      [&](Status s) { end = s; });
  ASSERT_TRUE(drive(loop_, [&] { return data == "one"; }));
  EXPECT_EQ(status, 201);
  EXPECT_FALSE(end);
  exchange->write({SharedBytes::of("two")});
  exchange->finish();
  ASSERT_TRUE(drive(loop_, [&] { return end.has_value(); }));
  EXPECT_TRUE(end->ok());
  EXPECT_EQ(data, "onetwo");
}

TEST_F(ClientTest, AStreamThatIsCutEndsWithAnError) {
  serve([](std::shared_ptr<Exchange> e) {
    e->start(200, {});
    e->write({SharedBytes::of("one")});
  });
  auto client = make_client(loop_, endpoint());
  std::optional<Status> end;
  auto stream = client->stream(
      {}, [](const Response&) {}, [](std::string_view) {}, [&](Status s) { end = s; });
  ASSERT_TRUE(drive(loop_, [&] { return end.has_value(); }));
  EXPECT_TRUE(end->failed_with(Code::kUnknown));
}

TEST_F(ClientTest, DroppingAStreamAbortsTheRequest) {
  bool closed = false;
  std::shared_ptr<Exchange> exchange;
  serve([&](std::shared_ptr<Exchange> e) {
    exchange = e;
    e->on_close([&] { closed = true; });
    e->start(200, {});
    e->write({SharedBytes::of("one")});
  });
  auto client = make_client(loop_, endpoint());
  std::unique_ptr<Stream> stream;
  // From within its own callback, the hardest moment.
  stream = client->stream(
      {}, [](const Response&) {}, [&](std::string_view) { stream.reset(); },
      [&](Status) { ADD_FAILURE() << "no callback follows"; });
  EXPECT_TRUE(drive(loop_, [&] { return closed && !stream; }));
}

TEST_F(ClientTest, APausedStreamHoldsTheServerBack) {
  std::shared_ptr<Exchange> exchange;
  std::size_t written = 0;
  constexpr std::size_t kTotal = 20u << 20;
  std::function<void()> more = [&] {
    while (written < kTotal) {
      written += 100'000;
      if (!exchange->write({SharedBytes::of(std::string(100'000, 'p'))})) return;
    }
    exchange->finish();
  };
  serve([&](std::shared_ptr<Exchange> e) {
    exchange = e;
    e->start(200, {});
    e->on_drain([&] { more(); });
    more();
  });
  auto client = make_client(loop_, endpoint());
  std::size_t read = 0;
  bool ended = false;
  auto stream = client->stream(
      {}, [](const Response&) {}, [&](std::string_view b) { read += b.size(); }, [&](Status s) { ended = s.ok(); });
  stream->pause_reading(true);
  ASSERT_TRUE(drive(loop_, [&] { return written > 0; }));
  for (int i = 0; i < 50; ++i) loop_.run_once(std::chrono::milliseconds(1));
  EXPECT_LT(written, kTotal);
  stream->pause_reading(false);
  EXPECT_TRUE(drive(loop_, [&] { return ended; }));
  EXPECT_EQ(read, written);
}

TEST_F(ClientTest, DestroyingTheClientInACallback) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "hi"); });
  auto client = make_client(loop_, endpoint());
  bool called = false;
  client->send({}, [&](Result<Response>) {
    called = true;
    client.reset();
  });
  EXPECT_TRUE(drive(loop_, [&] { return called; }));
  EXPECT_FALSE(client);
}

TEST_F(ClientTest, DestroyingTheClientDropsItsRequests) {
  std::shared_ptr<Exchange> exchange;
  bool closed = false;
  serve([&](std::shared_ptr<Exchange> e) {
    exchange = e;
    e->on_close([&] { closed = true; });
  });
  auto client = make_client(loop_, endpoint());
  client->send({}, [](Result<Response>) { ADD_FAILURE() << "no callback follows"; });
  ASSERT_TRUE(drive(loop_, [&] { return exchange != nullptr; }));
  client.reset();
  EXPECT_TRUE(drive(loop_, [&] { return closed; }));
}

TEST_F(ClientTest, UpgradesToAnEcho) {
  std::unique_ptr<Channel> far;
  serve([&](std::shared_ptr<Exchange> e) {
    EXPECT_EQ(header(e->request().headers, "upgrade"), "echo");
    far = e->upgrade({{"connection", "Upgrade"}, {"upgrade", "echo"}}).value();
    far->on_read([&](std::string_view bytes) { far->write(std::string(bytes)); });
  });
  auto client = make_client(loop_, endpoint());
  ClientRequest request;
  request.headers = {{"Connection", "Upgrade"}, {"Upgrade", "echo"}};
  std::unique_ptr<Channel> channel;
  client->upgrade(std::move(request), [&](Result<Client::Upgraded> r) {
    ASSERT_TRUE(r.ok());
    EXPECT_EQ(r->head.status, 101);
    channel = std::move(r->channel);
  });
  ASSERT_TRUE(drive(loop_, [&] { return channel != nullptr; }));
  client.reset();  // the channel does not need it any more
  std::string back;
  channel->on_read([&](std::string_view bytes) { back += bytes; });
  std::string all;
  for (int i = 0; i < 40; ++i) {
    std::string part(100'000, static_cast<char>('a' + i % 26));
    all += part;
    channel->write(part);
  }
  EXPECT_TRUE(drive(loop_, [&] { return back.size() == all.size(); }));
  EXPECT_EQ(back, all);
  bool closed = false, far_closed = false;
  channel->on_close([&] { closed = true; });
  far->on_close([&] { far_closed = true; });
  far->close();
  EXPECT_TRUE(drive(loop_, [&] { return closed && far_closed; }));
}

TEST_F(ClientTest, ARefusedUpgradeIsAnAnswer) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(403, "text/plain", "no"); });
  auto client = make_client(loop_, endpoint());
  ClientRequest request;
  request.headers = {{"Connection", "Upgrade"}, {"Upgrade", "echo"}};
  std::optional<Result<Client::Upgraded>> answer;
  client->upgrade(std::move(request), [&](Result<Client::Upgraded> r) { answer = std::move(r); });
  ASSERT_TRUE(drive(loop_, [&] { return answer.has_value(); }));
  ASSERT_TRUE(answer->ok());
  EXPECT_EQ((*answer)->head.status, 403);
  EXPECT_EQ((*answer)->head.body, "no");
  EXPECT_FALSE((*answer)->channel);
}

}  // namespace
}  // namespace berth::http
