#include "controllers/driver.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <stdexcept>

#include "base/files.h"
#include "base/fs/test_directory.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"

namespace berth::controllers {
namespace {

using namespace api::resources;  // NOLINT

Value thing(const api::Resource&, std::string_view kind, std::string_view name) {
  return Value::object(
      {{"apiVersion", "v1"}, {"kind", kind}, {"metadata", Value::object({{"name", name}, {"namespace", "default"}})}});
}

// Creates a ConfigMap "<secret>" for every Secret, with data "copied".
class Copier final : public Controller {
 public:
  Copier(InformerSet& informers, int* plans)
      : secrets_(informers.get(kSecrets)), maps_(informers.get(kConfigMaps)), plans_(plans) {}
  std::string name() const override { return "copier"; }
  std::string component() const override { return "copy-controller"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(secrets_));
    out.push_back(watch_self(maps_));
    return out;
  }
  Plan plan(const std::string& key, Time) override {
    ++*plans_;
    Plan plan;
    const api::Name name = name_of_key(key);
    const Value& secret = secrets_.get(name);
    const Value& map = maps_.get(name);
    if (secret.is_null()) {
      if (!map.is_null()) plan.add(remove(kConfigMaps, map));
      return plan;
    }
    if (map.is_null()) {
      Action action = create(kConfigMaps, thing(kConfigMaps, "ConfigMap", name.name));
      action.succeeded(secret, kNormal, "Copied", "copied").failed(secret, kWarning, "FailedCopy", "cannot copy: ");
      plan.add(std::move(action));
    } else if (map["data"] != secret["data"]) {
      Value changed = map;
      changed.set("data", secret["data"]);
      plan.then.push_back(update(kConfigMaps, std::move(changed)));
      plan.otherwise.push_back(patch(kSecrets, secret, api::PatchType::kMerge, Value::object({{"failed", true}})));
    }
    return plan;
  }

 private:
  Informer& secrets_;
  Informer& maps_;
  int* plans_;
};

struct DriverTest : ::testing::Test {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  int plans = 0;
  std::unique_ptr<Driver> driver;

  void start() {
    driver = std::make_unique<Driver>(informers, std::make_unique<Copier>(informers, &plans));
    runtime.settle();
    api.calls.clear();
  }
  Value secret(std::string_view name, int data) {
    Value out = thing(kSecrets, "Secret", name);
    out.set("data", data);
    return api.put(kSecrets, out);
  }
  Value map(std::string_view name) { return api.read(kConfigMaps, {"default", std::string(name)}); }
  std::vector<std::string> events() {
    std::vector<std::string> out;
    for (const std::string& call : api.calls) {
      if (call.starts_with("create events")) out.push_back(call);
    }
    return out;
  }
  std::size_t calls(std::string_view start) {
    std::size_t count = 0;
    for (const std::string& call : api.calls) count += call.starts_with(start) ? 1 : 0;
    return count;
  }
};

TEST_F(DriverTest, CarriesOutPlansUntilNothingIsLeft) {
  start();
  secret("a", 1);
  runtime.settle();
  EXPECT_EQ(map("a")["data"].as_int(), 1);
  EXPECT_TRUE(driver->idle());
  EXPECT_EQ(events().size(), 1u);
  api.erase(kSecrets, {"default", "a"});
  runtime.settle();
  EXPECT_TRUE(map("a").is_null());
  EXPECT_EQ(runtime.timers(), 0u);
  EXPECT_EQ(runtime.settle(), 0);
}

TEST_F(DriverTest, DoesNotActAgainBeforeItSawItsOwnWrites) {
  start();
  secret("a", 1);
  runtime.settle();
  api.hold(true);
  secret("b", 1);
  api.hold(false);
  api.calls.clear();
  api.hold(true);
  driver->enqueue("default/b");  // the secret is not in the cache yet
  runtime.settle();
  api.hold(false);
  runtime.settle();
  EXPECT_EQ(calls("create configmaps"), 1u);
  EXPECT_EQ(calls("update configmaps"), 1u);
}

TEST_F(DriverTest, WaitsForTheCacheOnlySoLong) {
  start();
  api.hold(true);
  api.put(kSecrets, thing(kSecrets, "Secret", "a"));
  api.hold(false);
  runtime.settle();
  const int before = plans;
  api.hold(true);
  api.erase(kConfigMaps, {"default", "a"});
  api.hold(false);
  runtime.settle();
  EXPECT_FALSE(map("a").is_null());
  EXPECT_GT(plans, before);
  api.hold(true);  // the watch never delivers its own write
  driver->enqueue("default/a");
  Value wrong = map("a");
  api.put(kSecrets, thing(kSecrets, "Secret", "b"));
  runtime.settle();
  api.hold(false);
  runtime.advance(11s);
  EXPECT_TRUE(driver->idle());
}

TEST_F(DriverTest, ConflictsReadAgainAndPlanAgain) {
  start();
  secret("a", 1);
  runtime.settle();
  // Another client changes the map while the driver's cache is stale; the update meets a conflict and is retried.
  api.hold(true);
  Value foreign = map("a");
  foreign.set("label", "x");
  api.put(kConfigMaps, foreign);
  auto late = api.revision();
  api.hold(false);
  api.fail_next("update", Code::kConflict);
  secret("a", 2);
  runtime.advance(1s);
  EXPECT_EQ(map("a")["data"].as_int(), 2);
  EXPECT_EQ(map("a")["label"].as_string(), "x");
  EXPECT_GE(calls("get configmaps"), 1u);
  EXPECT_EQ(api.read(kSecrets, {"default", "a"})["failed"].as_bool(), false);  // no failure, only staleness
  EXPECT_GT(api.revision(), late);
}

TEST_F(DriverTest, UnknownIsReadBeforeTheNextTry) {
  start();
  api.fail_next("create", Code::kUnknown, true);  // applied, the answer lost
  secret("a", 1);
  runtime.advance(1s);
  EXPECT_EQ(calls("create configmaps"), 1u);
  EXPECT_GE(calls("get configmaps"), 1u);
  EXPECT_EQ(map("a")["data"].as_int(), 1);

  api.calls.clear();
  api.fail_next("create", Code::kUnknown, false);  // lost on the way
  secret("b", 1);
  runtime.advance(1s);
  EXPECT_EQ(calls("create configmaps"), 2u);
  EXPECT_EQ(map("b")["data"].as_int(), 1);
}

TEST_F(DriverTest, RefusedWritesBackOffAndAreTold) {
  start();
  for (int i = 0; i < 3; ++i) api.fail_next("create", Code::kForbidden);
  secret("a", 1);
  runtime.settle();
  EXPECT_TRUE(map("a").is_null());
  EXPECT_FALSE(driver->idle() && runtime.timers() == 0);
  runtime.advance(1s);
  EXPECT_FALSE(map("a").is_null());
  Value failed;
  for (const std::string& call : events()) {
    Value event = api.read(kEvents, {"default", call.substr(call.rfind('/') + 1)});
    if (event["reason"].as_string() == "FailedCopy") failed = event;
  }
  ASSERT_FALSE(failed.is_null());
  EXPECT_EQ(failed["message"].as_string(), "cannot copy: planted");
  EXPECT_EQ(failed["type"].as_string(), "Warning");
}

// Refuses creates, as a server whose namespace is being deleted does.
class GoingNamespace final : public client::Client {
 public:
  GoingNamespace(Runtime& runtime, client::Client& api) : runtime_(runtime), api_(api) {}
  void create(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override {
    tries.push_back(resource.resource);
    if (!going) return api_.create(resource, std::move(object), options, std::move(done));
    auto details = std::make_shared<ErrorDetails>();
    details->causes.push_back({"NamespaceTerminating", "namespace default is being terminated", "metadata.namespace"});
    Error why = error(Code::kForbidden, "unable to create new content");
    why.details = details;
    runtime_.post([why, done = std::move(done)]() mutable { done(why); });
  }
  void get(const api::Resource& resource, const api::Name& name, Done done) override {
    api_.get(resource, name, std::move(done));
  }
  void list(const api::Resource& resource, const api::ListOptions& options, ListDone done) override {
    api_.list(resource, options, std::move(done));
  }
  std::unique_ptr<client::WatchHandle> watch(const api::Resource& resource, const api::ListOptions& options,
                                             std::string revision, client::WatchHandler* handler) override {
    return api_.watch(resource, options, std::move(revision), handler);
  }
  void create_sub(const api::Resource& resource, const api::Name& name, Value object, const api::WriteOptions& options,
                  Done done) override {
    api_.create_sub(resource, name, std::move(object), options, std::move(done));
  }
  void update(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override {
    api_.update(resource, std::move(object), options, std::move(done));
  }
  void patch(const api::Resource& resource, const api::Name& name, api::PatchType type, Value patch,
             const api::WriteOptions& options, Done done) override {
    api_.patch(resource, name, type, std::move(patch), options, std::move(done));
  }
  void remove(const api::Resource& resource, const api::Name& name, const api::DeleteOptions& options,
              Done done) override {
    api_.remove(resource, name, options, std::move(done));
  }

  bool going = true;
  std::vector<std::string> tries;

 private:
  Runtime& runtime_;
  client::Client& api_;
};

TEST(DriverInANamespaceThatGoes, NothingIsTriedAgainOrTold) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api(runtime);
  GoingNamespace client(runtime, api);
  InformerSet informers(runtime, client);
  int plans = 0;
  Driver driver(informers, std::make_unique<Copier>(informers, &plans));
  runtime.settle();
  Value secret = thing(kSecrets, "Secret", "a");
  api.put(kSecrets, secret);
  runtime.settle();
  runtime.advance(1h);
  EXPECT_EQ(client.tries, std::vector<std::string>{"configmaps"}) << "once, without news, and no event";
  EXPECT_TRUE(driver.idle());
  client.going = false;
  secret.set("data", 2);
  api.put(kSecrets, secret);
  runtime.settle();
  EXPECT_FALSE(api.read(kConfigMaps, {"default", "a"}).is_null()) << "with news it is";
}

TEST_F(DriverTest, WhatFollowsAFailureIsTheOtherwisePart) {
  start();
  secret("a", 1);
  runtime.settle();
  api.fail_next("update", Code::kInvalid);
  secret("a", 2);
  runtime.settle();
  EXPECT_EQ(map("a")["data"].as_int(), 1);
  runtime.advance(1s);
  EXPECT_EQ(map("a")["data"].as_int(), 2);
}

TEST_F(DriverTest, DeletesExactlyWhatItSaw) {
  start();
  secret("a", 1);
  runtime.settle();
  api.hold(true);
  api.erase(kConfigMaps, {"default", "a"});
  api.put(kConfigMaps, thing(kConfigMaps, "ConfigMap", "a"));  // another incarnation of that name
  const std::string uid = map("a")["metadata"]["uid"].str();
  api.hold(false);
  api.erase(kSecrets, {"default", "a"});
  runtime.advance(1s);
  EXPECT_TRUE(map("a").is_null());  // removed, but only once the cache knew it
  EXPECT_GE(plans, 2);
}

TEST_F(DriverTest, GoesAwayInTheMiddle) {
  start();
  secret("a", 1);
  for (int i = 0; i < 3; ++i) runtime.settle();
  secret("b", 1);
  driver.reset();
  runtime.advance(20s);
  EXPECT_EQ(runtime.timers(), 0u);
}

// --- Chains

class Chains final : public Controller {
 public:
  explicit Chains(InformerSet& informers, Plan (*make)()) : maps_(informers.get(kSecrets)), make_(make) {}
  std::string name() const override { return "chains"; }
  std::string component() const override { return "chains"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(maps_));
    return out;
  }
  Plan plan(const std::string&, Time) override { return done_++ ? Plan() : make_(); }

 private:
  Informer& maps_;
  Plan (*make_)();
  int done_ = 0;
};

TEST_F(DriverTest, ChainsEndAtTheirFirstFailureAndNoMoreAreStarted) {
  Driver::Options options;
  options.backoff = {1h, 1h};
  driver = std::make_unique<Driver>(
      informers,
      std::make_unique<Chains>(informers,
                               [] {
                                 Plan plan;
                                 plan.first.push_back(create(kSecrets, thing(kSecrets, "Secret", "first")));
                                 for (int i = 0; i < 40; ++i) {
                                   const std::string name = std::to_string(i);
                                   plan.add_chain(
                                       {create(kSecrets, thing(kSecrets, "Secret", "claim-" + name)),
                                        create(kConfigMaps, thing(kConfigMaps, "ConfigMap", "pod-" + name))});
                                 }
                                 plan.then.push_back(create(kNodes, thing(kNodes, "Node", "then")));
                                 plan.otherwise.push_back(create(kNodes, thing(kNodes, "Node", "otherwise")));
                                 return plan;
                               }),
      options);
  api.put(kSecrets, thing(kSecrets, "Secret", "start"));
  api.fail_next("create", Code::kUnavailable);
  runtime.settle();
  // `first` failed: nothing else was tried.
  EXPECT_EQ(calls("create secrets"), 1u);
  EXPECT_EQ(calls("create nodes default/otherwise"), 1u);

  api.calls.clear();
  driver = std::make_unique<Driver>(
      informers,
      std::make_unique<Chains>(informers,
                               [] {
                                 Plan plan;
                                 for (int i = 0; i < 40; ++i) {
                                   const std::string name = std::to_string(i);
                                   plan.add_chain(
                                       {create(kSecrets, thing(kSecrets, "Secret", "claim-" + name)),
                                        create(kConfigMaps, thing(kConfigMaps, "ConfigMap", "pod-" + name))});
                                 }
                                 plan.then.push_back(create(kNodes, thing(kNodes, "Node", "then")));
                                 plan.otherwise.push_back(create(kNodes, thing(kNodes, "Node", "otherwise2")));
                                 return plan;
                               }),
      options);
  api.fail_next("create", Code::kUnavailable);
  runtime.settle();
  EXPECT_EQ(calls("create configmaps default/pod-0"), 0u);
  EXPECT_LT(calls("create secrets"), 40u);
  EXPECT_EQ(calls("create nodes default/then"), 0u);
  EXPECT_EQ(calls("create nodes default/otherwise2"), 1u);
}

TEST_F(DriverTest, ForeignObjectsInTheWayAreAFailureOnlyWhenKnown) {
  auto insist = [] {
    Plan plan;
    Action action = create(kConfigMaps, thing(kConfigMaps, "ConfigMap", "a"));
    action.failed(thing(kSecrets, "Secret", "start"), kWarning, "FailedCopy", "cannot: ");
    plan.add(std::move(action));
    return plan;
  };
  Driver::Options options;
  options.backoff = {1h, 1h};
  informers.get(kConfigMaps);
  driver = std::make_unique<Driver>(informers, std::make_unique<Chains>(informers, insist), options);
  runtime.settle();
  api.hold(true);  // the cache does not contain it: a conflict, not a failure
  api.put(kConfigMaps, thing(kConfigMaps, "ConfigMap", "a"));
  driver->enqueue("default/start");
  runtime.settle();
  EXPECT_EQ(calls("get configmaps"), 1u);
  EXPECT_EQ(events().size(), 0u);
  api.hold(false);
  runtime.settle();
  driver = std::make_unique<Driver>(informers, std::make_unique<Chains>(informers, insist), options);
  driver->enqueue("default/start");
  runtime.settle();
  EXPECT_EQ(events().size(), 1u);
}

TEST_F(DriverTest, ConfirmSeesPastTheCache) {
  Value owner = api.put(kSecrets, thing(kSecrets, "Secret", "owner"));
  static Value target;
  target = owner;
  driver = std::make_unique<Driver>(
      informers, std::make_unique<Chains>(informers, [] {
        Plan plan;
        plan.add_chain({confirm(kSecrets, target), create(kConfigMaps, thing(kConfigMaps, "ConfigMap", "child"))});
        return plan;
      }));
  // The owner's deletion starts just when the plan is executed.
  owner.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  api.hold(true);
  api.put(kSecrets, owner);
  runtime.settle();
  EXPECT_EQ(calls("create configmaps"), 0u);
  api.hold(false);
  target = Value();
}

// --- Events

TEST_F(DriverTest, EventsAreCountedCombinedAndBounded) {
  EventRecorder::Limits limits;
  limits.burst = 30;
  limits.similar = 3;
  EventRecorder recorder(runtime, api, "tester", "host1", limits);
  const Value about = api.put(kPods, thing(kPods, "Pod", "web-0"));
  for (int i = 0; i < 4; ++i) {
    recorder.event(about, kNormal, "Pulled", "pulled it");
    runtime.advance(1s);
  }
  ASSERT_EQ(api.count(kEvents), 1u);
  api.calls.clear();
  EXPECT_EQ(recorder.pending(), 0u);
  for (int i = 0; i < 10; ++i) {
    recorder.event(about, kWarning, "Failed", "attempt " + std::to_string(i));
    runtime.settle();
  }
  EXPECT_EQ(api.count(kEvents), 1u + 3u + 1u);  // three different ones, then a combined one
  for (int i = 0; i < 100; ++i) {
    recorder.event(about, kNormal, "Noise", "again");
    runtime.settle();
  }
  EXPECT_LE(calls("patch events") + calls("create events"), 30u);
}

TEST_F(DriverTest, AnEventLooksAsUpstreamWritesIt) {
  EventRecorder recorder(runtime, api, "tester", "host1");
  const Value about = api.put(kPods, thing(kPods, "Pod", "web-0"));
  recorder.event(about, kNormal, "Pulled", "pulled it", "spec.containers{web}");
  runtime.settle();
  runtime.advance(5s);
  recorder.event(about, kNormal, "Pulled", "pulled it", "spec.containers{web}");
  runtime.settle();
  const std::string call = api.calls.front();
  Value event = api.read(kEvents, {"default", call.substr(call.rfind('/') + 1)});
  EXPECT_TRUE(api::name_of(event).starts_with("web-0."));
  EXPECT_EQ(event["count"].as_int(), 2);
  EXPECT_LT(event["firstTimestamp"].as_string(), event["lastTimestamp"].as_string());
  EXPECT_EQ(event["source"], Value::object({{"component", "tester"}, {"host", "host1"}}));
  EXPECT_EQ(event["reportingComponent"].as_string(), "tester");
  EXPECT_EQ(event["involvedObject"]["fieldPath"].as_string(), "spec.containers{web}");
  EXPECT_EQ(event["involvedObject"]["uid"].as_string(), api::uid_of(about));
  EXPECT_EQ(event["type"].as_string(), "Normal");
}

TEST_F(DriverTest, EventsSurviveLostAnswersAndCleaning) {
  EventRecorder recorder(runtime, api, "tester");
  const Value about = api.put(kPods, thing(kPods, "Pod", "web-0"));
  api.fail_next("create", Code::kUnknown, true);
  recorder.event(about, kNormal, "Pulled", "pulled it");
  runtime.advance(5s);
  EXPECT_EQ(api.count(kEvents), 1u);
  EXPECT_EQ(recorder.pending(), 0u);
  const std::string call = api.calls.front();
  api.erase(kEvents, {"default", call.substr(call.rfind('/') + 1)});
  recorder.event(about, kNormal, "Pulled", "pulled it");
  runtime.advance(5s);
  EXPECT_EQ(api.count(kEvents), 1u);
  for (int i = 0; i < 20; ++i) api.fail_next("create", Code::kUnavailable);
  recorder.event(about, kNormal, "Other", "never written");
  runtime.advance(200s);
  EXPECT_EQ(recorder.pending(), 0u);
  EXPECT_EQ(runtime.timers(), 0u);
}

// --- Objects that cannot be handled

// Writes every Secret once per version, except those whose data names a way to fail.
class Touchy final : public Controller {
 public:
  explicit Touchy(InformerSet& informers) : secrets_(informers.get(kSecrets)) {}
  std::string name() const override { return "touchy"; }
  std::string component() const override { return "touchy-controller"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(secrets_));
    return out;
  }
  Plan plan(const std::string& key, Time) override {
    ++plans[key];
    Plan plan;
    Value secret = secrets_.get(name_of_key(key));
    if (secret.is_null()) return plan;
    if (secret["fail"] == Value("throw")) throw std::runtime_error("planted");
    if (secret["fail"] == Value("check")) secret.mut("data").mut("below a text").set("a", 1);
    if (secret["touched"] != secret["data"])
      plan.add(patch(kSecrets, secret, api::PatchType::kMerge, Value::object({{"touched", secret["data"]}})));
    return plan;
  }
  std::map<std::string, int> plans;

 private:
  Informer& secrets_;
};

struct TouchyTest : DriverTest {
  Touchy* touchy = nullptr;
  void begin(HandlingRecord* record = nullptr) {
    auto controller = std::make_unique<Touchy>(informers);
    touchy = controller.get();
    Driver::Options options;
    options.record = record;
    driver = std::make_unique<Driver>(informers, std::move(controller), options);
    runtime.settle();
  }
  Value put(std::string_view name, std::string_view fail, std::string_view data = "text") {
    Value out = thing(kSecrets, "Secret", name);
    out.set("data", data).set("fail", fail);
    return api.put(kSecrets, out);
  }
  bool is_touched(std::string_view name) {
    return !api.read(kSecrets, {"default", std::string(name)})["touched"].is_null();
  }
  int count_events(std::string_view reason) {
    int count = 0;
    for (const Value& event : api.items(kEvents)) count += event["reason"].as_string() == reason ? 1 : 0;
    return count;
  }
};

TEST_F(TouchyTest, WhatCannotBeHandledIsSetAsideAndTheOthersGoOn) {
  put("a", "throw");
  put("b", "check");
  put("c", "");
  begin();
  runtime.advance(100s);
  EXPECT_TRUE(is_touched("c"));
  EXPECT_FALSE(is_touched("a") || is_touched("b"));
  EXPECT_EQ(touchy->plans["default/a"], 1) << "not again and again";
  EXPECT_EQ(count_events("SetAside"), 2);
  // A status update does not end the pause; a change of the data does.
  Value a = api.read(kSecrets, {"default", "a"});
  a.set("status", 1);
  api.put(kSecrets, a);
  runtime.advance(1s);
  EXPECT_EQ(touchy->plans["default/a"], 1);
  put("a", "");
  runtime.advance(1s);
  EXPECT_TRUE(is_touched("a"));
  // After five minutes the key is tried again in any case: the cause may be elsewhere.
  EXPECT_EQ(touchy->plans["default/b"], 1);
  runtime.advance(kSetAside);
  EXPECT_EQ(touchy->plans["default/b"], 2);
}

// As a server that crashes while handling: only the kernel cleans up.
void die_while_handling(const std::string& directory, const std::string& controller, const std::string& key,
                        const std::string& version = "1") {
  const pid_t child = ::fork();
  if (child == 0) {
    auto record = HandlingRecord::open(directory, version);
    if (!record.ok()) ::_exit(1);
    { const HandlingRecord::Mark done(record->get(), (*record)->slot_of("other"), "default/fine"); }
    const HandlingRecord::Mark mark(record->get(), (*record)->slot_of(controller), key);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
}

// Children of a supervisor write entries into its memory, and no file is written.
TEST_F(TouchyTest, NotesOfASupervisorsChildrenAreInItsMemory) {
  berth::testing::TestDirectory directory;
  die_while_handling(directory.path(), "touchy", "default/a");  // without a supervisor
  const pid_t supervisor = ::fork();
  if (supervisor == 0) {
    if (!HandlingRecord::share_with_children().ok()) ::_exit(1);
    die_while_handling(directory.path(), "touchy", "default/a");
    if (path_exists(directory.path() + "/handling")) ::_exit(2);
    die_while_handling(directory.path(), "touchy", "default/a");
    const pid_t server = ::fork();
    if (server == 0) {
      auto record = HandlingRecord::open(directory.path(), "1");
      ::_exit(record.ok() ? static_cast<int>((*record)->quarantined("touchy").size()) : 9);
    }
    int status = 0;
    ::waitpid(server, &status, 0);
    ::_exit(WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 0 : 3);
  }
  int status = 0;
  ::waitpid(supervisor, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_FALSE(path_exists(directory.path() + "/handling"));
  EXPECT_EQ(HandlingRecord::quarantined_in(directory.path()).size(), 1u) << "what is counted is on disk";
}

TEST_F(TouchyTest, WhatTheServerDiedOnThreeTimesIsLeftAloneUntilItChanges) {
  berth::testing::TestDirectory directory;
  for (int i = 0; i < 2; ++i) die_while_handling(directory.path(), "touchy", "default/a");
  EXPECT_TRUE(HandlingRecord::open(directory.path(), "1").value()->quarantined("touchy").empty());
  die_while_handling(directory.path(), "touchy", "default/a");
  for (int i = 0; i < 3; ++i) die_while_handling(directory.path(), "touchy", "default/gone");
  put("a", "");
  put("b", "");
  auto record = HandlingRecord::open(directory.path(), "1").value();
  EXPECT_EQ(record->quarantined("touchy").size(), 2u);
  EXPECT_TRUE(record->quarantined("other").empty());
  begin(record.get());
  runtime.advance(1h);
  EXPECT_TRUE(is_touched("b"));
  EXPECT_FALSE(is_touched("a"));
  EXPECT_EQ(count_events("Quarantined"), 1);
  // The quarantine survives an orderly restart; deleted objects are forgotten.
  ASSERT_EQ(HandlingRecord::quarantined_in(directory.path()).size(), 1u);
  EXPECT_EQ(HandlingRecord::quarantined_in(directory.path())[0].key, "default/a");
  EXPECT_EQ(HandlingRecord::quarantined_in(directory.path())[0].times, 3);
  put("a", "", "other");
  runtime.advance(1s);
  EXPECT_TRUE(is_touched("a"));
  EXPECT_TRUE(HandlingRecord::quarantined_in(directory.path()).empty());
}

// The server may die while reading a change, before anything is planned.
TEST_F(TouchyTest, ChangesThatTheServerDiedOnAreNotRead) {
  berth::testing::TestDirectory directory;
  for (int i = 0; i < 3; ++i) die_while_handling(directory.path(), "touchy", change_key("secrets", "default", "a"));
  for (int i = 0; i < 3; ++i) die_while_handling(directory.path(), "touchy", change_key("secrets", "default", "gone"));
  put("a", "");
  put("b", "");
  auto record = HandlingRecord::open(directory.path(), "1").value();
  begin(record.get());
  runtime.advance(1min);
  EXPECT_TRUE(is_touched("b"));
  EXPECT_EQ(touchy->plans["default/a"], 0);
  EXPECT_EQ(count_events("Quarantined"), 1);
  ASSERT_EQ(record->quarantined("touchy").size(), 1u) << "what is gone is forgotten";
  EXPECT_EQ(record->quarantined("touchy")[0].key, "change of secrets default/a");
  put("a", "", "other");
  runtime.advance(1s);
  EXPECT_TRUE(is_touched("a"));
  EXPECT_FALSE(record->has_deaths());
}

TEST_F(TouchyTest, AServerThatWasKilledAtABadMomentForgetsIt) {
  berth::testing::TestDirectory directory;
  put("a", "");
  for (int i = 0; i < 5; ++i) {
    die_while_handling(directory.path(), "touchy", "default/a");
    auto record = HandlingRecord::open(directory.path(), "1").value();
    EXPECT_TRUE(record->quarantined("touchy").empty()) << i;
    EXPECT_TRUE(record->has_deaths());
    begin(record.get());
    runtime.advance(1s);
    EXPECT_FALSE(record->has_deaths()) << "handled to the end";
    driver.reset();
  }
}

TEST(HandlingRecordTest, AnotherVersionAndDamagedFilesStartAnew) {
  berth::testing::TestDirectory directory;
  for (int i = 0; i < 3; ++i) die_while_handling(directory.path(), "a", "default/x", "1");
  EXPECT_EQ(HandlingRecord::open(directory.path(), "1").value()->quarantined("a").size(), 1u);
  EXPECT_TRUE(HandlingRecord::open(directory.path(), "2").value()->quarantined("a").empty());
  for (const char* damage : {"", "{", "[]", R"({"deaths":7})",
                             R"({"version":"1","deaths":[{"controller":"a","key":"k","times":-4},{"key":1},7]})"}) {
    ASSERT_TRUE(write_file(directory.path() + "/deaths.json", damage).ok());
    EXPECT_TRUE(HandlingRecord::open(directory.path(), "1").value()->quarantined("a").empty()) << damage;
  }
  // A key that does not fit is not stored, rather than truncated.
  auto record = HandlingRecord::open(directory.path(), "1").value();
  { const HandlingRecord::Mark mark(record.get(), record->slot_of("a"), std::string(1000, 'x')); }
  EXPECT_EQ(record->slot_of(std::string(100, 'c')), -1);
  for (int i = 0; i < 100; ++i) record->slot_of("controller-" + std::to_string(i));
  EXPECT_EQ(record->slot_of("one more"), -1);
  const HandlingRecord::Mark none(record.get(), -1, "default/x");
}

// --- Writes that are undone

TEST(WriteBudgetTest, RunsDryAndFillsUp) {
  WriteBudget budget({.burst = 100, .per_second = 10, .burst_per_member = 5, .per_second_per_member = 1});
  Duration now = 1h;
  EXPECT_EQ(budget.delay_for("a", now), 0s);
  budget.spend("a", 100, now);
  EXPECT_EQ(budget.delay_for("a", now), 0s);
  budget.spend("a", 1, now);
  EXPECT_GE(budget.delay_for("a", now), 1s);
  EXPECT_EQ(budget.delay_for("b", now), 0s);
  EXPECT_TRUE(budget.should_report_delay("a"));
  EXPECT_FALSE(budget.should_report_delay("a"));
  now += 2s;
  EXPECT_EQ(budget.delay_for("a", now), 0s);
  // However much one plan writes, the next one waits a few seconds only.
  budget.spend("a", 1'000'000, now);
  EXPECT_LE(budget.delay_for("a", now), 3s);
  // More members add tokens, once.
  now += 1h;
  budget.set_members("a", 20, now);
  budget.spend("a", 200, now);
  EXPECT_EQ(budget.delay_for("a", now), 0s);
  budget.set_members("a", 0, now);
  budget.set_members("a", 20, now);
  budget.spend("a", 1, now);
  EXPECT_GE(budget.delay_for("a", now), 1s);
}

TEST_F(DriverTest, WhatIsUndoneAgainAndAgainIsHeldBackAndTold) {
  secret("a", 1);
  secret("quiet", 1);
  start();
  // Another client deletes at once whatever is created for the key.
  for (int i = 0; i < 120'000; ++i) {
    runtime.advance(1ms);
    if (!map("a").is_null()) api.erase(kConfigMaps, {"default", "a"});
  }
  int made = 0, events = 0;
  for (const std::string& call : api.calls)
    made += call.find("create configmaps") != std::string::npos && call.find("/a") != std::string::npos;
  for (const Value& event : api.items(kEvents)) events += event["reason"].as_string() == "WritesHeldBack" ? 1 : 0;
  EXPECT_GE(made, 1000);
  EXPECT_LE(made, 1000 + 121 * 20);
  EXPECT_EQ(events, 1);
  // Other keys are not delayed.
  const int before = plans;
  secret("other", 1);
  runtime.advance(10ms);
  EXPECT_FALSE(map("other").is_null());
  EXPECT_GT(plans, before);
}

// Creates as many ConfigMaps as each Secret says, and then writes the number on each, three times.
class Maker final : public Controller {
 public:
  explicit Maker(InformerSet& informers) : secrets_(informers.get(kSecrets)), maps_(informers.get(kConfigMaps)) {}
  std::string name() const override { return "maker"; }
  std::string component() const override { return "make-controller"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(secrets_));
    out.push_back(watch_mapped(maps_, [](const Value&, const Value&, Keys& keys) { keys.push_back("default/all"); }));
    return out;
  }
  Plan plan(const std::string& key, Time) override {
    Plan plan;
    const int members = static_cast<int>(secrets_.get(name_of_key(key))["data"].as_int());
    plan.members = static_cast<std::size_t>(members);
    for (int i = 0; i < members; ++i) {
      const std::string name = "m" + std::to_string(i);
      const Value& map = maps_.get("default", name);
      if (map.is_null()) {
        plan.add(create(kConfigMaps, thing(kConfigMaps, "ConfigMap", name)));
      } else if (const std::int64_t round = map["round"].as_int(); round < 3) {
        plan.add(patch(kConfigMaps, map, api::PatchType::kMerge, Value::object({{"round", round + 1}})));
      }
    }
    return plan;
  }

 private:
  Informer& secrets_;
  Informer& maps_;
};

TEST_F(DriverTest, ManyMembersAreNotHeldBack) {
  driver = std::make_unique<Driver>(informers, std::make_unique<Maker>(informers));
  secret("all", 4000);
  for (int i = 0; i < 100 && api.read(kConfigMaps, {"default", "m3999"})["round"].as_int() < 3; ++i)
    runtime.advance(10ms);
  EXPECT_EQ(api.read(kConfigMaps, {"default", "m3999"})["round"].as_int(), 3) << "16,000 writes, and nothing waited";
  EXPECT_EQ(api.count(kConfigMaps), 4000u);
  for (const Value& event : api.items(kEvents)) EXPECT_NE(event["reason"].as_string(), "WritesHeldBack");
}

}  // namespace
}  // namespace berth::controllers
