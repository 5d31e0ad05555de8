#include "sim/faulty_client.h"

#include <algorithm>

namespace berth::sim {

// The server's end of one watch, owned by both ends; dead when `handler` is null.
struct FaultyClient::Relay final : client::WatchHandler, std::enable_shared_from_this<Relay> {
  Relay(World& world, std::weak_ptr<Lane> self, const Faults& faults, client::WatchHandler* handler)
      : world(world), self(std::move(self)), faults(faults), handler(handler) {}

  World& world;
  std::weak_ptr<Lane> self;
  const Faults& faults;
  client::WatchHandler* handler;
  std::unique_ptr<client::WatchHandle> upstream;
  Duration last{};      // time of the latest delivery: the next one must be later
  bool broken = false;  // ignore further events from the server

  void deliver(Function<void(client::WatchHandler&)> what) {
    const Duration now = world.elapsed();
    Duration at = std::max({last + Duration(1), faults.lag_until, now + world.between({}, faults.delay)});
    last = at;
    world.send(self, at - now, [relay = shared_from_this(), what = std::move(what)] {
      if (relay->handler) what(*relay->handler);
    });
  }

  void on_event(std::string_view type, const Value& object) override {
    if (broken) return;
    if (faults.outage || world.chance(faults.cut_watch)) return cut();
    if (world.chance(faults.swallowed_event)) return;
    const int times = world.chance(faults.repeated_event) ? 2 : 1;
    for (int i = 0; i < times; ++i) {
      deliver([type = std::string(type), object](client::WatchHandler& to) { to.on_event(type, object); });
    }
  }
  void on_end(const Error& error) override {
    if (broken) return;
    broken = true;
    deliver([error](client::WatchHandler& to) { to.on_end(error); });
  }
  void cut() {
    if (broken) return;
    on_end(error(Code::kUnavailable, "connection lost"));
  }
};

namespace {

class FaultyHandle final : public client::WatchHandle {
 public:
  FaultyHandle(World& world, std::weak_ptr<Lane> server, std::shared_ptr<FaultyClient::Relay> relay)
      : world_(world), server_(std::move(server)), relay_(std::move(relay)) {}
  ~FaultyHandle() override {
    relay_->handler = nullptr;
    relay_->broken = true;
    // The server's watch is destroyed on the server's lane, where it also delivers.
    world_.send(server_, {}, [relay = relay_] { relay->upstream.reset(); });
  }

 private:
  World& world_;
  std::weak_ptr<Lane> server_;
  std::shared_ptr<FaultyClient::Relay> relay_;
};

}  // namespace

FaultyClient::FaultyClient(World& world, std::weak_ptr<Lane> self, const Uplink& uplink, const Faults& faults)
    : world_(world), self_(std::move(self)), uplink_(uplink), faults_(faults) {}

FaultyClient::~FaultyClient() = default;

void FaultyClient::cut_watches() {
  for (const auto& weak : relays_) {
    if (auto relay = weak.lock()) relay->cut();
  }
}

void FaultyClient::server_gone() {
  for (const auto& weak : relays_) {
    if (auto relay = weak.lock()) {
      relay->cut();
      relay->upstream.reset();
    }
  }
}

namespace {

// The answer to one request. If it is destroyed unanswered (the server died), the caller is told that the connection is
// lost.
template <class T>
class Answer {
 public:
  Answer(World& world, std::weak_ptr<Lane> self, Duration timeout, Code lost, Function<void(Result<T>)> done)
      : world_(world), self_(std::move(self)), timeout_(timeout), lost_(lost), done_(std::move(done)) {}
  Answer(Answer&&) noexcept = default;
  ~Answer() {
    if (done_) lose("connection lost");
  }
  void deliver(Duration delay, Result<T> result) {
    world_.send(self_, delay,
                [done = std::move(done_), result = std::move(result)]() mutable { done(std::move(result)); });
  }
  void lose(const char* how) { deliver(timeout_, error(lost_, how)); }

 private:
  World& world_;
  std::weak_ptr<Lane> self_;
  Duration timeout_;
  Code lost_;
  Function<void(Result<T>)> done_;
};

}  // namespace

template <class T>
void FaultyClient::call(bool write, Function<void(client::Client&, Function<void(Result<T>)>)> request,
                        Function<void(Result<T>)> done) {
  const Code lost = write ? Code::kUnknown : Code::kUnavailable;
  const Duration timeout = world_.between(10ms, faults_.timeout);
  Answer<T> answer(world_, self_, timeout, lost, std::move(done));
  if (faults_.outage || world_.chance(faults_.lost_request)) return answer.lose("request lost");
  if (world_.chance(faults_.refused)) {
    return answer.deliver(world_.between({}, faults_.delay), error(Code::kUnavailable, "server busy"));
  }
  const bool reply_lost = world_.chance(faults_.lost_reply);
  const Duration back = world_.between({}, faults_.delay);
  if (!uplink_.client) return answer.deliver(back, error(Code::kUnavailable, "connection refused"));
  auto reply = [reply_lost, back, answer = std::move(answer)](Result<T> result) mutable {
    if (reply_lost) return answer.lose("answer lost");
    answer.deliver(back, std::move(result));
  };
  world_.send(uplink_.lane, world_.between({}, faults_.delay),
              [&uplink = uplink_, request = std::move(request), reply = std::move(reply)]() mutable {
                request(*uplink.client, std::move(reply));
              });
}

void FaultyClient::get(const api::Resource& resource, const api::Name& name, Done done) {
  call<Value>(
      false, [=](client::Client& to, Done reply) { to.get(resource, name, std::move(reply)); }, std::move(done));
}

void FaultyClient::list(const api::Resource& resource, const api::ListOptions& options, ListDone done) {
  call<client::List>(
      false, [=](client::Client& to, ListDone reply) { to.list(resource, options, std::move(reply)); },
      std::move(done));
}

std::unique_ptr<client::WatchHandle> FaultyClient::watch(const api::Resource& resource, const api::ListOptions& options,
                                                         std::string resource_version, client::WatchHandler* handler) {
  auto relay = std::make_shared<Relay>(world_, self_, faults_, handler);
  std::erase_if(relays_, [](const auto& weak) { return weak.expired(); });
  relays_.push_back(relay);
  auto handle = std::make_unique<FaultyHandle>(world_, uplink_.lane, relay);
  if (faults_.outage || !uplink_.client || world_.chance(faults_.lost_request)) {
    relay->broken = true;
    world_.send(self_, world_.between(10ms, faults_.timeout), [relay] {
      if (relay->handler) relay->handler->on_end(error(Code::kUnavailable, "request lost"));
    });
    return handle;
  }
  const bool expired = world_.chance(faults_.expired_watch);
  world_.send(uplink_.lane, world_.between({}, faults_.delay), [=, &uplink = uplink_] {
    if (relay->broken) return;
    if (expired) return relay->on_end(error(Code::kExpired, "too old resource version"));
    relay->upstream = uplink.client->watch(resource, options, resource_version, relay.get());
  });
  return handle;
}

void FaultyClient::create(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) {
  call<Value>(
      true, [=](client::Client& to, Done reply) { to.create(resource, object, options, std::move(reply)); },
      std::move(done));
}

void FaultyClient::create_sub(const api::Resource& resource, const api::Name& name, Value object,
                              const api::WriteOptions& options, Done done) {
  call<Value>(
      true, [=](client::Client& to, Done reply) { to.create_sub(resource, name, object, options, std::move(reply)); },
      std::move(done));
}

void FaultyClient::update(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) {
  call<Value>(
      true, [=](client::Client& to, Done reply) { to.update(resource, object, options, std::move(reply)); },
      std::move(done));
}

void FaultyClient::patch(const api::Resource& resource, const api::Name& name, api::PatchType type, Value patch,
                         const api::WriteOptions& options, Done done) {
  call<Value>(
      true, [=](client::Client& to, Done reply) { to.patch(resource, name, type, patch, options, std::move(reply)); },
      std::move(done));
}

void FaultyClient::remove(const api::Resource& resource, const api::Name& name, const api::DeleteOptions& options,
                          Done done) {
  call<Value>(
      true, [=](client::Client& to, Done reply) { to.remove(resource, name, options, std::move(reply)); },
      std::move(done));
}

}  // namespace berth::sim
