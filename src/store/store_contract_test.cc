// One contract, every backend.

#include "base/fault.h"
#include "store/test_support.h"

namespace berth::store {
namespace {

using Numbers = std::vector<Revision>;
using Lines = std::vector<std::string>;

template <class Backend>
class StoreContract : public ::testing::Test {
 protected:
  StoreContract() { open({}); }
  ~StoreContract() override { fault::disarm_all(); }

  void open(const StoreLimits& limits) {
    store_.reset();
    store_ = backend_.open(loop_, limits);
  }
  Result<RecordPtr> write(Write write) { return write_now(loop_, *store_, std::move(write)); }
  Revision must_write(Write write) {
    auto result = this->write(std::move(write));
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result.ok() ? (*result)->mod_revision : -1;
  }
  Code code_of(Write write) {
    auto result = this->write(std::move(write));
    EXPECT_FALSE(result.ok());
    return result.ok() ? Code::kUnimplemented : result.error().code;
  }
  Lines names(const Listing& listing) {
    Lines out;
    for (const RecordPtr& record : listing.records) {
      out.push_back(record->value["metadata"]["name"].str() + "=" + json::encode(record->value["data"]["x"]));
    }
    return out;
  }
  std::unique_ptr<Watch> watch(Revision after, WatchSink& sink, const std::string& prefix = "/registry/") {
    auto watch = store_->watch(prefix, after, &sink);
    EXPECT_TRUE(watch.ok());
    return watch.ok() ? std::move(watch).value() : nullptr;
  }
  void run_pending_tasks() {
    bool flushed = false;
    store_->flush([&flushed] { flushed = true; });
    EXPECT_TRUE(run_until(loop_, [&flushed] { return flushed; }));
    run_turns(loop_);
  }

  Loop loop_{1};
  Backend backend_;
  std::unique_ptr<Store> store_;
};

using Backends = ::testing::Types<MemoryBackend, SqliteBackend>;
TYPED_TEST_SUITE(StoreContract, Backends);

TYPED_TEST(StoreContract, EveryWriteTakesOneRevision) {
  EXPECT_EQ(this->store_->revision(), 0);
  EXPECT_EQ(this->must_write(put("a", 1)), 1);
  EXPECT_EQ(this->must_write(put("b", 1)), 2);
  EXPECT_EQ(this->must_write(put("a", 2)), 3);
  EXPECT_EQ(this->must_write(removal("b")), 4);
  EXPECT_EQ(this->store_->revision(), 4);
  RecordPtr a = this->store_->get(key_of("a"));
  ASSERT_TRUE(a);
  EXPECT_EQ(a->create_revision, 1);
  EXPECT_EQ(a->mod_revision, 3);
  EXPECT_EQ(a->value["metadata"]["resourceVersion"].str(), "3");
  EXPECT_EQ(a->json(), json::encode(a->value));
  EXPECT_EQ(&a->json(), &a->json());
  EXPECT_EQ(a->shared_json().get(), &a->json());
  EXPECT_FALSE(this->store_->get(key_of("b")));
  EXPECT_FALSE(this->store_->get(key_of("")));
}

TYPED_TEST(StoreContract, TellsWhenAnythingBelowAPrefixHasChanged) {
  auto key = [](const std::string& folder, const std::string& name) { return "/registry/" + folder + "/" + name; };
  auto put_at = [&](const std::string& at) {
    Write write = put("x", 1);
    write.key = at;
    return this->must_write(std::move(write));
  };
  auto remove_at = [&](const std::string& at) {
    Write write = removal("x");
    write.key = at;
    return this->must_write(std::move(write));
  };
  EXPECT_EQ(this->store_->last_change("/registry/"), 0);
  put_at(key("a/one", "x"));
  const Revision two = put_at(key("a/two", "x"));
  const Revision other = put_at(key("b", "x"));
  EXPECT_EQ(this->store_->last_change("/registry/a/"), two);
  EXPECT_EQ(this->store_->last_change("/registry/b/"), other);
  EXPECT_EQ(this->store_->last_change("/registry/"), other);
  EXPECT_EQ(this->store_->last_change("/registry/c/"), 0);
  const Revision again = put_at(key("a/one", "x"));
  EXPECT_EQ(this->store_->last_change("/registry/a/"), again);
  EXPECT_EQ(this->store_->last_change("/registry/a/o"), again);
  EXPECT_EQ(this->store_->last_change("/registry/a/one/x"), again);
  // Also if nothing is left.
  const Revision gone = remove_at(key("a/two", "x"));
  EXPECT_EQ(this->store_->last_change("/registry/a/"), gone);
  EXPECT_EQ(this->store_->last_change("/registry/a/two/"), gone);
  this->store_->compact(this->store_->revision());
  EXPECT_EQ(this->store_->last_change("/registry/a/"), gone) << "forgotten history is no reason to forget this";
  EXPECT_EQ(this->store_->last_change("/registry/a/two/"), gone);
  EXPECT_EQ(this->store_->count("/registry/a/"), 1u);
  put_at(key("a/two", "y"));
  EXPECT_EQ(this->store_->last_change("/registry/a/two/"), this->store_->revision());
  // With very many empty folders it may return a later change, never an earlier one.
  Revision last = 0;
  for (int i = 0; i < 1200; ++i) {
    put_at(key("n" + std::to_string(i), "x"));
    last = remove_at(key("n" + std::to_string(i), "x"));
  }
  EXPECT_GE(this->store_->last_change("/registry/n0/"), last - 2 * 1200 + 2);
  EXPECT_EQ(this->store_->last_change("/registry/n1199/"), last);
  const Revision quiet = put_at(key("quiet", "x"));
  put_at(key("n7", "x"));
  EXPECT_EQ(this->store_->last_change("/registry/quiet/"), quiet);
}

TYPED_TEST(StoreContract, TheValuesOwnResourceVersionIsIgnored) {
  Write write = put("a", 1);
  write.value.mut("metadata").set("resourceVersion", "77");
  EXPECT_EQ(this->must_write(std::move(write)), 1);
  EXPECT_EQ(this->store_->get(key_of("a"))->value["metadata"]["resourceVersion"].str(), "1");
}

TYPED_TEST(StoreContract, CompareAndSet) {
  EXPECT_EQ(this->must_write(put("a", 1, 0)), 1);
  EXPECT_EQ(this->code_of(put("a", 2, 0)), Code::kConflict);
  EXPECT_EQ(this->must_write(put("a", 2, 1)), 2);
  EXPECT_EQ(this->code_of(put("a", 3, 1)), Code::kConflict);
  EXPECT_EQ(this->code_of(removal("a", 1)), Code::kConflict);
  EXPECT_EQ(this->code_of(put("new", 1, 5)), Code::kConflict);
  EXPECT_EQ(this->code_of(removal("absent")), Code::kNotFound);
  EXPECT_EQ(this->code_of(removal("absent", 3)), Code::kNotFound);
  EXPECT_EQ(this->store_->revision(), 2) << "a refused write changes nothing";
  EXPECT_EQ(this->must_write(removal("a", 2)), 3);
}

TYPED_TEST(StoreContract, RefusesWhatIsNoObjectOrTooLarge) {
  Write write = put("a", 1);
  write.value = "text";
  EXPECT_EQ(this->code_of(std::move(write)), Code::kInvalid);
  Write odd = put("a", 1);
  odd.value.set("metadata", "text");
  EXPECT_EQ(this->code_of(std::move(odd)), Code::kInvalid);
  Write nameless = put("a", 1);
  nameless.key.clear();
  EXPECT_EQ(this->code_of(std::move(nameless)), Code::kInvalid);
  auto large = this->write(put("a", std::string(4u << 20, 'x')));
  ASSERT_TRUE(large.failed_with(Code::kTooLarge));
  EXPECT_NE(large.error().message.find(key_of("a")), std::string::npos);
  EXPECT_EQ(this->must_write(put("a", std::string(2u << 20, 'x'))), 1);
}

TYPED_TEST(StoreContract, VisibleOnlyWhenDurableButHeadKnowsAtOnce) {
  std::vector<int> order;
  this->store_->write(put("a", 1), [&](Result<RecordPtr>) { order.push_back(1); });
  EXPECT_FALSE(this->store_->get(key_of("a")));
  EXPECT_EQ(this->store_->revision(), 0);
  EXPECT_EQ(this->store_->count("/registry/"), 0u);
  RecordPtr head = this->store_->head(key_of("a"));
  ASSERT_TRUE(head);
  EXPECT_EQ(head->mod_revision, 1);
  // Two writes in one group: the second starts from the first one's version.
  this->store_->write(put("a", 2, head->mod_revision), [&](Result<RecordPtr> result) {
    EXPECT_TRUE(result.ok());
    order.push_back(2);
  });
  this->store_->write(put("a", 3, head->mod_revision), [&](Result<RecordPtr> result) {
    EXPECT_TRUE(result.failed_with(Code::kConflict));
    order.push_back(3);
  });
  this->store_->write(removal("a"), [&](Result<RecordPtr>) { order.push_back(4); });
  EXPECT_FALSE(this->store_->head(key_of("a")));
  this->store_->write(removal("a"), [&](Result<RecordPtr> result) {
    EXPECT_TRUE(result.failed_with(Code::kNotFound));
    order.push_back(5);
  });
  EXPECT_TRUE(order.empty()) << "never called from inside write()";
  this->run_pending_tasks();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4, 5}));
  EXPECT_EQ(this->store_->revision(), 3);
  EXPECT_FALSE(this->store_->get(key_of("a")));
}

TYPED_TEST(StoreContract, RecreationStartsANewIncarnation) {
  this->must_write(put("a", 1));
  this->must_write(put("a", 2));
  EXPECT_EQ(this->store_->get(key_of("a"))->create_revision, 1);
  auto deleted = this->write(removal("a"));
  ASSERT_TRUE(deleted.ok());
  EXPECT_EQ((*deleted)->value["data"]["x"].as_int(), 2);
  EXPECT_EQ((*deleted)->mod_revision, 3);
  EXPECT_EQ((*deleted)->create_revision, 1);
  this->must_write(put("a", 3, 0));
  EXPECT_EQ(this->store_->get(key_of("a"))->create_revision, 4);
}

TYPED_TEST(StoreContract, ListsInKeyOrderAndInPages) {
  for (const char* name : {"d", "b", "a", "c", "e"}) this->must_write(put(name, 1));
  Write other = put("z", 1);
  other.key = "/registry/core/configmapsx/d/z";
  this->must_write(std::move(other));
  const std::string prefix = "/registry/core/configmaps/";
  Listing all = this->store_->list(prefix);
  EXPECT_EQ(this->names(all), (Lines{"a=1", "b=1", "c=1", "d=1", "e=1"}));
  EXPECT_EQ(all.revision, 6);
  EXPECT_FALSE(all.more);
  Listing first = this->store_->list(prefix, 2);
  EXPECT_EQ(this->names(first), (Lines{"a=1", "b=1"}));
  EXPECT_TRUE(first.more);
  EXPECT_EQ(first.remaining, 3u);
  Listing second = this->store_->list(prefix, 2, first.records.back()->key);
  EXPECT_EQ(this->names(second), (Lines{"c=1", "d=1"}));
  EXPECT_EQ(second.remaining, 1u);
  Listing third = this->store_->list(prefix, 2, second.records.back()->key);
  EXPECT_EQ(this->names(third), (Lines{"e=1"}));
  EXPECT_FALSE(third.more);
  EXPECT_EQ(third.remaining, 0u);
  EXPECT_TRUE(this->store_->list(prefix, 0, key_of("e")).records.empty());
  EXPECT_EQ(this->store_->list(prefix, 5).more, false);
}

TYPED_TEST(StoreContract, Counts) {
  for (const char* name : {"a", "ab", "b"}) this->must_write(put(name, 1));
  Write other = put("z", 1);
  other.key = "/registry/core/configmaps/e/z";
  this->must_write(std::move(other));
  EXPECT_EQ(this->store_->count("/registry/core/configmaps/"), 4u);
  EXPECT_EQ(this->store_->count("/registry/core/configmaps/d/"), 3u);
  EXPECT_EQ(this->store_->count("/registry/core/configmaps/d/a"), 2u);
  EXPECT_EQ(this->store_->count("/registry/core/configmaps/x/"), 0u);
  EXPECT_EQ(this->store_->count("/registry/core/conf"), 4u);
  this->must_write(removal("a"));
  this->must_write(put("b", 2));
  EXPECT_EQ(this->store_->count("/registry/core/configmaps/"), 3u);
  EXPECT_EQ(this->store_->count(""), 3u);
}

TYPED_TEST(StoreContract, ListsThePast) {
  std::vector<Lines> states = {{}};
  auto remember = [&] { states.push_back(this->names(this->store_->list("/registry/core/configmaps/"))); };
  for (int round = 0; round < 40; ++round) {
    std::string name(1, static_cast<char>('a' + round % 7));
    if (round % 5 == 4 && this->store_->get(key_of(name))) {
      this->must_write(removal(name));
    } else {
      this->must_write(put(name, round));
    }
    remember();
  }
  for (std::size_t revision = 0; revision < states.size(); ++revision) {
    auto listing = this->store_->list_at(static_cast<Revision>(revision), "/registry/core/configmaps/");
    ASSERT_TRUE(listing.ok());
    EXPECT_EQ(this->names(*listing), states[revision]) << "at revision " << revision;
    EXPECT_EQ(listing->revision, static_cast<Revision>(revision));
  }
  // Pages of one old revision are consistent.
  auto page = this->store_->list_at(20, "/registry/core/configmaps/", 3);
  auto rest = this->store_->list_at(20, "/registry/core/configmaps/", 0, page->records.back()->key);
  Lines joined = this->names(*page);
  EXPECT_EQ(page->remaining, rest->records.size());
  for (const Revision revision : {Revision{20}, this->store_->revision()}) {
    page = this->store_->list_at(revision, "/registry/core/configmaps/", 3);
    auto uncounted = this->store_->list_at(revision, "/registry/core/configmaps/", 3, {}, RemainingCount::kNotCounted);
    EXPECT_EQ(this->names(*uncounted), this->names(*page));
    EXPECT_TRUE(uncounted->more);
    EXPECT_EQ(uncounted->remaining, 0u);
    auto last = this->store_->list_at(revision, "/registry/core/configmaps/", 100, page->records.back()->key,
                                      RemainingCount::kNotCounted);
    EXPECT_EQ(last->records.size(), page->remaining);
    EXPECT_FALSE(last->more);
  }
  page = this->store_->list_at(20, "/registry/core/configmaps/", 3);
  for (const std::string& line : this->names(*rest)) joined.push_back(line);
  EXPECT_EQ(joined, states[20]);
  EXPECT_TRUE(this->store_->list_at(41, "/registry/").failed_with(Code::kInvalid));
  this->store_->compact(10);
  EXPECT_EQ(this->store_->compacted(), 10);
  EXPECT_TRUE(this->store_->list_at(9, "/registry/").failed_with(Code::kExpired));
  EXPECT_EQ(this->names(*this->store_->list_at(10, "/registry/core/configmaps/")), states[10]);
  EXPECT_EQ(this->names(*this->store_->list_at(40, "/registry/core/configmaps/")), states[40]);
}

TYPED_TEST(StoreContract, WatchFromThePastThePresentAndTheFuture) {
  this->must_write(put("a", 1));
  this->must_write(put("a", 2));
  RecordingSink past, present, future;
  auto w1 = this->watch(1, past);
  auto w2 = this->watch(2, present);
  auto w3 = this->watch(4, future);
  EXPECT_EQ(past.calls, 0) << "never called from inside watch()";
  this->must_write(put("b", 3));
  this->must_write(removal("a"));
  this->must_write(put("c", 5));
  this->run_pending_tasks();
  EXPECT_EQ(past.text(), (Lines{"M a 2 @2", "A b 3 @3", "D a 2 @4", "A c 5 @5"}));
  EXPECT_EQ(present.text(), (Lines{"A b 3 @3", "D a 2 @4", "A c 5 @5"}));
  EXPECT_EQ(future.text(), (Lines{"A c 5 @5"}));
  EXPECT_EQ(past.events[0]->previous->value["data"]["x"].as_int(), 1);
  EXPECT_FALSE(past.events[1]->previous);
  EXPECT_EQ(past.events[2]->previous->mod_revision, 2);
  EXPECT_EQ(past.events[2]->record->mod_revision, 4) << "a deletion carries the last value at its own revision";
  EXPECT_EQ(past.events[1].get(), present.events[0].get()) << "one event is shared by all its watches";
}

TYPED_TEST(StoreContract, WatchesSeeTheirPrefixOnly) {
  struct Case {
    std::string prefix;
    Lines want;
  };
  const std::vector<Case> cases = {
      {"/registry/core/configmaps/d/", {"A a 1 @1", "A ab 1 @3"}},
      {"/registry/core/configmaps/", {"A a 1 @1", "A x 1 @2", "A ab 1 @3"}},
      {"/registry/core/configmaps/d/a", {"A a 1 @1", "A ab 1 @3"}},
      {"/registry/core/configmaps/d/ab", {"A ab 1 @3"}},
      {"/registry/core/configmaps/d/abc", {}},
      {"/registry/core/configmaps/e/", {"A x 1 @2"}},
      {"/registry/core/pods/", {"A p 1 @4"}},
      {"", {"A a 1 @1", "A x 1 @2", "A ab 1 @3", "A p 1 @4"}},
      {"/registry/core/configmaps/c/", {}},
      {"/zzz", {}},
  };
  std::vector<std::unique_ptr<RecordingSink>> synced, late;
  std::vector<std::unique_ptr<Watch>> watches;
  for (const Case& each : cases) {
    synced.push_back(std::make_unique<RecordingSink>());
    watches.push_back(this->watch(0, *synced.back(), each.prefix));
  }
  this->must_write(put("a", 1));
  Write x = put("x", 1);
  x.key = "/registry/core/configmaps/e/x";
  this->must_write(std::move(x));
  this->must_write(put("ab", 1));
  Write p = put("p", 1);
  p.key = "/registry/core/pods/d/p";
  this->must_write(std::move(p));
  for (const Case& each : cases) {
    late.push_back(std::make_unique<RecordingSink>());
    watches.push_back(this->watch(0, *late.back(), each.prefix));
  }
  this->run_pending_tasks();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(synced[i]->text(), cases[i].want) << cases[i].prefix;
    EXPECT_EQ(late[i]->text(), cases[i].want) << cases[i].prefix << " (from history)";
  }
}

TYPED_TEST(StoreContract, ASlowWatchLosesNothing) {
  RecordingSink slow, fast;
  slow.allowed_calls = 1;
  auto w1 = this->watch(0, slow);
  auto w2 = this->watch(0, fast);
  Lines want;
  for (int i = 1; i <= 50; ++i) {
    this->must_write(put("a", i));
    want.push_back((i == 1 ? "A a " : "M a ") + std::to_string(i) + " @" + std::to_string(i));
  }
  this->run_pending_tasks();
  EXPECT_EQ(slow.calls, 1);
  EXPECT_EQ(fast.text(), want);
  w1->bookmark();
  this->run_pending_tasks();
  EXPECT_TRUE(slow.progress.empty()) << "no progress while there are events to come";
  slow.allowed_calls = 1 << 30;
  w1->resume();
  EXPECT_EQ(slow.calls, 1) << "never called from inside resume()";
  this->run_pending_tasks();
  EXPECT_EQ(slow.text(), want);
  EXPECT_EQ(slow.progress, Numbers{50});
  this->must_write(put("a", 51));
  this->run_pending_tasks();
  EXPECT_EQ(slow.events.size(), 51u);
  w1->resume();  // no effect on a running watch
  this->run_pending_tasks();
  EXPECT_EQ(slow.events.size(), 51u);
}

TYPED_TEST(StoreContract, AWatchMayResumeInsideItsCallback) {
  RecordingSink sink;
  auto watch = this->watch(0, sink);
  sink.allowed_calls = 0;  // always pauses, and resumes at once
  sink.during = [&] { watch->resume(); };
  for (int i = 0; i < 5; ++i) this->must_write(put("a", i));
  this->run_pending_tasks();
  EXPECT_EQ(sink.events.size(), 5u);
}

TYPED_TEST(StoreContract, CatchingUpOverManyEventsKeepsOrder) {
  for (int i = 0; i < 3000; ++i) this->store_->write(put("k" + std::to_string(i % 10), i), [](Result<RecordPtr>) {});
  this->run_pending_tasks();
  RecordingSink sink;
  auto watch = this->watch(0, sink);
  // More events arrive while the watch catches up.
  for (int i = 0; i < 100; ++i) this->store_->write(put("late", i), [](Result<RecordPtr>) {});
  watch->bookmark();
  ASSERT_TRUE(run_until(this->loop_, [&] { return sink.events.size() == 3100; }));
  this->run_pending_tasks();
  ASSERT_EQ(sink.events.size(), 3100u);
  for (std::size_t i = 0; i < sink.events.size(); ++i) {
    EXPECT_EQ(sink.events[i]->revision, static_cast<Revision>(i + 1));
  }
  ASSERT_EQ(sink.progress.size(), 1u);
}

TYPED_TEST(StoreContract, BookmarksFollowTheEvents) {
  RecordingSink sink;
  auto watch = this->watch(0, sink, "/registry/core/pods/");
  this->must_write(put("a", 1));
  this->must_write(put("a", 2));
  watch->bookmark();
  EXPECT_TRUE(sink.progress.empty());
  this->run_pending_tasks();
  EXPECT_TRUE(sink.events.empty());
  EXPECT_EQ(sink.progress, Numbers{2});
}

TYPED_TEST(StoreContract, CompactionEndsWatchesThatFellBehind) {
  RecordingSink slow;
  slow.allowed_calls = 1;
  auto watch = this->watch(0, slow);
  for (int i = 1; i <= 5; ++i) {
    this->must_write(put("a", i));
    this->run_pending_tasks();
  }
  this->store_->compact(3);
  auto refused = this->store_->watch("/registry/", 2, &slow);
  EXPECT_TRUE(refused.failed_with(Code::kExpired));
  RecordingSink edge;
  auto from_edge = this->watch(3, edge);
  this->run_pending_tasks();
  EXPECT_EQ(edge.text(), (Lines{"M a 4 @4", "M a 5 @5"}));
  EXPECT_TRUE(slow.ended.empty()) << "not before it wants to go on";
  watch->resume();
  this->run_pending_tasks();
  ASSERT_EQ(slow.ended.size(), 1u);
  EXPECT_EQ(slow.ended[0].code, Code::kExpired);
  EXPECT_EQ(slow.events.size(), 1u);
  this->must_write(put("a", 6));
  watch->resume();
  watch->bookmark();
  this->run_pending_tasks();
  EXPECT_EQ(slow.ended.size(), 1u) << "no call after the end";
  EXPECT_EQ(slow.events.size(), 1u);
  EXPECT_TRUE(slow.progress.empty());
  this->store_->compact(1000);
  EXPECT_EQ(this->store_->compacted(), 6) << "no further than what is visible";
  this->store_->compact(2);
  EXPECT_EQ(this->store_->compacted(), 6) << "never back";
}

TYPED_TEST(StoreContract, HistoryIsBounded) {
  StoreLimits limits;
  limits.history_events = 10;
  this->open(limits);
  RecordingSink synced;
  auto watch = this->watch(this->store_->revision(), synced);
  const Revision base = this->store_->revision();
  // One group, larger than the history: watches that keep up still get all of it.
  for (int i = 0; i < 30; ++i) this->store_->write(put("a", i), [](Result<RecordPtr>) {});
  this->run_pending_tasks();
  EXPECT_EQ(synced.events.size(), 30u);
  EXPECT_EQ(this->store_->compacted(), base + 20);
  EXPECT_TRUE(this->store_->list_at(base + 19, "/registry/").failed_with(Code::kExpired));
  EXPECT_TRUE(this->store_->list_at(base + 20, "/registry/").ok());
  limits.history_events = 1000;
  limits.history_bytes =
      25'000;  // each version has a text and a value of about a thousand bytes, and less than 500 around them
  watch.reset();
  this->open(limits);
  const Revision start = this->store_->revision();
  for (int i = 0; i < 30; ++i) this->must_write(put("a", std::string(1000, 'x')));
  EXPECT_GT(this->store_->compacted(), start + 20);
  EXPECT_LT(this->store_->compacted(), start + 23);
}

TYPED_TEST(StoreContract, TheHistoryCountsWhatVersionsDoNotShare) {
  StoreLimits limits;
  limits.history_bytes = 400'000;
  this->open(limits);
  Value numbers = Value::array();  // of 5 KB of text and nodes of 16 bytes
  for (int i = 0; i < 1000; ++i) numbers.push(i);
  auto kept = [&] { return this->store_->revision() - this->store_->compacted(); };
  for (int i = 0; i < 100; ++i) this->must_write(put("a", json::parse(json::encode(numbers)).value()));
  EXPECT_GE(kept(), 16);
  EXPECT_LE(kept(), 19);
  for (int i = 0; i < 100; ++i) this->must_write(put("a", numbers));
  EXPECT_GE(kept(), 60);
  EXPECT_LE(kept(), 80);
  if (!TypeParam::kDurable) return;
  // Versions read from the disk share nothing.
  this->open(limits);
  EXPECT_GE(kept(), 16);
  EXPECT_LE(kept(), 24);
  EXPECT_EQ(this->store_->get(key_of("a"))->value["data"]["x"], numbers);
}

TYPED_TEST(StoreContract, WatchesMayEndAnythingInsideACallback) {
  RecordingSink first, second, other;
  std::unique_ptr<Watch> w1 = this->watch(0, first);
  std::unique_ptr<Watch> w2 = this->watch(0, second);
  auto w3 = this->watch(0, other);
  first.during = [&] {
    w1.reset();
    w2.reset();
  };
  this->must_write(put("a", 1));
  this->run_pending_tasks();
  this->must_write(put("a", 2));
  this->run_pending_tasks();
  EXPECT_EQ(first.calls + second.calls, 1) << "whoever is destroyed hears nothing more";
  EXPECT_EQ(other.events.size(), 2u);
}

TYPED_TEST(StoreContract, TheStoreMayEndInsideACallback) {
  RecordingSink sink;
  auto watch = this->watch(0, sink);
  sink.during = [&] { this->store_.reset(); };
  this->store_->write(put("a", 1), [](Result<RecordPtr>) {});
  EXPECT_TRUE(run_until(this->loop_, [&] { return sink.calls == 1; }));
  run_turns(this->loop_);
  EXPECT_EQ(sink.calls, 1);
  watch->resume();  // a handle may outlive its store
  watch->bookmark();
}

TYPED_TEST(StoreContract, EphemeralWritesAreVisibleAtOnceAndInOrder) {
  this->must_write(put("lease", 1));
  RecordingSink sink;
  auto watch = this->watch(1, sink);
  bool answered = false;
  this->store_->write(ephemeral_put("lease", 2), [&](Result<RecordPtr> result) { answered = result.ok(); });
  EXPECT_EQ(this->store_->get(key_of("lease"))->value["data"]["x"].as_int(), 2);
  EXPECT_EQ(this->store_->revision(), 2);
  EXPECT_FALSE(answered);
  EXPECT_EQ(sink.calls, 0);
  this->run_pending_tasks();
  EXPECT_TRUE(answered);
  // After a durable write of the key it waits for its turn.
  std::vector<int> order;
  this->store_->write(put("b", 3), [&](Result<RecordPtr>) { order.push_back(3); });
  this->store_->write(ephemeral_put("lease", 4), [&](Result<RecordPtr>) { order.push_back(4); });
  EXPECT_EQ(this->store_->get(key_of("lease"))->value["data"]["x"].as_int(), 2);
  EXPECT_EQ(this->store_->head(key_of("lease"))->value["data"]["x"].as_int(), 4);
  this->run_pending_tasks();
  EXPECT_EQ(order, (std::vector<int>{3, 4}));
  EXPECT_EQ(sink.text(), (Lines{"M lease 2 @2", "A b 3 @3", "M lease 4 @4"}));
  EXPECT_EQ(this->store_->get(key_of("lease"))->create_revision, 1);
}

TYPED_TEST(StoreContract, AFailedCommitStoresNothingAndFailsWhatDependsOnIt) {
  this->must_write(put("a", 1));
  RecordingSink sink;
  auto watch = this->watch(1, sink);
  fault::arm("store.commit", 1);
  std::vector<std::string> answers;
  auto note = [&](std::string who) {
    return [&answers, who](Result<RecordPtr> result) {
      const bool unavailable = result.failed_with(Code::kUnavailable);
      answers.push_back(who + (result.ok() ? " ok" : unavailable ? " unavailable" : " ?"));
    };
  };
  this->store_->write(put("a", 2), note("a2"));
  this->store_->write(put("a", 9, 1), note("conflict with a2"));
  this->store_->write(ephemeral_put("e", 1), note("e1"));
  this->store_->write(ephemeral_put("a", 3), note("a3"));
  // The second group is submitted while the first is in flight.
  this->loop_.post([&] {
    this->store_->write(put("a", 4), note("a4"));
    this->store_->write(put("b", 5), note("b5"));
  });
  ASSERT_TRUE(run_until(this->loop_, [&] { return answers.size() == 6; }));
  this->run_pending_tasks();
  EXPECT_EQ(this->store_->get(key_of("a"))->value["data"]["x"].as_int(), 1);
  EXPECT_EQ(this->store_->head(key_of("a"))->value["data"]["x"].as_int(), 1);
  EXPECT_EQ(this->store_->get(key_of("b"))->value["data"]["x"].as_int(), 5);
  EXPECT_EQ(answers, (Lines{"a2 unavailable", "conflict with a2 unavailable", "e1 ok", "a3 unavailable",
                            "a4 unavailable", "b5 ok"}));
  EXPECT_EQ(sink.events.size(), 2u);
  EXPECT_GT(this->must_write(put("a", 6)), 6) << "numbers of failed writes are not used again";
  EXPECT_EQ(this->store_->get(key_of("a"))->value["data"]["x"].as_int(), 6);
}

TYPED_TEST(StoreContract, FlushWaitsForEverythingSubmitted) {
  int done = 0;
  for (int i = 0; i < 10; ++i) this->store_->write(put("a", i), [&](Result<RecordPtr>) { ++done; });
  int at_flush = -1;
  this->store_->flush([&] { at_flush = done; });
  EXPECT_TRUE(run_until(this->loop_, [&] { return at_flush >= 0; }));
  EXPECT_EQ(at_flush, 10);
  bool idle = false;
  this->store_->flush([&] { idle = true; });
  EXPECT_FALSE(idle);
  EXPECT_TRUE(run_until(this->loop_, [&] { return idle; }));
}

}  // namespace
}  // namespace berth::store
