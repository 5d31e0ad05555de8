#pragma once
// Cluster: one simulated cluster. The real registry and store over a simulated disk, the real drivers and controllers
// (two instances at the same time), agents on machines whose processes are simulated, and the network between them.

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

// The contents of one simulated process, created at every start.
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
    int controllers = 2;        // processes that run the controllers at the same time
    bool grows_mounted = true;  // see Machine
    // Replaces plan_set in both controller processes: a planted bug.
    controllers::statefulset::PlanFunction planner = controllers::statefulset::plan_set;
    // Modifies the plans of the disruption controllers: a planted bug.
    std::function<void(controllers::Plan& plan)> tamper_budgets = nullptr;
    // Additional controllers in the first process: planted bugs outside the StatefulSet controller.
    std::function<std::vector<std::unique_ptr<controllers::Controller>>(client::InformerSet&)> more_controllers =
        nullptr;
  };

  explicit Cluster(Options options);
  ~Cluster();

  World& world() { return world_; }
  Truth& truth() { return *truth_; }
  client::Client& user() { return *user_; }  // no faults except a server that is down

  // In order: the controllers' processes, the scheduler, the agents.
  std::size_t processes() const { return processes_.size(); }
  bool running(std::size_t which) const { return processes_[which]->lane != nullptr; }
  Faults& faults(std::size_t which) { return processes_[which]->faults; }
  void kill(std::size_t which);
  void start(std::size_t which);
  void cut_watches(std::size_t which);

  Disk& disk() { return disk_; }
  // Kills the API server's process, or stops it in order; start_server() restarts it on the contents of its disk.
  void kill_server(bool orderly);
  void start_server();
  bool server_running() const { return server_ != nullptr; }
  // Compacts: watches more than `kept` revisions behind expire.
  void compact(std::int64_t kept);

  std::vector<Machine>& machines() { return machines_; }
  // Powers a machine off and deletes its Node; powers it on again under the same name.
  void power_off(Machine& machine);
  void power_on(Machine& machine);
  // Notifies the agent (if it runs) of a change of a pod's process.
  void notify_agent(const Machine& machine, const std::string& pod);
  // The behaviour of images. Agents learn of changes at once.
  const ImageBehaviours& behaviours() const { return behaviours_; }
  void set_image_behaviours(ImageBehaviours behaviours);
  // True if the pod's image will never be ready.
  bool is_unrecoverable(const Value& pod) const;

  // Reports every running process whose caches differ from the truth.
  void compare_caches();
  // Ends all faults and restarts everything.
  void heal();
  // Lets time pass until nothing was written for `quiet`, at most `limit`. False if there were writes all the time, or
  // `stop` returned true.
  bool run_until_idle(Duration quiet, Duration limit, const std::function<bool()>& stop = nullptr);

 private:
  struct SimulatedProcess {
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
  std::unique_ptr<SimServer> server_;
  Uplink uplink_;
  std::unique_ptr<Truth> truth_;
  Faults no_faults_;
  std::shared_ptr<Lane> user_lane_;
  std::unique_ptr<FaultyClient> user_;
  ImageBehaviours behaviours_;
  std::vector<Machine> machines_;
  std::vector<std::unique_ptr<SimulatedProcess>> processes_;
};

}  // namespace berth::sim
