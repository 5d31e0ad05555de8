#pragma once
// Helpers of the store's tests: a loop driven by hand, writes that wait for their answer, sinks that record.

#include <gtest/gtest.h>

#include <optional>

#include "base/files.h"
#include "base/fs/test_directory.h"
#include "base/loop.h"
#include "store/store.h"

namespace berth::store {

inline Value configmap(std::string_view name, const Value& data = {}) {
  return Value::object({{"kind", "ConfigMap"},
                        {"metadata", Value::object({{"name", name}, {"namespace", "d"}})},
                        {"data", Value::object({{"x", data}})}});
}
inline std::string key_of(std::string_view name) { return "/registry/core/configmaps/d/" + std::string(name); }

inline Write put(std::string_view name, const Value& data = {}, Revision expected = -1) {
  return Write{Write::Kind::kPut, key_of(name), configmap(name, data), expected, false};
}
inline Write ephemeral_put(std::string_view name, const Value& data = {}) {
  return Write{Write::Kind::kPut, key_of(name), configmap(name, data), -1, true};
}
inline Write removal(std::string_view name, Revision expected = -1) {
  return Write{Write::Kind::kDelete, key_of(name), {}, expected, false};
}

inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "found: " << text;
}

// The backends of the contract tests.
struct MemoryBackend {
  static constexpr bool kDurable = false;
  std::unique_ptr<Store> open(Loop& loop, const StoreLimits& limits) { return open_memory_store(loop, limits); }
};
struct SqliteBackend {
  static constexpr bool kDurable = true;
  std::unique_ptr<Store> open(Loop& loop, const StoreLimits& limits) {
    auto store = open_sqlite_store(loop, folder / "store.db", limits);
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().message);
    return store.ok() ? std::move(store).value() : nullptr;
  }
  berth::testing::TestDirectory folder;
};

// Runs the loop until `done()`; false after half a minute, which only a defect takes.
template <class Predicate>
bool run_until(Loop& loop, Predicate done) {
  const Duration deadline = loop.monotonic() + std::chrono::seconds(30);
  while (!done()) {
    if (loop.monotonic() > deadline) return false;
    loop.run_once(std::chrono::milliseconds(100));
  }
  return true;
}

// Runs posted tasks, and those that they post, for `turns` rounds.
inline void run_turns(Loop& loop, int turns = 20) {
  for (int i = 0; i < turns; ++i) {
    bool ran = false;
    loop.post([&ran] { ran = true; });
    (void)run_until(loop, [&ran] { return ran; });
  }
}

inline Result<RecordPtr> write_now(Loop& loop, Store& store, Write write) {
  std::optional<Result<RecordPtr>> answer;
  store.write(std::move(write), [&answer](Result<RecordPtr> result) { answer = std::move(result); });
  if (!run_until(loop, [&answer] { return answer.has_value(); })) return error(Code::kTimeout, "no answer");
  return *answer;
}

class RecordingSink : public WatchSink {
 public:
  bool on_events(const std::vector<EventPtr>& batch) override {
    events.insert(events.end(), batch.begin(), batch.end());
    ++calls;
    if (during) during();
    return --allowed_calls > 0;
  }
  void on_progress(Revision revision) override { progress.push_back(revision); }
  void on_end(const Error& error) override { ended.push_back(error); }

  // "A x 1 @5": type, name, value, revision.
  std::vector<std::string> text() const {
    std::vector<std::string> lines;
    for (const EventPtr& event : events) {
      const char* type = event->type == EventType::kAdded ? "A" : event->type == EventType::kModified ? "M" : "D";
      const Value& value = event->record->value;
      lines.push_back(std::string(type) + " " + value["metadata"]["name"].str() + " " +
                      json::encode(value["data"]["x"]) + " @" + value["metadata"]["resourceVersion"].str());
    }
    return lines;
  }

  std::vector<EventPtr> events;
  std::vector<Revision> progress;
  std::vector<Error> ended;
  int calls = 0;
  int allowed_calls = 1 << 30;  // then on_events returns false
  Task during;                  // run inside on_events
};

}  // namespace berth::store
