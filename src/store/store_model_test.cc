// Random histories against a model: every watch gets exactly its matching events, and every retained revision can be
// listed.

#include <map>
#include <random>

#include "base/fault.h"
#include "store/test_support.h"

namespace berth::store {
namespace {

using State = std::map<std::string, Revision>;  // key -> mod_revision

struct Observer {
  std::string prefix;
  Revision after;
  RecordingSink sink;
  std::unique_ptr<Watch> watch;
};

template <class Backend>
class StoreModel : public ::testing::Test {
 protected:
  ~StoreModel() override { fault::disarm_all(); }

  int expired() const { return expired_; }
  int complete() const { return complete_; }

  void run(unsigned seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    chance_.seed(seed);
    StoreLimits limits;
    limits.history_events = 300;
    store_ = backend_.open(loop_, limits);
    start_ = store_->revision();
    initial_ = state_of(store_->list(""));
    EXPECT_EQ(initial_, durable_) << "what is back after a restart";
    last_answer_ = start_;
    answered_ = 0;
    observe("", start_);
    for (int step = 0; step < 1500; ++step) take_step();
    settle();
    for (int i = 0; i < 400 && !all_caught_up(); ++i) {
      for (auto& observer : observers_) wake(*observer);
      run_turns(loop_, 2);
    }
    check_watches();
    check_lists();
    observers_.clear();
    store_.reset();
    if (!Backend::kDurable) durable_.clear();
  }

 private:
  static State state_of(const Listing& listing) {
    State state;
    for (const RecordPtr& record : listing.records) state[record->key] = record->mod_revision;
    return state;
  }
  int below(int limit) { return static_cast<int>(chance_() % static_cast<unsigned>(limit)); }

  void take_step() {
    switch (below(12)) {
      case 0: run_turns(loop_, 1); break;
      case 1: observe_somewhere(); break;
      case 2: wake(*observers_[static_cast<std::size_t>(below(static_cast<int>(observers_.size())))]); break;
      case 3:
        if (below(20) == 0) store_->compact(store_->revision() - below(60));
        if (below(10) == 0) fault::arm("store.commit", 1);
        break;
      default: submit();
    }
  }

  // Starting at a revision in the past, the present or the near future.
  void observe_somewhere() {
    const Revision oldest = std::max(store_->compacted(), start_);
    observe(kPrefixes[static_cast<std::size_t>(below(6))],
            oldest + below(static_cast<int>(store_->revision() - oldest) + 3));
  }

  void observe(const std::string& prefix, Revision after) {
    auto observer = std::make_unique<Observer>();
    observer->prefix = prefix;
    observer->after = after;
    // The first observer is the reference and never pauses.
    if (!observers_.empty()) observer->sink.allowed_calls = 1 + below(4);
    auto watch = store_->watch(prefix, after, &observer->sink);
    ASSERT_TRUE(watch.ok());
    observer->watch = std::move(watch).value();
    observers_.push_back(std::move(observer));
  }

  void wake(Observer& observer) {
    if (&observer == observers_.front().get()) return;
    observer.sink.allowed_calls = 1 + below(4);
    observer.watch->resume();
  }

  void submit() {
    Write write;
    const std::string name = std::string(1, static_cast<char>('a' + below(5)));
    write.key = "/r/" + std::string(below(2) == 0 ? "pods/" : "podsx/") + (below(2) == 0 ? "d/" : "e/") + name;
    RecordPtr head = store_->head(write.key);
    write.kind = head && below(3) == 0 ? Write::Kind::kDelete : Write::Kind::kPut;
    write.value = configmap(name, below(1000));
    write.expected = below(2) == 0 ? -1 : head ? head->mod_revision : 0;
    write.ephemeral = below(6) == 0;
    const bool ephemeral = write.ephemeral, deletes = write.kind == Write::Kind::kDelete;
    store_->write(std::move(write), [this, ephemeral, deletes](Result<RecordPtr> result) {
      if (result.ok()) {
        if (!ephemeral) durable_[(*result)->key] = (*result)->mod_revision;
        if (!ephemeral && deletes) durable_.erase((*result)->key);
        EXPECT_GT((*result)->mod_revision, last_answer_) << "answers come in revision order";
        last_answer_ = (*result)->mod_revision;
        ++answered_;
      } else {
        EXPECT_EQ(result.error().code, Code::kUnavailable);
      }
    });
  }

  void settle() {
    fault::disarm_all();
    bool flushed = false;
    store_->flush([&flushed] { flushed = true; });
    EXPECT_TRUE(run_until(loop_, [&flushed] { return flushed; }));
    run_turns(loop_);
  }

  const std::vector<EventPtr>& truth() const { return observers_.front()->sink.events; }

  std::vector<EventPtr> expected(const Observer& observer) const {
    std::vector<EventPtr> out;
    for (const EventPtr& event : truth()) {
      if (event->revision > observer.after && event->record->key.starts_with(observer.prefix)) out.push_back(event);
    }
    return out;
  }

  bool all_caught_up() const {
    for (const auto& observer : observers_) {
      if (observer->sink.ended.empty() && observer->sink.events.size() < expected(*observer).size()) return false;
    }
    return true;
  }

  void check_watches() {
    EXPECT_EQ(truth().size(), answered_) << "one event for every write that succeeded";
    for (const auto& observer : observers_) {
      std::vector<EventPtr> want = expected(*observer);
      const std::vector<EventPtr>& got = observer->sink.events;
      if (!observer->sink.ended.empty()) {
        ++expired_;
        EXPECT_EQ(observer->sink.ended[0].code, Code::kExpired);
        ASSERT_LE(got.size(), want.size());
        want.resize(got.size());
      } else {
        ++complete_;
      }
      EXPECT_TRUE(got == want) << "watch of '" << observer->prefix << "' after " << observer->after << ": "
                               << got.size() << " events instead of " << want.size();
    }
  }

  void check_lists() {
    State state = initial_;
    std::size_t next = 0;
    for (Revision revision = start_; revision <= store_->revision(); ++revision) {
      for (; next < truth().size() && truth()[next]->revision <= revision; ++next) {
        const Event& event = *truth()[next];
        EXPECT_EQ(event.previous != nullptr, state.contains(event.record->key));
        if (event.type == EventType::kDeleted) {
          state.erase(event.record->key);
        } else {
          state[event.record->key] = event.revision;
        }
      }
      if (revision < store_->compacted()) continue;
      auto listing = store_->list_at(revision, "/r/pods/");
      ASSERT_TRUE(listing.ok());
      State got = state_of(*listing);
      State want;
      for (const auto& [key, modified] : state) {
        if (key.starts_with("/r/pods/")) want[key] = modified;
      }
      ASSERT_EQ(got, want) << "at revision " << revision;
      // In pages.
      const std::size_t limit = 1 + static_cast<std::size_t>(revision) % 4;
      State paged;
      std::string last;
      for (bool more = true; more;) {
        auto page = store_->list_at(revision, "/r/pods/", limit, last, RemainingCount::kNotCounted);
        ASSERT_TRUE(page.ok());
        EXPECT_EQ(page->remaining, 0u);
        ASSERT_EQ(page->records.size(), std::min(limit, want.size() - paged.size()))
            << "at revision " << revision << " after " << last;
        for (const RecordPtr& record : page->records) {
          EXPECT_GT(record->key, last);
          last = record->key;
          paged[last] = record->mod_revision;
        }
        more = page->more;
      }
      ASSERT_EQ(paged, want) << "at revision " << revision;
    }
    // There is no change after the reported last change.
    for (const std::string& prefix : kPrefixes) {
      Revision newest = 0;
      for (const EventPtr& event : truth()) {
        if (event->record->key.starts_with(prefix)) newest = std::max(newest, event->revision);
      }
      const Revision told = store_->last_change(prefix);
      EXPECT_TRUE(told >= newest || newest <= store_->compacted()) << prefix << " " << told << " " << newest;
      EXPECT_TRUE(told <= newest || !prefix.ends_with('/') || newest == 0) << prefix << " " << told << " " << newest;
    }
    EXPECT_EQ(store_->count("/r/"), state.size());
  }

  const std::vector<std::string> kPrefixes = {"", "/r/pods", "/r/pods/", "/r/pods/d/", "/r/podsx/e/a", "/r/podsx/d/"};
  std::mt19937 chance_;
  Loop loop_{1};
  Backend backend_;
  std::unique_ptr<Store> store_;
  std::vector<std::unique_ptr<Observer>> observers_;
  Revision start_ = 0;
  Revision last_answer_ = 0;
  std::size_t answered_ = 0;
  int expired_ = 0;
  int complete_ = 0;
  State initial_;
  State durable_;  // the state expected after a restart
};

using Backends = ::testing::Types<MemoryBackend, SqliteBackend>;
TYPED_TEST_SUITE(StoreModel, Backends);

TYPED_TEST(StoreModel, RandomHistories) {
  for (unsigned seed = 1; seed <= 8; ++seed) {
    this->run(seed);
    if (this->HasFailure()) return;
  }
  EXPECT_GT(this->complete(), 8) << "more than the one in each history that never pauses";
  EXPECT_GT(this->expired(), 0) << "some watch must have fallen behind too far";
}

}  // namespace
}  // namespace berth::store
