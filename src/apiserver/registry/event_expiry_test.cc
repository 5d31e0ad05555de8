// Events live for an hour of virtual time.
#include "apiserver/registry/event_expiry.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>

#include "apiserver/registry/commit.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/remove.h"
#include "apiserver/registry/state.h"
#include "apiserver/registry/write.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

// A clock that only the test moves.
class HandRuntime final : public Runtime {
 public:
  Time now() const override { return Time(std::chrono::hours(500'000)) + passed_ + step_; }
  Duration monotonic() const override { return passed_; }
  void post(Task task) override { posted_.push_back(std::move(task)); }
  TimerId after(Duration delay, Task task) override {
    timers_.emplace(++last_, std::pair(passed_ + delay, std::move(task)));
    return last_;
  }
  void cancel(TimerId id) override { timers_.erase(id); }
  void offload(Task work, Task done) override {
    work();
    post(std::move(done));
  }
  std::uint64_t random() override { return state_ = state_ * 6364136223846793005u + 1442695040888963407u; }

  void step(Duration by) { step_ += by; }  // sets the wall clock
  void settle() {
    while (!posted_.empty()) {
      std::vector<Task> round = std::move(posted_);
      posted_.clear();
      for (Task& task : round) task();
    }
  }
  void pass(Duration time) {
    const Duration end = passed_ + time;
    for (;;) {
      settle();
      auto next = timers_.end();
      for (auto it = timers_.begin(); it != timers_.end(); ++it) {
        if (it->second.first <= end && (next == timers_.end() || it->second.first < next->second.first)) next = it;
      }
      if (next == timers_.end()) break;
      passed_ = std::max(passed_, next->second.first);
      Task task = std::move(next->second.second);
      timers_.erase(next);
      task();
    }
    passed_ = end;
  }

 private:
  Duration passed_{0}, step_{0};
  std::vector<Task> posted_;
  std::map<TimerId, std::pair<Duration, Task>> timers_;
  TimerId last_ = 0;
  std::uint64_t state_ = 1;
};

class EventExpiry : public ::testing::Test {
 protected:
  EventExpiry() {
    call_.user = {"test", {"system:masters"}};
    call_.kind = api::schema::builtin().find(api::resources::kEvents);
    call_.ns = "default";
    start();
  }
  // Also: again, over what the last one has left.
  void start(RegistryConfig config = {}) {
    registry_.reset();
    registry_.emplace(runtime_, *store_, api::schema::builtin(), std::move(config));
    registry_->bootstrap([] {});
    runtime_.settle();
  }
  void tell(const std::string& name, Duration ago = {}, const std::string& ns = "default") {
    Value object = json::parse(R"({"involvedObject":{"kind":"Pod","name":"p"},"type":"Normal","reason":"R"})").value();
    object.mut("metadata").set("name", name).set("namespace", ns);
    object.mut("involvedObject").set("namespace", ns);
    object.set("lastTimestamp", format_time(runtime_.now() - ago));
    bool told = false;
    Call call = call_;
    call.ns = ns;
    registry_->create(call, object, [&](Result<Answer> answer) { told = answer.ok(); });
    runtime_.settle();
    EXPECT_TRUE(told);
  }
  void tell_again(const std::string& name) {
    static int count = 1;
    Call call = call_;
    call.name = name;
    bool told = false;
    registry_->patch(call, api::PatchType::kMerge, Value::object({{"count", ++count}}), false,
                     [&](Result<Answer> answer) { told = answer.ok(); });
    runtime_.settle();
    EXPECT_TRUE(told);
  }
  std::size_t left() { return names().size(); }
  std::set<std::string> names(const std::string& ns = "default") {
    Call call = call_;
    call.ns = ns;
    std::set<std::string> names;
    const ListAnswer list = registry_->list(call, {}).value();
    for (const store::RecordPtr& record : list.records) names.insert(record->value["metadata"]["name"].str());
    return names;
  }

  HandRuntime runtime_;
  std::unique_ptr<store::Store> store_ = store::open_memory_store(runtime_);
  std::optional<Registry> registry_;
  Call call_;
};

TEST_F(EventExpiry, EventsToldAfterAnEmptyStartEndWhenTheirHourIsOver) {
  runtime_.pass(10min);
  tell("early");
  runtime_.pass(30min);
  tell("late");
  runtime_.pass(28min);
  EXPECT_EQ(left(), 2u);
  runtime_.pass(10min);
  EXPECT_EQ(left(), 1u);
  runtime_.pass(30min);
  EXPECT_EQ(left(), 0u);
}

TEST_F(EventExpiry, AnHourIsAnHourWhereverTheClockIsSetTo) {
  for (const Duration step : {Duration(24h * 365), Duration(-24h * 365)}) {
    tell("a");
    runtime_.pass(10min);
    runtime_.step(step);
    tell("b");
    runtime_.pass(45min);
    EXPECT_EQ(left(), 2u) << "a step forward ends none";
    runtime_.pass(10min);
    EXPECT_EQ(left(), 1u) << "a step back keeps none";
    runtime_.pass(10min);
    EXPECT_EQ(left(), 0u);
  }
}

TEST_F(EventExpiry, TheTimesThatAClientWritesDoNotDecide) {
  tell("of-last-year", 24h * 365);
  tell("of-next-year", -24h * 365);
  runtime_.pass(50min);
  EXPECT_EQ(left(), 2u);
  tell_again("of-last-year");
  runtime_.pass(20min);
  EXPECT_EQ(left(), 1u) << "told again, it lives on";
  runtime_.pass(45min);
  EXPECT_EQ(left(), 0u);
}

TEST_F(EventExpiry, AfterARestartTheirOwnTimesTell) {
  tell("a");
  runtime_.pass(40min);
  start();
  EXPECT_EQ(left(), 1u);
  runtime_.pass(25min);
  EXPECT_EQ(left(), 0u);
  // However the clock was set meanwhile, none stays for more than its hour.
  tell("b");
  runtime_.step(-24h * 365);
  start();
  runtime_.pass(65min);
  EXPECT_EQ(left(), 0u);
}

// A flood of Events in one namespace deletes none of another.
TEST_F(EventExpiry, ThereAreNoMoreThanSoMany) {
  RegistryConfig config;
  config.most_events = 100;
  start(config);
  for (int i = 0; i < 10; ++i) tell("early" + std::to_string(i), {}, "kube-system");
  for (int i = 0; i < 10; ++i) tell("early" + std::to_string(i), {}, "kube-public");
  tell("kept");
  for (int i = 0; i < 1000; ++i) {
    runtime_.pass(1ms);
    if (i % 50 == 0) tell_again("kept");
    tell("e" + std::to_string(i));
    ASSERT_LE(left(), 80u);
  }
  EXPECT_GE(left(), 78u);
  EXPECT_EQ(names("kube-system").size(), 10u);
  EXPECT_EQ(names("kube-public").size(), 10u);
  const std::set<std::string> there = names();
  EXPECT_TRUE(there.contains("kept")) << "it is the last write that counts";
  for (int i = 930; i < 1000; ++i) EXPECT_TRUE(there.contains("e" + std::to_string(i))) << i;
  EXPECT_FALSE(there.contains("e900"));
  // Those that end by age make room.
  runtime_.pass(2h);
  EXPECT_EQ(left(), 0u);
  for (int i = 0; i < 90; ++i) tell("later" + std::to_string(i));
  EXPECT_EQ(left(), 90u);
}

TEST_F(EventExpiry, AfterARestartThereAreNoMoreThanSoMany) {
  for (int i = 0; i < 10; ++i) tell("quiet" + std::to_string(i), 50min, "kube-system");
  for (int i = 0; i < 300; ++i) tell("e" + std::to_string(i), std::chrono::seconds(i));
  EXPECT_EQ(left(), 300u);
  RegistryConfig config;
  config.most_events = 100;
  start(config);
  EXPECT_EQ(left(), 88u) << "a batch below the limit";
  EXPECT_EQ(names("kube-system").size(), 10u);
  EXPECT_TRUE(names().contains("e0"));
  EXPECT_TRUE(names().contains("e87"));
  EXPECT_FALSE(names().contains("e88"));
  // And those of before go before new ones.
  for (int i = 0; i < 50; ++i) tell("new" + std::to_string(i));
  EXPECT_LE(left(), 90u);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(names().contains("new" + std::to_string(i)));
  EXPECT_EQ(names("kube-system").size(), 10u);
}

// As after an upgrade from a release without a limit: in batches, between which the server has its turns.
TEST_F(EventExpiry, AVeryLargeExcessGoesInBatches) {
  for (int i = 0; i < 1300; ++i) tell("e" + std::to_string(i), std::chrono::seconds(i));
  RegistryConfig config;
  config.most_events = 100;
  start(config);
  EXPECT_EQ(left(), 800u);
  runtime_.pass(1s);
  EXPECT_EQ(left(), 300u);
  runtime_.pass(1s);
  EXPECT_EQ(left(), 98u) << "a fiftieth below the limit";
  EXPECT_TRUE(names().contains("e0")) << "the newest stay";
}

// One that cannot be deleted, since it is written at that moment, is still known.
TEST_F(EventExpiry, OneThatIsWrittenWhileItShouldGoStays) {
  RegistryConfig config;
  config.most_events = 5;
  auto state = std::make_shared<Registry::State>(runtime_, *store_, api::schema::builtin(), config);
  auto put = [&](const std::string& name) {
    Commit commit{call_, store_key(*call_.kind, "default", name), -1, 200, {}};
    Value object = Value::object({{"apiVersion", "v1"},
                                  {"kind", "Event"},
                                  {"metadata", Value::object({{"name", name}, {"namespace", "default"}})}});
    commit_put(state, std::move(commit), std::move(object), false,
               [](const Result<Answer>& answer) { EXPECT_TRUE(answer.ok()); });
  };
  for (int i = 0; i < 5; ++i) put("e" + std::to_string(i));
  runtime_.settle();
  EXPECT_EQ(state->events.size(), 5u);
  put("e0");
  record_event(state, store_key(*call_.kind, "default", "not-there"));  // e0 has to go; then, when it is written, e1
  runtime_.settle();
  EXPECT_TRUE(store_->get(store_key(*call_.kind, "default", "e0")));
  EXPECT_FALSE(store_->get(store_key(*call_.kind, "default", "e1")));
  EXPECT_TRUE(state->events.written_at(store_key(*call_.kind, "default", "e0")));
  EXPECT_EQ(state->events.size(), store_->count("/registry/core/events/") + 1);
}

// One that was written without a word, as by another server, counts from when it should have gone.
TEST_F(EventExpiry, OneThatCouldNotBeDeletedIsKnownAgain) {
  RegistryConfig config;
  config.most_events = 1;
  auto state = std::make_shared<Registry::State>(runtime_, *store_, api::schema::builtin(), config);
  const std::string key = store_key(*call_.kind, "default", "e0");
  auto put = [&] {
    store::Write write;
    write.kind = store::Write::Kind::kPut;
    write.key = key;
    write.value = Value::object({{"apiVersion", "v1"},
                                 {"kind", "Event"},
                                 {"metadata", Value::object({{"name", "e0"}, {"namespace", "default"}})}});
    store_->write(std::move(write), [](const Result<store::RecordPtr>& written) { EXPECT_TRUE(written.ok()); });
  };
  put();
  runtime_.settle();
  state->events.record(key, runtime_.monotonic());
  put();
  record_event(state, store_key(*call_.kind, "default", "not-there"));
  EXPECT_FALSE(state->events.written_at(key));
  runtime_.settle();
  EXPECT_TRUE(store_->get(key));
  EXPECT_TRUE(state->events.written_at(key));
}

// The times of Events are those of stored ones: refused writes leave none, deletions none behind.
TEST_F(EventExpiry, TimesAreKeptForStoredEventsAlone) {
  auto state = std::make_shared<Registry::State>(runtime_, *store_, api::schema::builtin(), RegistryConfig{});
  auto create = [&](const std::string& name) {
    std::optional<Result<Answer>> answered;
    std::vector<std::string> warnings;
    Value object =
        json::parse(
            R"({"metadata":{"namespace":"default"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p"},"type":"Normal","reason":"R"})")
            .value();
    object.mut("metadata").set("name", name);
    create_object(state, call_, decode_object(call_, object, warnings).value(), {}, true,
                  [&](Result<Answer> answer) { answered.emplace(std::move(answer)); });
    runtime_.settle();
    return answered && answered->ok();
  };
  auto remove = [&](const std::string& name) {
    Call call = call_;
    call.name = name;
    bool removed = false;
    remove_object(state, call, {}, [&](const Result<Answer>& answer) { removed = answer.ok(); });
    runtime_.settle();
    return removed;
  };
  for (int i = 0; i < 100; ++i) {
    const std::string name = "e" + std::to_string(i);
    EXPECT_TRUE(create(name));
    EXPECT_EQ(state->events.size(), 1u);
    EXPECT_TRUE(remove(name));
    EXPECT_EQ(state->events.size(), 0u);
  }
  // A version that is not there.
  Call call = call_;
  call.name = "absent";
  Commit commit{call, store_key(*call_.kind, "default", "absent"), 12345, 200, {}};
  bool refused = false;
  commit_put(
      state, std::move(commit),
      json::parse(R"({"apiVersion":"v1","kind":"Event","metadata":{"name":"absent","namespace":"default"}})").value(),
      false, [&](const Result<Answer>& answer) { refused = !answer.ok(); });
  runtime_.settle();
  EXPECT_TRUE(refused);
  EXPECT_EQ(state->events.size(), 0u);
  // Those that expire.
  registry_.reset();  // which would delete them too
  EXPECT_TRUE(create("a"));
  schedule_event_expiry(state);
  runtime_.pass(2h);
  EXPECT_EQ(store_->list("/registry/core/events/").records.size(), 0u);
  EXPECT_EQ(state->events.size(), 0u);
  runtime_.cancel(state->event_timer);
}

}  // namespace
}  // namespace berth::apiserver::registry
