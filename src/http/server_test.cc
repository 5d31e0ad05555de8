#include "http/server.h"

#include <poll.h>
#include <sys/stat.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/fault.h"
#include "base/guarded.h"
#include "http/test_support.h"

namespace berth::http {
namespace {

using testing::drive;
using testing::Pki;
using testing::RawSocket;

// A plain server on loopback whose handler is set by the test.
class ServerTest : public ::testing::Test {
 protected:
  void serve(Handler handler, ServerConfig config = {}) {
    server_ = make_server(loop_, std::move(handler), std::move(config));
    auto address = server_->listen("127.0.0.1:0", std::nullopt);
    ASSERT_TRUE(address.ok()) << address.error().message;
    address_ = *address;
  }
  // Answers "METHOD path|body".
  void serve_echo(ServerConfig config = {}) {
    serve(
        [](std::shared_ptr<Exchange> e) {
          const Request& r = e->request();
          e->respond(200, "text/plain", r.method + " " + r.path + "|" + r.body);
        },
        std::move(config));
  }
  // Sends, and waits until the server closes or the text is there.
  std::string talk(const std::string& bytes, const std::string& until = "") {
    RawSocket socket(address_);
    std::string_view rest = bytes;
    EXPECT_TRUE(drive(loop_,
                      [&] {
                        rest.remove_prefix(socket.send(rest));
                        return until.empty() ? socket.over() : socket.has(until);
                      }))
        << "got: " << socket.got;
    return socket.got;
  }

  Loop loop_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

TEST_F(ServerTest, AnswersOneRequest) {
  serve_echo();
  std::string got = talk("GET /a%20b?x=1&y=a+b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(got.starts_with("HTTP/1.1 200 OK\r\nDate: ")) << got;
  EXPECT_NE(got.find("\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\nGET /a b|"),
            std::string::npos)
      << got;
}

TEST_F(ServerTest, GivesTheHandlerEveryPartOfTheRequest) {
  Request seen;
  serve([&](std::shared_ptr<Exchange> e) {
    seen = e->request();
    e->respond(204, Headers{}, {});
  });
  std::string got =
      talk("POST /p%2Fq?b=%41&a&a=2 HTTP/1.1\r\nHost: h\r\nX-Thing: One\r\nContent-Length: 3\r\n\r\nxyz", "\r\n\r\n");
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/p%2Fq?b=%41&a&a=2");
  EXPECT_EQ(seen.path, "/p/q");
  EXPECT_EQ(seen.parameter("b"), "A");
  EXPECT_TRUE(seen.has_parameter("a"));
  EXPECT_EQ(seen.parameter("a"), "");
  EXPECT_FALSE(seen.has_parameter("c"));
  EXPECT_EQ(header(seen.headers, "x-thing"), "One");
  EXPECT_EQ(seen.body, "xyz");
  EXPECT_TRUE(seen.peer.address.starts_with("127.0.0.1:"));
  EXPECT_FALSE(seen.peer.unix_socket);
  EXPECT_EQ(got.find("Content-Length"), std::string::npos) << "204 has no body";
}

TEST_F(ServerTest, RequestsMayComeInSingleBytes) {
  serve_echo();
  std::string request =
      "POST /torn HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: t\r\n\r\n";
  RawSocket socket(address_);
  for (char c : request) {
    ASSERT_EQ(socket.send({&c, 1}), 1u);
    loop_.run_once(std::chrono::milliseconds(0));
  }
  EXPECT_TRUE(drive(loop_, [&] { return socket.has("POST /torn|hello, world"); })) << socket.got;
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  // The first answer comes last.
  std::vector<std::shared_ptr<Exchange>> held;
  serve([&](std::shared_ptr<Exchange> e) {
    if (e->request().path == "/1") {
      loop_.after(std::chrono::milliseconds(20), [e] { e->respond(200, "text/plain", "first"); });
    } else {
      e->respond(200, "text/plain", "answer" + e->request().path);
    }
  });
  std::string got = talk(
      "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
      "GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  std::size_t a = got.find("first"), b = got.find("answer/2"), c = got.find("answer/3");
  EXPECT_TRUE(a < b && b < c && c != std::string::npos) << got;
}

TEST_F(ServerTest, RefusesWhatIsNoHttp) {
  ServerConfig config;
  config.render_error = [](int status, std::string_view message) {
    return ServerConfig::Rendered{"application/json", "{\"code\":" + std::to_string(status) + "}"};
  };
  bool handled = false;
  serve([&](std::shared_ptr<Exchange>) { handled = true; }, config);
  auto status_of = [&](const std::string& bytes) { return talk(bytes).substr(9, 3); };
  EXPECT_EQ(status_of("\x16\x03\x01 this is no request\r\n\r\n"), "400");
  EXPECT_EQ(status_of("GET /\r\n\r\n"), "400");
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), "400") << "no Host";
  EXPECT_EQ(status_of("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n"), "400");
  EXPECT_EQ(status_of("GET / HTTP/3.0\r\nHost: h\r\n\r\n"), "505");
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "400");
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "501");
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), "400");
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "400");
  EXPECT_FALSE(handled);
  std::string got = talk("GET /\r\n\r\n");
  EXPECT_NE(got.find("Content-Type: application/json\r\n"), std::string::npos);
  EXPECT_TRUE(got.ends_with("{\"code\":400}")) << got;
}

TEST_F(ServerTest, BoundsHeadersAndBodies) {
  bool handled = false;
  serve([&](std::shared_ptr<Exchange>) { handled = true; });
  std::string big_header = "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(70 << 10, 'x') + "\r\n\r\n";
  EXPECT_TRUE(talk(big_header).starts_with("HTTP/1.1 431 "));
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 5000; ++i) many += "a: b\r\n";
  EXPECT_TRUE(talk(many + "\r\n").starts_with("HTTP/1.1 431 "));
  std::string announced = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3145729\r\n\r\n";
  EXPECT_TRUE(talk(announced).starts_with("HTTP/1.1 413 "));
  // Sent whole, without looking at the answer first: it must not get lost in a reset.
  EXPECT_TRUE(talk(announced + std::string(3145729, 'b')).starts_with("HTTP/1.1 413 "));
  std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 49; ++i) chunked += "10000\r\n" + std::string(65536, 'c') + "\r\n";
  EXPECT_TRUE(talk(chunked).starts_with("HTTP/1.1 413 "));
  EXPECT_FALSE(handled);
}

TEST_F(ServerTest, TakesABodyOfExactlyTheLimit) {
  std::size_t size = 0;
  serve([&](std::shared_ptr<Exchange> e) {
    size = e->request().body.size();
    e->respond(200, "text/plain", "ok");
  });
  talk("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3145728\r\n\r\n" +
       std::string(3145728, 'b'));
  EXPECT_EQ(size, 3145728u);
}

TEST_F(ServerTest, SaysContinueBeforeTheBody) {
  serve_echo();
  RawSocket socket(address_);
  socket.send("POST /c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  ASSERT_TRUE(drive(loop_, [&] { return socket.has("HTTP/1.1 100 Continue\r\n\r\n"); }));
  socket.send("hi");
  EXPECT_TRUE(drive(loop_, [&] { return socket.has("POST /c|hi"); }));
}

TEST_F(ServerTest, HeadAndOldClients) {
  serve_echo();
  std::string got = talk("HEAD /h HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_NE(got.find("Content-Length: 8\r\n"), std::string::npos);
  EXPECT_TRUE(got.ends_with("\r\n\r\n")) << got;
  got = talk("GET /old HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(got.ends_with("GET /old|")) << got;
}

TEST_F(ServerTest, StreamsInChunksAndUntilCloseForOldClients) {
  serve([](std::shared_ptr<Exchange> e) {
    e->start(200, {{"content-type", "text/plain"}});
    EXPECT_TRUE(e->write({SharedBytes::of("one "), SharedBytes::of("two")}));
    e->write({});
    e->write({SharedBytes::of("!")});
    e->finish();
  });
  std::string got = talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(got.ends_with("\r\n\r\n7\r\none two\r\n1\r\n!\r\n0\r\n\r\n")) << got;
  got = talk("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(got.ends_with("\r\n\r\none two!")) << got;
}

TEST_F(ServerTest, AnnouncedLengthIsKeptOrTheConnectionIsCut) {
  serve([](std::shared_ptr<Exchange> e) {
    e->start(200, {{"content-length", "5"}});
    e->write({SharedBytes::of(e->request().path == "/more" ? "1234567" : "123")});
    e->finish();
  });
  std::string got = talk("GET /more HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(got.ends_with("\r\n\r\n12345")) << got;
  got = talk("GET /less HTTP/1.1\r\nHost: h\r\n\r\n");  // ends: the server gave up on it
  EXPECT_EQ(got.find("HTTP/1.1 200", 1), std::string::npos);
}

TEST_F(ServerTest, ASlowReaderHoldsTheWriterBack) {
  constexpr std::size_t kTotal = 24u << 20;
  std::shared_ptr<Exchange> stream;
  std::size_t written = 0;
  int refused = 0, drains = 0;
  auto block = std::make_shared<const std::string>(100'000, 'd');
  std::function<void()> more = [&] {
    while (written < kTotal) {
      written += block->size();
      if (!stream->write({SharedBytes{block, *block}})) {
        ++refused;
        return;
      }
    }
    stream->finish();
    stream.reset();
  };
  serve([&](std::shared_ptr<Exchange> e) {
    stream = std::move(e);
    stream->start(200, {});
    stream->on_drain([&] {
      ++drains;
      more();
    });
    more();
  });
  RawSocket socket(address_);
  socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(drive(loop_, [&] { return refused > 0; }));
  for (int i = 0; i < 50; ++i) loop_.run_once(std::chrono::milliseconds(1));
  std::size_t stuck_at = written;
  EXPECT_LT(stuck_at, kTotal / 2) << "only the socket's and our own buffers fill up";
  for (int i = 0; i < 20; ++i) loop_.run_once(std::chrono::milliseconds(1));
  EXPECT_EQ(written, stuck_at);
  std::size_t read = 0;
  EXPECT_TRUE(drive(loop_,
                    [&] {
                      socket.poll();
                      read += socket.got.size();
                      socket.got.clear();
                      return written >= kTotal && read >= written;
                    }))
      << read << " of " << written;
  // Each refused write() is followed by a drain, also when it was the last one.
  EXPECT_TRUE(drive(loop_,
                    [&] {
                      socket.poll();
                      return drains == refused;
                    }))
      << drains << " of " << refused;
}

TEST_F(ServerTest, TellsTheHandlerThatThePeerIsGone) {
  std::shared_ptr<Exchange> stream;
  int closed = 0;
  serve([&](std::shared_ptr<Exchange> e) {
    stream = e;
    e->start(200, {});
    e->on_close([&] { ++closed; });
  });
  {
    RawSocket socket(address_);
    socket.send("GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(drive(loop_, [&] { return socket.has("200 OK"); }));
  }
  EXPECT_TRUE(drive(loop_, [&] { return closed == 1; }));
  stream->write({SharedBytes::of("into the void")});
  stream->finish();
  for (int i = 0; i < 10; ++i) loop_.run_once(std::chrono::milliseconds(1));
  EXPECT_EQ(closed, 1);
}

TEST_F(ServerTest, AHalfClosedPeerStillGetsItsAnswer) {
  std::shared_ptr<Exchange> held;
  bool closed = false;
  serve([&](std::shared_ptr<Exchange> e) {
    held = e;
    e->on_close([&] { closed = true; });
  });
  RawSocket socket(address_);
  socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ::shutdown(socket.fd.get(), SHUT_WR);
  ASSERT_TRUE(drive(loop_, [&] { return held && closed; }));
  held->respond(200, "text/plain", "all the same");
  EXPECT_TRUE(drive(loop_, [&] { return socket.over(); }));
  EXPECT_TRUE(socket.got.ends_with("all the same"));
}

TEST_F(ServerTest, ADroppedExchangeIsA500) {
  serve([](std::shared_ptr<Exchange>) {});
  std::string got = talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(got.starts_with("HTTP/1.1 500 ")) << got;
}

TEST_F(ServerTest, ADroppedStreamIsCutShort) {
  serve([](std::shared_ptr<Exchange> e) {
    e->start(200, {});
    e->write({SharedBytes::of("half")});
  });
  std::string got = talk("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(got.find("0\r\n\r\n"), std::string::npos) << "the peer must see that it is not whole";
}

TEST_F(ServerTest, AnErrorAfterAHeadHasItsBody) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "unseen"); });
  const std::string head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
  std::string got = talk(head + "nonsense\r\n\r\n");
  EXPECT_EQ(got.find("unseen"), std::string::npos);
  EXPECT_NE(got.find("\r\n\r\nmalformed HTTP request"), std::string::npos) << got;
  got = talk(head + "HEAD /%zz HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(got.find("HTTP/1.1 400 "), std::string::npos) << got;
  EXPECT_TRUE(got.ends_with("\r\n\r\n")) << "the answer to a HEAD has no body: " << got;
}

TEST_F(ServerTest, HeadersCannotSmuggleLines) {
  serve([](std::shared_ptr<Exchange> e) {
    e->respond(200, {{"x-good", "yes"}, {"x-bad", "a\r\nset-cookie: evil"}, {"bad name", "b"}}, {});
  });
  std::string got = talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_NE(got.find("X-Good: yes"), std::string::npos);
  EXPECT_EQ(got.find("evil"), std::string::npos);
  EXPECT_EQ(got.find("bad name"), std::string::npos);
}

TEST_F(ServerTest, UnixSocketsAreForRootAlone) {
  berth::testing::TestDirectory folder;
  std::string path = folder.path() + "/api.sock";
  Peer peer;
  server_ = make_server(loop_, [&](std::shared_ptr<Exchange> e) {
    peer = e->request().peer;
    e->respond(200, "text/plain", "hi");
  });
  ASSERT_TRUE(server_->listen("unix:" + path, std::nullopt).ok());
  struct stat found {};
  ASSERT_EQ(0, ::stat(path.c_str(), &found));
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  RawSocket socket("unix:" + path);
  socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(drive(loop_, [&] { return socket.has("hi"); }));
  EXPECT_TRUE(peer.unix_socket);
  EXPECT_EQ(peer.address, "unix");

  auto other = make_server(loop_, [](std::shared_ptr<Exchange>) {});
  EXPECT_TRUE(other->listen("unix:" + path, std::nullopt).ok()) << "an old socket is replaced";
  other.reset();
  EXPECT_FALSE(path_exists(path));
  ASSERT_TRUE(write_file(path, "precious").ok());
  other = make_server(loop_, [](std::shared_ptr<Exchange>) {});
  EXPECT_TRUE(other->listen("unix:" + path, std::nullopt).failed_with(Code::kAlreadyExists));
  EXPECT_EQ(read_file(path).value(), "precious");
}

TEST_F(ServerTest, BadAddressesAreErrors) {
  server_ = make_server(loop_, [](std::shared_ptr<Exchange>) {});
  for (const char* bad : {"", "localhost:80", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:x", "unix:"}) {
    EXPECT_TRUE(server_->listen(bad, std::nullopt).failed_with(Code::kInvalid)) << bad;
  }
  EXPECT_TRUE(server_->listen("unix:/" + std::string(200, 'x'), std::nullopt).failed_with(Code::kInvalid));
  auto address = server_->listen("127.0.0.1:0", std::nullopt);
  ASSERT_TRUE(address.ok());
  EXPECT_FALSE(server_->listen(*address, std::nullopt).ok()) << "taken";
  EXPECT_TRUE(server_->listen("127.0.0.1:0", TlsConfig{"nonsense", "nonsense", ""}).failed_with(Code::kInvalid));
  Pki pki;
  EXPECT_TRUE(server_->listen("127.0.0.1:0", TlsConfig{pki.server().certificate_pem, pki.server().key_pem, ""})
                  .failed_with(Code::kInvalid))
      << "a key of another certificate";
}

TEST_F(ServerTest, SurvivesAShortageOfDescriptors) {
  serve_echo();
  fault::arm("http.accept", 1);
  RawSocket socket(address_);
  socket.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(drive(loop_, [&] { return socket.has("GET /later|"); })) << "accepted after the pause";
  fault::disarm_all();
}

TEST_F(ServerTest, ClosesIdleConnectionsAndThoseThatSayNothingUseful) {
  ServerConfig config;
  config.idle_timeout = std::chrono::milliseconds(50);
  serve_echo(config);
  RawSocket socket(address_);
  socket.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(drive(loop_, [&] { return socket.has("GET /x|"); }));
  EXPECT_TRUE(drive(loop_, [&] { return socket.over(); }));
}

TEST_F(ServerTest, RefusesConnectionsBeyondTheLimit) {
  ServerConfig config;
  config.max_connections = 2;
  serve_echo(config);
  RawSocket a(address_), b(address_);
  for (RawSocket* s : {&a, &b}) {
    s->send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(drive(loop_, [&] { return s->has("GET /x|"); }));
  }
  RawSocket c(address_);
  EXPECT_TRUE(drive(loop_, [&] { return c.over(); }));
}

TEST_F(ServerTest, ManyConnectionsAtOnce) {
  ServerConfig config;
  config.transport_threads = 2;
  serve_echo(config);
  std::vector<std::unique_ptr<RawSocket>> sockets;
  for (int i = 0; i < 300; ++i) {
    sockets.push_back(std::make_unique<RawSocket>(address_));
    sockets.back()->send("GET /n" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  EXPECT_TRUE(drive(loop_, [&] {
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      if (!sockets[i]->has("GET /n" + std::to_string(i) + "|")) return false;
    }
    return true;
  }));
}

// Work that a handler leaves with an I/O helper: done when its wake_fd() is written to, and before the server ends.
class HelperWork : public ServerTest {
 protected:
  // `begun` is called when there is work; it is finished once raise() has been called.
  void serve_with_work(Task begun) {
    begun_ = std::move(begun);
    serve([this](std::shared_ptr<Exchange> e) {
      IoHelper* helper = loop_.io_helper();
      if (!helper) return e->respond(200, "text/plain", "the loop was awake");
      helper->add_work([this, e, helper, first = true]() mutable {
        if (std::exchange(first, false)) {
          wake_fd_ = helper->wake_fd();
          begun_();
          return false;
        }
        if (!raised_) return false;  // the transport writes to the same descriptor
        finished_ = true;
        loop_.run_or_post([e = std::move(e)] { e->respond(200, "text/plain", "helper"); }, helper);
        return true;
      });
    });
  }
  void raise() {
    raised_ = true;
    std::uint64_t one = 1;
    ASSERT_EQ(::write(wake_fd_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
  // Asks until a transport thread had the turn; returns what it said.
  std::thread ask(std::string& got) {
    return std::thread([this, &got] {
      do {
        RawSocket socket(address_);
        socket.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        pollfd readable{socket.fd.get(), POLLIN, 0};
        while (!socket.over()) (void)::poll(&readable, 1, -1);
        got = socket.got;
      } while (got.ends_with("the loop was awake"));
      loop_.stop();
    });
  }

  Task begun_;
  std::atomic<int> wake_fd_{-1};
  std::atomic<bool> raised_{false}, finished_{false};
};

TEST_F(HelperWork, GoesOnWhenItsAlarmIsRaised) {
  std::thread raiser;
  serve_with_work([&] { raiser = std::thread([&] { raise(); }); });
  std::string got;
  std::thread client = ask(got);
  loop_.run();
  client.join();
  raiser.join();
  EXPECT_TRUE(got.ends_with("helper")) << got;
}

TEST_F(HelperWork, IsFinishedBeforeTheServerEnds) {
  serve_with_work([&] { loop_.stop(); });
  std::string got;
  std::thread client = ask(got);
  loop_.run();
  EXPECT_FALSE(finished_);
  std::thread raiser([&] { raise(); });
  server_.reset();
  EXPECT_TRUE(finished_);
  raiser.join();
  client.join();
}

// Work that is left with a thread together with an answer begins when the answer has been sent.
class HelperAnswer : public ServerTest {
 protected:
  // For the turn of an I/O helper.
  void answer_and_leave_work(Exchange& e) {
    e.respond(200, "text/plain", "helper");
    IoHelper* helper = loop_.io_helper();
    if (!helper) return;  // the loop has woken up meanwhile
    helper->add_work([this] {
      pollfd answer{client_, POLLIN, 0};
      sent_ += ::poll(&answer, 1, 100) == 1 && (answer.revents & POLLIN) != 0;
      ++works_;
      return true;
    });
  }
  void ask() {
    std::thread asking([this] {
      for (int i = 0; i < 1000 && works_ < 20; ++i) {
        RawSocket socket(address_);
        client_ = socket.fd.get();
        socket.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        pollfd readable{socket.fd.get(), POLLIN, 0};
        while (!socket.over()) (void)::poll(&readable, 1, -1);
      }
      loop_.stop();
    });
    loop_.run();
    asking.join();
    server_.reset();  // with the work that is left
    // Not each time: where the loop wakes up in between, it hands the answer over itself, and the thread waits in vain.
    EXPECT_GT(sent_, 0) << "of " << works_;
  }

  std::atomic<int> client_{-1}, sent_{0}, works_{0};
};

TEST_F(HelperAnswer, IsSentBeforeTheWorkOfTheSameTurn) {
  serve([this](std::shared_ptr<Exchange> e) {
    if (!loop_.io_helper()) return e->respond(200, "text/plain", "the loop was awake");
    answer_and_leave_work(*e);
  });
  ask();
}

TEST_F(HelperAnswer, IsSentBeforeTheWorkThatOtherWorkLeaves) {
  serve([this](std::shared_ptr<Exchange> e) {
    IoHelper* helper = loop_.io_helper();
    if (!helper) return e->respond(200, "text/plain", "the loop was awake");
    helper->add_work([this, e = std::move(e), helper]() mutable {
      loop_.run_or_post([this, e = std::move(e)]() mutable { answer_and_leave_work(*std::exchange(e, nullptr)); },
                        helper);
      return true;
    });
  });
  ask();
}

TEST_F(ServerTest, APeerThatVanishesInTheMiddleLeavesNothing) {
  int handled = 0;
  serve([&](std::shared_ptr<Exchange> e) {
    ++handled;
    e->respond(200, "text/plain", "ok");
  });
  for (int i = 0; i < 50; ++i) {
    RawSocket socket(address_);
    socket.send(std::string("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
                    .substr(0, static_cast<std::size_t>(i) + 5));
    linger hard{1, 0};
    setsockopt(socket.fd.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  }
  EXPECT_NE(talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").find("ok"), std::string::npos);
  EXPECT_EQ(handled, 1);
}

TEST_F(ServerTest, ExchangesMayOutliveTheServer) {
  std::shared_ptr<Exchange> held;
  serve([&](std::shared_ptr<Exchange> e) { held = e; });
  RawSocket socket(address_);
  socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(drive(loop_, [&] { return held != nullptr; }));
  server_.reset();
  held->start(200, {});
  held->write({SharedBytes::of("x")});
  held.reset();
  EXPECT_TRUE(drive(loop_, [&] { return socket.over(); }));
}

TEST_F(ServerTest, AnExchangeIsAnsweredOnTheLoopThreadOnly) {
  std::shared_ptr<Exchange> held;
  serve([&](std::shared_ptr<Exchange> e) {
    held = std::move(e);
    loop_.stop();
  });
  RawSocket socket(address_);
  socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  loop_.run();
  ASSERT_TRUE(held);
  std::promise<void> runs;
  std::thread loop_thread([&] {
    loop_.post([&] { runs.set_value(); });
    loop_.run();
  });
  runs.get_future().wait();
  {
    const InvariantsThrow throwing;
    EXPECT_THROW(held->start(200, {}), BrokenInvariant);
  }
  loop_.stop();
  loop_thread.join();
}

TEST_F(ServerTest, AHandlerMayDestroyItsServer) {
  serve([&](std::shared_ptr<Exchange>) { server_.reset(); });
  EXPECT_EQ(talk("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "");
}

// --- Upgrades, raw

TEST_F(ServerTest, UpgradeHandsOverTheConnectionWithWhatWasSentEarly) {
  std::unique_ptr<Channel> channel;
  bool closed = false;
  serve([&](std::shared_ptr<Exchange> e) {
    auto upgraded = e->upgrade({{"connection", "Upgrade"}, {"upgrade", "echo"}});
    ASSERT_TRUE(upgraded.ok());
    channel = std::move(*upgraded);
    channel->on_read([&](std::string_view bytes) { channel->write("<" + std::string(bytes) + ">"); });
    channel->on_close([&] { closed = true; });
  });
  RawSocket socket(address_);
  socket.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
  ASSERT_TRUE(drive(loop_, [&] { return socket.has("<early>"); })) << socket.got;
  EXPECT_TRUE(socket.got.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
  socket.send("late");
  ASSERT_TRUE(drive(loop_, [&] { return socket.has("<late>"); }));
  channel->write("bye");
  channel->close();
  EXPECT_TRUE(drive(loop_, [&] { return socket.over() && closed; }));
  EXPECT_TRUE(socket.got.ends_with("bye"));
}

TEST_F(ServerTest, UpgradeNeedsARequestForIt) {
  serve([&](std::shared_ptr<Exchange> e) {
    EXPECT_TRUE(e->upgrade({}).failed_with(Code::kBadRequest));
    e->respond(400, "text/plain", "no");
  });
  EXPECT_TRUE(talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 400"));
}

TEST_F(ServerTest, APausedChannelHoldsThePeerBack) {
  std::unique_ptr<Channel> channel;
  std::size_t read = 0;
  serve([&](std::shared_ptr<Exchange> e) {
    channel = e->upgrade({{"upgrade", "x"}}).value();
    channel->pause_reading(true);
    channel->on_read([&](std::string_view bytes) { read += bytes.size(); });
  });
  RawSocket socket(address_);
  socket.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  ASSERT_TRUE(drive(loop_, [&] { return socket.has("101"); }));
  std::string block(64u << 10, 'z');
  std::size_t sent = 0;
  for (int quiet = 0; quiet < 30;) {
    std::size_t n = socket.send(block);
    sent += n;
    quiet = n == 0 ? quiet + 1 : 0;
    loop_.run_once(std::chrono::milliseconds(1));
    ASSERT_LT(sent, 64u << 20) << "never held back";
  }
  EXPECT_EQ(read, 0u);
  channel->pause_reading(false);
  EXPECT_TRUE(drive(loop_, [&] { return read == sent; })) << read << " of " << sent;
}

TEST_F(ServerTest, APeerThatGoesIsNoticedWhileItsInputIsNotRead) {
  berth::testing::TestDirectory directory;
  const std::string path = directory.path() + "/s";
  std::unique_ptr<Channel> channel;
  bool closed = false;
  serve([&](std::shared_ptr<Exchange> e) {
    channel = e->upgrade({{"upgrade", "x"}}).value();
    channel->pause_reading(true);
    channel->on_close([&] { closed = true; });
  });
  ASSERT_TRUE(server_->listen("unix:" + path, std::nullopt).ok());
  auto socket = std::make_unique<RawSocket>("unix:" + path);
  socket->send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  ASSERT_TRUE(drive(loop_, [&] { return socket->has("101"); }));
  socket->send(std::string(64u << 10, 'z'));
  for (int i = 0; i < 30; ++i) loop_.run_once(std::chrono::milliseconds(1));
  EXPECT_FALSE(closed);
  socket.reset();
  EXPECT_TRUE(drive(loop_, [&] { return closed; }));
}

TEST_F(ServerTest, TheChannelsBacklogFallsAsThePeerReads) {
  std::unique_ptr<Channel> channel;
  int drained = 0;
  serve([&](std::shared_ptr<Exchange> e) {
    channel = e->upgrade({{"upgrade", "x"}}).value();
    channel->on_drain([&] { ++drained; });
  });
  RawSocket socket(address_);
  socket.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  ASSERT_TRUE(drive(loop_, [&] { return socket.has("101"); }));
  std::size_t total = 0;
  for (int i = 0; i < 160; ++i) {
    channel->write(std::string(100'000, 'w'));
    total += 100'000;
  }
  for (int i = 0; i < 30; ++i) loop_.run_once(std::chrono::milliseconds(1));
  EXPECT_GT(channel->backlog(), 1u << 20);
  EXPECT_EQ(drained, 0);
  std::size_t head = socket.got.find("\r\n\r\n") + 4;
  EXPECT_TRUE(drive(loop_, [&] {
    socket.poll();
    return socket.got.size() - head >= total;
  }));
  EXPECT_TRUE(drive(loop_, [&] { return drained >= 1 && channel->backlog() == 0; }));
}

}  // namespace
}  // namespace berth::http
