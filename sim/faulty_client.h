#pragma once
// FaultyClient: a process's connection to the API server over an unreliable network. Requests and answers are delayed
// and reordered, or lost (the caller gets "unknown" for a write, "unavailable" for a read); watches lag, repeat events,
// and break. The events that a watch delivers are in order and complete up to where it breaks, as the contract
// requires. When the server dies, its unanswered requests and its watches end.

#include <memory>
#include <vector>

#include "client/client.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

struct Faults {
  double lost_request = 0;  // the request never arrives
  double lost_reply = 0;    // the request is executed; the answer is lost
  double refused = 0;       // the server answers that it is unavailable
  double cut_watch = 0;     // per event
  double repeated_event = 0;
  double expired_watch = 0;    // per start of a watch
  Duration delay = 2ms;        // each way, at most
  Duration timeout = 1s;       // until a lost message is noticed, at most
  bool outage = false;         // nothing gets through
  Duration lag_until{};        // World time until which watches deliver nothing
  double swallowed_event = 0;  // a planted bug: the event is skipped
};

// The API server's present address.
struct Uplink {
  std::weak_ptr<Lane> lane;
  client::Client* client = nullptr;  // null: connection refused
};

class FaultyClient final : public client::Client {
 public:
  // `uplink` and `faults` outlive the client and may change at any time.
  FaultyClient(World& world, std::weak_ptr<Lane> self, const Uplink& uplink, const Faults& faults);
  ~FaultyClient() override;

  // Breaks every watch now.
  void cut_watches();
  // The server is about to die: breaks every watch and releases the server's ends.
  void server_gone();

  void get(const api::Resource& resource, const api::Name& name, Done done) override;
  void list(const api::Resource& resource, const api::ListOptions& options, ListDone done) override;
  std::unique_ptr<client::WatchHandle> watch(const api::Resource& resource, const api::ListOptions& options,
                                             std::string resource_version, client::WatchHandler* handler) override;
  void create(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override;
  void create_sub(const api::Resource& resource, const api::Name& name, Value object, const api::WriteOptions& options,
                  Done done) override;
  void update(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override;
  void patch(const api::Resource& resource, const api::Name& name, api::PatchType type, Value patch,
             const api::WriteOptions& options, Done done) override;
  void remove(const api::Resource& resource, const api::Name& name, const api::DeleteOptions& options,
              Done done) override;

  struct Relay;

 private:
  template <class T>
  void call(bool write, Function<void(client::Client&, Function<void(Result<T>)>)> request,
            Function<void(Result<T>)> done);

  World& world_;
  std::weak_ptr<Lane> self_;
  const Uplink& uplink_;
  const Faults& faults_;
  std::vector<std::weak_ptr<Relay>> relays_;
};

}  // namespace berth::sim
