#include "sim/scenarios/history.h"

#include <iterator>

#include "sim/cluster.h"
#include "sim/scenarios/forms.h"
#include "sim/scenarios/user_actor.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

// Most histories are short, so that many can run: of kLongEvery seeds one is long, of kBigSetEvery one has a set of up
// to 50 pods.
constexpr std::uint64_t kLongEvery = 10;
constexpr std::uint64_t kBigSetEvery = 100;
// Longer than any timeout in the system, for example of a disruption that did not happen.
constexpr Duration kQuiet = 130s;
constexpr std::uint64_t kUpgradeEvery = 8;

// Half of the histories without faults have a single controller process.
bool is_alone(const HistoryOptions& options) { return options.alone || (!options.faults && options.seed % 8 == 4); }

class History {
 public:
  explicit History(const HistoryOptions& options)
      : options_(options),
        big_(options.seed % kBigSetEvery == 7),
        long_(options.seed % kLongEvery == 3),
        cluster_({.seed = options.seed,
                  .nodes = 2,
                  .controllers = is_alone(options) ? 1 : 2,
                  .grows_mounted = options.seed % 2 == 0,
                  .planner = options.planner,
                  .tamper_budgets = options.tamper_budgets,
                  .more_controllers = options.more_controllers}),
        world_(cluster_.world()),
        actor_(cluster_, big_ ? 50 : 5, options.all_options) {}

  HistoryOutcome run() {
    cluster_.truth().set_trace(options_.trace);
    cluster_.set_image_behaviours({{"i:never", ImageBehaviour::kNeverReady}, {"i:loop", ImageBehaviour::kCrashLoop}});
    actor_.create_sets(big_ ? 1 : 1 + static_cast<int>(world_.below(long_ ? 3 : 2)));
    const Duration end = long_ ? world_.between(40s, 120s) : world_.between(10s, 60s);
    const int deeds = long_ ? 10 + static_cast<int>(world_.below(16)) : 3 + static_cast<int>(world_.below(9));
    for (int i = 0; i < deeds; ++i) {
      actor_.later(world_.between(1s, end), [this] { actor_.do_random_action(); });
    }
    if (options_.faults) {
      set_faults();
    } else {
      cluster_.truth().set_slack(200ms);
      cluster_.truth().set_alone(is_alone(options_));
    }
    if (options_.disk_lies) cluster_.disk().faults().lies = true;
    const std::size_t scheduler = is_alone(options_) ? 1 : 2;
    cluster_.faults(scheduler).swallowed_event = options_.swallowed_event;
    const int accidents = 2 + static_cast<int>(world_.below(long_ ? 12 : 6));
    for (int i = 0; i < accidents; ++i) {
      actor_.later(world_.between(1s, end), [this] { let_something_happen(); });
    }
    pass(end + 11s);  // all actions of users are complete by then
    if (!stopped()) heal();
    if (!stopped()) finish();
    HistoryOutcome out;
    out.violations = cluster_.truth().violations();
    out.steps = world_.steps();
    out.virtual_seconds = std::chrono::duration<double>(world_.elapsed()).count();
    out.changes = cluster_.truth().changes();
    return out;
  }

 private:
  bool stopped() { return options_.stop && options_.stop(cluster_.truth().violations()); }
  void pass(Duration time) {
    for (const Duration end = world_.elapsed() + time; world_.elapsed() < end && !stopped();)
      world_.run_for(std::min<Duration>(1s, end - world_.elapsed()));
  }
  void heal() {
    cluster_.truth().trace("everything is healed");
    cluster_.heal();
    // Most images become well; in some histories one never becomes ready: its sets wait, and their conditions must say
    // so.
    const bool pods_never_ready = world_.chance(0.2);
    cluster_.set_image_behaviours(pods_never_ready ? ImageBehaviours{{"i:never", ImageBehaviour::kNeverReady}}
                                                   : ImageBehaviours{});
    world_.run_for(1s);
    actor_.tidy_up(pods_never_ready);
    world_.run_for(30s);
    actor_.tidy_up(pods_never_ready);
  }
  void finish() {
    Truth& truth = cluster_.truth();
    if (!cluster_.run_until_idle(kQuiet, 1800s, [this] { return stopped(); })) {
      if (stopped()) return;
      truth.violation("rest", "still writing half an hour after everything was healed: " + truth.last_change());
      return;
    }
    truth.at_rest();
    cluster_.compare_caches();
    const std::uint64_t changes = truth.changes();
    world_.run_for(600s);
    if (truth.changes() != changes) truth.violation("rest", "a write after convergence: " + truth.last_change());
    if (options_.seed % kUpgradeEvery == 1 || options_.upgrade) upgrade();
  }
  // Stops everything, rewrites the stored objects as an earlier release would have stored them, and restarts. This must
  // cause no write.
  void upgrade() {
    Truth& truth = cluster_.truth();
    for (const auto& [name, pod] : truth.all(kPods)) {
      if (!api::is_pod_ready(pod)) return;
    }
    truth.trace("everything is stopped and upgraded");
    for (std::size_t i = 0; i < cluster_.processes(); ++i) cluster_.kill(i);
    world_.run_for(1s);
    cluster_.kill_server(true);
    // In every second upgrade claims lose their used-by annotation, which is only written again with a new pod.
    const bool goes_on = options_.seed % (2 * kUpgradeEvery) < kUpgradeEvery;
    cluster_.disk().rewrite([goes_on](const Value& object) { return as_earlier_release(object, !goes_on); });
    cluster_.heal();
    // Events about waits may be emitted again.
    const std::uint64_t changes = truth.changes_but_events();
    world_.run_for(60s);
    if (truth.changes_but_events() != changes)
      return truth.violation("upgrade", "a write after an upgrade: " + truth.last_write());
    if (!goes_on) return;
    // The rewritten objects must work in a further history, too.
    for (int i = 0; i < 3; ++i) {
      actor_.later(world_.between(1s, 20s), [this] { actor_.do_random_action(); });
      actor_.later(world_.between(1s, 20s), [this] { hurt_process(); });
    }
    pass(31s);
    if (!stopped()) heal();
    if (!stopped() && cluster_.run_until_idle(kQuiet, 1800s, [this] { return stopped(); })) truth.at_rest();
  }
  // Fewer defaults, perhaps no used-by annotations, and no conditions of sets.
  static Value as_earlier_release(const Value& object, bool no_notes) {
    Value out = as_stored_before(object);
    if (no_notes && object["kind"].as_string() == "PersistentVolumeClaim" &&
        !object["metadata"]["annotations"].is_null()) {
      out = object;
      out.mut("metadata").mut("annotations").erase("berth.dev/used-by");
    }
    if (object["kind"].as_string() != "StatefulSet") return out;
    const std::string_view reason = api::condition_of(object, "Progressing")["reason"].as_string();
    const bool waits = !reason.empty() && reason != "Complete" && reason != "Partition" && reason != "OnDelete";
    if (waits || api::condition_of(object, "berth.dev/ClaimTemplates")["status"].as_string() == "False") return out;
    out.mut("status").erase("conditions");
    return out;
  }

  void set_faults() {
    const double level = static_cast<double>(world_.below(5)) * 0.02;
    for (std::size_t i = 0; i < cluster_.processes(); ++i) {
      Faults& faults = cluster_.faults(i);
      faults.lost_request = level;
      faults.lost_reply = level;
      faults.refused = level;
      faults.cut_watch = level / 4;
      faults.repeated_event = level;
      faults.expired_watch = level * 3;
      faults.delay = world_.between(1ms, 80ms);
    }
    cluster_.disk().faults().refused = level / 2;
    cluster_.disk().faults().latency = world_.between(100us, 20ms);
  }
  void let_something_happen() {
    const std::size_t which = world_.below(cluster_.processes());
    if (world_.chance(0.12)) return fail_power();
    switch (options_.faults ? world_.below(8) : 7) {
      case 0:
        cluster_.kill(which);
        actor_.later(world_.between(10ms, 10s), [this, which] { cluster_.start(which); });
        break;
      case 1:
        cluster_.faults(which).outage = true;
        actor_.later(world_.between(10ms, 5s), [this, which] { cluster_.faults(which).outage = false; });
        break;
      case 2: cluster_.faults(which).lag_until = world_.elapsed() + world_.between(100ms, 3s); break;
      case 3: cluster_.cut_watches(which); break;
      case 4:
        cluster_.compact(static_cast<std::int64_t>(world_.below(50)));
        cluster_.cut_watches(which);
        break;
      case 5:
        cluster_.kill_server(world_.chance(0.3));
        actor_.later(world_.between(10ms, 5s), [this] { cluster_.start_server(); });
        break;
      default: hurt_process(); break;
    }
  }
  // A machine loses its power and its Node is deleted; it returns, sometimes after its pods were given up.
  void fail_power() {
    Machine& machine = cluster_.machines()[world_.below(cluster_.machines().size())];
    cluster_.power_off(machine);
    actor_.later(world_.chance(0.3) ? world_.between(60s, 100s) : world_.between(1s, 30s),
                 [this, &machine] { cluster_.power_on(machine); });
  }
  // A process exits, is evicted, or is not ready for a while: perhaps long enough to count as broken.
  void hurt_process() {
    Machine& machine = cluster_.machines()[world_.below(cluster_.machines().size())];
    if (machine.processes.empty()) return;
    auto at = machine.processes.begin();
    std::advance(at, world_.below(machine.processes.size()));
    if (world_.chance(0.6)) {
      at->second.fail_at = world_.now();
      at->second.evicted = world_.chance(0.4);
    } else {
      at->second.unready_until =
          world_.now() + (world_.chance(0.3) ? world_.between(10s, 60s) : world_.between(100ms, 5s));
    }
    cluster_.notify_agent(machine, at->first);
  }

  HistoryOptions options_;
  bool big_, long_;
  Cluster cluster_;
  World& world_;
  UserActor actor_;
};

}  // namespace

HistoryOutcome run_history(const HistoryOptions& options) { return History(options).run(); }

}  // namespace berth::sim
