#include "sim/server.h"

#include "api/schema/schema.h"
#include "apiserver/registry/registry.h"
#include "store/store.h"

namespace berth::sim {
namespace {

class RealServer final : public SimServer {
 public:
  RealServer(World& world, Disk& disk)
      : lane_(world.make_lane("server")),
        store_(disk.open(*lane_)),
        registry_(*lane_, *store_, api::schema::builtin()),
        client_(apiserver::registry::make_direct_client(
            registry_, apiserver::registry::User{"system:simulator", {"system:masters"}})) {}

  void start(Task ready) { registry_.bootstrap(std::move(ready)); }
  const std::shared_ptr<Lane>& lane() override { return lane_; }
  client::Client& client() override { return *client_; }
  void compact(std::int64_t kept) override { store_->compact(store_->revision() - kept); }

 private:
  std::shared_ptr<Lane> lane_;
  std::unique_ptr<store::Store> store_;
  apiserver::registry::Registry registry_;
  std::unique_ptr<client::Client> client_;
};

}  // namespace

std::unique_ptr<SimServer> start_server(World& world, Disk& disk, Task ready) {
  auto server = std::make_unique<RealServer>(world, disk);
  server->start(std::move(ready));
  return server;
}

}  // namespace berth::sim
