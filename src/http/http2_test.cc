#include <nghttp2/nghttp2.h>

#include <map>

#include "http/test_support.h"

namespace berth::http {
namespace {

using testing::drive;
using testing::RawSocket;

// The client's half over a plain connection, by nghttp2.
class H2Client {
 public:
  struct Answer {
    int status = 0;
    std::string body;
    bool closed = false;
    std::uint32_t error = 0;
  };
  explicit H2Client(const std::string& address, bool consume = true) : socket(address) {
    nghttp2_session_callbacks* c = nullptr;
    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_on_header_callback(
        c, [](nghttp2_session*, const nghttp2_frame* f, const std::uint8_t* n, std::size_t ns, const std::uint8_t* v,
              std::size_t vs, std::uint8_t, void* user) {
          if (std::string_view(reinterpret_cast<const char*>(n), ns) == ":status") {
            static_cast<H2Client*>(user)->answers[f->hd.stream_id].status =
                std::stoi(std::string(reinterpret_cast<const char*>(v), vs));
          }
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        c, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* d, std::size_t n, void* user) {
          static_cast<H2Client*>(user)->answers[id].body.append(reinterpret_cast<const char*>(d), n);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        c, [](nghttp2_session*, std::int32_t id, std::uint32_t e, void* user) {
          auto& answer = static_cast<H2Client*>(user)->answers[id];
          answer.closed = true;
          answer.error = e;
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, [](nghttp2_session*, const nghttp2_frame* f, void* user) {
      if (f->hd.type == NGHTTP2_GOAWAY) static_cast<H2Client*>(user)->went_away = true;
      return 0;
    });
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, consume ? 0 : 1);
    nghttp2_session_client_new2(&session, c, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(c);
    nghttp2_submit_settings(session, 0, nullptr, 0);
  }
  ~H2Client() { nghttp2_session_del(session); }

  std::int32_t ask(const std::string& method, const std::string& path, std::string body = "",
                   const std::string& extra = "") {
    std::vector<nghttp2_nv> fields;
    auto add = [&](std::string_view n, std::string_view v) {
      fields.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(n.data())),
                        reinterpret_cast<std::uint8_t*>(const_cast<char*>(v.data())), n.size(), v.size(), 0});
    };
    add(":method", method);
    add(":scheme", "http");
    add(":path", path);
    add(":authority", "h");
    if (!extra.empty()) add("x-extra", extra);
    nghttp2_data_provider provider{};
    bodies.push_back(std::make_unique<std::string>(std::move(body)));
    provider.source.ptr = bodies.back().get();
    provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room,
                                std::uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
      auto& text = *static_cast<std::string*>(source->ptr);
      std::size_t n = std::min(room, text.size());
      text.copy(reinterpret_cast<char*>(to), n);
      text.erase(0, n);
      if (text.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(n);
    };
    return nghttp2_submit_request(session, nullptr, fields.data(), fields.size(),
                                  bodies.back()->empty() ? nullptr : &provider, nullptr);
  }
  void pump() {
    const std::uint8_t* data = nullptr;
    while (out.size() < (1u << 20)) {
      ssize_t n = nghttp2_session_mem_send(session, &data);
      if (n <= 0) break;
      out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
    }
    out.erase(0, socket.send(out));
    socket.poll();
    nghttp2_session_mem_recv(session, reinterpret_cast<const std::uint8_t*>(socket.got.data()), socket.got.size());
    socket.got.clear();
  }

  RawSocket socket;
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, Answer> answers;
  std::vector<std::unique_ptr<std::string>> bodies;
  std::string out;
  bool went_away = false;
};

class Http2Test : public ::testing::Test {
 protected:
  void serve(Handler handler, ServerConfig config = {}) {
    server_ = make_server(loop_, std::move(handler), config);
    address_ = server_->listen("127.0.0.1:0", std::nullopt).value();
  }
  bool until(H2Client& client, const std::function<bool()>& done) {
    return drive(loop_, [&] {
      client.pump();
      return done();
    });
  }
  Loop loop_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

TEST_F(Http2Test, ManyStreamsWithBodies) {
  serve([](std::shared_ptr<Exchange> e) {
    EXPECT_EQ(header(e->request().headers, "host"), "h");
    e->respond(201, "text/plain", e->request().path + std::to_string(e->request().body.size()));
  });
  H2Client client(address_);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 200; ++i)
    ids.push_back(
        client.ask("POST", "/s" + std::to_string(i) + "?q", std::string(static_cast<std::size_t>(i) * 100 + 1, 'b')));
  ASSERT_TRUE(until(
      client, [&] { return std::all_of(ids.begin(), ids.end(), [&](auto id) { return client.answers[id].closed; }); }));
  for (int i = 0; i < 200; ++i) {
    auto& answer = client.answers[ids[static_cast<std::size_t>(i)]];
    EXPECT_EQ(answer.status, 201);
    EXPECT_EQ(answer.body, "/s" + std::to_string(i) + std::to_string(i * 100 + 1));
  }
}

TEST_F(Http2Test, BoundsHeadersAndBodies) {
  bool handled = false;
  serve([&](std::shared_ptr<Exchange> e) {
    handled = true;
    e->respond(200, "text/plain", "");
  });
  H2Client client(address_);
  auto body = client.ask("POST", "/", std::string((3u << 20) + 1, 'x'));
  auto bad = client.ask("GET", "/%zz");
  ASSERT_TRUE(until(client, [&] { return client.answers[body].status != 0 && client.answers[bad].closed; }));
  EXPECT_EQ(client.answers[body].status, 413);
  EXPECT_EQ(client.answers[bad].status, 400);
  EXPECT_FALSE(handled);
  auto fine = client.ask("GET", "/");
  ASSERT_TRUE(until(client, [&] { return client.answers[fine].closed; }));
  EXPECT_EQ(client.answers[fine].status, 200) << "the connection goes on";
}

TEST_F(Http2Test, AHeadIsLookedAtBeforeItsBody) {
  ServerConfig config;
  config.screen = [](Exchange& exchange) {
    EXPECT_TRUE(exchange.request().http2);
    if (exchange.request().path == "/good") return true;
    exchange.respond(403, "text/plain", "not you");
    return false;
  };
  std::vector<std::string> handled;
  serve(
      [&](std::shared_ptr<Exchange> e) {
        handled.push_back(e->request().path);
        e->respond(200, "text/plain", std::to_string(e->request().body.size()));
      },
      config);
  H2Client client(address_);
  const std::string large(1u << 20, 'x');
  auto bad = client.ask("POST", "/bad", large), good = client.ask("POST", "/good", large),
       small = client.ask("POST", "/small", "x");
  ASSERT_TRUE(until(client, [&] {
    return client.answers[bad].closed && client.answers[good].closed && client.answers[small].closed;
  }));
  EXPECT_EQ(client.answers[bad].status, 403);
  EXPECT_EQ(client.answers[good].body, std::to_string(large.size()));
  // A body that came in one read with its head is there before the head is screened.
  EXPECT_TRUE(client.answers[small].body == "1" || client.answers[small].status == 403) << client.answers[small].body;
  EXPECT_EQ(std::count(handled.begin(), handled.end(), "/bad"), 0);
}

// HEADERS and then CONTINUATION frames without end, as bytes: no client library sends that.
TEST_F(Http2Test, AHeadWithoutEndEndsTheConnection) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", ""); });
  RawSocket socket(address_);
  auto frame = [](char type, char flags, std::uint32_t stream, const std::string& payload) {
    std::string out;
    for (int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
    out += type;
    out += flags;
    for (int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
    return out + payload;
  };
  std::string fields;
  for (int i = 0; i < 100; ++i)
    fields += std::string(
                  "\0\x01"
                  "a\x64",
                  4) +
              std::string(100, 'b');
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, "") + frame(1, 0, 1, "\x82\x87\x84");
  for (int i = 0; i < 200; ++i) bytes += frame(9, 0, 1, fields);
  std::string_view rest = bytes;
  EXPECT_TRUE(drive(loop_, [&] {
    rest.remove_prefix(socket.send(rest));
    return socket.over();
  }));
}

TEST_F(Http2Test, AnAnswerMayEndTheConnection) {
  serve([](std::shared_ptr<Exchange> e) {
    e->respond(401, {{"content-type", "text/plain"}, {"connection", "close"}}, {SharedBytes::of("go")});
  });
  H2Client client(address_);
  auto first = client.ask("GET", "/");
  ASSERT_TRUE(until(client, [&] { return client.answers[first].closed && client.went_away && client.socket.over(); }));
  EXPECT_EQ(client.answers[first].status, 401);
  EXPECT_EQ(client.answers[first].body, "go");
}

// A peer that opens no window holds neither the answer nor the connection's memory for ever.
TEST_F(Http2Test, AnswersAndBodiesHaveTheirTime) {
  ServerConfig config;
  config.answer_timeout = std::chrono::milliseconds(50);
  config.body_timeout = std::chrono::milliseconds(50);
  config.answer_bytes_per_second = 1u << 30;
  auto owner = std::make_shared<const std::string>(1u << 20, 'x');
  serve(
      [&](std::shared_ptr<Exchange> e) {
        e->respond(200, {{"content-type", "text/plain"}}, {SharedBytes{owner, *owner}});
      },
      config);
  H2Client client(address_, false);
  auto stuck = client.ask("GET", "/");
  ASSERT_TRUE(until(client, [&] { return client.answers[stuck].status == 200; }));
  EXPECT_TRUE(until(client, [&] { return client.answers[stuck].closed; }));
  EXPECT_EQ(client.answers[stuck].error, static_cast<std::uint32_t>(NGHTTP2_CANCEL));
  EXPECT_TRUE(drive(loop_, [&] { return owner.use_count() == 1; }));
  // A body that stops half way: the client's own flow control does that for us, for the server reads no further.
  nghttp2_data_provider never{};
  never.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t, std::uint32_t*,
                           nghttp2_data_source*, void*) -> ssize_t { return NGHTTP2_ERR_DEFERRED; };
  auto field = [](std::string_view n, std::string_view v) {
    return nghttp2_nv{reinterpret_cast<std::uint8_t*>(const_cast<char*>(n.data())),
                      reinterpret_cast<std::uint8_t*>(const_cast<char*>(v.data())), n.size(), v.size(), 0};
  };
  nghttp2_nv fields[] = {field(":method", "POST"), field(":scheme", "http"), field(":path", "/"),
                         field(":authority", "h")};
  auto half = nghttp2_submit_request(client.session, nullptr, fields, 4, &never, nullptr);
  EXPECT_TRUE(until(client, [&] { return client.answers[half].closed; }));
}

TEST_F(Http2Test, ASlowStreamHoldsOnlyItselfBack) {
  std::shared_ptr<Exchange> slow;
  std::size_t written = 0;
  bool refused = false;
  serve([&](std::shared_ptr<Exchange> e) {
    if (e->request().path != "/slow") return e->respond(200, "text/plain", "quick");
    slow = e;
    e->start(200, {});
    while (!refused && written < (64u << 20)) {
      written += 100'000;
      refused = !e->write({SharedBytes::of(std::string(100'000, 's'))});
    }
  });
  H2Client client(address_, false);  // grants no window beyond the first 64 KiB
  auto id = client.ask("GET", "/slow");
  ASSERT_TRUE(until(client, [&] { return refused && client.answers[id].body.size() == 65535; }));
  EXPECT_LT(written, 4u << 20);
  nghttp2_submit_window_update(client.session, 0, 0, 1000);
  auto quick = client.ask("GET", "/quick");
  ASSERT_TRUE(until(client, [&] { return client.answers[quick].closed; }));
  EXPECT_EQ(client.answers[quick].body, "quick");
  bool closed = false, drained = false;
  slow->on_close([&] { closed = true; });
  slow->on_drain([&] { drained = true; });
  nghttp2_submit_window_update(client.session, 0, 0, 64 << 20);
  nghttp2_submit_window_update(client.session, 0, id, 64 << 20);
  ASSERT_TRUE(until(client, [&] { return drained; }));
  nghttp2_submit_rst_stream(client.session, 0, id, NGHTTP2_CANCEL);
  ASSERT_TRUE(until(client, [&] { return closed; }));
}

TEST_F(Http2Test, DroppedExchanges) {
  serve([](std::shared_ptr<Exchange> e) {
    if (e->request().path == "/half") {
      e->start(200, {});
      e->write({SharedBytes::of("half")});
    }
  });
  H2Client client(address_);
  auto none = client.ask("GET", "/none"), half = client.ask("GET", "/half");
  ASSERT_TRUE(until(client, [&] { return client.answers[none].closed && client.answers[half].closed; }));
  EXPECT_EQ(client.answers[none].status, 500);
  EXPECT_EQ(client.answers[half].error, static_cast<std::uint32_t>(NGHTTP2_INTERNAL_ERROR));
}

TEST_F(Http2Test, AFloodOfResetsEndsTheConnection) {
  int handled = 0;
  serve([&](std::shared_ptr<Exchange>) { ++handled; });
  H2Client client(address_);
  bool over = until(client, [&] {
    for (int i = 0; i < 50; ++i) {
      auto id = client.ask("GET", "/");
      client.pump();  // a request that was never sent would only be forgotten
      if (id > 0) nghttp2_submit_rst_stream(client.session, 0, id, NGHTTP2_CANCEL);
      client.pump();
    }
    return client.went_away || client.socket.ended || handled > 20'000;
  });
  EXPECT_TRUE(over) << handled;
  EXPECT_LT(handled, 20'000);
}

TEST_F(Http2Test, SaysGoodbye) {
  serve([](std::shared_ptr<Exchange> e) { e->respond(200, "text/plain", "hi"); });
  H2Client client(address_);
  auto id = client.ask("GET", "/");
  ASSERT_TRUE(until(client, [&] { return client.answers[id].closed; }));
  server_.reset();
  EXPECT_TRUE(until(client, [&] { return client.went_away; }));
}

TEST_F(Http2Test, GarbageAfterThePrefaceEndsTheConnection) {
  serve([](std::shared_ptr<Exchange>) {});
  RawSocket socket(address_);
  socket.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is no frame at all, is it?");
  EXPECT_TRUE(drive(loop_, [&] { return socket.over(); }));
}

}  // namespace
}  // namespace berth::http
