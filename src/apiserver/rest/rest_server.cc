#include "apiserver/rest/rest_server.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/status.h"
#include "apiserver/openapi/openapi.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/discovery.h"
#include "apiserver/rest/identity.h"
#include "apiserver/rest/kind_handlers.h"
#include "apiserver/rest/options.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::rest {
namespace {

using registry::User;

bool is_node_stream(const Route& route) {
  return route.group.empty() && route.resource == "pods" &&
         (route.subresource == "log" || route.subresource == "exec" || route.subresource == "attach" ||
          route.subresource == "portforward");
}

bool is_health_path(std::string_view path) {
  const std::string_view endpoint = cut(path.substr(1), "/").before;
  return endpoint == "healthz" || endpoint == "livez" || endpoint == "readyz";
}

bool is_public_path(std::string_view path) { return path == "/version" || is_health_path(path); }

// Whether the client is a browser or a command-line tool, for which JSON is indented.
bool is_read_by_people(const http::Request& request) {
  std::string_view agent = http::header(request.headers, "user-agent");
  return agent.starts_with("curl") || agent.starts_with("Wget") || agent.starts_with("Mozilla/5.0");
}

// The field manager of a write that names none.
std::string user_agent_manager(const http::Request& request) {
  std::string_view agent = cut(http::header(request.headers, "user-agent"), "/").before;
  return std::string(agent.substr(0, 128));
}

bool is_write(std::string_view verb) { return verb != "get" && verb != "list" && verb != "watch"; }

// Whether a resource of `kind` can be at that path.
bool is_path_of(const api::schema::Kind& kind, const Route& route) {
  if (kind.verbs.empty() || (!route.subresource.empty() && !kind.has_subresource(route.subresource))) return false;
  if (!route.rest.empty() && route.subresource != "proxy") return false;
  return kind.namespaced ? !route.ns.empty() || route.name.empty() : route.ns.empty();
}

// Whether there is such an operation at all: what upstream has a route for.
bool is_served(const api::schema::Kind& kind, const Route& route, std::string_view method, std::string_view verb) {
  if (method == "HEAD") return false;
  if (!route.subresource.empty()) {
    const api::schema::Subresource* sub = kind.subresource(route.subresource);
    return std::find(sub->verbs.begin(), sub->verbs.end(), verb) != sub->verbs.end();
  }
  bool on_collection = method != "PUT" && method != "PATCH", on_object = method != "POST";
  if (route.name.empty() ? !on_collection : !on_object) return false;
  // All namespaces at once can only be read.
  if (kind.namespaced && route.ns.empty() && verb != "list" && verb != "watch") return false;
  return kind.has_verb(verb);
}

// Whether an answer can be given in the form that was asked for. `collection`: the path has no name.
Status check_acceptable(const Accept& accept, const api::schema::Kind& kind, std::string_view verb, bool collection) {
  constexpr std::string_view kTypes = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
  constexpr std::string_view kStreams =
      "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
  if (!accept.acceptable && accept.known_type) {
    return error(Code::kNotAcceptable,
                 "only the following media types are accepted: " + std::string(verb == "watch" ? kStreams : kTypes));
  }
  if (!accept.acceptable) {
    std::string offered(kTypes);
    if (collection && (verb == "list" || verb == "watch")) offered.append(", ").append(kStreams);
    return router_refusal(Code::kNotAcceptable, "406: Not Acceptable\n\nAvailable representations: " + offered);
  }
  const bool reads = verb == "get" || verb == "list";
  if (!reads || accept.as != As::kPartialMetadata || accept.wants_list == (verb == "list")) return ok_status();
  std::string type = "*" + (kind.group.empty() ? "core" : std::string(cut(kind.group, ".").before)) + "." + kind.kind;
  return error(Code::kNotAcceptable,
               accept.wants_list
                   ? "you requested PartialObjectMetadataList, but the requested object is not a list (" + type + ")"
                   : "you requested PartialObjectMetadata, but the requested object is a list (" + type + "List)");
}

// Clients may cache the documents about token keys: the keys change seldom.
const std::pair<std::string, std::string> kCacheForAnHour = {"cache-control", "public, max-age=3600"};

// Answers a document with its hash as ETag; 304 where If-None-Match has the same hash.
template <class Make>
void answer_tagged(const ContextPtr& context, const std::string& hash, http::Headers headers, Make make_body) {
  const std::string tag = "\"" + hash + "\"";
  headers.emplace_back("etag", tag);
  if (http::header(context->request().headers, "if-none-match") == tag)
    return context->exchange->respond(304, std::move(headers), {});
  context->exchange->respond(200, std::move(headers), {make_body()});
}

// The `alg` of each key of a JWK set.
Value signing_algorithms(const std::string& jwks) {
  Value algorithms = Value::array();
  Result<Value> keys = json::parse(jwks);
  if (!keys.ok()) return algorithms;
  for (const Value& key : (*keys)["keys"]) algorithms.push(key["alg"]);
  return algorithms;
}

// The checks of "healthz", "livez" and "readyz", by upstream's names; "etcd" is the store. Upstream has more, of parts
// that are not here.
std::vector<std::string_view> checks_of(std::string_view endpoint) {
  std::vector<std::string_view> checks = {"ping", "log", "etcd"};
  if (endpoint == "readyz") checks.insert(checks.end(), {"etcd-readiness", "informer-sync", "shutdown"});
  return checks;
}

// Whether a check fails while the stored state is still being read.
bool needs_state(std::string_view check) { return check == "etcd-readiness" || check == "informer-sync"; }

// Answers "/livez", "/readyz" and "/healthz" in plain text: "ok", or the list of checks with ?verbose or where one
// fails. ?exclude=NAME counts a check as passed. "/readyz/etcd" is that check alone.
void answer_health(const ContextPtr& context, bool ready, std::string_view path) {
  const Cut parts = cut(path.substr(1), "/");
  const std::vector<std::string_view> checks = checks_of(parts.before);
  if (parts.found) {
    if (std::find(checks.begin(), checks.end(), parts.after) == checks.end())
      return answer_text(context, 404, "404 page not found\n");
    if (ready || !needs_state(parts.after)) return answer_text(context, 200, "ok");
    return answer_text(context, 500, "internal server error: still reading the stored state\n");
  }
  std::set<std::string> excluded;
  for (const auto& [name, value] : context->request().query) {
    if (name == "exclude") excluded.insert(value);
  }
  std::string report;
  bool healthy = true;
  for (std::string_view check : checks) {
    if (excluded.erase(std::string(check)) > 0) {
      report.append("[+]").append(check).append(" excluded: ok\n");
    } else if (ready || !needs_state(check)) {
      report.append("[+]").append(check).append(" ok\n");
    } else {
      report.append("[-]").append(check).append(" failed: reason withheld\n");
      healthy = false;
    }
  }
  if (!excluded.empty()) {
    report += "warn: some health checks cannot be excluded: no matches for ";
    for (const std::string& name : excluded) report += (name == *excluded.begin() ? "\"" : ",\"") + name + "\"";
    report += "\n";
  }
  if (!healthy) return answer_text(context, 500, report.append(parts.before).append(" check failed\n"));
  answer_text(
      context, 200,
      context->request().has_parameter("verbose") ? report.append(parts.before).append(" check passed\n") : "ok");
}

}  // namespace

http::ServerConfig server_config() {
  http::ServerConfig config;
  config.render_error = [](int status, std::string_view message) {
    Value body = api::to_status(api::from_status(status, Value(message)));
    // The code is the transport's: from_status() has a reason for some codes only, and none for 431.
    body.set("code", status).set("message", message);
    return http::ServerConfig::Rendered{"application/json", json::encode(body) + "\n"};
  };
  return config;
}

// Paths that answer GET alone: the version and the discovery documents.
bool is_read_only_path(std::string_view path) {
  return path == "/version" || path == "/api" || path.starts_with("/api/") || path == "/apis" ||
         path.starts_with("/apis/");
}

// The group below which a path lies: "/api/..." is the core group's, "/apis/NAME/..." NAME's; "-" for other paths.
std::string_view group_of_path(std::string_view path) {
  std::vector<std::string_view> parts = split(path.substr(1), '/');
  if (parts.size() >= 2 && parts[0] == "api") return "";
  return parts.size() >= 3 && parts[0] == "apis" ? parts[1] : "-";
}

struct RestServer::Impl : std::enable_shared_from_this<RestServer::Impl> {
  Impl(Loop& l, registry::Registry& r, RestConfig c) : loop(l), registry(r), config(std::move(c)), started(l.now()) {}

  Loop& loop;
  registry::Registry& registry;
  RestConfig config;
  SharedViews views{loop};
  EncodedRecords encoded;
  Time started;
  metrics::Counter& requests = metrics::counter("apiserver_request_total", "Requests answered by the API server");

  std::map<std::string, int, std::less<>> in_flight;  // requests by user
  int all_in_flight = 0;

  // The authenticated and authorized request; null where it has been refused, and answered.
  ContextPtr admit(std::shared_ptr<http::Exchange> exchange, std::string& verb);
  bool count_in_flight(Context& context, std::string_view verb);
  bool screen(http::Exchange& exchange);
  void handle(std::shared_ptr<http::Exchange> exchange);
  void handle_path(const ContextPtr& context, const std::string& path);
  void answer_unknown_path(const ContextPtr& context, std::string_view group);
  bool has_group(std::string_view group) const;
  void handle_resource(const ContextPtr& context, const std::string& verb);
  void answer_page(const ContextPtr& context, const std::string& path);
  void fill_call(Context& context, const api::schema::Kind* kind);
  bool handle_discovery(const ContextPtr& context, const std::string& path);
  bool handle_openapi(const ContextPtr& context, const std::string& path);
};

ContextPtr RestServer::Impl::admit(std::shared_ptr<http::Exchange> exchange, std::string& verb) {
  auto context = std::make_shared<Context>();
  context->exchange = std::move(exchange);
  context->loop = &loop;
  context->registry = &registry;
  context->config = &config;
  context->views = &views;
  context->encoded = &encoded;
  const http::Request& request = context->request();
  context->route = parse_route(request.path);
  bool watch = context->flag("watch") && context->route.is_resource && context->route.name.empty();
  verb = request_verb(request.method, context->route, watch);
  context->accept = negotiate(http::header(request.headers, "accept"), verb == "watch");
  context->accept.pretty = request.has_parameter("pretty") ? context->flag("pretty") : is_read_by_people(request);
  if (!context->route.is_resource) verb = lower(request.method);

  Result<User> user = identify(config, registry, request);
  // The refusal of an unauthenticated request ends its HTTP/2 connection, which could bring thousands more.
  context->ends_connection = request.http2 && (!user.ok() || user->in_group("system:unauthenticated"));
  if (!user.ok()) {
    answer_error(context, user.error());
    return nullptr;
  }
  context->call.user = std::move(*user);
  context->exchange->charge_to(context->call.user.name);
  const Decision decision =
      decide(registry, context->call.user, verb, context->route, request.parameter("fieldSelector"));
  if (!decision.allowed) {
    answer_error(context, forbidden_request(context->call.user, verb, context->route, request.path, decision.reason));
    return nullptr;
  }
  return context;
}

// Counts the request until its Context is destroyed. False: it has been answered 429, because too many requests are in
// flight or its user has too many unread answers.
bool RestServer::Impl::count_in_flight(Context& context, std::string_view verb) {
  auto refuse = [&context] {
    context.exchange->respond(
        429,
        {{"content-type", "text/plain; charset=utf-8"}, {"x-content-type-options", "nosniff"}, {"retry-after", "1"}},
        {http::SharedBytes::of("Too many requests, please try again later.\n")});
    return false;
  };
  if (context.exchange->over_share()) return refuse();
  if (context.request().peer.unix_socket || verb == "watch" || is_node_stream(context.route)) return true;
  auto [at, fresh] = in_flight.try_emplace(context.call.user.name, 0);
  if (all_in_flight >= config.max_in_flight || at->second >= config.max_in_flight_of_user) {
    if (at->second == 0) in_flight.erase(at);
    return refuse();
  }
  ++at->second;
  ++all_in_flight;
  context.in_flight = std::shared_ptr<void>(nullptr, [weak = weak_from_this(), name = context.call.user.name](void*) {
    auto self = weak.lock();
    if (!self) return;
    --self->all_in_flight;
    if (auto found = self->in_flight.find(name); found != self->in_flight.end() && --found->second == 0)
      self->in_flight.erase(found);
  });
  return true;
}

bool RestServer::Impl::screen(http::Exchange& exchange) {
  // The caller owns the exchange: the context gets a shared_ptr that does not destroy it.
  std::string verb;
  const bool admitted = admit(std::shared_ptr<http::Exchange>(std::shared_ptr<void>(), &exchange), verb) != nullptr;
  if (!admitted) requests.add();
  return admitted;
}

void RestServer::Impl::handle(std::shared_ptr<http::Exchange> exchange) {
  requests.add();
  std::string verb;
  ContextPtr context = admit(std::move(exchange), verb);
  if (!context || !count_in_flight(*context, verb)) return;
  if (context->route.is_resource) return handle_resource(context, verb);
  handle_path(context, context->request().path);
}

void RestServer::Impl::fill_call(Context& context, const api::schema::Kind* kind) {
  registry::Call& call = context.call;
  call.kind = kind;
  call.subresource = context.route.subresource;
  call.ns = context.route.ns;
  call.name = context.route.name;
  call.resource_version = context.parameter("resourceVersion");
  call.field_manager = user_agent_manager(context.request());
  call.body_start = context.request().body.substr(0, 31);
  call.answered_in_json = context.accept.plain_json() && (call.subresource.empty() || call.subresource == "status");
}

void RestServer::Impl::handle_resource(const ContextPtr& context, const std::string& verb) {
  const Route& route = context->route;
  const api::schema::Kind* kind = registry.schema().find({route.group, route.version, route.resource});
  if (kind == nullptr || !is_path_of(*kind, route)) return answer_unknown_path(context, route.group);
  fill_call(*context, kind);
  if (is_node_stream(route) && is_served(*kind, route, context->request().method, verb)) {
    return handle_node_stream(context);
  }
  if (route.subresource == "proxy") {
    return handle_proxy(context);
  }
  if (Status acceptable = check_acceptable(context->accept, *kind, verb, route.name.empty()); !acceptable.ok()) {
    return answer_error(context, acceptable.error());
  }
  if (!is_served(*kind, route, context->request().method, verb)) {
    context->call.kind = nullptr;  // upstream adds no warning of a deprecated kind to a 405
    return answer_error(context, method_not_allowed());
  }
  if (is_write(verb)) {
    if (Status read = read_write_options(*context, verb); !read.ok()) return answer_error(context, read.error());
  }
  if (const KindHandler handle = handler_of(*kind); handle != nullptr) return handle(context);
  handle_object(context, verb);
}

bool RestServer::Impl::handle_discovery(const ContextPtr& context, const std::string& path) {
  const api::schema::Schema& schema = registry.schema();
  std::string_view accept = http::header(context->request().headers, "accept");
  std::string aggregated = discovery_version(accept);
  if (path == "/api" || path == "/apis") {
    if (aggregated == "-") {
      answer_error(context, error(Code::kNotAcceptable,
                                  "only the following media types are accepted: application/json, application/yaml, "
                                  "application/vnd.kubernetes.protobuf"));
      return true;
    }
    if (!aggregated.empty()) {
      std::string body = json::encode(aggregated_discovery(schema, path == "/api", aggregated));
      answer_tagged(
          context, sha256_hex(body),
          {{"content-type", "application/json;g=apidiscovery.k8s.io;v=" + aggregated + ";as=APIGroupDiscoveryList"},
           {"cache-control", "public"},
           {"vary", "Accept"}},
          [&] { return http::SharedBytes::of(std::move(body)); });
      return true;
    }
    std::string_view host = http::header(context->request().headers, "host");
    answer_value(context, 200, path == "/api" ? api_versions(host) : api_group_list(schema));
    return true;
  }
  std::vector<std::string_view> parts = split(std::string_view(path).substr(1), '/');
  std::optional<Value> document;
  if (parts.size() == 2 && parts[0] == "api") document = api_resource_list(schema, "", parts[1]);
  if (parts.size() == 2 && parts[0] == "apis") document = api_group(schema, parts[1]);
  if (parts.size() == 3 && parts[0] == "apis") document = api_resource_list(schema, parts[1], parts[2]);
  if (!document) return false;
  answer_value(context, 200, *document);
  return true;
}

bool RestServer::Impl::handle_openapi(const ContextPtr& context, const std::string& path) {
  const api::schema::Schema& schema = registry.schema();
  std::string_view accept = http::header(context->request().headers, "accept");
  if (path == "/openapi/v2") {
    constexpr std::string_view kProto = openapi::kV2ProtobufAccept;
    bool proto = accepts_type(accept, kProto);
    answer_tagged(context, openapi::v2_hash(schema),
                  {{"content-type", proto ? std::string(openapi::kV2ProtobufContentType) : "application/json"},
                   {"cache-control", "no-cache, private"},
                   {"vary", "Accept"}},
                  [&] {
                    std::shared_ptr<const std::string> document =
                        openapi::shared_document(schema, proto ? "v2-protobuf" : "v2");
                    const std::string_view text = *document;
                    return http::SharedBytes{std::move(document), text};
                  });
    return true;
  }
  if (path == "/openapi/v3") {
    // As upstream: JSON with the content type text/plain.
    answer_text(context, 200, json::encode(openapi::v3_index(schema)));
    return true;
  }
  if (!path.starts_with("/openapi/v3/")) return false;
  std::string name = path.substr(12);
  std::shared_ptr<const std::string> document = openapi::shared_document(schema, name);
  if (!document) return false;
  const std::string_view text = *document;
  // With its hash in the address a document never changes; with another one the client is told the present address.
  bool hashed = context->request().has_parameter("hash");
  if (hashed) {
    std::string present = openapi::v3_index(schema)["paths"][name]["serverRelativeURL"].str();
    if (!present.ends_with("hash=" + url_encode(context->parameter("hash")))) {
      context->exchange->respond(301, {{"location", present}}, {});
      return true;
    }
  }
  context->exchange->respond(200,
                             {{"content-type", "application/json"},
                              {"vary", "Accept"},
                              {"cache-control", hashed ? "public, immutable, max-age=31536000" : "no-cache, private"}},
                             {http::SharedBytes{std::move(document), text}});
  return true;
}

// /statusz and /flagz: text/plain, and 406 for an Accept without it.
void RestServer::Impl::answer_page(const ContextPtr& context, const std::string& path) {
  if (!accepts_type(http::header(context->request().headers, "accept"), "text/plain")) {
    return answer_error(
        context, error(Code::kNotAcceptable,
                       "only the following media types are accepted: application/json, application/yaml, text/plain"));
  }
  std::string text = "berth " + path.substr(1) + "\n\n";
  if (path == "/statusz") {
    const Duration up = loop.now() - started;
    text += "Started: " + format_time(started) +
            "\nUp: " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(up).count()) +
            "s\nVersion: " + config.git_version + "\n";
  } else {
    text += "max-requests-inflight=" + std::to_string(config.max_in_flight) +
            "\nservice-account-issuer=" + config.issuer + "\n";
  }
  answer_text(context, 200, std::move(text));
}

void RestServer::Impl::handle_path(const ContextPtr& context, const std::string& raw_path) {
  // One slash at the end of the path is ignored; an empty part elsewhere makes the path unknown.
  if (raw_path.find("//") != raw_path.npos) return answer_unknown_path(context, group_of_path(raw_path));
  std::string path = raw_path;
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  if (is_read_only_path(path) && context->request().method != "GET") return answer_error(context, method_not_allowed());
  if (path == "/version") {
    return answer_value(context, 200,
                        Value::object({{"major", "1"},
                                       {"minor", "36"},
                                       {"emulationMajor", "1"},
                                       {"emulationMinor", "36"},
                                       {"minCompatibilityMajor", "1"},
                                       {"minCompatibilityMinor", "35"},
                                       {"gitVersion", config.git_version},
                                       {"gitCommit", ""},
                                       {"gitTreeState", "clean"},
                                       {"buildDate", "1970-01-01T00:00:00Z"},
                                       {"goVersion", "none"},
                                       {"compiler", "gcc"},
                                       {"platform", "linux/amd64"}}));
  }
  if (is_public_path(path)) {
    return answer_health(context, !config.ready || config.ready(), path);
  }
  if (path == "/statusz" || path == "/flagz") return answer_page(context, path);
  if (path == "/metrics") {
    context->exchange->respond(200, {{"content-type", "text/plain; version=0.0.4"}},
                               {http::SharedBytes::of(metrics::render())});
    return;
  }
  if (path == "/.well-known/openid-configuration" && !config.issuer.empty()) {
    Value configuration = Value::object({{"issuer", config.issuer},
                                         {"jwks_uri", "https://" + config.address + "/openid/v1/jwks"},
                                         {"response_types_supported", Value::array({"id_token"})},
                                         {"subject_types_supported", Value::array({"public"})},
                                         {"id_token_signing_alg_values_supported", signing_algorithms(config.jwks)}});
    context->exchange->respond(200, {{"content-type", "application/json"}, kCacheForAnHour},
                               {http::SharedBytes::of(json::encode(configuration))});
    return;
  }
  if (path == "/openid/v1/jwks" && !config.jwks.empty()) {
    context->exchange->respond(200, {{"content-type", "application/jwk-set+json"}, kCacheForAnHour},
                               {http::SharedBytes::of(config.jwks)});
    return;
  }
  if (handle_discovery(context, path) || handle_openapi(context, path)) return;
  if (path != "/") return answer_unknown_path(context, group_of_path(path));
  Value paths = Value::array();
  for (const char* p : {"/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3",
                        "/readyz", "/version"}) {
    paths.push(p);
  }
  answer_value(context, 200, Value::object({{"paths", paths}}));
}

bool RestServer::Impl::has_group(std::string_view group) const {
  for (const api::schema::Kind* kind : registry.schema().kinds()) {
    if (kind->group == group) return true;
  }
  return false;
}

// Below a group that is served the router answers with a Status, elsewhere with a line of text. `group`: "" is the core
// group.
void RestServer::Impl::answer_unknown_path(const ContextPtr& context, std::string_view group) {
  if (!has_group(group)) return answer_text(context, 404, "404 page not found\n");
  answer_error(context, router_refusal(Code::kNotFound, "the server could not find the requested resource"));
}

RestServer::RestServer(Loop& loop, registry::Registry& registry, RestConfig config)
    : impl_(std::make_shared<Impl>(loop, registry, std::move(config))) {}
RestServer::~RestServer() = default;

std::function<bool(http::Exchange&)> RestServer::screen() {
  return [weak = std::weak_ptr<Impl>(impl_)](http::Exchange& exchange) {
    auto state = weak.lock();
    return !state || state->screen(exchange);
  };
}

http::Handler RestServer::handler() {
  return [weak = std::weak_ptr<Impl>(impl_)](std::shared_ptr<http::Exchange> exchange) {
    if (auto state = weak.lock()) state->handle(std::move(exchange));
  };
}

}  // namespace berth::apiserver::rest
