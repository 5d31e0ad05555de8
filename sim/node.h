#pragma once
// A simulated node: processes, and an agent that makes them match the pods it sees.
//
// The machine outlives its agent: killing the agent ends no process, and a new agent finds the processes again.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "controllers/driver.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

// The behaviour of an image's process.
enum class ImageBehaviour {
  kWell,
  kNeverReady,
  kCrashLoop,  // ready briefly, then down for increasing times
};
using ImageBehaviours = std::map<std::string, ImageBehaviour>;  // by image; others are kWell

struct Process {
  std::string uid;
  Time ready_at;
  Time unready_until{};
  Time stop_at = Time::max();    // when it dies
  Time fail_at = Time::max();    // when it exits by itself
  bool evicted = false;          // the exit is an eviction by the node
  std::set<std::string> claims;  // mounted claims
};

struct Ending {
  std::string phase, reason;
};

struct Machine {
  std::string node;
  bool off = false;  // powered off: neither processes nor agent run
  const ImageBehaviours* behaviours = nullptr;
  std::map<std::string, Process> processes;  // by "namespace/name"
  std::map<std::string, Ending> ended;       // by uid
  std::function<void(const std::string& pod, const std::string& uid, bool alive)> report;
  // Live reads, not from a cache.
  std::function<const Value&(const api::Name& claim)> ask_for_claim;
  std::function<const Value&(const std::string& volume)> ask_for_volume;
  bool grows_mounted = true;                        // file systems grow while mounted; otherwise at the next mount
  std::map<std::string, std::string> file_systems;  // size at the last mount, by "namespace/claim"
};

std::unique_ptr<controllers::Controller> make_agent(client::InformerSet& informers, World& world, Machine& machine);
// The agent's disk part: grows file systems and releases the disks of deleted volumes.
std::unique_ptr<controllers::Controller> make_disk_agent(client::InformerSet& informers, Machine& machine);

}  // namespace berth::sim
