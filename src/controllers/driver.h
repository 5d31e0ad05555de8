#pragma once
// Driver: runs one controller. Informer events add keys to a queue. For each key the controller computes a plan from
// the caches; the driver executes the plan's writes with preconditions and requeues the key after conflicts and
// failures.
//
//   informer events -> keys -> plan(key, now) -> writes -> wait until the caches contain the writes -> changed: requeue
//
// What a controller may rely on:
//   * plan() of one key never runs while actions of that key are in flight, nor before the caches contain this driver's
//     own earlier writes of that key (bounded: after `own_writes_wait` plan() runs anyway). No "expectations" are
//     needed.
//   * The caches may be stale about the writes of all other clients, so every action must be safe then: creates have
//     fixed names (or are idempotent otherwise), updates carry a resourceVersion, deletes a uid. Two drivers of one
//     controller may therefore run at the same time.
//   * A state that equals the desired state gives an empty plan: an idle cluster causes no plans and no writes.
//   * The writes of one key are bounded (write_budget.h). When the budget delays a plan, the driver emits the event
//     WritesHeldBack.
//   * An exception thrown by plan() or by a write sets the key aside until its object changes (status excepted) or
//     kSetAside has passed; the driver emits the event SetAside. A key that the server died on three times (handling.h)
//     is quarantined: it is not planned until its object changes; event Quarantined.
//
// Owner: one Runtime; everything on its thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/runtime.h"
#include "client/client.h"
#include "client/event_recorder.h"
#include "client/informer.h"
#include "client/queue.h"
#include "controllers/handling.h"
#include "controllers/write_budget.h"

namespace berth::controllers {

// Names of the client module that every controller uses.
using client::EventRecorder;
using client::Informer;
using client::InformerSet;
using client::kNormal;
using client::kWarning;
using client::Subscription;
using client::WorkQueue;
namespace index = client::index;

// An Event to write about `object`.
struct EventSpec {
  Value object;
  std::string type;  // kNormal, kWarning
  std::string reason;
  std::string message;  // of a failure: the error's text is appended
};

// One write. Made by the functions below.
struct Action {
  enum class Verb { kCreate, kCreateSub, kUpdate, kPatch, kDelete, kConfirm };
  Verb verb = Verb::kCreate;
  api::Resource resource;
  api::Name name;
  Value object;             // kCreate, kCreateSub, kUpdate: the object; kPatch: the patch
  std::string subresource;  // "", "status", "binding", ...
  api::PatchType patch_type = api::PatchType::kMerge;
  bool force = false;          // kApply
  api::DeleteOptions options;  // kDelete; kConfirm: its resource_version, where not empty
  std::vector<EventSpec> on_success;
  std::vector<EventSpec> on_failure;

  // A null `about` stands for the object in the server's answer (the created one).
  Action& succeeded(const Value& about, std::string_view type, std::string_view reason, std::string message);
  // Not emitted when the action failed because of a stale cache.
  Action& failed(const Value& about, std::string_view type, std::string_view reason, std::string message);
};

// Namespace and name are taken from the object's metadata. AlreadyExists is a failure only if the plan's cache
// contained the existing object.
Action create(const api::Resource& resource, Value object);
Action create_sub(const api::Resource& resource, api::Name name, std::string_view subresource, Value object);
// The resourceVersion inside the object is the precondition.
Action update(const api::Resource& resource, Value object);
Action update_status(const api::Resource& resource, Value object);
// `target`: the object as cached. Its uid is the precondition of kMerge and kStrategic patches; with `exact_version`
// its resourceVersion is, too.
Action patch(const api::Resource& resource, const Value& target, api::PatchType type, Value patch,
             bool exact_version = false);
Action patch_status(const api::Resource& resource, const Value& target, Value merge_patch, bool exact_version = false);
// Deletes exactly the incarnation `target` (by uid). NotFound is a success.
Action remove(const api::Resource& resource, const Value& target, std::int64_t grace_seconds = -1,
              std::string_view propagation = {});
// Writes nothing: a live read that counts as stale unless the object still has `target`'s uid and is not being deleted.
// Put it before writes that must not happen for an owner that is being deleted (adoption).
Action confirm(const api::Resource& resource, const Value& target);
// The same, but the object must have exactly the cached resourceVersion (it may be one that is being deleted).
Action confirm_version(const api::Resource& resource, const Value& target);

struct Plan {
  std::vector<Action> first;  // first to run, one after another; the sequence stops at the first action that fails
  // Each chain's actions run one after another and stop at the first that fails; chains run in parallel and are started
  // in this order. After a failure no further chain is started.
  std::vector<std::vector<Action>> chains;
  std::vector<Action> then;       // one after another, after every earlier action succeeded
  std::vector<Action> otherwise;  // one after another, after an action was refused
  // If set: writes the first refusal's text into `otherwise` before that runs.
  std::function<void(const std::string& why, std::vector<Action>& otherwise)> explain_refusal;
  std::vector<EventSpec> events;          // emitted at once, whatever the actions' outcome
  std::optional<Duration> requeue_delay;  // requeue the key then, even without an event
  std::string problem;                    // if not empty: planning failed; the key is requeued with back-off
  // Number of objects that the key's object owns or will own. The driver allows more writes for each (write_budget.h).
  std::size_t members = 0;
  // After a plan that took long to compute (a set of thousands of pods) the key pauses for this multiple of that time,
  // at most a second, so that changes gather. Plans below 0.2 ms (kLongPlan) are not followed by a pause.
  int pause_factor = 3;

  Plan& add(Action action);  // a chain of its own
  Plan& add_chain(std::vector<Action> actions);
  Plan& event(const Value& object, std::string_view type, std::string_view reason, std::string message);
  void requeue_after(Duration after);  // the earliest of all calls counts
  bool empty() const { return first.empty() && chains.empty() && then.empty() && events.empty() && problem.empty(); }
};

using Keys = std::vector<std::string>;
// Appends the keys that a change affects. `before` or `after` is null for an added or deleted object.
using KeyMapping = Function<void(const Value& before, const Value& after, Keys& keys)>;

struct WatchedCollection {
  Informer* informer;
  KeyMapping mapping;
};

std::string key_of(const Value& object);  // "namespace/name", or "name" for cluster-scoped kinds
api::Name name_of_key(std::string_view key);

// Key: the object itself.
WatchedCollection watch_self(Informer& informer);
// Key: the controlling owner of that kind ("StatefulSet"), by name; of the old and of the new version.
WatchedCollection watch_owner(Informer& informer, std::string_view api_group, std::string_view kind);
WatchedCollection watch_mapped(Informer& informer, KeyMapping mapping);

class Controller {
 public:
  virtual ~Controller() = default;
  virtual std::string name() const = 0;                  // "statefulset": metrics, logs
  virtual std::string component() const = 0;             // "statefulset-controller": events, field manager
  virtual std::vector<WatchedCollection> watches() = 0;  // called once; the InformerSet owns and shares the informers
  // Reads the caches and computes the plan, without effects. An unknown key gives an empty plan.
  virtual Plan plan(const std::string& key, Time now) = 0;
  // The cached object of a key: the driver emits its events about it and hashes it to detect changes. Null if there is
  // none. `first`: the informer of the first of watches().
  virtual Value object_of_key(const std::string& key, const Informer& first) const {
    return first.get(name_of_key(key));
  }
};

inline constexpr Duration kSetAside = 300s;

class Driver {
 public:
  struct Options {
    int keys_in_flight = 16;
    int writes_in_flight = 256;  // of one key; grows to this from 16 while writes succeed
    WorkQueue::Backoff backoff = {};
    Duration own_writes_wait = 10s;
    std::string field_manager;  // empty: the controller's component
    WriteBudget::Limits writes = {};
    HandlingRecord* record = nullptr;  // outlives the driver; null: crashes are not counted
  };

  // Starts when every watched informer has synced. `controller` lives as long as the driver.
  Driver(InformerSet& informers, std::unique_ptr<Controller> controller);
  Driver(InformerSet& informers, std::unique_ptr<Controller> controller, Options options);
  // Writes in flight may still be applied; their answers are ignored.
  ~Driver();
  Driver(const Driver&) = delete;

  // Queues a key without an informer event.
  void enqueue(const std::string& key);
  // The wall clock was changed: plans all keys that wait for a time again.
  void on_clock_changed();
  // True if no key is ready, no plan runs and no event is being written (delayed keys may be queued).
  bool idle() const;
  Controller& controller();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::controllers
