#pragma once
// Cluster: one simulated cluster. The real registry and store over a simulated disk, the real drivers and controllers
// (two of them alive at once), agents on machines whose processes only pretend to run, and the network between them.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controllers/driver.h"
#include "controllers/statefulset/controller.h"
#include "sim/faulty_client.h"
#include "sim/node.h"
#include "sim/server.h"
#include "sim/sim_runtime.h"
#include "sim/truth.h"

namespace berth::sim {

// What one simulated process runs, made again at every start.
struct Parts {
  std::vector<std::unique_ptr<controllers::Controller>> controllers;  // each gets a driver
  std::vector<std::shared_ptr<void>> others;
};
struct Program {
  std::string name;
  std::function<Parts(client::InformerSet&)> make;
};

class Cluster {
 public:
  struct Options {
    std::uint64_t seed = 1;
    int nodes = 2;
    int controllers = 2;        // processes that run them, alive at once
    bool grows_mounted = true;  // see Machine
    // Replaces plan_set in both controller processes: a planted bug.
    controllers::statefulset::Planner planner = controllers::statefulset::plan_set;
    // Changes what the disruption controllers are about to write: a planted bug.
    std::function<void(controllers::Plan& plan)> spoil_budgets = nullptr;
    // More controllers, in the first process: planted bugs of others than the StatefulSet's.
    std::function<std::vector<std::unique_ptr<controllers::Controller>>(client::InformerSet&)> more_controllers =
        nullptr;
  };

  explicit Cluster(Options options);
  ~Cluster();

  World& world() { return world_; }
  Truth& truth() { return *truth_; }
  client::Client& user() { return *user_; }  // the person at the keyboard: no faults but a server that is down

  // The controllers' come first, then the scheduler's, then the agents'.
  std::size_t processes() const { return processes_.size(); }
  bool running(std::size_t which) const { return processes_[which]->lane != nullptr; }
  Faults& faults(std::size_t which) { return processes_[which]->faults; }
  void kill(std::size_t which);
  void start(std::size_t which);
  void cut_watches(std::size_t which);

  Disk& disk() { return disk_; }
  // The API server's process ends, at once or in good order, and later starts again on what its disk holds.
  void kill_server(bool orderly);
  void start_server();
  bool server_running() const { return server_ != nullptr; }
  // Watches that are more than `kept` revisions behind find their past gone.
  void compact(std::int64_t kept);

  std::vector<Machine>& machines() { return machines_; }
  // A machine loses its power, and its Node is deleted; then it comes back under its name.
  void power_off(Machine& machine);
  void power_on(Machine& machine);
  // Tells the agent (where it runs) that something happened to a pod's process.
  void poke_agent(const Machine& machine, const std::string& pod);
  // What images do. Agents hear of a change at once.
  const Conducts& conducts() const { return conducts_; }
  void set_conducts(Conducts conducts);
  // The pod runs something that will never be ready.
  bool is_hopeless(const Value& pod) const;

  // Reports every running process whose caches do not show exactly what is there.
  void compare_caches();
  // Ends all faults and restarts what is down.
  void heal();
  // Lets time pass until nothing has been written for `quiet`, at most `limit`. False: it never became quiet, or `stop`
  // said so.
  bool settle(Duration quiet, Duration limit, const std::function<bool()>& stop = nullptr);

 private:
  struct Running {
    Program program;
    Faults faults;
    std::shared_ptr<Lane> lane;  // null: not running
    std::unique_ptr<FaultyClient> client;
    std::unique_ptr<client::InformerSet> informers;
    std::vector<std::unique_ptr<controllers::Driver>> drivers;
    std::vector<std::shared_ptr<void>> others;
    int starts = 0;
  };

  void make_nodes();
  void make_node(const Machine& machine, std::function<void(bool made)> done);
  void restore_node(const Machine& machine);

  Options options_;
  World world_;
  Disk disk_;
  std::unique_ptr<Server> server_;
  Uplink uplink_;
  std::unique_ptr<Truth> truth_;
  Faults no_faults_;
  std::shared_ptr<Lane> user_lane_;
  std::unique_ptr<FaultyClient> user_;
  Conducts conducts_;
  std::vector<Machine> machines_;
  std::vector<std::unique_ptr<Running>> processes_;
};

}  // namespace berth::sim
