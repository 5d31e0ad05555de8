// Authentication and impersonation, as upstream's authenticators do them: certificate, then bearer token, then
// anonymous.
#include "apiserver/rest/identity.h"

#include <algorithm>

#include "base/text.h"
#include "http/streams/message_exchange.h"

namespace berth::apiserver::rest {
namespace {

using registry::User;

constexpr std::string_view kExtraPrefix = "impersonate-extra-";
constexpr std::string_view kAnonymous = "system:anonymous";
constexpr std::string_view kCredentialId = "authentication.kubernetes.io/credential-id";

Error unauthorized() { return error(Code::kUnauthorized, "Unauthorized"); }

// The token of "Bearer <token>", or empty: other schemes are ignored. Browsers cannot set that
// header for a WebSocket; they offer the token as a protocol.
std::string bearer_token(const http::Request& request) {
  std::string_view authorization = trim(http::header(request.headers, "authorization"));
  const Cut parts = cut(authorization, " ");
  std::string token;
  if (parts.found && iequals(parts.before, "bearer")) token = cut(trim(parts.after), " ").before;
  return token.empty() ? http::offered_token(request) : token;
}

Result<User> authenticate(const RestConfig& config, Time now, const http::Request& request) {
  const http::Peer& peer = request.peer;
  if (peer.unix_socket) return User{"system:admin", {"system:masters", "system:authenticated"}};
  // The handshake checks the certificate once; the connection may outlive it.
  const bool shown = !peer.certificate_sha256.empty() || peer.bad_certificate;
  const bool ended = shown && !peer.bad_certificate && peer.certificate_ends < now;
  if (!peer.common_name.empty() && !ended) {
    User user{peer.common_name, peer.organizations};
    user.groups.push_back("system:authenticated");
    user.extra[std::string(kCredentialId)] = {"X509SHA256=" + peer.certificate_sha256};
    return user;
  }
  if (const std::string token = bearer_token(request); !token.empty()) {
    if (!config.authenticate_token) return unauthorized();
    Result<TokenHolder> holder = config.authenticate_token(token, config.audiences);
    if (!holder.ok()) return unauthorized();
    holder->user.groups.push_back("system:authenticated");
    return std::move(holder->user);
  }
  if (peer.bad_certificate || ended) return unauthorized();
  return User{std::string(kAnonymous), {"system:unauthenticated"}};
}

struct Impersonation {
  User wanted;
  bool asked = false;
};

Impersonation asked_for(const http::Request& request) {
  Impersonation out;
  for (const auto& [header, value] : request.headers) {
    if (iequals(header, "impersonate-user")) {
      if (out.wanted.name.empty()) out.wanted.name = value;
    } else if (iequals(header, "impersonate-uid")) {
      if (out.wanted.uid.empty()) out.wanted.uid = value;
    } else if (iequals(header, "impersonate-group")) {
      out.wanted.groups.push_back(value);
    } else if (header.size() > kExtraPrefix.size() &&
               iequals(std::string_view(header).substr(0, kExtraPrefix.size()), kExtraPrefix)) {
      const std::string key = lower(std::string_view(header).substr(kExtraPrefix.size()));
      Result<std::string> decoded = url_decode(key);
      out.wanted.extra[decoded.ok() ? *decoded : key].push_back(value);
    }
  }
  const User& wanted = out.wanted;
  out.asked = !wanted.name.empty() || !wanted.uid.empty() || !wanted.groups.empty() || !wanted.extra.empty();
  return out;
}

std::string go_strings(const std::vector<std::string>& list) {
  if (list.empty()) return "[]string(nil)";
  std::string out = "[]string{";
  for (const std::string& one : list) out += (out.size() > 9 ? ", " : "") + quoted(one);
  return out + "}";
}

// As Go's %#v shows it.
std::string go_user(const User& user) {
  std::string extra;
  for (const auto& [key, values] : user.extra)
    extra += (extra.empty() ? "" : ", ") + quoted(key) + ":" + go_strings(values);
  return "&user.DefaultInfo{Name:" + quoted(user.name) + ", UID:" + quoted(user.uid) +
         ", Groups:" + go_strings(user.groups) + ", Extra:map[string][]string" +
         (extra.empty() ? "(nil)" : "{" + extra + "}") + "}";
}

// system:serviceaccount:<namespace>:<name>
bool split_account(std::string_view user, std::string& ns, std::string& name) {
  constexpr std::string_view kPrefix = "system:serviceaccount:";
  if (!user.starts_with(kPrefix)) return false;
  const std::vector<std::string_view> parts = split(user.substr(kPrefix.size()), ':');
  if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) return false;
  ns = parts[0];
  name = parts[1];
  return true;
}

// What the caller must be allowed to impersonate, one after the other.
std::vector<Route> impersonated_things(const User& wanted) {
  std::vector<Route> out;
  auto thing = [&out](std::string group, std::string resource, std::string name) -> Route& {
    Route& route = out.emplace_back();
    route.is_resource = true;
    route.group = std::move(group);
    route.resource = std::move(resource);
    route.name = std::move(name);
    return route;
  };
  std::string ns, name;
  if (split_account(wanted.name, ns, name)) {
    thing("", "serviceaccounts", name).ns = ns;
  } else {
    thing("", "users", wanted.name);
  }
  for (const std::string& group : wanted.groups) thing("", "groups", group);
  for (const auto& [key, values] : wanted.extra) {
    for (const std::string& value : values) thing("authentication.k8s.io", "userextras", value).subresource = key;
  }
  if (!wanted.uid.empty()) thing("authentication.k8s.io", "uids", wanted.uid);
  return out;
}

void add_groups(User& user) {
  std::string ns, name;
  if (user.groups.empty() && split_account(user.name, ns, name))
    user.groups = {"system:serviceaccounts", "system:serviceaccounts:" + ns};
  if (user.in_group("system:authenticated") || user.in_group("system:unauthenticated")) return;
  user.groups.push_back(user.name == kAnonymous ? "system:unauthenticated" : "system:authenticated");
}

}  // namespace

Result<User> identify(const RestConfig& config, registry::Registry& registry, const http::Request& request) {
  BERTH_ASSIGN(User user, authenticate(config, registry.runtime().now(), request));
  Impersonation impersonation = asked_for(request);
  if (!impersonation.asked) return user;
  User& wanted = impersonation.wanted;
  if (wanted.name.empty()) {
    return error(Code::kBadRequest, "requested " + go_user(wanted) + " without impersonating a user name");
  }
  for (const Route& thing : impersonated_things(wanted)) {
    const Decision decision = decide(registry, user, "impersonate", thing, "");
    if (!decision.allowed) return forbidden_request(user, "impersonate", thing, "", decision.reason);
  }
  add_groups(wanted);
  return std::move(wanted);
}

}  // namespace berth::apiserver::rest
