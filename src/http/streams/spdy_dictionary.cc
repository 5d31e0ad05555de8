// The dictionary that SPDY/3 compresses headers with: the protocol's own constant, 1423 bytes. Words with their lengths
// before them, then a tail of plain text.

#include "http/streams/spdy_dictionary.h"

namespace berth::http {

const std::string& spdy_dictionary() {
  static const std::string dictionary = [] {
    // clang-format off
    static constexpr std::string_view kWords[] = {
        "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding",
        "accept-language", "accept-ranges", "age", "allow", "authorization", "cache-control", "connection",
        "content-base", "content-encoding", "content-language", "content-length", "content-location", "content-md5",
        "content-range", "content-type", "date", "etag", "expect", "expires", "from", "host", "if-match",
        "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location",
        "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after",
        "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
        "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public",
        "set-cookie", "keep-alive", "origin",
    };
    // clang-format on
    static constexpr char kTail[] =
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Una"
        "uthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service"
        " UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, "
        "Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,applicat"
        "ion/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf"
        "-8charset=iso-8859-1,utf-,*,enq=0.";
    std::string text;
    for (std::string_view word : kWords) {
      text.append({'\0', '\0', '\0', static_cast<char>(word.size())});
      text.append(word);
    }
    return text.append(kTail, sizeof kTail - 1);
  }();
  return dictionary;
}

}  // namespace berth::http
