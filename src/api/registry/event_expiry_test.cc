// Events live for an hour of virtual time.
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "api/registry/state.h"
#include "base/time/time.h"

namespace berth::registry {
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

  void step(Duration by) { step_ += by; }  // somebody sets the clock
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
    call_.kind = schema::builtin().find(api::resources::kEvents);
    call_.ns = "default";
    start();
  }
  // Also: again, over what the last one has left.
  void start() {
    registry_.reset();
    registry_.emplace(runtime_, *store_, schema::builtin());
    registry_->bootstrap([] {});
    runtime_.settle();
  }
  void tell(const std::string& name, Duration ago = {}) {
    Value object = json::parse(R"({"metadata":{"namespace":"default"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p"},"type":"Normal","reason":"R"})").value();
    object.mut("metadata").set("name", name);
    object.set("lastTimestamp", format_time(runtime_.now() - ago));
    bool told = false;
    registry_->create(call_, object, [&](Result<Answer> answer) { told = answer.ok(); });
    runtime_.settle();
    EXPECT_TRUE(told);
  }
  void tell_again(const std::string& name) {
    Call call = call_;
    call.name = name;
    bool told = false;
    registry_->patch(call, api::PatchType::kMerge, json::parse(R"({"count":2})").value(), false, [&](Result<Answer> answer) { told = answer.ok(); });
    runtime_.settle();
    EXPECT_TRUE(told);
  }
  std::size_t left() { return registry_->list(call_, {}).value().records.size(); }

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

// The times of Events are those of stored ones: refused writes leave none, deletions none behind.
TEST_F(EventExpiry, TimesAreKeptForStoredEventsAlone) {
  auto state = std::make_shared<Registry::State>(runtime_, *store_, schema::builtin(), Config{});
  auto create = [&](const std::string& name) {
    std::optional<Result<Answer>> answered;
    std::vector<std::string> warnings;
    Value object = json::parse(R"({"metadata":{"namespace":"default"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p"},"type":"Normal","reason":"R"})").value();
    object.mut("metadata").set("name", name);
    create_object(state, call_, take_in(call_, object, warnings).value(), {}, true, [&](Result<Answer> answer) { answered.emplace(std::move(answer)); });
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
    EXPECT_EQ(state->event_written_at.size(), 1u);
    EXPECT_TRUE(remove(name));
    EXPECT_EQ(state->event_written_at.size(), 0u);
  }
  // A version that is not there.
  Call call = call_;
  call.name = "absent";
  Commit commit{call, store_key(*call_.kind, "default", "absent"), 12345, 200, {}};
  bool refused = false;
  commit_put(state, std::move(commit), json::parse(R"({"apiVersion":"v1","kind":"Event","metadata":{"name":"absent","namespace":"default"}})").value(), false,
             [&](const Result<Answer>& answer) { refused = !answer.ok(); });
  runtime_.settle();
  EXPECT_TRUE(refused);
  EXPECT_EQ(state->event_written_at.size(), 0u);
  // Those that expire.
  registry_.reset();  // which would delete them too
  EXPECT_TRUE(create("a"));
  schedule_event_expiry(state);
  runtime_.pass(2h);
  EXPECT_EQ(store_->list("/registry/core/events/").records.size(), 0u);
  EXPECT_EQ(state->event_written_at.size(), 0u);
  runtime_.cancel(state->event_timer);
}

}  // namespace
}  // namespace berth::registry
