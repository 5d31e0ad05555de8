// Watches that start with the present state, of peers that take it slowly.
#include <algorithm>
#include <functional>
#include <random>

#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;
using Lines = std::vector<std::string>;

std::string line(std::string_view type, const store::RecordPtr& record) {
  return std::string(type) + " " + std::string(api::name_of(record->value)) + " " +
         std::string(api::resource_version_of(record->value));
}

// Refuses when it has taken so many, until asked for more.
struct SlowSink final : ObjectWatchSink {
  std::size_t room = SIZE_MAX;
  Lines lines;
  std::optional<Error> end;
  std::function<void()> during;

  bool on_event(std::string_view type, const store::RecordPtr& record) override {
    lines.push_back(line(type, record));
    if (during) during();
    if (room == SIZE_MAX) return true;
    if (room > 0) --room;
    return room > 0;
  }
  void on_bookmark(store::Revision revision, bool end) override {
    lines.push_back("BOOKMARK " + std::to_string(revision) + (end ? " end" : ""));
  }
  void on_end(const Error& error) override { end = error; }
};

class InitialState : public RegistryFixture {
 protected:
  static std::string name(int number) {
    std::string digits = std::to_string(number);
    return "c" + std::string(4 - digits.size(), '0') + digits;
  }
  static std::string key(int number) { return store_key(*call(kConfigMaps).kind, "default", name(number)); }
  // Does not wait.
  void put(int number, const std::string& label = "all") {
    Value metadata =
        Value::object({{"name", name(number)}, {"namespace", "default"}, {"labels", Value::object({{"l", label}})}});
    Value object = Value::object({{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", metadata}});
    store_->write({store::Write::Kind::kPut, key(number), object}, [](const Result<store::RecordPtr>&) {});
  }
  void erase(int number) {
    store_->write({store::Write::Kind::kDelete, key(number)}, [](const Result<store::RecordPtr>&) {});
  }
  void settle() {
    for (int i = 0; i < 30; ++i) loop_.run_once(0s);
  }
  std::unique_ptr<ObjectWatch> watch(SlowSink& sink, const WatchCall& options = {}) {
    auto watch = registry_->watch(call(kConfigMaps), options, &sink);
    EXPECT_TRUE(watch.ok());
    return watch.ok() ? std::move(*watch) : nullptr;
  }
  Lines state(const std::string& selector = {}) {
    ListCall which;
    which.label_selector = selector;
    Lines lines;
    const ListAnswer list = registry_->list(call(kConfigMaps), which).value();
    for (const store::RecordPtr& record : list.records) lines.push_back(line("ADDED", record));
    return lines;
  }
};

TEST_F(InitialState, IsWhatWasThereWhateverIsWrittenMeanwhile) {
  for (const std::string selector : {"", "l=few", "l=none"}) {
    std::mt19937 chance(7);
    auto write = [&] {
      const int number = static_cast<int>(chance() % 900);
      if (chance() % 3 == 0) return erase(number);
      put(number, chance() % 40 == 0 ? "few" : "all");
    };
    for (int i = 0; i < 3000; ++i) write();
    settle();
    WatchCall options;
    options.label_selector = selector;
    options.send_initial_events = true;
    options.bookmarks = true;
    Lines want = state(selector);
    EXPECT_EQ(want.size() > 512, selector.empty()) << "several pages";
    const std::string now = std::to_string(store_->revision());
    want.push_back("BOOKMARK " + now + " end");
    // The rest is what a watch from there on sees.
    SlowSink slow, later;
    auto first = watch(slow, options);
    WatchCall rest;
    rest.label_selector = selector;
    rest.resource_version = now;
    auto second = watch(later, rest);
    slow.room = 0;
    for (int round = 0; round < 40; ++round) {
      for (std::size_t i = chance() % 50; i > 0; --i) write();
      if (round % 2 == 0) settle();
      slow.room = chance() % 60;
      first->resume();
      settle();
    }
    slow.room = SIZE_MAX;
    first->resume();
    settle();
    EXPECT_FALSE(slow.end);
    EXPECT_EQ(later.lines.empty(), selector == "l=none");
    want.insert(want.end(), later.lines.begin(), later.lines.end());
    EXPECT_EQ(slow.lines, want) << selector;
  }
}

TEST_F(InitialState, OfAPeerThatDoesNotReadHoldsNoVersions) {
  for (int i = 0; i < 600; ++i) put(i);
  settle();
  SlowSink slow;
  slow.room = 1;
  auto handle = watch(slow);
  settle();
  EXPECT_EQ(slow.lines.size(), 1u);
  std::vector<std::weak_ptr<const store::Record>> records;
  for (int i = 0; i < 600; ++i) records.push_back(store_->get(key(i)));
  for (int i = 0; i < 600; ++i) erase(i);
  settle();
  store_->compact(store_->revision());
  EXPECT_EQ(std::count_if(records.begin(), records.end(), [](const auto& record) { return !record.expired(); }), 0);
}

TEST_F(InitialState, ThatIsForgottenBeforeItIsTakenEndsTheWatch) {
  for (int i = 0; i < 600; ++i) put(i);
  settle();
  const std::string now = std::to_string(store_->revision());
  // One in the middle of the state, one that has all of it and no event yet, and one without, behind by an event.
  SlowSink middle, whole, events;
  middle.room = 300;
  whole.room = 600;
  events.room = 1;
  auto first = watch(middle), second = watch(whole);
  WatchCall options;
  options.resource_version = now;
  auto third = watch(events, options);
  settle();
  EXPECT_EQ(middle.lines.size(), 300u);
  EXPECT_EQ(whole.lines.size(), 600u);
  store_->compact(store_->revision());
  put(0);
  settle();
  // What is forgotten so far is what they have seen.
  middle.room = 10;
  first->resume();
  EXPECT_EQ(middle.lines.size(), 310u);
  EXPECT_FALSE(middle.end);
  put(1);
  settle();
  store_->compact(store_->revision());
  for (auto* handle : {&first, &second, &third}) (*handle)->resume();
  settle();
  for (SlowSink* sink : {&middle, &whole, &events}) {
    ASSERT_TRUE(sink->end);
    EXPECT_EQ(sink->end->code, Code::kExpired);
    EXPECT_TRUE(sink->end->message.starts_with("the watch fell behind: events after revision ")) << sink->end->message;
  }
  EXPECT_EQ(middle.end->message, "the watch fell behind: events after revision " + now + " have been compacted");
  EXPECT_EQ(middle.lines.size(), 310u);
  EXPECT_EQ(whole.lines.size(), 600u);
}

// However much of other kinds is written meanwhile.
TEST_F(InitialState, OfAKindThatDoesNotChangeIsNeverForgotten) {
  for (int i = 0; i < 600; ++i) put(i);
  settle();
  const Lines before = state();
  SlowSink sink;
  sink.room = 300;
  auto handle = watch(sink);
  settle();
  const auto flood = [&] {
    const std::string other = store_key(*call(kSecrets).kind, "default", "s");
    for (int i = 0; i < 10; ++i) {
      store_->write({store::Write::Kind::kPut, other,
                     json::parse(R"({"kind":"Secret","metadata":{"name":"s","namespace":"default"}})").value()},
                    [](const Result<store::RecordPtr>&) {});
    }
    settle();
    store_->compact(store_->revision());
  };
  flood();
  sink.room = 100;
  handle->resume();
  EXPECT_EQ(sink.lines.size(), 400u);
  flood();
  sink.room = SIZE_MAX;
  handle->resume();
  settle();
  EXPECT_FALSE(sink.end);
  EXPECT_EQ(sink.lines, before);
  put(7);
  settle();
  EXPECT_EQ(sink.lines.size(), 601u);
  EXPECT_TRUE(sink.lines.back().starts_with("MODIFIED c0007 "));
}

// That nothing is left does not say that nothing has changed.
TEST_F(InitialState, ThatIsDeletedAndForgottenEndsTheWatch) {
  for (int i = 0; i < 600; ++i) put(i);
  settle();
  SlowSink sink;
  sink.room = 300;
  auto handle = watch(sink);
  settle();
  for (int i = 0; i < 600; ++i) erase(i);
  settle();
  store_->compact(store_->revision());
  sink.room = SIZE_MAX;
  handle->resume();
  settle();
  ASSERT_TRUE(sink.end);
  EXPECT_EQ(sink.end->code, Code::kExpired);
  EXPECT_EQ(sink.lines.size(), 300u);
}

TEST_F(InitialState, TheSinkMayEndOrResumeTheWatchMeanwhile) {
  for (int i = 0; i < 600; ++i) put(i);
  settle();
  SlowSink ending, resuming;
  std::unique_ptr<ObjectWatch> first = watch(ending), second = watch(resuming);
  ending.during = [&] {
    if (ending.lines.size() == 270) first.reset();
  };
  resuming.room = 0;
  resuming.during = [&] { second->resume(); };
  settle();
  EXPECT_EQ(ending.lines.size(), 270u);
  EXPECT_EQ(resuming.lines, state());
}

}  // namespace
}  // namespace berth::apiserver::registry
