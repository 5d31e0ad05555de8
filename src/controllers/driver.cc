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
constexpr int kFirstWrites = 16;  // chains of one plan at once; doubles with each success up to writes_in_flight

// How one action went.
enum class Outcome {
  kDone,
  kStale,   // it met a state that the caches do not show yet, or nothing is known: look again
  kFailed,  // refused: back off
  kMoot,    // its namespace is going away, and the object with it: nothing to be done, and nothing to be told
};

// A key that is not looked at.
struct Aside {
  std::uint64_t version = 0;
  Duration until{};  // monotonic
  bool quarantined = false;
};

// One plan being carried out.
struct Run {
  std::string key;
  Plan plan;
  Duration started{};
  Duration rest_until{};  // the key's next plan comes no earlier
  std::size_t next_chain = 0;
  int in_flight = 0;
  int window = kFirstWrites;
  bool stale = false;
  bool failed = false;
  std::string why;  // the text of the first refusal
  bool moot = false;
  void note(Outcome outcome) {
    stale |= outcome == Outcome::kStale;
    failed |= outcome == Outcome::kFailed;
    moot |= outcome == Outcome::kMoot;
  }
  bool goes_on() const { return !stale && !failed && !moot; }
  // What the caches included when the plan was made.
  std::vector<std::pair<const Informer*, std::int64_t>> seen;

  // What has to be seen before the next plan: waits still open, and the timer that bounds them.
  int waits = 0;
  bool all_waits_known = false;
  bool concluded = false;
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

Watching watch_self(Informer& informer) {
  return Watching{&informer, [](const Value& before, const Value& after, Keys& keys) {
                    add_once(keys, key_of(after.is_null() ? before : after));
                  }};
}

Watching watch_owner(Informer& informer, std::string_view api_group, std::string_view kind) {
  return Watching{
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

Watching watch_mapped(Informer& informer, KeyMapping mapping) { return Watching{&informer, std::move(mapping)}; }

// --- The driver

struct Driver::State : std::enable_shared_from_this<Driver::State> {
  State(InformerSet& informers, std::unique_ptr<Controller> owned, Options options)
      : informers(informers),
        runtime(informers.runtime()),
        controller(std::move(owned)),
        options(std::move(options)),
        counters(controller->name()),
        queue(runtime, this->options.backoff, [this] { pump(); }),
        budget(this->options.writes),
        recorder(runtime, informers.client(), controller->component()),
        notices(runtime, informers.client(), controller->component()) {
    if (this->options.field_manager.empty()) this->options.field_manager = controller->component();
    record = this->options.record;
    if (!record) return;
    slot = record->slot_of(controller->name());
    for (const Death& one : record->quarantined(controller->name())) {
      if (one.key.starts_with(kChangeOf)) changes_left_alone[one.key] = 0;
    }
  }

  void start();
  void pump();
  void begin(const std::string& key);
  void do_first(const RunPtr& run, std::size_t at);
  void start_chains(const RunPtr& run);
  void step(const RunPtr& run, std::size_t chain, std::size_t at);
  void finish_sequence(const RunPtr& run, const std::vector<Action>* rest, std::size_t at);
  void wait_for_caches(const RunPtr& run);
  void conclude(const RunPtr& run);
  void release(const std::string& key);

  Value subject(const std::string& key) const;
  void read_change(const Watching& watched, const Value& before, const Value& after);
  bool is_change_left_alone(const std::string& resource, const Value& before, const Value& after);
  void quarantine();
  bool is_aside(const std::string& key);
  bool is_held_back(const std::string& key);
  void set_aside(const std::string& key, const std::string& why);
  // Runs `body`; what it throws sets the key aside. False where it threw.
  template <class Body>
  bool guarded(const std::string& key, Body body);

  void execute(const RunPtr& run, const Action& action, ActionDone done);
  void send(const Action& action, const api::WriteOptions& write, client::Client::Done callback);
  void answered(const RunPtr& run, const Action& action, const Value& cached, Result<Value> answer, ActionDone done);
  void read_again(const RunPtr& run, const Action& action, const Value& cached, const Error& why, ActionDone done);
  void refused(const RunPtr& run, const Action& action, const Error& error);
  void emit(const EventSpec& spec, const std::string& more = {});

  Informer* informer_of(const Action& action) const { return informers.find(action.resource); }
  std::int64_t seen_by(const RunPtr& run, const Informer* informer) const;
  void expect_revision(const RunPtr& run, const Action& action, std::int64_t revision);
  void expect_moved_on(const RunPtr& run, const Action& action, const Value& cached);
  Task wait_over(const RunPtr& run);

  InformerSet& informers;
  Runtime& runtime;
  std::unique_ptr<Controller> controller;
  Options options;
  Counters counters;
  WorkQueue queue;
  WriteBudget budget;
  std::map<std::string, Aside> aside;
  std::map<std::string, std::uint64_t>
      changes_left_alone;  // by change_key(): what the object asks for; 0: not seen yet
  HandlingRecord* record = nullptr;
  int slot = -1;
  EventRecorder recorder;
  // Of what the driver itself has to tell: a controller that writes in a loop has used up what the other allows for an
  // object.
  EventRecorder notices;
  std::vector<Watching> watching;
  std::vector<std::unique_ptr<Subscription>> subscriptions;
  std::size_t unsynced = 0;
  bool pumping = false;  // a pump task is posted
  int running = 0;       // plans being carried out
};

void Driver::State::start() {
  watching = controller->watches();
  unsynced = watching.size();
  for (Watching& one : watching) {
    subscriptions.push_back(one.informer->subscribe(
        [this, watched = &one](const Value& before, const Value& after) { read_change(*watched, before, after); }));
    one.informer->when_synced([weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || --self->unsynced > 0) return;
      self->quarantine();
      self->pump();
    });
  }
}

void Driver::State::read_change(const Watching& watched, const Value& before, const Value& after) {
  const Value& object = after.is_null() ? before : after;
  const std::string& resource = watched.informer->resource().resource;
  if (!changes_left_alone.empty() && is_change_left_alone(resource, before, after)) return;
  const Value& metadata = object["metadata"];
  const std::string_view ns = metadata["namespace"].as_string(), name = metadata["name"].as_string();
  const HandlingRecord::Note note(record, slot, resource, ns, name);
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

// --- Keys that are not looked at, or not now

// An object whose changes the server died on reading, until it is another one.
bool Driver::State::is_change_left_alone(const std::string& resource, const Value& before, const Value& after) {
  const Value& object = after.is_null() ? before : after;
  const std::string key = change_key(resource, api::namespace_of(object), api::name_of(object));
  const auto found = changes_left_alone.find(key);
  if (found == changes_left_alone.end()) return false;
  const std::uint64_t version = version_of(after);
  if (version != 0 && found->second == 0) {
    found->second = version;
    log_warning(controller->name(), "left alone: the server died on it", {{"object", key}});
    notices.event(after, kWarning, "Quarantined",
                  quarantine_message({controller->name(), key, HandlingRecord::kDeathsToQuarantine}));
  }
  if (version != 0 && found->second == version) return true;
  changes_left_alone.erase(found);
  record->forget(controller->name(), key);
  return version == 0;  // deleted, and nobody had heard of it
}

Value Driver::State::subject(const std::string& key) const {
  return watching.empty() ? Value() : controller->subject(key, *watching.front().informer);
}

void Driver::State::quarantine() {
  if (!record) return;
  for (const Death& one : record->quarantined(controller->name())) {
    const auto change = changes_left_alone.find(one.key);
    if (change != changes_left_alone.end() && change->second != 0) continue;
    const Value object = change == changes_left_alone.end() ? subject(one.key) : Value();
    if (object.is_null()) {
      record->forget(one.controller, one.key);
      changes_left_alone.erase(one.key);
      continue;
    }
    aside[one.key] = Aside{version_of(object), Duration::max(), true};
    log_warning(controller->name(), "left alone: the server died on it",
                {{"object", one.key}, {"times", std::to_string(one.times)}});
    notices.event(object, kWarning, "Quarantined", quarantine_message(one));
  }
}

bool Driver::State::is_aside(const std::string& key) {
  if (aside.empty()) return false;
  const auto found = aside.find(key);
  if (found == aside.end()) return false;
  const Aside& one = found->second;
  if (one.version == version_of(subject(key)) && runtime.monotonic() < one.until) return true;
  if (one.quarantined && record) record->forget(controller->name(), key);
  aside.erase(found);
  return false;
}

void Driver::State::set_aside(const std::string& key, const std::string& why) {
  log_error(controller->name(), "cannot handle an object", {{"object", key}, {"error", why}});
  const Value object = subject(key);
  aside[key] = Aside{version_of(object), runtime.monotonic() + kSetAside, false};
  queue.add_after(key, kSetAside);
  if (object.is_null()) return;
  notices.event(object, kWarning, "SetAside",
                "The controller " + controller->name() + " cannot handle this object: " + why +
                    ". It is tried again when the object is changed, or in five minutes");
}

bool Driver::State::is_held_back(const std::string& key) {
  const Duration wait = budget.wait(key, runtime.monotonic());
  if (wait == Duration::zero()) return false;
  queue.add_after(key, wait);
  if (!budget.tell(key)) return true;
  const int rate = static_cast<int>(budget.per_second(key));
  log_warning(controller->name(), "writes held back", {{"object", key}, {"per second", std::to_string(rate)}});
  const Value object = subject(key);
  if (object.is_null()) return true;
  notices.event(object, kWarning, "WritesHeldBack",
                "The controller " + controller->name() +
                    " writes for this object again and again, as if something undid it. It goes on with about " +
                    std::to_string(rate) + " writes a second; kubectl get events shows what it does");
  return true;
}

template <class Body>
bool Driver::State::guarded(const std::string& key, Body body) {
  const HandlingRecord::Note note(record, slot, key);
  try {
    body();
    return true;
  } catch (const std::exception& thrown) {
    set_aside(key, thrown.what());
  }
  return false;
}

// One key a turn of the loop, so that a storm of keys does not hold up everything else.
void Driver::State::pump() {
  counters.depth.set(static_cast<std::int64_t>(queue.ready()));
  if (pumping || unsynced > 0 || queue.ready() == 0 || running >= options.keys_in_flight) return;
  pumping = true;
  runtime.post([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->pumping = false;
    if (self->running >= self->options.keys_in_flight) return;
    if (auto key = self->queue.pop()) {
      if (self->is_aside(*key) || self->is_held_back(*key)) {
        self->queue.done(*key);
      } else {
        self->begin(*key);
      }
    }
    self->pump();
  });
}

void Driver::State::begin(const std::string& key) {
  auto run = std::make_shared<Run>();
  run->key = key;
  run->started = runtime.monotonic();
  for (const Watching& one : watching) run->seen.emplace_back(one.informer, one.informer->revision());
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
    run->rest_until = planned + std::min<Duration>((planned - run->started) * run->plan.rest, 1s);
  for (const EventSpec& spec : run->plan.events) emit(spec);
  if (!run->plan.problem.empty()) {
    log_debug(controller->name(), "no plan", {{"key", key}, {"problem", run->plan.problem}});
    run->failed = true;
  }
  ++running;
  do_first(run, 0);
}

void Driver::State::do_first(const RunPtr& run, std::size_t at) {
  if (at >= run->plan.first.size() || !run->goes_on()) return start_chains(run);
  execute(run, run->plan.first[at], [this, run, at](Outcome outcome) {
    run->note(outcome);
    do_first(run, at + 1);
  });
}

void Driver::State::start_chains(const RunPtr& run) {
  while (run->next_chain < run->plan.chains.size() && run->goes_on() && run->in_flight < run->window) {
    ++run->in_flight;
    step(run, run->next_chain++, 0);
  }
  if (run->in_flight > 0) return;
  if (run->failed && run->plan.explain) std::exchange(run->plan.explain, nullptr)(run->why, run->plan.otherwise);
  const std::vector<Action>* rest = run->failed ? &run->plan.otherwise : run->goes_on() ? &run->plan.then : nullptr;
  finish_sequence(run, rest, 0);
}

void Driver::State::step(const RunPtr& run, std::size_t chain, std::size_t at) {
  execute(run, run->plan.chains[chain][at], [this, run, chain, at](Outcome outcome) {
    if (outcome == Outcome::kDone) {
      run->window = std::min(run->window * 2, options.writes_in_flight);
      if (at + 1 < run->plan.chains[chain].size()) return step(run, chain, at + 1);
    } else {
      run->note(outcome);
    }
    --run->in_flight;
    start_chains(run);
  });
}

void Driver::State::finish_sequence(const RunPtr& run, const std::vector<Action>* rest, std::size_t at) {
  if (!rest || at >= rest->size()) return wait_for_caches(run);
  execute(run, (*rest)[at], [this, run, rest, at](Outcome outcome) {
    if (outcome == Outcome::kDone) return finish_sequence(run, rest, at + 1);
    run->note(outcome);
    wait_for_caches(run);
  });
}

// The key stays taken until the caches show what was written: its next plan would otherwise start from the past.
void Driver::State::wait_for_caches(const RunPtr& run) {
  counters.seconds.observe(std::chrono::duration<double>(runtime.monotonic() - run->started).count());
  --running;
  run->all_waits_known = true;
  if (run->waits == 0) return conclude(run);
  run->timer = runtime.after(options.own_writes_wait, [weak = weak_from_this(), run] {
    run->timer = 0;
    if (auto self = weak.lock()) self->conclude(run);
  });
  pump();
}

void Driver::State::conclude(const RunPtr& run) {
  if (run->concluded) return;
  run->concluded = true;
  if (run->timer) runtime.cancel(run->timer);
  if (run->failed || run->stale) {
    queue.add_failed(run->key);
  } else {
    queue.forget(run->key);
    if (record && record->has_deaths()) record->forget(controller->name(), run->key);
  }
  if (run->plan.requeue_delay) queue.add_after(run->key, std::max<Duration>(*run->plan.requeue_delay, 1ms));
  const Duration rest = run->rest_until - runtime.monotonic();
  if (rest <= Duration::zero()) return release(run->key);
  runtime.after(rest, [weak = weak_from_this(), key = run->key] {
    if (auto self = weak.lock()) self->release(key);
  });
}

void Driver::State::release(const std::string& key) {
  queue.done(key);
  pump();
}

Task Driver::State::wait_over(const RunPtr& run) {
  ++run->waits;
  return [weak = weak_from_this(), run] {
    auto self = weak.lock();
    if (self && --run->waits == 0 && run->all_waits_known) self->conclude(run);
  };
}

void Driver::State::expect_revision(const RunPtr& run, const Action& action, std::int64_t revision) {
  Informer* informer = informer_of(action);
  if (informer && revision > informer->revision()) informer->when_seen(revision, wait_over(run));
}

void Driver::State::expect_moved_on(const RunPtr& run, const Action& action, const Value& cached) {
  Informer* informer = informer_of(action);
  if (!informer || cached.is_null()) return;
  informer->when_moved_on(action.name, std::string(api::uid_of(cached)), std::string(api::resource_version_of(cached)),
                          wait_over(run));
}

std::int64_t Driver::State::seen_by(const RunPtr& run, const Informer* informer) const {
  for (const auto& [one, revision] : run->seen) {
    if (one == informer) return revision;
  }
  return informer ? informer->revision() : 0;
}

void Driver::State::emit(const EventSpec& spec, const std::string& more) {
  recorder.event(spec.object, spec.type, spec.reason, spec.message + more);
}

void Driver::State::execute(const RunPtr& run, const Action& action, ActionDone done) {
  counters.actions.add();
  const Informer* informer = informer_of(action);
  // What the cache shows before the write: a change of it is how the write is recognised where no answer tells.
  Value cached = informer ? informer->get(action.name) : Value();
  api::WriteOptions write;
  write.subresource = action.subresource;
  write.field_manager = options.field_manager;
  write.force = action.force;
  auto callback = [weak = weak_from_this(), run, action = &action, cached,
                   done = std::move(done)](Result<Value> answer) mutable {
    if (auto self = weak.lock()) self->answered(run, *action, cached, std::move(answer), std::move(done));
  };
  if (action.verb != Action::Verb::kConfirm) budget.spend(run->key, 1, runtime.monotonic());
  if (guarded(run->key, [&] { send(action, write, std::move(callback)); })) return;
  // Nobody will answer.
  run->failed = true;
  runtime.post([weak = weak_from_this(), run] {
    if (auto self = weak.lock()) self->wait_for_caches(run);
  });
}

void Driver::State::send(const Action& action, const api::WriteOptions& write, client::Client::Done callback) {
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

void Driver::State::answered(const RunPtr& run, const Action& action, const Value& cached, Result<Value> answer,
                             ActionDone done) {
  const HandlingRecord::Note note(record, slot, run->key);
  if (answer.ok()) {
    if (action.verb == Action::Verb::kConfirm) {
      const Value& found = answer.value();
      const std::string& exact = action.options.resource_version;
      const bool holds = exact.empty() ? !api::is_terminating(found) : api::resource_version_of(found) == exact;
      if (holds && api::uid_of(found) == api::uid_of(action.object)) return done(Outcome::kDone);
      expect_revision(run, action, api::resource_version_number(answer.value()));
      return done(Outcome::kStale);
    }
    if (action.verb == Action::Verb::kDelete) {
      // The answer may be a Status or an object; what counts is that the cache stops showing what was deleted.
      expect_moved_on(run, action, action.object);
    } else if (action.verb == Action::Verb::kCreateSub) {
      expect_moved_on(run, action, cached);
    } else {
      expect_revision(run, action, api::resource_version_number(answer.value()));
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
        break;  // its namespace, its object
      // Already gone: what a delete wanted, and what a change could not know.
      expect_moved_on(run, action, action.verb == Action::Verb::kDelete ? action.object : cached);
      return done(action.verb == Action::Verb::kDelete ? Outcome::kDone : Outcome::kStale);
    case Code::kConflict:
      counters.conflicts.add();
      if (action.verb == Action::Verb::kDelete) {
        expect_moved_on(run, action, action.object);
        return done(Outcome::kStale);
      }
      return read_again(run, action, cached, error, std::move(done));
    case Code::kAlreadyExists:
    case Code::kUnknown: return read_again(run, action, cached, error, std::move(done));
    case Code::kForbidden:
      if (action.verb == Action::Verb::kCreate && has_cause(error, "NamespaceTerminating")) return done(Outcome::kMoot);
      break;
    default: break;
  }
  refused(run, action, error);
  done(Outcome::kFailed);
}

void Driver::State::read_again(const RunPtr& run, const Action& action, const Value& cached, const Error& why,
                               ActionDone done) {
  informers.client().get(action.resource, action.name,
                         [weak = weak_from_this(), run, action = &action, cached, why,
                          done = std::move(done)](Result<Value> found) mutable {
                           auto self = weak.lock();
                           if (!self) return;
                           if (!found.ok() && found.error().code != Code::kNotFound) return done(Outcome::kFailed);
                           if (!found.ok()) {
                             self->expect_moved_on(run, *action, cached);
                             return done(Outcome::kStale);
                           }
                           const std::int64_t revision = api::resource_version_number(found.value());
                           if (why.code == Code::kAlreadyExists) {
                             const Informer* informer = self->informer_of(*action);
                             if (!informer || revision <= self->seen_by(run, informer)) {
                               self->refused(run, *action, why);  // the plan knew of it: it is somebody else's
                               return done(Outcome::kFailed);
                             }
                           }
                           self->expect_revision(run, *action, revision);
                           done(Outcome::kStale);
                         });
}

void Driver::State::refused(const RunPtr& run, const Action& action, const Error& error) {
  if (run->why.empty()) run->why = error.message;
  counters.failures.add();
  // A server that cannot be reached is no news about the object.
  if (error.code == Code::kUnavailable || error.code == Code::kTimeout) return;
  log_warning(
      controller->name(), "write refused",
      {{"resource", action.resource.group_resource()}, {"name", action.name.to_string()}, {"error", error.message}});
  for (const EventSpec& spec : action.on_failure) emit(spec, error.message);
}

Driver::Driver(InformerSet& informers, std::unique_ptr<Controller> controller)
    : Driver(informers, std::move(controller), Options()) {}

Driver::Driver(InformerSet& informers, std::unique_ptr<Controller> controller, Options options)
    : state_(std::make_shared<State>(informers, std::move(controller), std::move(options))) {
  state_->start();
}

// Callbacks under way keep nothing alive: they look for the state and find it gone.
Driver::~Driver() = default;

void Driver::poke(const std::string& key) { state_->queue.add(key); }

void Driver::clock_moved() { state_->queue.add_waiting(); }

bool Driver::idle() const {
  return state_->queue.idle() && state_->running == 0 && state_->recorder.pending() == 0 &&
         state_->notices.pending() == 0;
}

Controller& Driver::controller() { return *state_->controller; }

}  // namespace berth::controllers
