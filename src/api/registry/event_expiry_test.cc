// Events live for an hour of virtual time.
#include <gtest/gtest.h>

#include <map>

#include "api/registry/registry.h"
#include "base/time/time.h"

namespace berth::registry {
namespace {

// A clock that only the test moves.
class HandRuntime final : public Runtime {
 public:
  Time now() const override { return Time(std::chrono::hours(500'000)) + passed_; }
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
  Duration passed_{0};
  std::vector<Task> posted_;
  std::map<TimerId, std::pair<Duration, Task>> timers_;
  TimerId last_ = 0;
  std::uint64_t state_ = 1;
};

TEST(EventExpiry, EventsToldAfterAnEmptyStartEndWhenTheirHourIsOver) {
  HandRuntime runtime;
  auto store = store::open_memory_store(runtime);
  Registry registry(runtime, *store, schema::builtin());
  registry.bootstrap([] {});
  runtime.settle();
  Call call;
  call.user = {"test", {"system:masters"}};
  call.kind = schema::builtin().find(api::resources::kEvents);
  call.ns = "default";
  int told = 0;
  auto tell = [&](const std::string& name) {
    Value object = json::parse(R"({"metadata":{"namespace":"default"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p"},"type":"Normal","reason":"R"})").value();
    object.mut("metadata").set("name", name);
    object.set("lastTimestamp", format_time(runtime.now()));
    registry.create(call, object, [&](Result<Answer> answer) { told += answer.ok(); });
    runtime.settle();
  };
  auto left = [&] { return registry.list(call, {}).value().records.size(); };
  runtime.pass(10min);
  tell("early");
  runtime.pass(30min);
  tell("late");
  ASSERT_EQ(told, 2);
  runtime.pass(28min);
  EXPECT_EQ(left(), 2u);
  runtime.pass(10min);
  EXPECT_EQ(left(), 1u);
  runtime.pass(30min);
  EXPECT_EQ(left(), 0u);
}

}  // namespace
}  // namespace berth::registry
