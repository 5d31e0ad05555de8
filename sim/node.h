#pragma once
// A simulated node: processes that really run (or do not), and an agent that makes them match the pods it sees.
//
// The machine outlives its agent: killing the agent ends no process, and a new one finds them again.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "controllers/driver.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

struct Process {
  std::string uid;
  Time ready_at;
  Time unready_until{};
  Time stop_at = Time::max();  // dies then
  Time fail_at = Time::max();  // exits by itself then
};

struct Machine {
  std::string node;
  std::map<std::string, Process> processes;  // by "namespace/name"
  std::map<std::string, bool> ended;         // uid -> exited with success
  std::function<void(const std::string& pod, const std::string& uid, bool alive)> report;
};

std::unique_ptr<controllers::Controller> make_agent(controllers::InformerSet& informers, World& world,
                                                    Machine& machine);
// The part of the agent that lets go of the disks of deleted volumes.
std::unique_ptr<controllers::Controller> make_disk_agent(controllers::InformerSet& informers, Machine& machine);

}  // namespace berth::sim
