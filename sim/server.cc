#include "api/registry/registry.h"
#include "api/schema/schema.h"
#include "base/check.h"
#include "sim/cluster.h"
#include "store/store.h"

namespace berth::sim {
namespace {

class RealServer final : public Server {
 public:
  explicit RealServer(const std::shared_ptr<Lane>& lane)
      : lane_(lane), store_(store::open_memory_store(*lane)), registry_(*lane, *store_, schema::builtin()) {}

  void bootstrap(World& world) {
    bool done = false;
    registry_.bootstrap([&done] { done = true; });
    while (!done) BERTH_CHECK(world.step(), "the registry never finished its start");
    client_ = registry::make_direct_client(registry_, registry::User{"system:simulator", {"system:masters"}});
  }
  api::Client& client() override { return *client_; }

 private:
  std::shared_ptr<Lane> lane_;
  std::unique_ptr<store::Store> store_;
  registry::Registry registry_;
  std::unique_ptr<api::Client> client_;
};

}  // namespace

std::unique_ptr<Server> start_server(World& world, const std::shared_ptr<Lane>& lane) {
  auto server = std::make_unique<RealServer>(lane);
  server->bootstrap(world);
  return server;
}

}  // namespace berth::sim
