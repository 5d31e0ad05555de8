#include "http/streams/message_exchange.h"

#include <utility>

#include "base/lifetime.h"
#include "base/text.h"
#include "http/message.h"
#include "http/streams/mux.h"

namespace berth::http {
namespace {

constexpr std::string_view kTokenPrefix = "base64url.bearer.authorization.k8s.io.";

class MessageExchange final : public Exchange, public std::enable_shared_from_this<MessageExchange> {
 public:
  MessageExchange(Runtime& runtime, std::shared_ptr<Exchange> below, MessageForm form)
      : runtime_(runtime), below_(std::move(below)), form_(std::move(form)) {}

  const Request& request() const override { return below_->request(); }
  void charge_to(const std::string& user) override { below_->charge_to(user); }
  bool over_share() const override { return below_->over_share(); }
  void respond(int status, Headers headers, std::vector<SharedBytes> body) override {
    below_->respond(status, std::move(headers), std::move(body));
  }

  void start(int status, Headers headers) override {
    if (status != 200) return below_->start(status, std::move(headers));
    Result<AcceptedSocket> accepted = accept_websocket(*below_, form_.protocols);
    if (!accepted.ok()) {
      done_ = true;
      below_->Exchange::respond(400, "text/plain; charset=utf-8", accepted.error().message);
      // The handshake has been refused: for the caller of start() the peer is gone.
      runtime_.post([weak = weak_from_this()] {
        if (auto self = weak.lock()) self->call_closed();
      });
      return;
    }
    base64_ = !form_.text && accepted->protocol.find("base64") != std::string::npos;
    below_->on_close({});
    below_->on_drain({});
    WebSocket::Events events;
    events.drained = [this] { call_drained(); };
    events.closed = [this] {
      const bool was_done = std::exchange(done_, true);
      if (!was_done) call_closed();
    };
    socket_ = make_websocket(std::move(accepted->channel), std::move(events));
    if (form_.greeting) socket_->send("", form_.text || base64_);
  }

  bool write(std::vector<SharedBytes> pieces) override {
    if (done_) return true;
    if (!socket_) return below_->write(std::move(pieces));
    std::string message;
    for (const SharedBytes& piece : pieces) message += piece.bytes;
    return socket_->send(base64_ ? base64_encode(message) : message, form_.text || base64_);
  }

  void finish() override {
    if (done_) return;
    done_ = true;
    if (!socket_) return below_->finish();
    socket_->close(1000, "");
  }

  void on_drain(Task drained) override {
    drained_ = std::move(drained);
    if (!socket_) below_->on_drain([this] { call_drained(); });
  }
  void on_close(Task closed) override {
    closed_ = std::move(closed);
    if (!socket_) below_->on_close([this] { call_closed(); });
  }
  Result<std::unique_ptr<Channel>> upgrade(Headers headers) override { return below_->upgrade(std::move(headers)); }

 private:
  // Both callbacks may destroy this object.
  void call_drained() { call_member(lifetime_.guard(), drained_); }
  void call_closed() {
    Task closed = std::move(closed_);
    closed_ = nullptr;
    if (closed) closed();
  }

  Runtime& runtime_;
  std::shared_ptr<Exchange> below_;
  const MessageForm form_;
  std::unique_ptr<WebSocket> socket_;
  Task drained_, closed_;
  bool base64_ = false, done_ = false;
  Lifetime lifetime_;
};

}  // namespace

std::vector<std::string> offered_subprotocols(const Request& request) {
  std::vector<std::string> out = subprotocols(request);
  std::erase_if(out, [](const std::string& one) { return one.starts_with(kTokenPrefix); });
  return out;
}

std::string offered_token(const Request& request) {
  if (!wants_websocket(request)) return {};
  for (const std::string& one : subprotocols(request)) {
    if (!one.starts_with(kTokenPrefix)) continue;
    Result<std::string> token = base64url_decode(std::string_view(one).substr(kTokenPrefix.size()));
    return token.ok() ? *token : std::string();
  }
  return {};
}

std::shared_ptr<Exchange> answer_in_messages(Runtime& runtime, std::shared_ptr<Exchange> exchange, MessageForm form) {
  if (exchange->request().http2 || !wants_websocket(exchange->request())) return exchange;
  return std::make_shared<MessageExchange>(runtime, std::move(exchange), std::move(form));
}

}  // namespace berth::http
