#include <zlib.h>

#include "base/json/json.h"
#include "base/text.h"
#include "http/streams/remote_command.h"
#include "http/streams/spdy_dictionary.h"
#include "http/test_support.h"

namespace berth::http {
namespace {

using testing::drive;
using testing::RawSocket;

std::string number(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}

// A client's frame, masked as it must be.
std::string frame(int opcode, std::string text) {
  std::string out = {static_cast<char>(0x80 | opcode)};
  if (text.size() < 126) {
    out.push_back(static_cast<char>(0x80 | text.size()));
  } else {
    out.push_back(static_cast<char>(0x80 | 126));
    out += number(text.size(), 2);
  }
  std::string mask = "\x11\x22\x33\x44";
  out += mask;
  for (std::size_t i = 0; i < text.size(); ++i) out.push_back(static_cast<char>(text[i] ^ mask[i % 4]));
  return out;
}

// The client's half of SPDY's header compression.
class SpdyClient {
 public:
  SpdyClient() {
    deflateInit(&out_, 6);
    const std::string& words = spdy_dictionary();
    deflateSetDictionary(&out_, reinterpret_cast<const Bytef*>(words.data()), static_cast<uInt>(words.size()));
  }
  ~SpdyClient() { deflateEnd(&out_); }
  std::string open(std::uint32_t id, const Headers& headers) {
    std::string plain = number(headers.size(), 4);
    for (auto& [name, value] : headers) plain += number(name.size(), 4) + name + number(value.size(), 4) + value;
    std::string packed(4096, '\0');
    out_.next_in = reinterpret_cast<Bytef*>(plain.data());
    out_.avail_in = static_cast<uInt>(plain.size());
    out_.next_out = reinterpret_cast<Bytef*>(packed.data());
    out_.avail_out = static_cast<uInt>(packed.size());
    deflate(&out_, Z_SYNC_FLUSH);
    packed.resize(packed.size() - out_.avail_out);
    return control(1, number(id, 4) + number(0, 4) + number(0, 2) + packed);
  }
  static std::string control(int type, const std::string& body, int flags = 0) {
    return std::string("\x80\x03", 2) + number(static_cast<std::uint64_t>(type), 2) +
           number(static_cast<std::uint64_t>(flags), 1) + number(body.size(), 3) + body;
  }
  static std::string data(std::uint32_t id, const std::string& text, bool last = false) {
    return number(id, 4) + number(last, 1) + number(text.size(), 3) + text;
  }

 private:
  z_stream out_{};
};

class StreamsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = make_server(loop_, [this](std::shared_ptr<Exchange> e) {
      if (e->request().path == "/forward") {
        serve_port_forward(e, [this](std::unique_ptr<ForwardedPort> port) {
          if (port_) ports_.push_back(std::move(port_));
          port_ = std::move(port);
        });
        return;
      }
      serve_remote_command(loop_, e, remote_options(e->request()), [this](std::unique_ptr<RemoteSession> session) {
        session_ = std::move(session);
        session_->on_input([this](std::string_view bytes) { input_ += bytes; });
        session_->on_input_end([this] { input_ended_ = true; });
        session_->on_close([this] { closed_ = true; });
        session_->on_resize(
            [this](int columns, int rows) { size_ = std::to_string(columns) + "x" + std::to_string(rows); });
      });
    });
    address_ = server_->listen("127.0.0.1:0", std::nullopt).value();
  }
  std::unique_ptr<RawSocket> websocket(const std::string& target, const std::string& protocol) {
    auto socket = std::make_unique<RawSocket>(address_);
    socket->send("GET " + target +
                 " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "Sec-WebSocket-Protocol: " +
                 protocol + "\r\n\r\n");
    EXPECT_TRUE(drive(loop_, [&] { return socket->has("\r\n\r\n"); }));
    return socket;
  }
  std::unique_ptr<RawSocket> spdy(const std::string& target, const std::string& protocols) {
    auto socket = std::make_unique<RawSocket>(address_);
    socket->send("POST " + target +
                 " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n" +
                 protocols + "\r\n");
    EXPECT_TRUE(drive(loop_, [&] { return socket->has("\r\n\r\n"); }));
    return socket;
  }
  Loop loop_;
  std::unique_ptr<Server> server_;
  std::string address_;
  std::unique_ptr<RemoteSession> session_;
  std::unique_ptr<ForwardedPort> port_;                // the last one
  std::vector<std::unique_ptr<ForwardedPort>> ports_;  // those before
  std::string input_, size_;
  bool input_ended_ = false, closed_ = false;
};

TEST_F(StreamsTest, WebSocketVersion5) {
  auto socket = websocket("/exec?stdin=1&stdout=1&stderr=1&tty=0", "v5.channel.k8s.io, v4.channel.k8s.io");
  EXPECT_TRUE(socket->got.starts_with("HTTP/1.1 101 "));
  EXPECT_NE(socket->got.find("Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);
  EXPECT_NE(socket->got.find("Sec-Websocket-Protocol: v5.channel.k8s.io"), std::string::npos);
  ASSERT_TRUE(session_);
  std::string bytes = frame(2, std::string("\0in", 3)) + frame(2, std::string("\0put", 4)) + frame(9, "ping");
  for (char c : bytes) socket->send({&c, 1});
  ASSERT_TRUE(drive(loop_, [&] { return input_ == "input" && socket->has("\x8a\x04ping"); }));
  EXPECT_FALSE(input_ended_);
  socket->send(frame(2, std::string("\xff\0", 2)));
  ASSERT_TRUE(drive(loop_, [&] { return input_ended_; }));
  session_->write_output("out");
  session_->write_error("err");
  session_->finish(7);
  ASSERT_TRUE(drive(loop_, [&] { return socket->over(); }));
  EXPECT_NE(socket->got.find("\x82\x04\x01out"), std::string::npos);
  EXPECT_NE(socket->got.find("\x82\x04\x02"
                             "err"),
            std::string::npos);
  std::size_t at = socket->got.find("{\"details\"");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(socket->got[at - 1], '\x03');
  Value status = json::parse(socket->got.substr(at, socket->got.rfind('}') - at + 1)).value();
  EXPECT_EQ(status["reason"].as_string(), "NonZeroExitCode");
  EXPECT_EQ(status["details"]["causes"][0]["reason"].as_string(), "ExitCode");
  EXPECT_EQ(status["details"]["causes"][0]["message"].as_string(), "7");
}

// An empty message on the first channel, once the client has had time to make its streams.
TEST_F(StreamsTest, AConnectionIsGreetedWhereNothingElseIsSaid) {
  const std::string greeting = "\x82\x01\x01";
  auto told = websocket("/exec?stdout=1", "v5.channel.k8s.io");
  ASSERT_TRUE(session_);
  auto first = std::move(session_);
  first->write_output("out");
  auto quiet = websocket("/exec?stdout=1", "v5.channel.k8s.io");
  ASSERT_TRUE(drive(loop_, [&] { return quiet->has(greeting); }));
  ASSERT_TRUE(drive(loop_, [&] { return told->has("\x82\x04\x01out"); }));
  EXPECT_FALSE(told->has(greeting)) << "it would have come before";
}

TEST_F(StreamsTest, WebSocketBase64AndSizes) {
  auto socket = websocket("/exec?stdin=true&stdout=true&tty=true", "v4.base64.channel.k8s.io");
  ASSERT_TRUE(session_);
  socket->send(frame(1, "0" + base64_encode("hello")) + frame(1, "4" + base64_encode(R"({"Width":80,"Height":24})")));
  EXPECT_TRUE(drive(loop_, [&] { return input_ == "hello" && size_ == "80x24"; })) << input_ << size_;
  session_->write_output("yes");
  EXPECT_TRUE(drive(loop_, [&] { return socket->has("1" + base64_encode("yes")); }));
}

TEST_F(StreamsTest, RefusesWhatItCannotSpeak) {
  EXPECT_TRUE(websocket("/exec?stdout=1", "v9.channel.k8s.io")->got.starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(
      spdy("/exec?stdout=1", "X-Stream-Protocol-Version: v9.channel.k8s.io\r\n")->got.starts_with("HTTP/1.1 403 "));
  RawSocket plain(address_);
  plain.send("POST /exec?stdout=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(drive(loop_, [&] { return plain.has("HTTP/1.1 400 "); }));
  EXPECT_FALSE(session_);
}

TEST_F(StreamsTest, GarbageEndsTheSession) {
  auto socket = websocket("/exec?stdin=1&stdout=1", "v4.channel.k8s.io");
  socket->send("\xff\xff\xff\xff garbage that is no frame");
  EXPECT_TRUE(drive(loop_, [&] { return closed_; }));
  closed_ = false;
  session_.reset();
  auto framed = spdy("/exec?stdout=1", "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n");
  framed->send(
      std::string("\x80\x03\x00\x01\x00\x00\x00\x0c"
                  "not deflated",
                  20));
  EXPECT_TRUE(drive(loop_, [&] { return framed->over(); }));
  EXPECT_FALSE(session_);
}

TEST_F(StreamsTest, SpdyCommand) {
  auto socket = spdy("/exec?stdin=1&stdout=1&stderr=1",
                     "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: channel.k8s.io\r\n");
  EXPECT_NE(socket->got.find("X-Stream-Protocol-Version: v4.channel.k8s.io"), std::string::npos);
  SpdyClient client;
  // One statement each: the compression remembers the order.
  std::string bytes = client.open(1, {{"streamtype", "error"}});
  bytes += client.open(3, {{"streamtype", "stdin"}});
  bytes += client.open(5, {{"streamtype", "stdout"}});
  bytes += SpdyClient::control(6, number(1, 4));
  bytes += client.open(7, {{"streamtype", "stderr"}});
  bytes += SpdyClient::data(3, "abc") + SpdyClient::data(3, "def", true);
  for (char c : bytes) {
    socket->send({&c, 1});
    if (c == 0) loop_.run_once(std::chrono::milliseconds(0));
  }
  ASSERT_TRUE(drive(loop_, [&] { return session_ && input_ == "abcdef" && input_ended_; }));
  EXPECT_TRUE(drive(loop_, [&] { return socket->has(SpdyClient::control(6, number(1, 4))); })) << "the ping came back";
  session_->write_output("out");
  session_->finish(0);
  session_.reset();
  ASSERT_TRUE(drive(loop_, [&] { return socket->over(); }));
  EXPECT_NE(socket->got.find(SpdyClient::data(5, "out")), std::string::npos);
  EXPECT_NE(socket->got.find(SpdyClient::data(5, "", true)), std::string::npos);
  EXPECT_NE(socket->got.find(SpdyClient::data(1, R"({"metadata":{},"status":"Success"})", true)), std::string::npos);
}

TEST_F(StreamsTest, APeerThatDoesNotReadHoldsTheProcessBack) {
  auto socket = websocket("/exec?stdout=1", "v5.channel.k8s.io");
  ASSERT_TRUE(session_);
  bool drained = false;
  session_->on_drain([&] { drained = true; });
  std::size_t written = 0;
  while (session_->write_output(std::string(100'000, 'o'))) {
    written += 100'000;
    loop_.run_once(std::chrono::milliseconds(0));
    ASSERT_LT(written, 100u << 20) << "never held back";
  }
  drained = false;  // of the time when the socket still took everything
  EXPECT_TRUE(drive(loop_, [&] {
    socket->poll();
    return drained;
  }));
}

TEST_F(StreamsTest, ThePeerLeaving) {
  auto socket = websocket("/exec?stdin=1&stdout=1", "v4.channel.k8s.io");
  ASSERT_TRUE(session_);
  socket.reset();
  EXPECT_TRUE(drive(loop_, [&] { return closed_; }));
}

TEST_F(StreamsTest, ForwardsAPort) {
  auto socket = spdy("/forward", "X-Stream-Protocol-Version: portforward.k8s.io\r\n");
  SpdyClient client;
  socket->send(client.open(1, {{"streamtype", "error"}, {"port", "8080"}, {"requestid", "0"}}) +
               SpdyClient::data(1, "", true));
  socket->send(client.open(3, {{"streamtype", "data"}, {"port", "8080"}, {"requestid", "0"}}) +
               SpdyClient::data(3, "early"));
  ASSERT_TRUE(drive(loop_, [&] { return port_ != nullptr; }));
  EXPECT_EQ(port_->port(), 8080);
  std::string read;
  bool ended = false;
  port_->on_read([&](std::string_view bytes) { read += bytes; });
  port_->on_end([&] { ended = true; });
  ASSERT_TRUE(drive(loop_, [&] { return read == "early"; }));
  socket->send(SpdyClient::data(3, " late", true));
  ASSERT_TRUE(drive(loop_, [&] { return ended; }));
  EXPECT_EQ(read, "early late");
  port_->write("answer");
  port_->fail("connection refused");
  EXPECT_TRUE(drive(loop_, [&] {
    return socket->has(SpdyClient::data(3, "answer")) && socket->has(SpdyClient::data(1, "connection refused", true));
  }));
  bool closed = false;
  port_->on_close([&] { closed = true; });
  socket.reset();
  EXPECT_TRUE(drive(loop_, [&] { return closed; }));
}

TEST_F(StreamsTest, ForwardsPortsInNumberedChannels) {
  auto socket = websocket("/forward?ports=80,8080", "v4.channel.k8s.io");
  EXPECT_NE(socket->got.find("Sec-Websocket-Protocol: v4.channel.k8s.io"), std::string::npos);
  // Each channel begins with the number of its port.
  const std::string greeting("\x82\x03\x00\x50\x00\x82\x03\x01\x50\x00\x82\x03\x02\x90\x1f\x82\x03\x03\x90\x1f", 20);
  ASSERT_TRUE(drive(loop_, [&] { return socket->has(greeting) && port_ && ports_.size() == 1; }));
  EXPECT_EQ(ports_[0]->port(), 80);
  EXPECT_EQ(port_->port(), 8080);
  std::string first, second;
  ports_[0]->on_read([&](std::string_view bytes) { first += bytes; });
  port_->on_read([&](std::string_view bytes) { second += bytes; });
  socket->send(frame(2, std::string("\0one", 4)) + frame(2, "\x02two") + frame(2, "\x01nothing") +
               frame(2, "\x09nothing"));
  ASSERT_TRUE(drive(loop_, [&] { return first == "one" && second == "two"; }));
  port_->write("answer");
  ports_[0]->fail("connection refused");
  ASSERT_TRUE(drive(loop_, [&] {
    return socket->has(
               "\x82\x07\x02"
               "answer") &&
           socket->has(
               "\x82\x13\x01"
               "connection refused");
  }));
  EXPECT_FALSE(socket->over());  // the other one goes on
  port_->end();
  EXPECT_TRUE(drive(loop_, [&] { return socket->over(); }));
}

// A port to which no connection stands yet keeps little of what comes.
TEST_F(StreamsTest, APortThatNobodyReadsHoldsThePeerBack) {
  auto socket = websocket("/forward?ports=80", "v4.channel.k8s.io");
  ASSERT_TRUE(drive(loop_, [&] { return port_ != nullptr; }));
  const std::string message = frame(2, std::string("\0", 1) + std::string(60'000, 'x'));
  std::string left;
  std::size_t sent = 0;
  // Until nothing is taken for a while: what the kernel and the server keep for it.
  auto stuck = [&] {
    return !drive(
        loop_,
        [&] {
          if (left.empty()) left = message;
          const std::size_t n = socket->send(left);
          left.erase(0, n);
          sent += n;
          return n > 0;
        },
        std::chrono::milliseconds(300));
  };
  while (!stuck() && sent < (64u << 20)) {}
  EXPECT_LT(sent, 32u << 20);
  std::size_t read = 0;
  port_->on_read([&](std::string_view bytes) { read += bytes.size(); });
  EXPECT_TRUE(drive(loop_, [&] { return read > (200u << 10); }));
  const std::size_t before = sent;
  EXPECT_FALSE(stuck());
  EXPECT_GT(sent, before);
}

TEST_F(StreamsTest, ForwardsAPortInBase64) {
  auto socket = websocket("/forward?ports=80", "v4.base64.channel.k8s.io");
  ASSERT_TRUE(drive(loop_, [&] {
    return socket->has(
               "\x81\x05"
               "0UAA=") &&
           socket->has(
               "\x81\x05"
               "1UAA=") &&
           port_;
  }));
  std::string read;
  bool closed = false;
  port_->on_read([&](std::string_view bytes) { read += bytes; });
  port_->on_close([&] { closed = true; });
  socket->send(frame(1, "0" + base64_encode("hello")) + frame(1, "0?not base64?"));
  EXPECT_TRUE(drive(loop_, [&] { return read == "hello"; }));
  port_->write("yes");
  EXPECT_TRUE(drive(loop_, [&] { return socket->has("0" + base64_encode("yes")); }));
  socket.reset();
  EXPECT_TRUE(drive(loop_, [&] { return closed; }));
}

TEST_F(StreamsTest, RefusesNumberedChannelsWithoutPorts) {
  for (const char* query : {"", "?ports=0", "?ports=65536", "?ports=http", "?ports=80,"}) {
    EXPECT_TRUE(websocket(std::string("/forward") + query, "v4.channel.k8s.io")->got.starts_with("HTTP/1.1 400 "))
        << query;
  }
  std::string many = "?ports=1";
  for (int i = 0; i < 100; ++i) many += ",1";
  EXPECT_TRUE(websocket("/forward" + many, "v4.channel.k8s.io")->got.starts_with("HTTP/1.1 400 "));
  EXPECT_FALSE(port_);
}

TEST_F(StreamsTest, RefusesAForwardWithoutAPort) {
  auto socket = spdy("/forward", "X-Stream-Protocol-Version: portforward.k8s.io\r\n");
  SpdyClient client;
  socket->send(client.open(1, {{"streamtype", "data"}, {"port", "99999"}}));
  EXPECT_TRUE(drive(loop_, [&] { return socket->has(SpdyClient::control(3, number(1, 4) + number(1, 4))); }));
  EXPECT_FALSE(port_);
}

}  // namespace
}  // namespace berth::http
