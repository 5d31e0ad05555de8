#include "http/streams/negotiate.h"

#include <algorithm>

#include "base/text.h"
#include "http/message.h"

namespace berth::http {

std::optional<AcceptedSpdy> accept_spdy(Exchange& exchange, const std::vector<std::string>& accepted) {
  const Headers& headers = exchange.request().headers;
  if (!has_token(header(headers, "upgrade"), "SPDY/3.1")) {
    exchange.respond(400, "text/plain; charset=utf-8",
                     "unable to upgrade: missing upgrade headers in request: SPDY/3.1 or websocket is needed");
    return std::nullopt;
  }
  std::string chosen;
  bool offered = false;
  for (const auto& [name, value] : headers) {
    if (!iequals(name, "x-stream-protocol-version")) continue;
    for (std::string_view one : split(value, ',')) {
      offered = true;
      std::string protocol(trim(one));
      if (chosen.empty() && std::find(accepted.begin(), accepted.end(), protocol) != accepted.end()) chosen = protocol;
    }
  }
  if (!offered) chosen = accepted.back();
  if (chosen.empty()) {
    exchange.respond(
        403, Headers{{"content-type", "text/plain"}, {"x-accepted-stream-protocol-versions", join(accepted, ",")}},
        std::vector<SharedBytes>{SharedBytes::of("unable to upgrade: none of the client's protocols is supported")});
    return std::nullopt;
  }
  Headers answer = {{"connection", "Upgrade"}, {"upgrade", "SPDY/3.1"}};
  if (offered) answer.emplace_back("x-stream-protocol-version", chosen);
  auto channel = exchange.upgrade(std::move(answer));
  if (!channel.ok()) {
    exchange.respond(400, "text/plain; charset=utf-8", channel.error().message);
    return std::nullopt;
  }
  return AcceptedSpdy{std::move(*channel), std::move(chosen)};
}

}  // namespace berth::http
