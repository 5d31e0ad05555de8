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

// What an image does when it runs.
enum class ImageBehaviour {
  kWell,
  kNeverReady,
  kCrashLoop,  // ready for a moment, then down for ever longer
};
using Conducts = std::map<std::string, ImageBehaviour>;  // by image; one that is not in it is well

struct Process {
  std::string uid;
  Time ready_at;
  Time unready_until{};
  Time stop_at = Time::max();    // dies then
  Time fail_at = Time::max();    // exits by itself then
  bool evicted = false;          // ... because the node wants it gone
  std::set<std::string> claims;  // that it has mounted
};

struct Ending {
  std::string phase, reason;
};

struct Machine {
  std::string node;
  bool off = false;  // no power: nothing runs on it, its agent neither
  const Conducts* conducts = nullptr;
  std::map<std::string, Process> processes;  // by "namespace/name"
  std::map<std::string, Ending> ended;       // by uid
  std::function<void(const std::string& pod, const std::string& uid, bool alive)> report;
  // The server, not a cache.
  std::function<const Value&(const api::Name& claim)> ask_for_claim;
  std::function<const Value&(const std::string& volume)> ask_for_volume;
  bool grows_mounted = true;                        // file systems grow while they are mounted, or at the next mount
  std::map<std::string, std::string> file_systems;  // size by "namespace/claim", as it was mounted last
};

std::unique_ptr<controllers::Controller> make_agent(client::InformerSet& informers, World& world, Machine& machine);
// The part of the agent that grows file systems and lets go of the disks of deleted volumes.
std::unique_ptr<controllers::Controller> make_disk_agent(client::InformerSet& informers, Machine& machine);

}  // namespace berth::sim
