#include "http/http1_parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <optional>

#include "base/text.h"
#include "http/message.h"

namespace berth::http {

namespace beast = boost::beast;
using beast::error_code;

namespace {

std::string_view text_of(beast::string_view text) { return {text.data(), text.size()}; }

std::string lower_name(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

constexpr std::size_t kMaxFields = 1000;

}  // namespace

// --- Requests

struct RequestParser::Impl {
  struct Parser final : beast::http::basic_parser<true> {
    Impl& impl;
    explicit Parser(Impl& owner) : impl(owner) {
      header_limit(static_cast<std::uint32_t>(owner.max_header));
      body_limit(owner.max_body);
      eager(true);
    }

    void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target, int version,
                         error_code&) override {
      impl.request->method.assign(method.data(), method.size());
      impl.request->target.assign(target.data(), target.size());
      impl.version = version;
    }
    void on_response_impl(int, beast::string_view, int, error_code&) override {}
    void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value, error_code& ec) override {
      if (is_header_done()) return;  // trailers are ignored
      if (impl.request->headers.size() >= kMaxFields) {
        ec = beast::http::error::header_limit;
        return;
      }
      impl.request->headers.emplace_back(lower_name(text_of(name)), std::string(text_of(value)));
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override {
      if (length) impl.request->body.reserve(std::min<std::size_t>(*length, 64u << 10));
    }
    std::size_t on_body_impl(beast::string_view body, error_code&) override {
      impl.request->body.append(body.data(), body.size());
      return body.size();
    }
    void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, error_code&) override {
      impl.request->body.append(body.data(), body.size());
      return body.size();
    }
    void on_finish_impl(error_code&) override {}
  };

  std::size_t max_header, max_body;
  std::unique_ptr<Request> request = std::make_unique<Request>();
  std::optional<Parser> parser;
  int version = 11;
  bool head_checked = false;
  int error_status = 0;
  std::string error_text;

  void fail(int status, std::string text) {
    error_status = status;
    error_text = std::move(text);
  }

  void fail(const error_code& ec) {
    using beast::http::error;
    if (ec == error::header_limit) {
      fail(431, "the request header is larger than " + std::to_string(max_header) + " bytes");
    } else if (ec == error::body_limit) {
      fail(413, "Request entity too large: limit is " + std::to_string(max_body));
    } else if (ec == error::bad_version) {
      fail(505, "HTTP version not supported");
    } else {
      fail(400, "malformed HTTP request: " + ec.message());
    }
  }

  void check_head() {
    head_checked = true;
    std::string_view coding = header(request->headers, "transfer-encoding");
    if (!coding.empty() && !iequals(trim(coding), "chunked")) {
      fail(501, "transfer encoding " + quoted(coding) + " is not supported, only \"chunked\" is");
    } else if (!coding.empty() && version < 11) {
      fail(400, "HTTP/1.0 has no transfer encodings");
    } else if (version >= 11 && header(request->headers, "host").empty()) {
      int hosts = 0;
      for (const auto& entry : request->headers) hosts += entry.first == "host";
      if (hosts == 0) fail(400, "missing required Host header");
    }
  }
};

RequestParser::RequestParser(std::size_t max_header, std::size_t max_body) : impl_(std::make_unique<Impl>()) {
  impl_->max_header = max_header;
  impl_->max_body = max_body;
  impl_->parser.emplace(*impl_);
}

RequestParser::~RequestParser() = default;

std::size_t RequestParser::feed(std::string_view bytes) {
  Impl& s = *impl_;
  std::size_t used = 0;
  // A server ignores empty lines before a request line (RFC 9112, 2.2).
  while (!s.parser->got_some() && used < bytes.size() && (bytes[used] == '\r' || bytes[used] == '\n')) ++used;
  while (used < bytes.size() && s.error_status == 0 && !s.parser->is_done()) {
    error_code ec;
    std::size_t n = s.parser->put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), ec);
    used += n;
    if (ec && ec != beast::http::error::need_more) {
      s.fail(ec);
      break;
    }
    if (s.parser->is_header_done() && !s.head_checked) s.check_head();
    if (ec || n == 0) break;
  }
  return used;
}

bool RequestParser::head_complete() const { return impl_->parser->is_header_done(); }
bool RequestParser::complete() const { return impl_->error_status == 0 && impl_->parser->is_done(); }
int RequestParser::error_status() const { return impl_->error_status; }
const std::string& RequestParser::error_text() const { return impl_->error_text; }
bool RequestParser::keep_alive() const { return impl_->parser->keep_alive(); }
bool RequestParser::upgrade() const { return impl_->version >= 11 && impl_->parser->upgrade(); }
bool RequestParser::http_1_0() const { return impl_->version < 11; }
bool RequestParser::expects_continue() const {
  return impl_->version >= 11 && iequals(header(impl_->request->headers, "expect"), "100-continue");
}
const Request& RequestParser::request() const { return *impl_->request; }

void RequestParser::reset() { (void)release(); }

std::unique_ptr<Request> RequestParser::release() {
  auto request = std::move(impl_->request);
  impl_->request = std::make_unique<Request>();
  impl_->parser.emplace(*impl_);
  impl_->head_checked = false;
  impl_->version = 11;
  return request;
}

// --- Responses

struct ResponseParser::Impl {
  struct Parser final : beast::http::basic_parser<false> {
    Impl& impl;
    explicit Parser(Impl& owner) : impl(owner) {
      header_limit(256u << 10);
      // The largest number, not boost::none: that compares as less than any length, so each body would be too large.
      body_limit(~std::uint64_t{0});
      eager(true);
    }
    void on_request_impl(beast::http::verb, beast::string_view, beast::string_view, int, error_code&) override {}
    void on_response_impl(int status, beast::string_view, int, error_code&) override { impl.head.status = status; }
    void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value, error_code&) override {
      if (is_header_done()) return;
      impl.head.headers.emplace_back(lower_name(text_of(name)), std::string(text_of(value)));
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(beast::string_view body, error_code&) override {
      impl.data(text_of(body));
      return body.size();
    }
    void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, error_code&) override {
      if (!body.empty()) impl.data(text_of(body));
      return body.size();
    }
    void on_finish_impl(error_code&) override {}
  };

  bool no_body = false;
  bool head_seen = false;
  Response head;
  Function<void(std::string_view)> data;
  std::optional<Parser> parser;
  std::string error_text;
};

ResponseParser::ResponseParser(bool no_body, Function<void(std::string_view)> data) : impl_(std::make_unique<Impl>()) {
  impl_->no_body = no_body;
  impl_->data = std::move(data);
  impl_->parser.emplace(*impl_);
  if (no_body) impl_->parser->skip(true);
  impl_->parser->eager(false);  // the parser stops after the head
}

ResponseParser::~ResponseParser() = default;

std::size_t ResponseParser::feed(std::string_view bytes) {
  Impl& s = *impl_;
  std::size_t used = 0;
  while (used < bytes.size() && s.error_text.empty() && !s.parser->is_done()) {
    error_code ec;
    std::size_t n = s.parser->put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), ec);
    used += n;
    if (ec && ec != beast::http::error::need_more) {
      s.error_text = "malformed HTTP answer: " + ec.message();
      break;
    }
    if (s.parser->is_header_done() && !s.head_seen) {
      // Interim answers (100, 103) are skipped. 101 is final: the bytes after it are another protocol's.
      if (s.head.status / 100 == 1 && s.head.status != 101) {
        s.head = Response();
        s.parser.emplace(s);
        if (s.no_body) s.parser->skip(true);
        s.parser->eager(false);
        continue;
      }
      s.head_seen = true;
      s.parser->eager(true);
      break;
    }
    if (ec || n == 0) break;
  }
  return used;
}

void ResponseParser::end_of_input() {
  Impl& s = *impl_;
  if (complete() || failed()) return;
  error_code ec;
  if (s.parser->got_some()) {
    s.parser->put_eof(ec);
  } else {
    ec = beast::http::error::end_of_stream;
  }
  if (ec) s.error_text = "the connection ended in the middle of the answer";
}

bool ResponseParser::head_complete() const { return impl_->head_seen; }
bool ResponseParser::complete() const { return impl_->error_text.empty() && impl_->parser->is_done(); }
bool ResponseParser::failed() const { return !impl_->error_text.empty(); }
const std::string& ResponseParser::error_text() const { return impl_->error_text; }
bool ResponseParser::keep_alive() const { return impl_->parser->keep_alive(); }
Response& ResponseParser::head() { return impl_->head; }

}  // namespace berth::http
