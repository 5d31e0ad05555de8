#include "sim/node.h"

#include <algorithm>

#include "api/metadata.h"
#include "api/quantity.h"
#include "base/time/time.h"
#include "controllers/shared/local_volume.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using client::Informer;
using client::InformerSet;
using controllers::Controller;
using controllers::Plan;
using controllers::WatchedCollection;

class Agent final : public Controller {
 public:
  Agent(InformerSet& informers, World& world, Machine& machine)
      : world_(world), machine_(machine), pods_(informers.get(kPods)) {}
  std::string name() const override { return "agent"; }
  std::string component() const override { return "kubelet"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(
        controllers::watch_mapped(pods_, [this](const Value& before, const Value& after, controllers::Keys& keys) {
          const Value& pod = after.is_null() ? before : after;
          if (pod["spec"]["nodeName"].as_string() == machine_.node) keys.push_back(controllers::key_of(pod));
        }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    Plan plan;
    const Value& pod = pods_.get(controllers::name_of_key(key));
    const bool ours = !pod.is_null() && pod["spec"]["nodeName"].as_string() == machine_.node;
    apply_due_exit(key, now);
    auto found = machine_.processes.find(key);
    Process* process = found == machine_.processes.end() ? nullptr : &found->second;
    if (!ours || (process && process->uid != api::uid_of(pod))) {
      // The pod is gone: its successor of the same name starts when this process is dead.
      if (process) stop(*process, now, 1s, plan);
      return plan;
    }
    const std::string uid(api::uid_of(pod));
    const std::string_view phase = pod["status"]["phase"].as_string();
    if (api::is_terminating(pod)) {
      if (process) {
        stop(*process, now, std::chrono::seconds(pod["metadata"]["deletionGracePeriodSeconds"].as_int(1) + 1), plan);
        if (api::is_pod_ready(pod)) plan.add(status(pod, phase, false, now));
      } else {
        std::vector<controllers::Action> last;
        if (phase == "Running") last.push_back(status(pod, "Failed", false, now));
        last.push_back(controllers::remove(kPods, pod, 0));
        plan.add_chain(std::move(last));
      }
      return plan;
    }
    if (auto exit = machine_.ended.find(uid); exit != machine_.ended.end()) {
      if (phase != exit->second.phase) plan.add(status(pod, exit->second.phase, false, now, exit->second.reason));
      return plan;
    }
    if (phase == "Failed" || phase == "Succeeded") return plan;
    if (!process && !claims_are_there(pod)) {
      plan.requeue_after(1s);
      return plan;
    }
    if (!process) {
      process = &machine_.processes[key];
      *process = Process{uid, now + world_.between(20ms, 2s)};
      mount(pod, *process);
      machine_.report(key, uid, true);
    }
    const bool ready = is_ready(pod, *process, now, plan);
    if (process->fail_at != Time::max()) plan.requeue_after(process->fail_at - now);
    if (phase != "Running" || api::is_pod_ready(pod) != ready) plan.add(status(pod, "Running", ready, now));
    return plan;
  }

 private:
  bool claims_are_there(const Value& pod) const {
    controllers::Keys used;
    client::index::by_claim(pod, used);
    return std::all_of(used.begin(), used.end(), [&](const std::string& key) {
      const Value& claim = machine_.ask_for_claim(controllers::name_of_key(key));
      return claim["status"]["phase"].as_string() == "Bound" && !api::is_terminating(claim);
    });
  }
  void mount(const Value& pod, Process& process) {
    controllers::Keys used;
    client::index::by_claim(pod, used);
    for (const std::string& key : used) {
      process.claims.insert(key);
      const Value& claim = machine_.ask_for_claim(controllers::name_of_key(key));
      const Value& volume = machine_.ask_for_volume(claim["spec"]["volumeName"].str());
      machine_.file_systems[key] = volume["spec"]["capacity"]["storage"].str();
    }
  }
  // True if the pod is ready now; requeues when that changes.
  bool is_ready(const Value& pod, const Process& process, Time now, Plan& plan) const {
    const auto known = machine_.behaviours->find(pod["spec"]["containers"][std::size_t{0}]["image"].str());
    const ImageBehaviour behaviour = known == machine_.behaviours->end() ? ImageBehaviour::kWell : known->second;
    if (behaviour == ImageBehaviour::kNeverReady) return false;
    const Time ready_at = std::max(process.ready_at, process.unready_until);
    if (now < ready_at) {
      plan.requeue_after(ready_at - now);
      return false;
    }
    if (behaviour == ImageBehaviour::kWell) return true;
    Time crashes = ready_at + 2s;
    for (Duration pause = 10s;; pause = std::min<Duration>(pause * 2, 300s)) {
      const Time back = crashes + pause;
      if (now < back) {
        plan.requeue_after((now < crashes ? crashes : back) - now);
        return now < crashes;
      }
      crashes = back + 2s;
    }
  }
  // Applies exits and deaths that are due.
  void apply_due_exit(const std::string& key, Time now) {
    auto found = machine_.processes.find(key);
    if (found == machine_.processes.end()) return;
    Process& process = found->second;
    const bool failed = now >= process.fail_at;
    if (!failed && now < process.stop_at) return;
    if (failed && process.stop_at == Time::max()) machine_.ended[process.uid] = ending(process);
    const std::string uid = process.uid;
    machine_.processes.erase(found);
    machine_.report(key, uid, false);
  }
  Ending ending(const Process& process) {
    if (process.evicted) return {"Failed", "Evicted"};
    return {world_.chance(0.3) ? "Succeeded" : "Failed", ""};
  }
  void stop(Process& process, Time now, Duration grace, Plan& plan) {
    if (process.stop_at == Time::max()) process.stop_at = now + world_.between(5ms, std::max<Duration>(grace, 10ms));
    plan.requeue_after(process.stop_at - now);
  }
  controllers::Action status(const Value& pod, std::string_view phase, bool ready, Time now,
                             const std::string& reason = {}) {
    Value change = Value::object({{"status", Value::object({{"phase", phase}})}});
    if (!reason.empty()) change.mut("status").set("reason", reason);
    Value conditions = Value::array({});
    for (const char* type : {"Ready", "ContainersReady"}) {
      const Value& had = api::condition_of(pod, type);
      const std::string_view wanted = ready ? "True" : "False";
      const std::string since =
          had["status"].as_string() == wanted ? had["lastTransitionTime"].str() : format_time(now);
      conditions.push(Value::object({{"type", type}, {"status", wanted}, {"lastTransitionTime", since}}));
    }
    change.mut("status").set("conditions", std::move(conditions));
    controllers::Action action = controllers::patch(kPods, pod, api::PatchType::kStrategic, std::move(change));
    action.subresource = "status";
    return action;
  }

  World& world_;
  Machine& machine_;
  Informer& pods_;
};

class DiskAgent final : public Controller {
 public:
  DiskAgent(InformerSet& informers, Machine& machine)
      : machine_(machine), volumes_(informers.get(kPersistentVolumes)) {}
  std::string name() const override { return "disk-agent"; }
  std::string component() const override { return "kubelet"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(controllers::watch_self(volumes_));
    return out;
  }
  Plan plan(const std::string& key, Time) override {
    Plan plan;
    const Value& volume = volumes_.get(controllers::name_of_key(key));
    if (volume.is_null() || controllers::local_node(volume) != machine_.node) return plan;
    if (!controllers::disk_may_go(volume)) {
      grow(volume, plan);
      return plan;
    }
    Value change = api::in_metadata("finalizers", api::finalizers_without(volume, controllers::kLocalFinalizer));
    plan.add(controllers::patch(kPersistentVolumes, volume, api::PatchType::kMerge, std::move(change), true));
    return plan;
  }

 private:
  void grow(const Value& volume, Plan& plan) const {
    const Value& reference = volume["spec"]["claimRef"];
    const api::Name name{reference["namespace"].str(), reference["name"].str()};
    const Value &claim = machine_.ask_for_claim(name), &size = volume["spec"]["capacity"]["storage"];
    if (api::uid_of(claim) != reference["uid"].as_string() || claim["status"]["phase"].as_string() != "Bound") return;
    const auto wanted = api::Quantity::parse(size.as_string()),
               there = api::Quantity::parse(claim["status"]["capacity"]["storage"].as_string());
    if (!wanted.ok() || !there.ok() || *wanted <= *there) return;
    const std::string key = name.to_string();
    const bool mounted = std::any_of(machine_.processes.begin(), machine_.processes.end(),
                                     [&](const auto& one) { return one.second.claims.count(key) > 0; });
    if (mounted && !machine_.grows_mounted && machine_.file_systems[key] != size.as_string())
      return plan.requeue_after(3s);
    Value reached = Value::object({{"status", Value::object({{"capacity", Value::object({{"storage", size}})}})}});
    plan.add(controllers::patch_status(kPersistentVolumeClaims, claim, std::move(reached)));
  }

  Machine& machine_;
  Informer& volumes_;
};

}  // namespace

std::unique_ptr<Controller> make_disk_agent(InformerSet& informers, Machine& machine) {
  return std::make_unique<DiskAgent>(informers, machine);
}

std::unique_ptr<Controller> make_agent(InformerSet& informers, World& world, Machine& machine) {
  return std::make_unique<Agent>(informers, world, machine);
}

}  // namespace berth::sim
