// log, exec, attach and portforward: checked here, done by the agent of the pod's node. The agent speaks the same
// protocols as the client, so after an upgrade the bytes pass through unread, with backpressure both ways.
#include <utility>

#include "api/plain_error.h"
#include "api/status.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/log_options.h"
#include "base/text.h"
#include "http/streams/message_exchange.h"

namespace berth::apiserver::rest {
namespace {

// Joins two channels until either closes. Kept alive by the callbacks it installs.
class Splice : public std::enable_shared_from_this<Splice> {
 public:
  Splice(std::unique_ptr<http::Channel> a, std::unique_ptr<http::Channel> b, std::unique_ptr<http::Client> client)
      : a_(std::move(a)), b_(std::move(b)), client_(std::move(client)) {}

  void start(Loop& loop) {
    loop_ = &loop;
    join(*a_, *b_);
    join(*b_, *a_);
  }

 private:
  static constexpr std::size_t kHighWater = 1 << 20;

  void join(http::Channel& from, http::Channel& to) {
    auto self = shared_from_this();
    from.on_read([self, &from, &to](std::string_view bytes) {
      if (self->closed_) return;
      to.write(std::string(bytes));
      if (to.backlog() > kHighWater) from.pause_reading(true);
    });
    to.on_drain([self, &from] {
      if (!self->closed_) from.pause_reading(false);
    });
    from.on_close([self] { self->on_side_closed(); });
  }

  // Destroying a channel closes it after what was written to it, and the client's side of a connection gives up after
  // half a minute. So neither side waits for a peer that does not read. In a later task: a channel is the caller.
  void on_side_closed() {
    if (std::exchange(closed_, true)) return;
    loop_->post([self = shared_from_this()] {
      self->a_.reset();
      self->b_.reset();
      self->client_.reset();
    });
  }

  std::unique_ptr<http::Channel> a_, b_;
  std::unique_ptr<http::Client> client_;
  Loop* loop_ = nullptr;
  bool closed_ = false;  // one side is
};

// For the agent to answer, which it does before it starts a process: an agent that needs longer hangs.
constexpr Duration kAgentAnswerTime = 60s;

// The container that a request is for, or upstream's refusal.
Result<std::string> choose_container(const Context& context, const Value& pod) {
  std::string requested(context.parameter("container"));
  std::vector<std::string> names, init_names, ephemeral_names;
  for (const Value& c : pod["spec"]["containers"]) names.push_back(c["name"].str());
  for (const Value& c : pod["spec"]["ephemeralContainers"]) ephemeral_names.push_back(c["name"].str());
  for (const Value& c : pod["spec"]["initContainers"]) init_names.push_back(c["name"].str());
  const std::string& name = context.call.name;
  if (requested.empty()) {
    if (names.size() == 1) return names[0];
    std::string text = "a container name must be specified for pod " + name + ", choose one of: [";
    if (context.route.subresource != "log") {
      for (const auto* more : {&names, &ephemeral_names})
        init_names.insert(init_names.end(), more->begin(), more->end());
      return error(Code::kBadRequest, text + join(init_names, " ") + "]");
    }
    text += join(names, " ") + "]";
    if (!init_names.empty()) text += " or one of the init containers: [" + join(init_names, " ") + "]";
    return error(Code::kBadRequest, text);
  }
  for (const auto* list : {&names, &init_names, &ephemeral_names}) {
    for (const std::string& n : *list) {
      if (n == requested) return requested;
    }
  }
  return error(Code::kBadRequest, "container " + requested + " is not valid for pod " + name);
}

// The error for a node that cannot be reached: `why`, or upstream's for a Node without addresses.
Error unreachable_node(const Context& context, const std::string& node, const Error& why) {
  const api::schema::Kind* kind = context.registry->schema().find(api::resources::kNodes);
  store::RecordPtr record =
      kind == nullptr ? nullptr : context.registry->store().get(registry::store_key(*kind, "", node));
  if (record && record->value["status"]["addresses"].empty())
    return api::plain_error("no preferred addresses found; known addresses: []");
  return why;
}

std::string query_text(const Context& context, const std::string& container) {
  std::string text;
  for (const auto& [key, value] : context.request().query) {
    if (key == "container") continue;
    text += (text.empty() ? "?" : "&") + url_encode(key) + "=" + url_encode(value);
  }
  if (!container.empty()) text += (text.empty() ? "?" : "&") + std::string("container=") + url_encode(container);
  return text;
}

// Passes the agent's answer to a log request on to the client as it comes. Kept alive by the callbacks it installs,
// until the agent has answered, its time is up or the client has left.
class AnswerRelay : public std::enable_shared_from_this<AnswerRelay> {
 public:
  AnswerRelay(ContextPtr context, std::shared_ptr<http::Client> client)
      : context_(std::move(context)), client_(std::move(client)) {}

  void start(http::ClientRequest outgoing) {
    auto self = shared_from_this();
    context_->exchange->on_close([self] { self->release(); });
    context_->exchange->on_drain([self] {
      if (self->stream_) self->stream_->pause_reading(false);
    });
    timer_ = context_->loop->after(kAgentAnswerTime, [self] {
      self->timer_ = 0;
      self->stream_.reset();
      answer_error(self->context_, error(Code::kTimeout, "the node's agent does not answer"));
      self->release();
    });
    stream_ = client_->stream(
        std::move(outgoing), [self](const http::Response& head) { self->on_head(head); },
        [self](std::string_view bytes) { self->on_bytes(bytes); }, [self](Status status) { self->on_end(status); });
  }

 private:
  static constexpr std::size_t kLongestRefusal = 65536;

  void on_head(const http::Response& head) {
    stop_timer();
    status_ = head.status;
    if (status_ != 200) return;
    context_->exchange->start(200, {{"content-type", std::string(http::header(head.headers, "content-type"))}});
  }

  void on_bytes(std::string_view bytes) {
    if (status_ != 200) {
      if (refusal_.size() < kLongestRefusal) refusal_ += bytes;
    } else if (!context_->exchange->write({http::SharedBytes::of(std::string(bytes))}) && stream_) {
      stream_->pause_reading(true);
    }
  }

  void on_end(const Status& status) {
    if (status_ == 200) {
      context_->exchange->finish();
    } else if (status_ != 0) {
      Result<Value> body = json::parse(refusal_);
      answer_error(context_, api::from_status(status_, body.ok() ? *body : Value(refusal_)));
    } else {
      answer_error(context_, status.ok()
                                 ? error(Code::kInternal, "the node's agent closed the connection without an answer")
                                 : status.error());
    }
    release();
  }

  void stop_timer() {
    if (timer_ != 0) context_->loop->cancel(std::exchange(timer_, 0));
  }
  void release() {
    stop_timer();
    context_->loop->post([self = shared_from_this()] {
      // The callbacks hold this, which holds the context and so the exchange.
      self->context_->exchange->on_close({});
      self->context_->exchange->on_drain({});
      self->stream_.reset();
      self->client_.reset();
    });
  }

  ContextPtr context_;
  std::shared_ptr<http::Client> client_;
  std::unique_ptr<http::Stream> stream_;
  int status_ = 0;  // of the agent's answer; 0: no head yet
  std::string refusal_;
  TimerId timer_ = 0;  // until the agent begins to answer
};

// A log as a WebSocket: the handshake is ours, the agent sends plain text.
http::MessageForm log_messages() { return {{"", "binary.k8s.io", "base64.binary.k8s.io"}, false, true}; }

bool is_handshake(std::string_view name) {
  return name == "connection" || name == "upgrade" || name.starts_with("sec-websocket-");
}

void upgrade_through(const ContextPtr& context, std::unique_ptr<http::Client> client, http::ClientRequest outgoing) {
  outgoing.timeout = kAgentAnswerTime;
  // The callback owns the http::Client, until it has been called or kubectl has closed its connection.
  auto holder = std::make_shared<std::unique_ptr<http::Client>>(std::move(client));
  context->exchange->on_close([holder] { holder->reset(); });
  (*holder)->upgrade(std::move(outgoing), [context, holder](Result<http::Client::Upgraded> upgraded) {
    context->exchange->on_close({});
    if (!upgraded.ok()) return answer_error(context, upgraded.error());
    if (!upgraded->channel) {
      // kubectl prints the body of a refusal: pass the agent's on as it is.
      const http::Response& refusal = upgraded->head;
      std::string type(http::header(refusal.headers, "content-type"));
      return context->exchange->respond(refusal.status, type, refusal.body);
    }
    http::Headers headers;
    for (auto& [name, value] : upgraded->head.headers) {
      if (name != "content-length" && name != "transfer-encoding" && name != "date") headers.emplace_back(name, value);
    }
    Result<std::unique_ptr<http::Channel>> client_channel = context->exchange->upgrade(std::move(headers));
    if (!client_channel.ok()) return;
    std::make_shared<Splice>(std::move(*client_channel), std::move(upgraded->channel), std::move(*holder))
        ->start(*context->loop);
  });
}

// A hash that is the same for all requests of one user's program: the agent tells clients apart by it.
std::string client_of(const Context& context) {
  return std::to_string(
      fnv64a(context.call.user.name + '\n' + std::string(http::header(context.request().headers, "user-agent"))));
}

}  // namespace

void handle_node_stream(const ContextPtr& context) {
  store::RecordPtr record =
      context->registry->store().get(registry::store_key(*context->call.kind, context->call.ns, context->call.name));
  if (!record) return answer_error(context, api::not_found(context->call.kind->resource(), context->call.name));
  const Value& pod = record->value;
  const std::string& verb = context->route.subresource;
  std::string container;
  if (verb == "log") {
    context->exchange = http::answer_in_messages(*context->loop, std::move(context->exchange), log_messages());
    if (Status valid = check_log_options(*context); !valid.ok()) return answer_error(context, valid.error());
  }
  if (verb != "portforward") {
    Result<std::string> chosen = choose_container(*context, pod);
    if (!chosen.ok()) return answer_error(context, chosen.error());
    container = *chosen;
  }
  std::string node = pod["spec"]["nodeName"].str();
  if (node.empty()) {
    // Upstream answers an empty log for a pod that no node has yet, and refuses the rest.
    if (verb == "log") return context->exchange->respond(204, {{"cache-control", "no-cache, private"}}, {});
    return answer_error(context,
                        error(Code::kBadRequest, "pod " + context->call.name + " does not have a host assigned"));
  }
  if (!context->config->node_endpoint) {
    return answer_error(context, error(Code::kUnavailable, "no connection to node " + node));
  }
  Result<http::Endpoint> endpoint = context->config->node_endpoint(node);
  if (!endpoint.ok()) return answer_error(context, unreachable_node(*context, node, endpoint.error()));

  http::ClientRequest outgoing;
  outgoing.method = context->request().method;
  outgoing.target = "/" + (verb == "log" ? std::string("containerLogs") : verb) + "/" + context->call.ns + "/" +
                    context->call.name + query_text(*context, container);
  for (const auto& [name, value] : context->request().headers) {
    // The agent trusts X-Berth-* headers: only the server sets them.
    if (name.starts_with("x-berth-")) continue;
    if (name == "host" || name == "authorization" || name == "content-length" || (verb == "log" && is_handshake(name)))
      continue;
    if (name == "sec-websocket-protocol") continue;
    outgoing.headers.emplace_back(name, value);
  }
  // offered_subprotocols() leaves out the bearer token, which a WebSocket client may send as a subprotocol.
  if (const std::vector<std::string> protocols = http::offered_subprotocols(context->request());
      verb != "log" && !protocols.empty()) {
    outgoing.headers.emplace_back("sec-websocket-protocol", join(protocols, ", "));
  }
  outgoing.headers.emplace_back("x-berth-pod-uid", std::string(api::uid_of(pod)));
  outgoing.headers.emplace_back("x-berth-client", client_of(*context));
  auto client = http::make_client(*context->loop, *endpoint);
  if (verb == "log") return std::make_shared<AnswerRelay>(context, std::move(client))->start(std::move(outgoing));
  if (http::header(context->request().headers, "upgrade").empty()) {
    return answer_error(context, error(Code::kBadRequest, "Upgrade request required"));
  }
  upgrade_through(context, std::move(client), std::move(outgoing));
}

}  // namespace berth::apiserver::rest
