#include "agent/probes/http_probe.h"

#include <uriparser/Uri.h>

#include <algorithm>

#include "base/text.h"
#include "http/message.h"

namespace berth::agent {
namespace {

constexpr std::size_t kMostRedirects = 10;

struct Url {
  std::string scheme, host, target;  // host without brackets
  int port = 0;
  std::string authority() const {
    return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
  }
};

class ParsedUri {
 public:
  explicit ParsedUri(const std::string& text)
      : good_(uriParseSingleUriA(&uri_, text.c_str(), nullptr) == URI_SUCCESS) {}
  ParsedUri(const ParsedUri& base, const ParsedUri& relative) {
    good_ = base.good_ && relative.good_ && uriAddBaseUriA(&uri_, &relative.uri_, &base.uri_) == URI_SUCCESS;
  }
  ~ParsedUri() {
    if (good_) uriFreeUriMembersA(&uri_);
  }
  ParsedUri(const ParsedUri&) = delete;

  explicit operator bool() const { return good_; }
  const UriUriA& operator*() const { return uri_; }
  std::string text() const {
    int size = 0;
    if (uriToStringCharsRequiredA(&uri_, &size) != URI_SUCCESS) return {};
    std::string out(static_cast<std::size_t>(size) + 1, '\0');
    if (uriToStringA(out.data(), &uri_, size + 1, nullptr) != URI_SUCCESS) return {};
    out.pop_back();
    return out;
  }

 private:
  UriUriA uri_{};
  bool good_ = false;
};

std::string text_of(const UriTextRangeA& range) {
  return range.first ? std::string(range.first, range.afterLast) : std::string();
}

std::optional<Url> split_url(const std::string& text) {
  ParsedUri uri(text);
  if (!uri) return std::nullopt;
  Url out;
  out.scheme = lower(text_of((*uri).scheme));
  out.host = text_of((*uri).hostText);
  auto port = parse_int(text_of((*uri).portText));
  out.port = port.ok() ? static_cast<int>(*port) : out.scheme == "https" ? 443 : 80;
  for (const UriPathSegmentA* part = (*uri).pathHead; part; part = part->next) out.target += "/" + text_of(part->text);
  if (out.target.empty()) out.target = "/";
  if ((*uri).query.first) out.target += "?" + text_of((*uri).query);
  if ((out.scheme != "http" && out.scheme != "https") || out.host.empty() || out.port <= 0 || out.port > 65535)
    return std::nullopt;
  return out;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

const std::string* header(const http::Response& answer, std::string_view name) {
  for (const auto& [key, value] : answer.headers) {
    if (iequals(key, name)) return &value;
  }
  return nullptr;
}

class Probe final : public ProbeConnection {
 public:
  Probe(Loop& loop, HttpProbe probe, Duration timeout, Function<void(ProbeResult)> done)
      : loop_(loop), probe_(std::move(probe)), deadline_(loop.monotonic() + timeout), done_(std::move(done)) {}
  ~Probe() override {
    if (timer_) loop_.cancel(timer_);
  }

  void start() {
    auto url = split_url(probe_.url);
    if (!url) return later({false, "parse " + quoted(probe_.url) + ": invalid URL", true});
    first_host_ = url->host;
    ask(*url);
  }

 private:
  void ask(const Url& url) {
    url_ = url;
    Duration left = std::max<Duration>(deadline_ - loop_.monotonic(), 1ms);
    if (url.scheme == "https") return ask_securely(left);
    exchange_ = start_http_exchange(loop_, {url.host, url.port}, request(), left,
                                    [this](Result<http::Response> answer) { take(std::move(answer)); });
  }

  std::string host_header() const {
    for (const auto& [name, value] : probe_.headers) {
      if (iequals(name, "host") && !value.empty() && keep_host_ && http::valid_header(name, value)) return value;
    }
    return url_.authority();
  }

  std::string request() const {
    std::string head = "GET " + url_.target + " HTTP/1.1\r\nHost: " + host_header() + "\r\n";
    for (const auto& [name, value] : probe_.headers) {
      if (!iequals(name, "host") && http::valid_header(name, value)) head += name + ": " + value + "\r\n";
    }
    if (!referer_.empty()) head += "Referer: " + referer_ + "\r\n";
    return head + "Connection: close\r\n\r\n";
  }

  void ask_securely(Duration left) {
    http::Endpoint endpoint;
    endpoint.address = url_.authority();
    endpoint.tls = endpoint.insecure = true;
    endpoint.server_name = url_.host;
    endpoint.connect_timeout = left;
    secure_ = http::make_client(loop_, endpoint);
    http::ClientRequest out;
    out.target = url_.target;
    out.headers.emplace_back("Host", host_header());
    for (const auto& [name, value] : probe_.headers) {
      if (!iequals(name, "host")) out.headers.emplace_back(name, value);
    }
    if (!referer_.empty()) out.headers.emplace_back("Referer", referer_);
    out.timeout = left;
    answer_ = {};
    has_head_ = false;
    stream_ = secure_->stream(
        std::move(out),
        [this](const http::Response& head) {
          answer_ = head;
          has_head_ = true;
        },
        [this](std::string_view data) {
          answer_.body.append(data.substr(0, kMostProbeBody - std::min(kMostProbeBody, answer_.body.size())));
          if (answer_.body.size() >= kMostProbeBody) take(answer_);
        },
        [this](Status end) {
          if (end.ok()) return take(answer_);
          take(error(has_head_ ? Code::kUnknown : Code::kUnavailable, end.error().message));
        });
  }

  void take(Result<http::Response> answer) {
    exchange_.reset();
    stream_.reset();
    secure_.reset();
    if (!answer.ok()) {
      bool half = answer.failed_with(Code::kUnknown);
      return finish({probe_.hook && half, "Get " + quoted(text_of_url()) + ": " + answer.error().message, half});
    }
    const std::string* location = header(*answer, "location");
    if (is_redirect(answer->status) && location && !location->empty()) return follow(*answer, *location);
    judge(*answer);
  }

  void follow(const http::Response& answer, const std::string& location) {
    auto next = resolve_url(text_of_url(), location);
    auto url = next ? split_url(*next) : std::nullopt;
    if (!url)
      return finish({false, "Get " + quoted(location) + ": failed to parse Location header " + quoted(location)});
    if (url->host != first_host_) return judge(answer);
    if (++redirects_ >= kMostRedirects)
      return finish(
          {false, "Get " + quoted(location) + ": stopped after " + std::to_string(kMostRedirects) + " redirects"});
    // A Host header of the spec is kept for relative redirects only, as with Go's client.
    ParsedUri relative(location);
    keep_host_ = keep_host_ && relative && !(*relative).hostText.first;
    referer_ = url_.scheme == "https" && url->scheme == "http" ? "" : text_of_url();
    ask(*url);
  }

  void judge(const http::Response& answer) {
    if (probe_.hook) return finish({true, ""});
    if (answer.status >= 300 && answer.status < 400)
      return finish({true, "Probe terminated redirects, Response body: " + answer.body, false, true});
    if (answer.status >= 200 && answer.status < 300) return finish({true, ""});
    finish({false, "HTTP probe failed with statuscode: " + std::to_string(answer.status)});
  }

  std::string text_of_url() const {
    return redirects_ == 0 ? probe_.url : url_.scheme + "://" + url_.authority() + url_.target;
  }

  void later(ProbeResult result) {
    timer_ = loop_.after(Duration::zero(), [this, result = std::move(result)] {
      timer_ = 0;
      finish(result);
    });
  }
  void finish(ProbeResult result) {
    auto done = std::move(done_);
    done(std::move(result));  // destroys this
  }

  Loop& loop_;
  HttpProbe probe_;
  Duration deadline_;
  Function<void(ProbeResult)> done_;
  Url url_;
  std::string first_host_, referer_;
  bool keep_host_ = true, has_head_ = false;
  std::size_t redirects_ = 0;
  TimerId timer_ = 0;
  http::Response answer_;
  std::unique_ptr<ProbeConnection> exchange_;
  std::unique_ptr<http::Client> secure_;
  std::unique_ptr<http::Stream> stream_;
};

}  // namespace

std::string probe_url(const std::string& scheme, const std::string& host, int port, const std::string& path) {
  bool control = std::any_of(path.begin(), path.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  std::string target = path.starts_with("/") ? "" : "/";
  for (unsigned char c : path) {
    // With control characters it is a plain path for Go, not a URL: # starts no fragment then.
    if (c == '#' && !control) break;
    bool escape = c <= 0x20 || c >= 0x7f ||
                  std::string_view("\"<>\\^`{|}[]").find(static_cast<char>(c)) != std::string_view::npos ||
                  (control && (c == '?' || c == '#' || c == '%'));
    if (escape) {
      target += {'%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15]};
    } else {
      target += static_cast<char>(c);
    }
  }
  std::string place = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return scheme + "://" + place + ":" + std::to_string(port) + target;
}

std::optional<std::string> resolve_url(const std::string& base, const std::string& location) {
  ParsedUri from(base), to(location);
  ParsedUri whole(from, to);
  if (!whole) return std::nullopt;
  return whole.text();
}

std::unique_ptr<ProbeConnection> start_http_probe(Loop& loop, HttpProbe probe, Duration timeout,
                                                  Function<void(ProbeResult)> done) {
  auto out = std::make_unique<Probe>(loop, std::move(probe), timeout, std::move(done));
  out->start();
  return out;
}

}  // namespace berth::agent
