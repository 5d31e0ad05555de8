#include "sim/cluster.h"

#include <utility>

#include "base/check.h"
#include "controllers/disruption/controller.h"
#include "controllers/gc/controller.h"
#include "controllers/node/controller.h"
#include "controllers/podgc/controller.h"
#include "controllers/volume/controller.h"
#include "scheduler/scheduler.h"
#include "sim/checkers/checkers.h"

namespace berth::sim {

using namespace api::resources;  // NOLINT
using client::InformerSet;

namespace {

// Modifies the plans of the inner controller: a planted bug.
class TamperedController final : public controllers::Controller {
 public:
  TamperedController(std::unique_ptr<Controller> inner, std::function<void(controllers::Plan&)> tamper)
      : inner_(std::move(inner)), tamper_(std::move(tamper)) {}
  std::string name() const override { return inner_->name(); }
  std::string component() const override { return inner_->component(); }
  std::vector<controllers::WatchedCollection> watches() override { return inner_->watches(); }
  controllers::Plan plan(const std::string& key, Time now) override {
    controllers::Plan plan = inner_->plan(key, now);
    if (tamper_) tamper_(plan);
    return plan;
  }

 private:
  std::unique_ptr<Controller> inner_;
  std::function<void(controllers::Plan&)> tamper_;
};

}  // namespace

Cluster::Cluster(Options options) : options_(std::move(options)), world_(options_.seed), disk_(world_) {
  truth_ = std::make_unique<Truth>(world_);
  truth_->set_unrecoverable([this](const Value& pod) { return is_unrecoverable(pod); });
  add_all_checkers(*truth_);
  start_server();
  while (!uplink_.client) BERTH_CHECK(world_.step(), "the server never finished its start");
  no_faults_.delay = {};
  user_lane_ = world_.make_lane("user");
  user_ = std::make_unique<FaultyClient>(world_, user_lane_, uplink_, no_faults_);

  make_nodes();
  auto add = [&](std::string name, std::function<Parts(InformerSet&)> make) {
    processes_.push_back(std::make_unique<SimulatedProcess>());
    processes_.back()->program = Program{std::move(name), std::move(make)};
  };
  for (int i = 0; i < options_.controllers; ++i) {
    add("controllers-" + std::string(1, static_cast<char>('a' + i)), [this, i](InformerSet& informers) {
      Parts parts;
      parts.controllers = controllers::volume::make_controllers(informers);
      parts.controllers.push_back(controllers::statefulset::make_controller(informers, options_.planner));
      parts.controllers.push_back(controllers::podgc::make_lost_controller(informers));
      parts.controllers.push_back(controllers::node::make_eviction_controller(informers));
      if (i == 0 && options_.more_controllers) {
        for (auto& one : options_.more_controllers(informers)) parts.controllers.push_back(std::move(one));
      }
      if (i == 0) {  // only one may run, see its header
        for (auto& one : controllers::disruption::make_controllers(informers))
          parts.controllers.push_back(std::make_unique<TamperedController>(std::move(one), options_.tamper_budgets));
      }
      parts.controllers.push_back(
          controllers::gc::make_controller(informers, {{kPods, "Pod"},
                                                       {kStatefulSets, "StatefulSet"},
                                                       {kPersistentVolumeClaims, "PersistentVolumeClaim"},
                                                       {kControllerRevisions, "ControllerRevision"}}));
      return parts;
    });
  }
  add("scheduler", [](InformerSet& informers) {
    Parts parts;
    parts.others.push_back(std::make_shared<scheduler::Scheduler>(informers));
    return parts;
  });
  for (Machine& machine : machines_) {
    add(machine.node, [this, &machine](InformerSet& informers) {
      Parts parts;
      parts.controllers.push_back(make_agent(informers, world_, machine));
      parts.controllers.push_back(make_disk_agent(informers, machine));
      return parts;
    });
  }
  for (std::size_t i = 0; i < processes_.size(); ++i) start(i);
}

void Cluster::make_nodes() {
  machines_.resize(static_cast<std::size_t>(options_.nodes));
  int made = 0;
  for (std::size_t i = 0; i < machines_.size(); ++i) {
    Machine& machine = machines_[i];
    machine.node = "node-" + std::to_string(i + 1);
    machine.behaviours = &behaviours_;
    machine.ask_for_claim = [this](const api::Name& claim) -> const Value& {
      return truth_->get(kPersistentVolumeClaims, claim);
    };
    machine.ask_for_volume = [this](const std::string& volume) -> const Value& {
      return truth_->get(kPersistentVolumes, {"", volume});
    };
    machine.grows_mounted = options_.grows_mounted;
    machine.report = [this, &machine](const std::string& pod, const std::string& uid, bool alive) {
      truth_->process(pod, uid, machine.node, alive);
    };
    make_node(machine, [&made](bool good) {
      BERTH_CHECK(good, "a node cannot be made");
      ++made;
    });
  }
  while (made < options_.nodes) BERTH_CHECK(world_.step(), "the nodes were never made");
}

void Cluster::make_node(const Machine& machine, std::function<void(bool made)> done) {
  Value node = json::parse(R"({"apiVersion":"v1","kind":"Node","metadata":{},"status":{
      "capacity":{"cpu":"16","memory":"64Gi","pods":"110"},"allocatable":{"cpu":"16","memory":"64Gi","pods":"110"},
      "conditions":[{"type":"Ready","status":"True"}]}})")
                   .value();
  Value& metadata = node.mut("metadata");
  metadata.set("name", machine.node)
      .set("labels", Value::object({{"kubernetes.io/hostname", machine.node}, {"disk", "fast"}}));
  user().create(kNodes, node, {}, [this, done, name = machine.node](Result<Value> answer) {
    if (!answer.ok() && answer.error().code != Code::kAlreadyExists) return done(false);
    // The node may exist, with a taint whose removal failed. No other component removes it.
    const Value untainted = Value::object({{"spec", Value::object({{"taints", Value()}})}});
    user().patch(kNodes, {"", name}, api::PatchType::kMerge, untainted, {},
                 [done](Result<Value> updated) { done(updated.ok()); });
  });
}

void Cluster::power_off(Machine& machine) {
  if (machine.off) return;
  truth_->trace(machine.node + " loses its power");
  machine.off = true;
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    if (processes_[i]->program.name == machine.node) kill(i);
  }
  for (const auto& [pod, process] : std::exchange(machine.processes, {})) machine.report(pod, process.uid, false);
  user().remove(kNodes, {"", machine.node}, {}, [](Result<Value> answer) { (void)answer.ok(); });
}

void Cluster::power_on(Machine& machine) {
  if (!machine.off) return;
  truth_->trace(machine.node + " comes back");
  machine.off = false;
  restore_node(machine);
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    if (processes_[i]->program.name == machine.node) start(i);
  }
}

// Retries: the server may be down.
void Cluster::restore_node(const Machine& machine) {
  make_node(machine, [this, &machine](bool made) {
    if (!made && !machine.off) user_lane_->after(1s, [this, &machine] { restore_node(machine); });
  });
}

Cluster::~Cluster() {
  for (std::size_t i = 0; i < processes_.size(); ++i) kill(i);
  world_.run_for(1ms);  // the server ends the watches of lost clients
  kill_server(false);
  truth_.reset();
  user_.reset();
  user_lane_.reset();
}

void Cluster::kill_server(bool orderly) {
  if (!server_) return;
  truth_->trace(orderly ? "the server is stopped" : "the server dies");
  uplink_.client = nullptr;
  for (const auto& process : processes_) {
    if (process->client) process->client->server_gone();
  }
  if (user_) user_->server_gone();
  truth_->disconnect();
  if (orderly) {
    disk_.close();
  } else {
    disk_.crash();
  }
  server_.reset();
}

void Cluster::start_server() {
  if (server_) return;
  server_ = sim::start_server(world_, disk_, [this] {
    truth_->trace("the server is up");
    truth_->connect(server_->client(), disk_.deleted_at_the_end());
    uplink_ = Uplink{server_->lane(), &server_->client()};
  });
}

void Cluster::compact(std::int64_t kept) {
  if (server_) server_->compact(kept);
}

void Cluster::kill(std::size_t which) {
  SimulatedProcess& process = *processes_[which];
  process.drivers.clear();
  process.others.clear();
  process.informers.reset();
  process.client.reset();
  process.lane.reset();
}

void Cluster::start(std::size_t which) {
  SimulatedProcess& process = *processes_[which];
  if (process.lane) return;
  for (const Machine& machine : machines_) {
    if (machine.node == process.program.name && machine.off) return;
  }
  process.lane = world_.make_lane(process.program.name + "#" + std::to_string(++process.starts));
  process.client = std::make_unique<FaultyClient>(world_, process.lane, uplink_, process.faults);
  process.informers = std::make_unique<InformerSet>(*process.lane, *process.client);
  Parts parts = process.program.make(*process.informers);
  process.others = std::move(parts.others);
  for (auto& controller : parts.controllers) {
    controllers::Driver::Options options;
    options.backoff.limit = 20s;
    process.drivers.push_back(
        std::make_unique<controllers::Driver>(*process.informers, std::move(controller), options));
  }
  // The new agent finds the processes that outlived the old one.
  for (const Machine& machine : machines_) {
    if (machine.node != process.program.name) continue;
    for (const auto& [pod, running] : machine.processes) process.drivers[0]->enqueue(pod);
  }
}

void Cluster::cut_watches(std::size_t which) {
  if (processes_[which]->client) processes_[which]->client->cut_watches();
}

void Cluster::notify_agent(const Machine& machine, const std::string& pod) {
  for (auto& process : processes_) {
    if (process->program.name == machine.node && process->lane) process->drivers[0]->enqueue(pod);
  }
}

void Cluster::set_image_behaviours(ImageBehaviours behaviours) {
  behaviours_ = std::move(behaviours);
  for (const Machine& machine : machines_) {
    for (const auto& [pod, process] : machine.processes) notify_agent(machine, pod);
  }
}

bool Cluster::is_unrecoverable(const Value& pod) const {
  const auto found = behaviours_.find(pod["spec"]["containers"][std::size_t{0}]["image"].str());
  return found != behaviours_.end() && found->second == ImageBehaviour::kNeverReady;
}

void Cluster::heal() {
  disk_.faults() = DiskFaults{};
  start_server();
  for (Machine& machine : machines_) power_on(machine);
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    processes_[i]->faults = Faults{};
    start(i);
  }
}

void Cluster::compare_caches() {
  for (const auto& process : processes_) {
    if (!process->lane) continue;
    for (const api::Resource& resource : {kPods, kPersistentVolumeClaims, kPersistentVolumes, kStatefulSets,
                                          kControllerRevisions, kPodDisruptionBudgets}) {
      const client::Informer* informer = process->informers->find(resource);
      if (!informer) continue;
      const auto& truth = truth_->all(resource);
      for (const auto& [name, object] : truth) {
        if (informer->get(name) == object) continue;
        truth_->violation("cache",
                          process->program.name + " does not know " + resource.resource + " " + name.to_string());
      }
      if (informer->size() > truth.size()) {
        truth_->violation("cache", process->program.name + " knows " + resource.resource + " that are gone");
      }
    }
  }
}

bool Cluster::run_until_idle(Duration quiet, Duration limit, const std::function<bool()>& stop) {
  const Duration end = world_.elapsed() + limit;
  std::uint64_t seen = truth_->changes();
  Duration since = world_.elapsed();
  while (world_.elapsed() < end) {
    world_.run_for(quiet / 40);
    if (stop && stop()) return false;
    if (truth_->changes() != seen) {
      seen = truth_->changes();
      since = world_.elapsed();
    }
    if (world_.elapsed() - since >= quiet) return true;
  }
  return false;
}

}  // namespace berth::sim
