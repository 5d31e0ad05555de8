#include <utility>

#include "api/status.h"
#include "apiserver/protobuf/protobuf.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/options.h"
#include "base/text.h"
#include "http/streams/message_exchange.h"
#include "http/streams/mux.h"

namespace berth::apiserver::rest {
namespace {

// One watch on one connection. Owned by the exchange's callbacks; ends when the peer goes, the time is up, or the
// registry ends it.
class WatchStream final : public registry::ObjectWatchSink, public std::enable_shared_from_this<WatchStream> {
 public:
  explicit WatchStream(ContextPtr context) : context_(std::move(context)) {}

  void start() {
    std::vector<std::string> protocols = http::offered_subprotocols(context_->request());
    // Over a WebSocket each event is one text message of JSON, whatever subprotocol and Accept the client offers. An
    // Upgrade to anything else (h2c) is ignored.
    if (!context_->request().http2 && http::wants_websocket(context_->request()))
      context_->accept.encoding = Encoding::kJson;
    if (protocols.empty()) protocols.emplace_back();
    context_->exchange =
        http::answer_in_messages(*context_->loop, std::move(context_->exchange), {std::move(protocols), true, false});
    Result<WatchOptions> options = read_watch_options(*context_);
    if (!options.ok()) return answer_error(context_, options.error());
    registry::WatchCall& call = options->call;
    // A watch of one named object, by path.
    if (!context_->call.name.empty()) {
      std::string by_name = "metadata.name=" + context_->call.name;
      call.field_selector = call.field_selector.empty() ? by_name : call.field_selector + "," + by_name;
      context_->call.name.clear();
    }
    Result<std::unique_ptr<registry::ObjectWatch>> watch = context_->registry->watch(context_->call, call, this);
    // A compacted version is reported as an ERROR event; every other failure refuses the request.
    bool expired = watch.failed_with(Code::kExpired);
    if (!watch.ok() && !expired) return answer_error(context_, watch.error());
    context_->exchange->on_close([self = shared_from_this()] { self->stop(); });
    context_->exchange->on_drain([weak = weak_from_this()] {
      if (auto self = weak.lock(); self && self->watch_) self->watch_->resume();
    });
    context_->exchange->start(200, watch_headers(*context_));
    if (expired) return on_end(watch.error());
    watch_ = std::move(*watch);
    arm_timeout(options->timeout_seconds);
  }

  bool on_event(std::string_view type, const store::RecordPtr& record) override {
    std::vector<http::SharedBytes> pieces;
    if (context_->accept.encoding == Encoding::kProtobuf) {
      auto object =
          context_->views->get(record, view_form(*context_, false), [&] { return in_protobuf(record->value); });
      pieces.push_back(http::SharedBytes::of(protobuf::encode_event_head(type, object->size())));
      const std::size_t size = object->size();
      pieces.push_back(context_->exchange->shared(std::move(object), size));
      return context_->exchange->write(std::move(pieces));
    }
    pieces.push_back(http::SharedBytes::of("{\"type\":\"" + std::string(type) + "\",\"object\":"));
    if (context_->accept.as == As::kObject) {
      const std::shared_ptr<const std::string>& text = record->shared_json();
      pieces.push_back(context_->exchange->shared(text, text->size()));
    } else {
      const bool columns = !std::exchange(columns_sent_, true);
      auto view = context_->views->get(record, view_form(*context_, columns),
                                       [&] { return json::encode(view_object(*context_, record->value, columns)); });
      const std::size_t size = view->size();
      pieces.push_back(context_->exchange->shared(std::move(view), size));
    }
    pieces.push_back(http::SharedBytes{nullptr, "}\n"});
    return context_->exchange->write(std::move(pieces));
  }

  void on_bookmark(store::Revision revision, bool initial_events_end) override {
    const api::schema::Kind& kind = *context_->call.kind;
    Value metadata = Value::object({{"resourceVersion", std::to_string(revision)}});
    if (initial_events_end) metadata.set("annotations", Value::object({{"k8s.io/initial-events-end", "true"}}));
    Value object = Value::object({{"kind", kind.kind}, {"apiVersion", kind.api_version()}, {"metadata", metadata}});
    write("BOOKMARK", context_->accept.as == As::kObject ? object : view_object(*context_, object, !columns_sent_));
  }

  void on_end(const Error& error) override {
    write("ERROR", api::to_status(error));
    finish();
  }

  // Ends without an event: the peer has disconnected.
  void stop() {
    watch_.reset();
    if (timer_ != 0) context_->loop->cancel(timer_);
    timer_ = 0;
  }

 private:
  std::string in_protobuf(const Value& object) const {
    Result<std::string> bytes = protobuf::encode(context_->registry->schema(), object);
    return bytes.ok() ? std::move(*bytes) : std::string();
  }

  void write(std::string_view type, const Value& object) {
    if (context_->accept.encoding == Encoding::kProtobuf) {
      std::string bytes = in_protobuf(object);
      context_->exchange->write({http::SharedBytes::of(protobuf::encode_event_head(type, bytes.size()) + bytes)});
      return;
    }
    std::string line = "{\"type\":\"" + std::string(type) + "\",\"object\":";
    json::encode_to(object, line);
    line += "}\n";
    context_->exchange->write({http::SharedBytes::of(std::move(line))});
  }

  void finish() {
    stop();
    context_->exchange->finish();
    // The exchange's callbacks own this WatchStream, which owns the exchange: clear them. They may be its last owners
    // while one of its functions runs, so a task of the loop owns it until then.
    context_->loop->post([self = shared_from_this()] {});
    context_->exchange->on_close({});
    context_->exchange->on_drain({});
  }

  void arm_timeout(std::optional<long> timeout_seconds) {
    // Upstream: the client's timeoutSeconds, or 30 to 60 minutes by chance so that watches do not all end together.
    Duration limit = 30min + std::chrono::seconds(context_->loop->random() % 1800);
    if (timeout_seconds && *timeout_seconds > 0) limit = std::chrono::seconds(*timeout_seconds);
    timer_ = context_->loop->after(limit, [weak = weak_from_this()] {
      if (auto self = weak.lock()) {
        self->timer_ = 0;
        self->finish();
      }
    });
  }

  ContextPtr context_;
  std::unique_ptr<registry::ObjectWatch> watch_;
  TimerId timer_ = 0;
  bool columns_sent_ = false;
};

}  // namespace

void handle_watch(const ContextPtr& context) { std::make_shared<WatchStream>(context)->start(); }

}  // namespace berth::apiserver::rest
