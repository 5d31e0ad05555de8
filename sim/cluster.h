#pragma once
// Cluster: one simulated cluster. The real registry over the memory store, the real drivers and controllers (two of
// them alive at once), agents on machines whose processes only pretend to run, and the network between them.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controllers/driver.h"
#include "controllers/statefulset/controller.h"
#include "sim/faulty_client.h"
#include "sim/node.h"
#include "sim/sim_runtime.h"
#include "sim/truth.h"

namespace berth::sim {

// The API server: its lane, its store, and a Client that sees it without faults.
class Server {
 public:
  virtual ~Server() = default;
  virtual api::Client& client() = 0;
};
// Runs until the cluster's own objects are there.
std::unique_ptr<Server> start_server(World& world, const std::shared_ptr<Lane>& lane);

// What one simulated process runs, made again at every start.
struct Parts {
  std::vector<std::unique_ptr<controllers::Controller>> controllers;  // each gets a driver
  std::vector<std::shared_ptr<void>> others;
};
struct Program {
  std::string name;
  std::function<Parts(controllers::InformerSet&)> make;
};

class Cluster {
 public:
  struct Options {
    std::uint64_t seed = 1;
    int nodes = 2;
    // Replaces plan_set in both controller processes: a planted bug.
    controllers::statefulset::Planner planner = controllers::statefulset::plan_set;
  };

  explicit Cluster(Options options);
  ~Cluster();

  World& world() { return world_; }
  Truth& truth() { return *truth_; }
  api::Client& user() { return server_->client(); }  // the person at the keyboard: no faults

  std::size_t processes() const { return processes_.size(); }
  bool running(std::size_t which) const { return processes_[which]->lane != nullptr; }
  Faults& faults(std::size_t which) { return processes_[which]->faults; }
  void kill(std::size_t which);
  void start(std::size_t which);
  void cut_watches(std::size_t which);

  std::vector<Machine>& machines() { return machines_; }
  // Tells the agent (where it runs) that something happened to a pod's process.
  void poke_agent(const Machine& machine, const std::string& pod);

  // Reports every running process whose caches do not show exactly what is there.
  void compare_caches();
  // Ends all faults and restarts what is down.
  void heal();
  // Lets time pass until nothing has been written for `quiet`, at most `limit`. False: it never became quiet.
  bool settle(Duration quiet, Duration limit);

 private:
  struct Running {
    Program program;
    Faults faults;
    std::shared_ptr<Lane> lane;  // null: not running
    std::unique_ptr<FaultyClient> client;
    std::unique_ptr<controllers::InformerSet> informers;
    std::vector<std::unique_ptr<controllers::Driver>> drivers;
    std::vector<std::shared_ptr<void>> others;
    int starts = 0;
  };

  void make_nodes();

  Options options_;
  World world_;
  std::shared_ptr<Lane> server_lane_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Truth> truth_;
  std::vector<Machine> machines_;
  std::vector<std::unique_ptr<Running>> processes_;
};

}  // namespace berth::sim
