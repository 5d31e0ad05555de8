#pragma once
// Driver: runs a controller. Informer events become keys in a queue; for each key the controller makes a plan out of
// the caches; the driver carries the plan out with preconditions, and looks again after conflicts and failures.
//
//   informer events -> keys -> plan(key, now) -> actions -> wait until the caches show them -> (changed? again)
//
// What a controller may rely on:
//   * plan() of one key never runs while actions of that key are under way, nor before the caches contain this driver's
//     own earlier writes of that key (bounded: after `own_writes_wait` it runs anyway). No "expectations" are needed.
//   * The caches may still be stale about everybody else's writes. So every action must be safe when it is: creates
//     have fixed names (or are idempotent otherwise), updates carry a resourceVersion, deletes a uid. Then two drivers
//     of one controller may be alive at once.
//   * An equal state gives an empty plan: at rest nothing runs and nothing is written.
//   * The writes of one key are bounded (write_budget.h). What holds back a plan says so in an event, WritesHeldBack.
//   * An exception out of plan(), or out of a write, sets the key aside until its object changes (all but the status counts) or
//     kSetAside has passed; the event is SetAside. A key that the server died on three times (handling.h) is left alone until
//     its object changes: Quarantined.
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

// What every controller works with, by its short name.
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

// One write. Make them with the functions below.
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

  // A null `about` stands for the object that the server answered with: what was created.
  Action& succeeded(const Value& about, std::string_view type, std::string_view reason, std::string message);
  // Not written where the action merely met a stale cache.
  Action& failed(const Value& about, std::string_view type, std::string_view reason, std::string message);
};

// The new object's namespace and name are in its metadata. That it exists already is a failure only where the cache
// knew of it.
Action create(const api::Resource& resource, Value object);
Action create_sub(const api::Resource& resource, api::Name name, std::string_view subresource, Value object);
// The resourceVersion inside the object is the precondition.
Action update(const api::Resource& resource, Value object);
Action update_status(const api::Resource& resource, Value object);
// `target`: the object as cached; its uid becomes a precondition of kMerge and kStrategic patches, and with
// `exact_version` its resourceVersion too.
Action patch(const api::Resource& resource, const Value& target, api::PatchType type, Value patch,
             bool exact_version = false);
Action patch_status(const api::Resource& resource, const Value& target, Value merge_patch, bool exact_version = false);
// Deletes exactly the incarnation `target` (by uid). That it is gone already is no failure.
Action remove(const api::Resource& resource, const Value& target, std::int64_t grace_seconds = -1,
              std::string_view propagation = {});
// Writes nothing: reads `target` past the cache and counts as stale unless it is still that incarnation and not being
// deleted. To be put before what must not happen on behalf of an owner that is going away (adoption).
Action confirm(const api::Resource& resource, const Value& target);
// The same, but it must be exactly the cached version (which may be one that is being deleted).
Action confirm_version(const api::Resource& resource, const Value& target);

struct Plan {
  std::vector<Action> first;  // in order, before everything else; ends at the first that fails
  // Each chain's actions run one after the other and end at the first that fails; chains run side by side, in order of
  // their start. After a failure no further chain is started.
  std::vector<std::vector<Action>> chains;
  std::vector<Action> then;       // in order, after all went well
  std::vector<Action> otherwise;  // in order, after something was refused
  // Where set: words the first refusal's text into `otherwise` before that is carried out.
  std::function<void(const std::string& why, std::vector<Action>& otherwise)> explain;
  std::vector<EventSpec> events;          // at once, whatever happens
  std::optional<Duration> requeue_delay;  // look again then, without being told of a change
  std::string problem;                    // not empty: the plan could not be made; look again after the key's back-off
  // How many objects the key's object owns, or is to own: for each the driver allows more writes (write_budget.h).
  std::size_t members = 0;
  // A plan that took long to make (a set of thousands) is followed by a rest of so many times that, a second at most,
  // while changes gather. Plans below 0.2 ms are not held back.
  int rest = 3;

  Plan& add(Action action);  // a chain of its own
  Plan& add_chain(std::vector<Action> actions);
  Plan& event(const Value& object, std::string_view type, std::string_view reason, std::string message);
  void requeue_after(Duration after);  // the earliest counts
  bool empty() const { return first.empty() && chains.empty() && then.empty() && events.empty() && problem.empty(); }
};

using Keys = std::vector<std::string>;
// Appends the keys that a change concerns. `before` or `after` is null for an added or deleted object.
using KeyMapping = Function<void(const Value& before, const Value& after, Keys& keys)>;

struct Watching {
  Informer* informer;
  KeyMapping mapping;
};

std::string key_of(const Value& object);  // "namespace/name", or "name" for cluster-scoped kinds
api::Name name_of_key(std::string_view key);

// The object itself.
Watching watch_self(Informer& informer);
// The controlling owner of that kind ("StatefulSet"), by name; of the old and of the new version.
Watching watch_owner(Informer& informer, std::string_view api_group, std::string_view kind);
Watching watch_mapped(Informer& informer, KeyMapping mapping);

class Controller {
 public:
  virtual ~Controller() = default;
  virtual std::string name() const = 0;         // "statefulset": metrics, logs
  virtual std::string component() const = 0;    // "statefulset-controller": events, field manager
  virtual std::vector<Watching> watches() = 0;  // asked once; informers are shared and kept by the InformerSet
  // Builds the view from the caches and decides. No effects. An unknown key gives an empty plan.
  virtual Plan plan(const std::string& key, Time now) = 0;
  // The object that a key is about, as cached: for what the driver itself has to tell or to remember of it. Null where
  // there is none. `first`: the informer of the first of watches().
  virtual Value subject(const std::string& key, const Informer& first) const { return first.get(name_of_key(key)); }
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
    HandlingRecord* record = nullptr;  // outlives the driver; null: deaths are not noted
  };

  // Starts once every watched informer has synced. `controller` lives as long as the driver does.
  Driver(InformerSet& informers, std::unique_ptr<Controller> controller);
  Driver(InformerSet& informers, std::unique_ptr<Controller> controller, Options options);
  // Writes under way may still be applied; their answers are ignored.
  ~Driver();
  Driver(const Driver&) = delete;

  // Looks at a key though nothing was heard of it.
  void poke(const std::string& key);
  // The wall clock has moved: plans that wait for a time are made anew.
  void clock_moved();
  // Nothing queued (but for later), no plan being carried out, no event being written.
  bool idle() const;
  Controller& controller();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::controllers
