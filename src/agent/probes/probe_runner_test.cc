#include "agent/probes/probe_runner.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "agent/probes/grpc_health.h"
#include "agent/probes/http_probe.h"
#include "agent/testing/test_cluster.h"
#include "agent/testing/test_node.h"
#include "base/files.h"

namespace berth::agent {
namespace {

using testing::run_until;

Value from(const std::string& text) { return json::parse(text).value(); }

// A listener on 127.0.0.1 that answers every connection with one text, or with silence.
class Listener {
 public:
  Listener(Loop& loop, std::string answer) : loop_(loop), answer_(std::move(answer)) {
    socket_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_.get(), 8), 0);
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    (void)loop_.watch_fd(socket_.get(), EPOLLIN, [this](std::uint32_t) {
      Fd peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer || answer_.empty()) return void(peers_.push_back(std::move(peer)));
      int fd = peer.get();
      peers_.push_back(std::move(peer));
      (void)loop_.watch_fd(fd, EPOLLIN, [this, fd](std::uint32_t) {
        char buffer[4096];
        ssize_t n = ::read(fd, buffer, sizeof buffer);
        if (n > 0) request.append(buffer, static_cast<std::size_t>(n));
        loop_.unwatch_fd(fd);
        last.assign(buffer, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        auto other = by_path.find(last.substr(4, last.find(' ', 4) - 4));
        const std::string& answer = other == by_path.end() ? answer_ : other->second;
        ++requests;
        [[maybe_unused]] auto m = ::write(fd, answer.data(), answer.size());
        if (close_after) ::shutdown(fd, SHUT_WR);
      });
    });
  }
  ~Listener() { loop_.unwatch_fd(socket_.get()); }
  int port = 0;
  std::string request, last;
  std::map<std::string, std::string> by_path;
  bool close_after = false;
  int requests = 0;
  int peer() const { return peers_.empty() ? -1 : peers_.back().get(); }

 private:
  Loop& loop_;
  std::string answer_;
  Fd socket_;
  std::vector<Fd> peers_;
};

class ProbeRunnerTest : public ::testing::Test {
 protected:
  ProbeResult run(const std::string& action, Duration timeout = 5s, const Value& container = Value()) {
    std::optional<ProbeResult> result;
    Value value = from(action);
    runner_->run(value, ProbeTarget{"id", "127.0.0.1", &container}, timeout,
                 [&](ProbeResult r) { result = std::move(r); });
    EXPECT_TRUE(run_until(loop_, [&] { return result.has_value(); }));
    return result.value_or(ProbeResult{false, "no answer"});
  }
  Loop loop_;
  testing::FakeContainers containers_{loop_};
  std::unique_ptr<ProbeRunner> runner_ = make_probe_runner(loop_, containers_);
};

TEST_F(ProbeRunnerTest, HttpIsGoodBelow400) {
  for (auto [status, good] :
       {std::pair{"200 OK", true}, {"304 Not Modified", true}, {"404 Not Found", false}, {"503 Busy", false}}) {
    Listener server(loop_, std::string("HTTP/1.1 ") + status + "\r\nContent-Length: 0\r\n\r\n");
    auto result = run(R"({"httpGet":{"path":"/healthz?x=1","port":)" + std::to_string(server.port) +
                      R"(,"httpHeaders":[{"name":"X-Probe","value":"y"}]}})");
    EXPECT_EQ(result.good, good) << status << " " << result.output;
    if (!good) {
      EXPECT_EQ(result.output, std::string("HTTP probe failed with statuscode: ") + std::string(status, 3));
    }
    EXPECT_EQ(server.request.substr(0, 27), "GET /healthz?x=1 HTTP/1.1\r\n");
    EXPECT_NE(server.request.find("\r\nX-Probe: y\r\n"), std::string::npos);
    EXPECT_NE(server.request.find("\r\nAccept: */*\r\n"), std::string::npos);
    EXPECT_NE(server.request.find("\r\nConnection: close\r\n"), std::string::npos);
    EXPECT_EQ(result.warned, std::string_view(status).starts_with("3"));
    EXPECT_NE(server.request.find("User-Agent: kube-probe/1.36\r\n"), std::string::npos);
    EXPECT_NE(server.request.find("Host: 127.0.0.1:" + std::to_string(server.port) + "\r\n"), std::string::npos);
  }
}

std::string answer(const std::string& status, const std::string& location = "", const std::string& body = "") {
  return "HTTP/1.1 " + status + "\r\n" + (location.empty() ? "" : "Location: " + location + "\r\n") +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string http_get(int port, const std::string& path, const std::string& more = "") {
  return R"({"httpGet":{"path":")" + path + R"(","port":)" + std::to_string(port) + more + "}}";
}

TEST_F(ProbeRunnerTest, RedirectsToTheSameHostAreFollowed) {
  Listener server(loop_, answer("404 Not Found"));
  server.by_path = {
      {"/a/start", answer("302 Found", "../good?x=1")},
      {"/good?x=1", answer("200 OK")},
      {"/bad", answer("301 Moved Permanently", "/broken")},
      {"/broken", answer("500 Internal Server Error")},
      {"/loop", answer("307 Temporary Redirect", "/loop")},
      {"/away", answer("302 Found", "http://192.0.2.1:1/x", "gone away")},
      {"/whole", answer("308 Permanent Redirect", "http://127.0.0.1:" + std::to_string(server.port) + "/good?x=1")},
      {"/nowhere", answer("302 Found")}};
  EXPECT_TRUE(run(http_get(server.port, "/a/start", R"(,"httpHeaders":[{"name":"Host","value":"db.example"}])")).good);
  EXPECT_NE(server.last.find("\r\nHost: db.example\r\n"), std::string::npos) << "kept for a relative redirect";
  EXPECT_NE(server.last.find("\r\nReferer: http://127.0.0.1:"), std::string::npos);
  EXPECT_TRUE(run(http_get(server.port, "/whole", R"(,"httpHeaders":[{"name":"Host","value":"db.example"}])")).good);
  EXPECT_NE(server.last.find("\r\nHost: 127.0.0.1:"), std::string::npos);
  auto bad = run(http_get(server.port, "/bad"));
  EXPECT_FALSE(bad.good);
  EXPECT_EQ(bad.output, "HTTP probe failed with statuscode: 500");
  server.requests = 0;
  auto loop = run(http_get(server.port, "/loop"));
  EXPECT_FALSE(loop.good);
  EXPECT_EQ(loop.output, "Get \"/loop\": stopped after 10 redirects");
  EXPECT_EQ(server.requests, 10);
  auto away = run(http_get(server.port, "/away"));
  EXPECT_TRUE(away.good);
  EXPECT_TRUE(away.warned);
  EXPECT_EQ(away.output, "Probe terminated redirects, Response body: gone away");
  EXPECT_TRUE(run(http_get(server.port, "/nowhere")).warned) << "without a Location it is an answer like any other";
}

TEST_F(ProbeRunnerTest, TheBodyIsReadUpToALimit) {
  Listener server(loop_, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + std::string(20'000, 'x'));
  EXPECT_TRUE(run(http_get(server.port, "/")).good) << "ten KiB are enough";
  Listener half(loop_, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
  auto late = run(http_get(half.port, "/"), 100ms);
  EXPECT_TRUE(late.errored && !late.good);
  half.close_after = true;
  EXPECT_EQ(run(http_get(half.port, "/")).output,
            "Get \"http://127.0.0.1:" + std::to_string(half.port) + "/\": unexpected EOF");
  Listener open(loop_, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
  open.close_after = true;
  EXPECT_TRUE(run(http_get(open.port, "/")).good);
}

TEST_F(ProbeRunnerTest, ATcpProbeSaysGoodbye) {
  Listener server(loop_, "");
  ASSERT_TRUE(run(R"({"tcpSocket":{"port":)" + std::to_string(server.port) + "}}").good);
  ASSERT_TRUE(run_until(loop_, [&] { return server.peer() >= 0; }));
  char byte;
  ssize_t n = -2;
  ASSERT_TRUE(
      run_until(loop_, [&] { return (n = ::recv(server.peer(), &byte, 1, MSG_DONTWAIT)) >= 0 || errno != EAGAIN; }));
  EXPECT_EQ(n, 0) << "an end of input, no reset: " << std::strerror(errno);
}

TEST_F(ProbeRunnerTest, AnHttpHookIsGoodWhateverItsStatus) {
  Listener server(loop_, answer("500 Internal Server Error"));
  std::optional<ProbeResult> result;
  Value container, action = from(http_get(server.port, "/bye"));
  ProbeTarget target{"id", "127.0.0.1", &container, true};
  runner_->run(action, target, 5s, [&](ProbeResult r) { result = std::move(r); });
  ASSERT_TRUE(run_until(loop_, [&] { return result.has_value(); }));
  EXPECT_TRUE(result->good);
  EXPECT_NE(server.last.find("User-Agent: kube-lifecycle/1.36\r\n"), std::string::npos);
}

TEST(ProbeUrl, WhatIsNoUrlIsEscaped) {
  EXPECT_EQ(probe_url("http", "10.0.0.1", 80, "healthz?a=b c#top"), "http://10.0.0.1:80/healthz?a=b%20c");
  EXPECT_EQ(probe_url("https", "fd00::1", 443, ""), "https://[fd00::1]:443/");
  EXPECT_EQ(probe_url("http", "h", 80, "/a\r\nX: y?"), "http://h:80/a%0D%0AX:%20y%3F");
  EXPECT_EQ(resolve_url("http://h:8080/a/b?x", "?y=2"), "http://h:8080/a/b?y=2");
  EXPECT_EQ(resolve_url("http://h:8080/a/b", "//other/c"), "http://other/c");
  EXPECT_EQ(resolve_url("http://h:8080/a/b", "http://[bad"), std::nullopt);
}

TEST_F(ProbeRunnerTest, TellsRefusalSilenceAndNonsense) {
  int port;
  {
    Listener closed(loop_, "");
    port = closed.port;
  }
  std::string at = "127.0.0.1:" + std::to_string(port);
  auto refused = run(R"({"httpGet":{"path":"/h","port":)" + std::to_string(port) + "}}");
  EXPECT_FALSE(refused.good);
  EXPECT_EQ(refused.output, "Get \"http://" + at + "/h\": dial tcp " + at + ": connect: connection refused");
  EXPECT_TRUE(refused.refused);
  refused = run(R"({"tcpSocket":{"port":)" + std::to_string(port) + "}}");
  EXPECT_EQ(refused.output, "dial tcp " + at + ": connect: connection refused");
  EXPECT_TRUE(refused.refused);
  Listener silent(loop_, "");
  auto timed_out = run(R"({"httpGet":{"path":"/h","port":)" + std::to_string(silent.port) + "}}", 50ms);
  EXPECT_EQ(timed_out.output, "Get \"http://127.0.0.1:" + std::to_string(silent.port) +
                                  "/h\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
  EXPECT_FALSE(timed_out.refused);
  EXPECT_TRUE(run(R"({"tcpSocket":{"port":)" + std::to_string(silent.port) + "}}").good);
  Listener nonsense(loop_, "SSH-2.0-x\r\n\r\n");
  auto malformed = run(R"({"httpGet":{"path":"/h","port":)" + std::to_string(nonsense.port) + "}}");
  EXPECT_FALSE(malformed.good);
  EXPECT_NE(malformed.output.find("malformed HTTP response"), std::string::npos);
  for (const char* action :
       {R"({"tcpSocket":{"port":"nameless"}})", R"({"httpGet":{"port":"nameless","scheme":"HTTPS"}})"}) {
    auto nameless = run(action);
    EXPECT_EQ(nameless.output, "strconv.Atoi: parsing \"nameless\": invalid syntax");
    EXPECT_TRUE(nameless.errored);
  }
  EXPECT_EQ(run(R"({"tcpSocket":{"port":70000}})").output, "invalid port number: 70000");
}

TEST_F(ProbeRunnerTest, ACommandThatCouldNotRunHasNotFailed) {
  const char* action = R"({"exec":{"command":["pg_isready","-q"]}})";
  auto answer = [&](Result<ExecResult> result) {
    containers_.exec_answer = std::move(result);
    return run(action, 2s);
  };
  EXPECT_TRUE(answer(ExecResult{0, ""}).good);
  EXPECT_FALSE(answer(ExecResult{1, "connect: connection refused"}).refused) << "a process has run";
  auto failed = answer(ExecResult{2, "no response"});
  EXPECT_EQ(failed.output, "no response");
  EXPECT_FALSE(failed.good || failed.errored);
  auto slow = answer(error(Code::kTimeout, "command timed out"));
  EXPECT_EQ(slow.output, "command timed out: \"pg_isready -q\" timed out after 2s");
  EXPECT_FALSE(slow.good || slow.errored);
  EXPECT_TRUE(answer(error(Code::kNotFound, "container id is not running")).errored);
}

TEST_F(ProbeRunnerTest, PortsMayBeNamed) {
  Value container = from(R"({"ports":[{"name":"web","containerPort":8080}]})");
  EXPECT_EQ(probe_port("web", container), 8080);
  EXPECT_EQ(probe_port("81", container), 81);
  EXPECT_EQ(probe_port(82, container), 82);
  EXPECT_EQ(probe_port("other", container), 0);
}

// The other side of the health check, by the same library: what it is asked is what it answers to.
TEST(GrpcHealth, AsksAndUnderstands) {
  struct Server {
    std::string path, answer, status;
    nghttp2_session* session = nullptr;
    std::size_t sent = 0;
  };
  for (auto [code, good] : {std::pair{1, true}, {2, false}}) {
    Server server;
    server.answer = std::string("\0\0\0\0\2\x08", 6) + static_cast<char>(code);
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t n, const std::uint8_t* value,
           std::size_t m, std::uint8_t, void* user) -> int {
          if (std::string_view(reinterpret_cast<const char*>(name), n) == ":path")
            static_cast<Server*>(user)->path.assign(reinterpret_cast<const char*>(value), m);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session* session, const nghttp2_frame* frame, void* user) -> int {
          if (frame->hd.type != NGHTTP2_DATA || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
          auto header = [](const char* name, const char* value) {
            return nghttp2_nv{(std::uint8_t*)name, (std::uint8_t*)value, std::strlen(name), std::strlen(value),
                              NGHTTP2_NV_FLAG_NONE};
          };
          nghttp2_nv head[] = {header(":status", "200"), header("content-type", "application/grpc")};
          nghttp2_data_provider body{};
          body.read_callback = [](nghttp2_session* session, std::int32_t stream, std::uint8_t* out, std::size_t,
                                  std::uint32_t* flags, nghttp2_data_source*, void* user) -> ssize_t {
            auto& s = *static_cast<Server*>(user);
            std::memcpy(out, s.answer.data(), s.answer.size());
            *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_nv trailer{(std::uint8_t*)"grpc-status", (std::uint8_t*)"0", 11, 1, NGHTTP2_NV_FLAG_NONE};
            nghttp2_submit_trailer(session, stream, &trailer, 1);
            return static_cast<ssize_t>(s.answer.size());
          };
          return nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &body);
        });
    nghttp2_session_server_new(&server.session, callbacks, &server);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(server.session, NGHTTP2_FLAG_NONE, nullptr, 0);
    GrpcHealthExchange exchange("10.0.0.1:9000", "db");
    std::optional<ProbeResult> result;
    for (int round = 0; round < 5 && !result; ++round) {
      std::string out = exchange.take_output();
      ASSERT_GE(nghttp2_session_mem_recv(server.session, reinterpret_cast<const std::uint8_t*>(out.data()), out.size()),
                0);
      const std::uint8_t* data = nullptr;
      ssize_t n;
      while (!result && (n = nghttp2_session_mem_send(server.session, &data)) > 0)
        result = exchange.feed({reinterpret_cast<const char*>(data), static_cast<std::size_t>(n)});
    }
    nghttp2_session_del(server.session);
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(server.path, "/grpc.health.v1.Health/Check");
    EXPECT_EQ(result->good, good) << result->output;
    if (!good) {
      EXPECT_EQ(result->output, "service unhealthy (responded with \"NOT_SERVING\")");
    }
  }
  GrpcHealthExchange wrong("a", "");
  (void)wrong.take_output();
  auto refused = wrong.feed("HTTP/1.1 400 Bad Request\r\n\r\n");
  ASSERT_TRUE(refused.has_value());
  EXPECT_FALSE(refused->good);
}

}  // namespace
}  // namespace berth::agent
