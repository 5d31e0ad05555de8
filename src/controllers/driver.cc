#include "controllers/driver.h"

#include <algorithm>
#include <map>

#include "api/metadata.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"

namespace berth::controllers {
namespace {

constexpr Duration kLongPlan = 200us;
// chains of one plan that run at once; doubles with each success up to writes_in_flight
constexpr int kFirstWrites = 16;

// Result of one action.
enum class Outcome {
  kDone,
  kStale,                 // the caches do not contain the object's present version, or the outcome is unknown: requeue
  kFailed,                // refused: requeue with back-off
  kNamespaceTerminating,  // the namespace is being deleted, and the object with it: no requeue, no event
};

// A key that is not planned.
struct PausedKey {
  std::uint64_t version = 0;
  Duration until{};  // monotonic
  bool quarantined = false;
};

// One plan that is being executed. Its key is locked (not planned) until finish() has released it.
struct Run {
  std::string key;
  Plan plan;
  Duration started{};
  Duration pause_until{};  // the key's next plan does not start earlier
  std::size_t next_chain = 0;
  int in_flight = 0;
  int window = kFirstWrites;
  bool stale = false;
  bool failed = false;
  std::string why;  // the text of the first refusal
  bool namespace_terminating = false;
  void add_outcome(Outcome outcome) {
    stale |= outcome == Outcome::kStale;
    failed |= outcome == Outcome::kFailed;
    namespace_terminating |= outcome == Outcome::kNamespaceTerminating;
  }
  bool may_continue() const { return !stale && !failed && !namespace_terminating; }
  // Each watched informer's revision when the plan was computed.
  std::vector<std::pair<const Informer*, std::int64_t>> revisions;

  // Waits for the caches that must end before the key's next plan, and the timer that bounds them.
  int waits = 0;
  bool all_waits_added = false;
  bool finished = false;
  TimerId timer = 0;
};
using RunPtr = std::shared_ptr<Run>;
using ActionDone = Function<void(Outcome)>;

struct Counters {
  metrics::Counter& plans;
  metrics::Counter& actions;
  metrics::Counter& conflicts;
  metrics::Counter& failures;
  metrics::Gauge& depth;
  metrics::Histogram& seconds;
  explicit Counters(const std::string& name)
      : plans(metrics::counter("berth_controller_plans_total", "Plans made.", "controller=\"" + name + "\"")),
        actions(metrics::counter("berth_controller_actions_total", "Writes asked for.", "controller=\"" + name + "\"")),
        conflicts(metrics::counter("berth_controller_stale_total", "Writes that met a stale cache.",
                                   "controller=\"" + name + "\"")),
        failures(metrics::counter("berth_controller_failures_total", "Writes refused and plans not made.",
                                  "controller=\"" + name + "\"")),
        depth(metrics::gauge("workqueue_depth", "Keys ready to be looked at.", "name=\"" + name + "\"")),
        seconds(metrics::histogram("berth_controller_plan_seconds", "Time from the plan to the last answer.",
                                   {0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2, 10}, "controller=\"" + name + "\"")) {}
};

bool has_cause(const Error& error, std::string_view reason) {
  if (!error.details) return false;
  return std::any_of(error.details->causes.begin(), error.details->causes.end(),
                     [&](const Cause& cause) { return cause.reason == reason; });
}

void add_once(Keys& keys, std::string key) {
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(std::move(key));
}

}  // namespace

// --- Actions and plans

Action& Action::succeeded(const Value& about, std::string_view type, std::string_view reason, std::string message) {
  on_success.push_back(EventSpec{about, std::string(type), std::string(reason), std::move(message)});
  return *this;
}

Action& Action::failed(const Value& about, std::string_view type, std::string_view reason, std::string message) {
  on_failure.push_back(EventSpec{about, std::string(type), std::string(reason), std::move(message)});
  return *this;
}

Action create(const api::Resource& resource, Value object) {
  Action action;
  action.verb = Action::Verb::kCreate;
  action.resource = resource;
  action.name = api::name_key(object);
  action.object = std::move(object);
  return action;
}

Action create_sub(const api::Resource& resource, api::Name name, std::string_view subresource, Value object) {
  Action action;
  action.verb = Action::Verb::kCreateSub;
  action.resource = resource;
  action.name = std::move(name);
  action.subresource = subresource;
  action.object = std::move(object);
  return action;
}

Action update(const api::Resource& resource, Value object) {
  Action action;
  action.verb = Action::Verb::kUpdate;
  action.resource = resource;
  action.name = api::name_key(object);
  action.object = std::move(object);
  return action;
}

Action update_status(const api::Resource& resource, Value object) {
  Action action = update(resource, std::move(object));
  action.subresource = "status";
  return action;
}

Action patch(const api::Resource& resource, const Value& target, api::PatchType type, Value change,
             bool exact_version) {
  Action action;
  action.verb = Action::Verb::kPatch;
  action.resource = resource;
  action.name = api::name_key(target);
  action.patch_type = type;
  if (type == api::PatchType::kMerge || type == api::PatchType::kStrategic) {
    Value& metadata = change.mut("metadata");
    if (!api::uid_of(target).empty()) metadata.set("uid", api::uid_of(target));
    if (exact_version) metadata.set("resourceVersion", api::resource_version_of(target));
  }
  action.object = std::move(change);
  return action;
}

Action patch_status(const api::Resource& resource, const Value& target, Value merge_patch, bool exact_version) {
  Action action = patch(resource, target, api::PatchType::kMerge, std::move(merge_patch), exact_version);
  action.subresource = "status";
  return action;
}

Action remove(const api::Resource& resource, const Value& target, std::int64_t grace_seconds,
              std::string_view propagation) {
  Action action;
  action.verb = Action::Verb::kDelete;
  action.resource = resource;
  action.name = api::name_key(target);
  action.object = target;
  action.options.grace_seconds = grace_seconds;
  action.options.propagation = propagation;
  action.options.uid = std::string(api::uid_of(target));
  return action;
}

Action confirm(const api::Resource& resource, const Value& target) {
  Action action;
  action.verb = Action::Verb::kConfirm;
  action.resource = resource;
  action.name = api::name_key(target);
  action.object = target;
  return action;
}

Action confirm_version(const api::Resource& resource, const Value& target) {
  Action action = confirm(resource, target);
  action.options.resource_version = std::string(api::resource_version_of(target));
  return action;
}

Plan& Plan::add(Action action) {
  chains.emplace_back();
  chains.back().push_back(std::move(action));
  return *this;
}

Plan& Plan::add_chain(std::vector<Action> actions) {
  if (!actions.empty()) chains.push_back(std::move(actions));
  return *this;
}

Plan& Plan::event(const Value& object, std::string_view type, std::string_view reason, std::string message) {
  events.push_back(EventSpec{object, std::string(type), std::string(reason), std::move(message)});
  return *this;
}

void Plan::requeue_after(Duration after) { requeue_delay = requeue_delay ? std::min(*requeue_delay, after) : after; }

// --- Keys

std::string key_of(const Value& object) { return api::name_key(object).to_string(); }

api::Name name_of_key(std::string_view key) {
  const Cut parts = cut(key, "/");
  if (!parts.found) return api::Name{"", std::string(key)};
  return api::Name{std::string(parts.before), std::string(parts.after)};
}

WatchedCollection watch_self(Informer& informer) {
  return WatchedCollection{&informer, [](const Value& before, const Value& after, Keys& keys) {
                             add_once(keys, key_of(after.is_null() ? before : after));
                           }};
}

WatchedCollection watch_owner(Informer& informer, std::string_view api_group, std::string_view kind) {
  return WatchedCollection{
      &informer,
      [group = std::string(api_group), kind = std::string(kind)](const Value& before, const Value& after, Keys& keys) {
        for (const Value* object : {&before, &after}) {
          const Value& owner = api::controller_of(*object);
          if (owner["kind"].as_string() != kind) continue;
          if (api::GroupVersion::parse(owner["apiVersion"].as_string()).group != group) continue;
          add_once(keys, api::Name{std::string(api::namespace_of(*object)), owner["name"].str()}.to_string());
        }
      }};
}

WatchedCollection watch_mapped(Informer& informer, KeyMapping mapping) {
  return WatchedCollection{&informer, std::move(mapping)};
}

// --- The driver

struct Driver::Impl : std::enable_shared_from_this<Driver::Impl> {
  Impl(InformerSet& informers, std::unique_ptr<Controller> owned, Options options)
      : informers(informers),
        runtime(informers.runtime()),
        controller(std::move(owned)),
        options(std::move(options)),
        counters(controller->name()),
        queue(runtime, this->options.backoff, [this] { pump(); }),
        budget(this->options.writes),
        recorder(runtime, informers.client(), controller->component()),
        own_recorder(runtime, informers.client(), controller->component()) {
    if (this->options.field_manager.empty()) this->options.field_manager = controller->component();
    record = this->options.record;
    if (!record) return;
    slot = record->slot_of(controller->name());
    for (const Death& death : record->quarantined(controller->name())) {
      if (death.key.starts_with(kChangePrefix)) quarantined_changes[death.key] = 0;
    }
  }

  void start();
  void pump();
  void start_plan(const std::string& key);
  void run_first(const RunPtr& run, std::size_t at);
  void start_chains(const RunPtr& run);
  void run_chain(const RunPtr& run, std::size_t chain, std::size_t at);
  void run_sequence(const RunPtr& run, const std::vector<Action>* rest, std::size_t at);
  void wait_for_caches(const RunPtr& run);
  void finish(const RunPtr& run);
  void release_key(const std::string& key);

  Value object_of_key(const std::string& key) const;
  void on_change(const WatchedCollection& watched, const Value& before, const Value& after);
  bool is_quarantined_change(const std::string& resource, const Value& before, const Value& after);
  void load_quarantine();
  bool is_paused(const std::string& key);
  bool is_over_budget(const std::string& key);
  void set_aside(const std::string& key, const std::string& why);
  // Runs `body`; an exception sets the key aside. False if there was one.
  template <class Body>
  bool guarded(const std::string& key, Body body);

  void execute(const RunPtr& run, const Action& action, ActionDone done);
  void send(const Action& action, const api::WriteOptions& write, client::Client::Done callback);
  void on_answer(const RunPtr& run, const Action& action, const Value& cached, Result<Value> answer, ActionDone done);
  void reread(const RunPtr& run, const Action& action, const Value& cached, const Error& why, ActionDone done);
  void on_refused(const RunPtr& run, const Action& action, const Error& error);
  void emit(const EventSpec& spec, const std::string& detail = {});

  Informer* informer_of(const Action& action) const { return informers.find(action.resource); }
  std::int64_t revision_seen(const RunPtr& run, const Informer* informer) const;
  void await_revision(const RunPtr& run, const Action& action, std::int64_t revision);
  void await_change(const RunPtr& run, const Action& action, const Value& cached);
  Task make_wait(const RunPtr& run);

  InformerSet& informers;
  Runtime& runtime;
  std::unique_ptr<Controller> controller;
  Options options;
  Counters counters;
  WorkQueue queue;
  WriteBudget budget;
  std::map<std::string, PausedKey> paused_keys;
  std::map<std::string, std::uint64_t>
      quarantined_changes;  // by change_key(): the object's hash; 0: object not seen yet
  HandlingRecord* record = nullptr;
  int slot = -1;
  EventRecorder recorder;
  // For the driver's own events. Not `recorder`: a controller that writes in a loop has used up that recorder's
  // allowance for the object.
  EventRecorder own_recorder;
  std::vector<WatchedCollection> watching;
  std::vector<std::unique_ptr<Subscription>> subscriptions;
  std::size_t unsynced = 0;
  bool pumping = false;  // a pump task is posted
  int running = 0;       // plans being carried out
};

void Driver::Impl::start() {
  watching = controller->watches();
  unsynced = watching.size();
  for (WatchedCollection& collection : watching) {
    subscriptions.push_back(
        collection.informer->subscribe([this, watched = &collection](const Value& before, const Value& after) {
          on_change(*watched, before, after);
        }));
    collection.informer->when_synced([weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || --self->unsynced > 0) return;
      self->load_quarantine();
      self->pump();
    });
  }
}

void Driver::Impl::on_change(const WatchedCollection& watched, const Value& before, const Value& after) {
  const Value& object = after.is_null() ? before : after;
  const std::string& resource = watched.informer->resource().resource;
  if (!quarantined_changes.empty() && is_quarantined_change(resource, before, after)) return;
  const Value& metadata = object["metadata"];
  const std::string_view ns = metadata["namespace"].as_string(), name = metadata["name"].as_string();
  const HandlingRecord::Mark mark(record, slot, resource, ns, name);
  Keys keys;
  try {
    const InvariantsThrow throwing;
    watched.mapping(before, after, keys);
  } catch (const std::exception& thrown) {
    log_error(controller->name(), "cannot read a change", {{"object", key_of(object)}, {"error", thrown.what()}});
  }
  if (record && record->has_deaths()) record->forget(controller->name(), change_key(resource, ns, name));
  for (const std::string& key : keys) queue.add(key);
}

// --- Keys that are not planned, or not now

// A change of an object that the server died on while reading its changes is skipped while the object's hash is the
// same.
bool Driver::Impl::is_quarantined_change(const std::string& resource, const Value& before, const Value& after) {
  const Value& object = after.is_null() ? before : after;
  const std::string key = change_key(resource, api::namespace_of(object), api::name_of(object));
  const auto found = quarantined_changes.find(key);
  if (found == quarantined_changes.end()) return false;
  const std::uint64_t version = desired_hash(after);
  if (version != 0 && found->second == 0) {
    found->second = version;
    log_warning(controller->name(), "left alone: the server died on it", {{"object", key}});
    own_recorder.event(after, kWarning, "Quarantined",
                       quarantine_message({controller->name(), key, HandlingRecord::kDeathsToQuarantine}));
  }
  if (version != 0 && found->second == version) return true;
  quarantined_changes.erase(found);
  record->forget(controller->name(), key);
  return version == 0;  // deleted, and no controller has seen it
}

Value Driver::Impl::object_of_key(const std::string& key) const {
  return watching.empty() ? Value() : controller->object_of_key(key, *watching.front().informer);
}

void Driver::Impl::load_quarantine() {
  if (!record) return;
  for (const Death& death : record->quarantined(controller->name())) {
    const auto change = quarantined_changes.find(death.key);
    if (change != quarantined_changes.end() && change->second != 0) continue;
    const Value object = change == quarantined_changes.end() ? object_of_key(death.key) : Value();
    if (object.is_null()) {
      record->forget(death.controller, death.key);
      quarantined_changes.erase(death.key);
      continue;
    }
    paused_keys[death.key] = PausedKey{desired_hash(object), Duration::max(), true};
    log_warning(controller->name(), "left alone: the server died on it",
                {{"object", death.key}, {"times", std::to_string(death.times)}});
    own_recorder.event(object, kWarning, "Quarantined", quarantine_message(death));
  }
}

bool Driver::Impl::is_paused(const std::string& key) {
  if (paused_keys.empty()) return false;
  const auto found = paused_keys.find(key);
  if (found == paused_keys.end()) return false;
  const PausedKey& paused = found->second;
  if (paused.version == desired_hash(object_of_key(key)) && runtime.monotonic() < paused.until) return true;
  if (paused.quarantined && record) record->forget(controller->name(), key);
  paused_keys.erase(found);
  return false;
}

void Driver::Impl::set_aside(const std::string& key, const std::string& why) {
  log_error(controller->name(), "cannot handle an object", {{"object", key}, {"error", why}});
  const Value object = object_of_key(key);
  paused_keys[key] = PausedKey{desired_hash(object), runtime.monotonic() + kSetAside, false};
  queue.add_after(key, kSetAside);
  if (object.is_null()) return;
  own_recorder.event(object, kWarning, "SetAside",
                     "The controller " + controller->name() + " cannot handle this object: " + why +
                         ". It is tried again when the object is changed, or in five minutes");
}

bool Driver::Impl::is_over_budget(const std::string& key) {
  const Duration wait = budget.delay_for(key, runtime.monotonic());
  if (wait == Duration::zero()) return false;
  queue.add_after(key, wait);
  if (!budget.should_report_delay(key)) return true;
  const int rate = static_cast<int>(budget.per_second(key));
  log_warning(controller->name(), "writes held back", {{"object", key}, {"per second", std::to_string(rate)}});
  const Value object = object_of_key(key);
  if (object.is_null()) return true;
  own_recorder.event(object, kWarning, "WritesHeldBack",
                     "The controller " + controller->name() +
                         " writes for this object again and again, as if something undid it. It goes on with about " +
                         std::to_string(rate) + " writes a second; kubectl get events shows what it does");
  return true;
}

template <class Body>
bool Driver::Impl::guarded(const std::string& key, Body body) {
  const HandlingRecord::Mark mark(record, slot, key);
  try {
    body();
    return true;
  } catch (const std::exception& thrown) {
    set_aside(key, thrown.what());
  }
  return false;
}

// One key per task of the loop, so that thousands of ready keys do not delay other tasks.
void Driver::Impl::pump() {
  counters.depth.set(static_cast<std::int64_t>(queue.ready()));
  if (pumping || unsynced > 0 || queue.ready() == 0 || running >= options.keys_in_flight) return;
  pumping = true;
  runtime.post([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->pumping = false;
    if (self->running >= self->options.keys_in_flight) return;
    if (auto key = self->queue.pop()) {
      if (self->is_paused(*key) || self->is_over_budget(*key)) {
        self->queue.done(*key);
      } else {
        self->start_plan(*key);
      }
    }
    self->pump();
  });
}

void Driver::Impl::start_plan(const std::string& key) {
  auto run = std::make_shared<Run>();
  run->key = key;
  run->started = runtime.monotonic();
  for (const WatchedCollection& collection : watching)
    run->revisions.emplace_back(collection.informer, collection.informer->revision());
  counters.plans.add();
  const bool planned_well = guarded(key, [&] {
    const InvariantsThrow throwing;
    run->plan = controller->plan(key, runtime.now());
  });
  if (!planned_well) {
    counters.failures.add();
    return queue.done(key);
  }
  budget.set_members(key, static_cast<int>(std::min<std::size_t>(run->plan.members, INT32_MAX)), runtime.monotonic());
  const Duration planned = runtime.monotonic();
  if (planned - run->started > kLongPlan)
    run->pause_until = planned + std::min<Duration>((planned - run->started) * run->plan.pause_factor, 1s);
  for (const EventSpec& spec : run->plan.events) emit(spec);
  if (!run->plan.problem.empty()) {
    log_debug(controller->name(), "no plan", {{"key", key}, {"problem", run->plan.problem}});
    run->failed = true;
  }
  ++running;
  run_first(run, 0);
}

void Driver::Impl::run_first(const RunPtr& run, std::size_t at) {
  if (at >= run->plan.first.size() || !run->may_continue()) return start_chains(run);
  execute(run, run->plan.first[at], [this, run, at](Outcome outcome) {
    run->add_outcome(outcome);
    run_first(run, at + 1);
  });
}

void Driver::Impl::start_chains(const RunPtr& run) {
  while (run->next_chain < run->plan.chains.size() && run->may_continue() && run->in_flight < run->window) {
    ++run->in_flight;
    run_chain(run, run->next_chain++, 0);
  }
  if (run->in_flight > 0) return;
  if (run->failed && run->plan.explain_refusal)
    std::exchange(run->plan.explain_refusal, nullptr)(run->why, run->plan.otherwise);
  const std::vector<Action>* rest = run->failed           ? &run->plan.otherwise
                                    : run->may_continue() ? &run->plan.then
                                                          : nullptr;
  run_sequence(run, rest, 0);
}

void Driver::Impl::run_chain(const RunPtr& run, std::size_t chain, std::size_t at) {
  execute(run, run->plan.chains[chain][at], [this, run, chain, at](Outcome outcome) {
    if (outcome == Outcome::kDone) {
      run->window = std::min(run->window * 2, options.writes_in_flight);
      if (at + 1 < run->plan.chains[chain].size()) return run_chain(run, chain, at + 1);
    } else {
      run->add_outcome(outcome);
    }
    --run->in_flight;
    start_chains(run);
  });
}

void Driver::Impl::run_sequence(const RunPtr& run, const std::vector<Action>* rest, std::size_t at) {
  if (!rest || at >= rest->size()) return wait_for_caches(run);
  execute(run, (*rest)[at], [this, run, rest, at](Outcome outcome) {
    if (outcome == Outcome::kDone) return run_sequence(run, rest, at + 1);
    run->add_outcome(outcome);
    wait_for_caches(run);
  });
}

// The key stays locked until the caches contain the plan's writes: its next plan would otherwise be computed from the
// state before them.
void Driver::Impl::wait_for_caches(const RunPtr& run) {
  counters.seconds.observe(std::chrono::duration<double>(runtime.monotonic() - run->started).count());
  --running;
  run->all_waits_added = true;
  if (run->waits == 0) return finish(run);
  run->timer = runtime.after(options.own_writes_wait, [weak = weak_from_this(), run] {
    run->timer = 0;
    if (auto self = weak.lock()) self->finish(run);
  });
  pump();
}

void Driver::Impl::finish(const RunPtr& run) {
  if (run->finished) return;
  run->finished = true;
  if (run->timer) runtime.cancel(run->timer);
  if (run->failed || run->stale) {
    queue.add_failed(run->key);
  } else {
    queue.forget(run->key);
    if (record && record->has_deaths()) record->forget(controller->name(), run->key);
  }
  if (run->plan.requeue_delay) queue.add_after(run->key, std::max<Duration>(*run->plan.requeue_delay, 1ms));
  const Duration rest = run->pause_until - runtime.monotonic();
  if (rest <= Duration::zero()) return release_key(run->key);
  runtime.after(rest, [weak = weak_from_this(), key = run->key] {
    if (auto self = weak.lock()) self->release_key(key);
  });
}

void Driver::Impl::release_key(const std::string& key) {
  queue.done(key);
  pump();
}

Task Driver::Impl::make_wait(const RunPtr& run) {
  ++run->waits;
  return [weak = weak_from_this(), run] {
    auto self = weak.lock();
    if (self && --run->waits == 0 && run->all_waits_added) self->finish(run);
  };
}

void Driver::Impl::await_revision(const RunPtr& run, const Action& action, std::int64_t revision) {
  Informer* informer = informer_of(action);
  if (informer && revision > informer->revision()) informer->when_seen(revision, make_wait(run));
}

void Driver::Impl::await_change(const RunPtr& run, const Action& action, const Value& cached) {
  Informer* informer = informer_of(action);
  if (!informer || cached.is_null()) return;
  informer->when_moved_on(action.name, std::string(api::uid_of(cached)), std::string(api::resource_version_of(cached)),
                          make_wait(run));
}

std::int64_t Driver::Impl::revision_seen(const RunPtr& run, const Informer* informer) const {
  for (const auto& [watched, revision] : run->revisions) {
    if (watched == informer) return revision;
  }
  return informer ? informer->revision() : 0;
}

void Driver::Impl::emit(const EventSpec& spec, const std::string& detail) {
  recorder.event(spec.object, spec.type, spec.reason, spec.message + detail);
}

void Driver::Impl::execute(const RunPtr& run, const Action& action, ActionDone done) {
  counters.actions.add();
  const Informer* informer = informer_of(action);
  // The cached object before the write. If the answer is lost, a change of the cached object shows that the write was
  // applied.
  Value cached = informer ? informer->get(action.name) : Value();
  api::WriteOptions write;
  write.subresource = action.subresource;
  write.field_manager = options.field_manager;
  write.force = action.force;
  auto callback = [weak = weak_from_this(), run, action = &action, cached,
                   done = std::move(done)](Result<Value> answer) mutable {
    if (auto self = weak.lock()) self->on_answer(run, *action, cached, std::move(answer), std::move(done));
  };
  if (action.verb != Action::Verb::kConfirm) budget.spend(run->key, 1, runtime.monotonic());
  if (guarded(run->key, [&] { send(action, write, std::move(callback)); })) return;
  // The callback is destroyed and will not be called.
  run->failed = true;
  runtime.post([weak = weak_from_this(), run] {
    if (auto self = weak.lock()) self->wait_for_caches(run);
  });
}

void Driver::Impl::send(const Action& action, const api::WriteOptions& write, client::Client::Done callback) {
  client::Client& client = informers.client();
  switch (action.verb) {
    case Action::Verb::kCreate: return client.create(action.resource, action.object, write, std::move(callback));
    case Action::Verb::kCreateSub:
      return client.create_sub(action.resource, action.name, action.object, write, std::move(callback));
    case Action::Verb::kUpdate: return client.update(action.resource, action.object, write, std::move(callback));
    case Action::Verb::kPatch:
      return client.patch(action.resource, action.name, action.patch_type, action.object, write, std::move(callback));
    case Action::Verb::kDelete: return client.remove(action.resource, action.name, action.options, std::move(callback));
    case Action::Verb::kConfirm: return client.get(action.resource, action.name, std::move(callback));
  }
}

void Driver::Impl::on_answer(const RunPtr& run, const Action& action, const Value& cached, Result<Value> answer,
                             ActionDone done) {
  const HandlingRecord::Mark mark(record, slot, run->key);
  if (answer.ok()) {
    if (action.verb == Action::Verb::kConfirm) {
      const Value& live = answer.value();
      const std::string& exact = action.options.resource_version;
      const bool holds = exact.empty() ? !api::is_terminating(live) : api::resource_version_of(live) == exact;
      if (holds && api::uid_of(live) == api::uid_of(action.object)) return done(Outcome::kDone);
      await_revision(run, action, api::resource_version_number(answer.value()));
      return done(Outcome::kStale);
    }
    if (action.verb == Action::Verb::kDelete) {
      // The answer may be a Status or an object; wait until the cache no longer contains the deleted object.
      await_change(run, action, action.object);
    } else if (action.verb == Action::Verb::kCreateSub) {
      await_change(run, action, cached);
    } else {
      await_revision(run, action, api::resource_version_number(answer.value()));
    }
    for (EventSpec spec : action.on_success) {
      if (spec.object.is_null()) spec.object = answer.value();
      emit(spec);
    }
    return done(Outcome::kDone);
  }
  const Error& error = answer.error();
  switch (error.code) {
    case Code::kNotFound:
      if (action.verb == Action::Verb::kCreate || action.verb == Action::Verb::kCreateSub)
        break;  // the namespace, or the object of the subresource, does not exist
      // The object is gone already: success for a delete, a stale cache for an update.
      await_change(run, action, action.verb == Action::Verb::kDelete ? action.object : cached);
      return done(action.verb == Action::Verb::kDelete ? Outcome::kDone : Outcome::kStale);
    case Code::kConflict:
      counters.conflicts.add();
      if (action.verb == Action::Verb::kDelete) {
        await_change(run, action, action.object);
        return done(Outcome::kStale);
      }
      return reread(run, action, cached, error, std::move(done));
    case Code::kAlreadyExists:
    case Code::kUnknown: return reread(run, action, cached, error, std::move(done));
    case Code::kForbidden:
      if (action.verb == Action::Verb::kCreate && has_cause(error, "NamespaceTerminating"))
        return done(Outcome::kNamespaceTerminating);
      break;
    default: break;
  }
  on_refused(run, action, error);
  done(Outcome::kFailed);
}

void Driver::Impl::reread(const RunPtr& run, const Action& action, const Value& cached, const Error& why,
                          ActionDone done) {
  informers.client().get(action.resource, action.name,
                         [weak = weak_from_this(), run, action = &action, cached, why,
                          done = std::move(done)](Result<Value> found) mutable {
                           auto self = weak.lock();
                           if (!self) return;
                           if (!found.ok() && found.error().code != Code::kNotFound) return done(Outcome::kFailed);
                           if (!found.ok()) {
                             self->await_change(run, *action, cached);
                             return done(Outcome::kStale);
                           }
                           const std::int64_t revision = api::resource_version_number(found.value());
                           if (why.code == Code::kAlreadyExists) {
                             const Informer* informer = self->informer_of(*action);
                             if (!informer || revision <= self->revision_seen(run, informer)) {
                               // the plan's cache contained it: it belongs to another owner
                               self->on_refused(run, *action, why);
                               return done(Outcome::kFailed);
                             }
                           }
                           self->await_revision(run, *action, revision);
                           done(Outcome::kStale);
                         });
}

void Driver::Impl::on_refused(const RunPtr& run, const Action& action, const Error& error) {
  if (run->why.empty()) run->why = error.message;
  counters.failures.add();
  // An unreachable server says nothing about the object: emit no event.
  if (error.code == Code::kUnavailable || error.code == Code::kTimeout) return;
  log_warning(
      controller->name(), "write refused",
      {{"resource", action.resource.group_resource()}, {"name", action.name.to_string()}, {"error", error.message}});
  for (const EventSpec& spec : action.on_failure) emit(spec, error.message);
}

Driver::Driver(InformerSet& informers, std::unique_ptr<Controller> controller)
    : Driver(informers, std::move(controller), Options()) {}

Driver::Driver(InformerSet& informers, std::unique_ptr<Controller> controller, Options options)
    : impl_(std::make_shared<Impl>(informers, std::move(controller), std::move(options))) {
  impl_->start();
}

// Callbacks in flight hold weak pointers only and do nothing once the state is destroyed.
Driver::~Driver() = default;

void Driver::enqueue(const std::string& key) { impl_->queue.add(key); }

void Driver::on_clock_changed() { impl_->queue.add_waiting(); }

bool Driver::idle() const {
  return impl_->queue.idle() && impl_->running == 0 && impl_->recorder.pending() == 0 &&
         impl_->own_recorder.pending() == 0;
}

Controller& Driver::controller() { return *impl_->controller; }

}  // namespace berth::controllers
