#include "http/message.h"

#include "base/text.h"

namespace berth::http {

SharedBytes SharedBytes::of(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  std::string_view bytes = *owner;
  return SharedBytes{std::move(owner), bytes, true};
}

SharedBytes Exchange::shared(std::shared_ptr<const std::string> text, std::size_t) const {
  const std::string_view bytes = *text;
  return SharedBytes{std::move(text), bytes};
}

std::string_view header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (iequals(key, name)) return value;
  }
  return {};
}

std::string_view Request::parameter(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return {};
}

bool Request::has_parameter(std::string_view name) const {
  for (const auto& entry : query) {
    if (entry.first == name) return true;
  }
  return false;
}

void Exchange::respond(int status, std::string content_type, std::string body) {
  std::vector<SharedBytes> pieces;
  if (!body.empty()) pieces.push_back(SharedBytes::of(std::move(body)));
  respond(status, Headers{{"content-type", std::move(content_type)}}, std::move(pieces));
}

namespace {

// Decodes; without url_decode() and its copy for the many texts that have no escapes.
Status decode_into(std::string_view text, bool plus_is_space, std::string& out) {
  if (text.find_first_of(plus_is_space ? "%+" : "%") == std::string_view::npos) {
    out.assign(text);
    return ok_status();
  }
  auto decoded = url_decode(text, plus_is_space);
  if (!decoded.ok()) return error(Code::kBadRequest, "invalid URL escape in the request target");
  out = std::move(*decoded);
  return ok_status();
}

}  // namespace

Status parse_target(Request& request) {
  std::string_view rest = request.target;
  if (rest.empty()) return error(Code::kBadRequest, "empty request target");
  if (rest[0] != '/' && rest != "*") {
    Cut scheme = cut(rest, "://");
    if (!scheme.found) {
      // Only CONNECT may have the authority form.
      if (request.method != "CONNECT") return error(Code::kBadRequest, "malformed request target");
      request.path = rest;
      return ok_status();
    }
    std::size_t slash = scheme.after.find_first_of("/?");
    rest = slash == std::string_view::npos ? std::string_view("/") : scheme.after.substr(slash);
  }
  for (char c : rest) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return error(Code::kBadRequest, "malformed request target");
  }
  rest = rest.substr(0, rest.find('#'));
  Cut halves = cut(rest, "?");
  BERTH_TRY(decode_into(halves.before, false, request.path));
  if (request.path.empty()) request.path = "/";
  request.query.clear();
  if (halves.after.empty()) return ok_status();
  for (std::string_view part : split(halves.after, '&')) {
    if (part.empty()) continue;
    Cut pair = cut(part, "=");
    auto& entry = request.query.emplace_back();
    BERTH_TRY(decode_into(pair.before, true, entry.first));
    BERTH_TRY(decode_into(pair.after, true, entry.second));
  }
  return ok_status();
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Request Entity Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Entity";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

bool body_allowed(int status) { return status >= 200 && status != 204 && status != 304; }

bool has_token(std::string_view list, std::string_view token) {
  for (std::string_view part : split(list, ',')) {
    if (iequals(trim(part), token)) return true;
  }
  return false;
}

bool valid_header(std::string_view name, std::string_view value) {
  if (name.empty()) return false;
  for (char c : name) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == ':' || static_cast<unsigned char>(c) >= 0x7f) return false;
  }
  for (char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') return false;
    if (c == 0x7f) return false;
  }
  return true;
}

std::string http_date(std::time_t seconds) {
  // Not strftime: it follows the locale.
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm t{};
  gmtime_r(&seconds, &t);
  char text[64];
  int n = std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[t.tm_wday], t.tm_mday,
                        kMonths[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  return std::string(text, static_cast<std::size_t>(n));
}

ServerConfig::Rendered render_error(const ServerConfig& config, int status, std::string_view message) {
  if (config.render_error) return config.render_error(status, message);
  return {"text/plain; charset=utf-8", std::string(message) + "\n"};
}

}  // namespace berth::http
