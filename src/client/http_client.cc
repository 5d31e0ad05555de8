#include "client/http_client.h"

#include "api/patch_condition.h"
#include "api/status.h"
#include "base/lifetime.h"
#include "base/text.h"

namespace berth::client {

std::string resource_path(const Resource& resource, std::string_view ns, std::string_view name,
                          std::string_view subresource) {
  std::string path =
      resource.group.empty() ? "/api/" + resource.version : "/apis/" + resource.group + "/" + resource.version;
  if (!ns.empty()) path += "/namespaces/" + url_encode(ns);
  path += "/" + resource.resource;
  if (!name.empty()) path += "/" + url_encode(name);
  if (!subresource.empty()) path.append("/").append(subresource);
  return path;
}

namespace {

class Query {
 public:
  void add(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    text_ += text_.empty() ? "?" : "&";
    text_ += std::string(key) + "=" + url_encode(value);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Splits a watch's stream into lines, each an event for the handler.
class HttpWatch final : public WatchHandle {
 public:
  explicit HttpWatch(WatchHandler* handler) : handler_(handler) {}

  void start(http::Client& client, http::ClientRequest outgoing) {
    const auto alive = lifetime_.guard();
    stream_ = client.stream(
        std::move(outgoing),
        [this, alive](const http::Response& head) {
          if (alive) status_ = head.status;
        },
        [this, alive](std::string_view bytes) {
          if (alive) feed(bytes, alive);
        },
        [this, alive](Status status) {
          if (alive) end(status);
        });
  }

 private:
  static constexpr std::size_t kMaxLine = 16u << 20;

  void feed(std::string_view bytes, const Lifetime::Guard& alive) {
    if (ended_ || buffer_.size() > kMaxLine) return;
    std::size_t searched = buffer_.size(), from = 0;
    buffer_.append(bytes);
    if (status_ != 200) return;
    for (std::size_t at; (at = buffer_.find('\n', std::max(from, searched))) != std::string::npos; from = at + 1) {
      Result<Value> event = json::parse(std::string_view(buffer_).substr(from, at - from));
      if (!event.ok()) return finish(error(Code::kUnavailable, "watch: unreadable event: " + event.error().message));
      std::string type = (*event)["type"].str();
      if (type == "ERROR") {
        return finish(api::from_status(static_cast<int>((*event)["object"]["code"].as_int(500)), (*event)["object"]));
      }
      handler_->on_event(type, (*event)["object"]);
      if (!alive) return;  // the handler has destroyed the watch
    }
    buffer_.erase(0, from);
    if (buffer_.size() > kMaxLine) finish(error(Code::kUnavailable, "watch: an event is larger than 16 MiB"));
  }

  void end(const Status& status) {
    if (status_ != 0 && status_ != 200) {
      Result<Value> body = json::parse(buffer_);
      return finish(api::from_status(status_, body.ok() ? *body : Value(buffer_)));
    }
    finish(status.ok() ? error(Code::kUnavailable, "watch: the server closed the stream") : status.error());
  }

  void finish(const Error& error) {
    if (ended_) return;
    ended_ = true;
    handler_->on_end(error);
  }

  WatchHandler* handler_;
  Lifetime lifetime_;
  std::unique_ptr<http::Stream> stream_;
  std::string buffer_;
  int status_ = 0;
  bool ended_ = false;
};

class HttpClient final : public Client {
 public:
  HttpClient(Loop& loop, http::Endpoint endpoint, std::string user_agent, std::string token)
      : client_(http::make_client(loop, std::move(endpoint))) {
    headers_.emplace_back("accept", "application/json");
    headers_.emplace_back("user-agent", std::move(user_agent));
    if (!token.empty()) headers_.emplace_back("authorization", "Bearer " + token);
  }

  void get(const Resource& resource, const Name& name, Done done) override {
    send("GET", resource_path(resource, name.ns, name.name, ""), {}, "", std::move(done));
  }

  void list(const Resource& resource, const ListOptions& options, ListDone done) override {
    Query query;
    query.add("labelSelector", options.label_selector);
    query.add("fieldSelector", options.field_selector);
    std::string path = resource_path(resource, options.ns, "", "") + query.text();
    send("GET", path, {}, "", [done = std::move(done)](Result<Value> body) {
      if (!body.ok()) return done(body.error());
      List list;
      list.resource_version = (*body)["metadata"]["resourceVersion"].str();
      list.items.assign((*body)["items"].begin(), (*body)["items"].end());
      // Items of a list have no apiVersion and kind of their own on the wire.
      std::string kind = (*body)["kind"].str();
      if (kind.ends_with("List")) kind.resize(kind.size() - 4);
      for (Value& item : list.items) item.set("apiVersion", (*body)["apiVersion"]).set("kind", kind);
      done(std::move(list));
    });
  }

  std::unique_ptr<WatchHandle> watch(const Resource& resource, const ListOptions& options, std::string resource_version,
                                     WatchHandler* handler) override {
    Query query;
    query.add("watch", "true");
    query.add("allowWatchBookmarks", "true");
    query.add("resourceVersion", resource_version);
    query.add("labelSelector", options.label_selector);
    query.add("fieldSelector", options.field_selector);
    auto watch = std::make_unique<HttpWatch>(handler);
    http::ClientRequest outgoing;
    outgoing.target = resource_path(resource, options.ns, "", "") + query.text();
    outgoing.headers = headers_;
    watch->start(*client_, std::move(outgoing));
    return watch;
  }

  void create(const Resource& resource, Value object, const WriteOptions& options, Done done) override {
    std::string path = resource_path(resource, api::namespace_of(object), "", "") + write_query(options);
    send("POST", path, object, "application/json", std::move(done));
  }

  void create_sub(const Resource& resource, const Name& name, Value object, const WriteOptions& options,
                  Done done) override {
    std::string path = resource_path(resource, name.ns, name.name, options.subresource) + write_query(options);
    send("POST", path, object, "application/json", std::move(done));
  }

  void update(const Resource& resource, Value object, const WriteOptions& options, Done done) override {
    std::string path = resource_path(resource, api::namespace_of(object), api::name_of(object), options.subresource) +
                       write_query(options);
    send("PUT", path, object, "application/json", std::move(done));
  }

  void patch(const Resource& resource, const Name& name, PatchType type, Value patch, const WriteOptions& options,
             Done done) override {
    static constexpr const char* kTypes[] = {"application/json-patch+json", "application/merge-patch+json",
                                             "application/strategic-merge-patch+json", "application/apply-patch+yaml"};
    std::string path = resource_path(resource, name.ns, name.name, options.subresource) + write_query(options);
    send("PATCH", path, patch, kTypes[static_cast<int>(type)], [done = std::move(done)](Result<Value> answer) mutable {
      done(answer.ok() ? std::move(answer) : Result<Value>(api::as_failed_condition(answer.error())));
    });
  }

  void remove(const Resource& resource, const Name& name, const DeleteOptions& options, Done done) override {
    Value body = Value::object({{"kind", "DeleteOptions"}, {"apiVersion", "v1"}});
    if (options.grace_seconds >= 0) body.set("gracePeriodSeconds", static_cast<long>(options.grace_seconds));
    if (!options.propagation.empty()) body.set("propagationPolicy", options.propagation);
    if (!options.uid.empty()) body.mut("preconditions").set("uid", options.uid);
    if (!options.resource_version.empty()) body.mut("preconditions").set("resourceVersion", options.resource_version);
    send("DELETE", resource_path(resource, name.ns, name.name, ""), body, "application/json", std::move(done));
  }

 private:
  static std::string write_query(const WriteOptions& options) {
    Query query;
    query.add("fieldManager", options.field_manager);
    if (options.dry_run) query.add("dryRun", "All");
    if (options.force) query.add("force", "true");
    return query.text();
  }

  void send(std::string method, std::string target, const Value& body, std::string_view content_type, Done done) {
    http::ClientRequest outgoing;
    outgoing.method = std::move(method);
    outgoing.target = std::move(target);
    outgoing.headers = headers_;
    outgoing.timeout = 30s;
    if (!content_type.empty()) {
      outgoing.headers.emplace_back("content-type", std::string(content_type));
      outgoing.body = json::encode(body);
    }
    client_->send(std::move(outgoing), [done = std::move(done)](Result<http::Response> response) {
      if (!response.ok()) return done(response.error());
      Result<Value> answer = json::parse(response->body);
      bool good = response->status >= 200 && response->status < 300;
      if (!good) return done(api::from_status(response->status, answer.ok() ? *answer : Value(response->body)));
      if (!answer.ok()) return done(error(Code::kUnknown, "unreadable answer: " + answer.error().message));
      done(std::move(*answer));
    });
  }

  std::unique_ptr<http::Client> client_;
  http::Headers headers_;
};

}  // namespace

std::unique_ptr<Client> make_http_client(Loop& loop, http::Endpoint endpoint, std::string user_agent,
                                         std::string token) {
  return std::make_unique<HttpClient>(loop, std::move(endpoint), std::move(user_agent), std::move(token));
}

}  // namespace berth::client
