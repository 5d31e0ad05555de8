#include "client/informer.h"

#include <gtest/gtest.h>

#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"

namespace berth::client {
namespace {

using api::resources::kPods;

Value pod(std::string_view name, std::string_view node = {}) {
  Value out = Value::object(
      {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", Value::object({{"name", name}, {"namespace", "default"}})}});
  if (!node.empty()) out.mut("spec").set("nodeName", node);
  return out;
}

struct InformerTest : ::testing::Test {
  testing::TestRuntime runtime;
  testing::FakeApi api{runtime};
  std::unique_ptr<Informer> informer;
  std::vector<std::string> heard;
  std::unique_ptr<Subscription> subscription;

  void start() {
    informer = make_informer(runtime, api, kPods);
    subscription = informer->subscribe([this](const Value& before, const Value& after) {
      const Value& object = after.is_null() ? before : after;
      heard.push_back((before.is_null() ? "+" : after.is_null() ? "-" : "~") + std::string(api::name_of(object)));
    });
    runtime.settle();
  }
  std::vector<std::string> take() { return std::exchange(heard, {}); }
  using Heard = std::vector<std::string>;
};

TEST_F(InformerTest, ListsThenFollows) {
  api.put(kPods, pod("a"));
  informer = make_informer(runtime, api, kPods);
  EXPECT_FALSE(informer->synced());
  start();
  EXPECT_TRUE(informer->synced());
  EXPECT_EQ(take(), Heard{"+a"});
  api.put(kPods, pod("b"));
  api.put(kPods, pod("a", "n1"));
  api.erase(kPods, {"default", "b"});
  EXPECT_EQ(informer->size(), 1u);  // nothing arrives from inside the call
  runtime.settle();
  EXPECT_EQ(take(), (Heard{"+b", "~a", "-b"}));
  EXPECT_EQ(informer->get("default", "a")["spec"]["nodeName"].as_string(), "n1");
  EXPECT_TRUE(informer->get("default", "b").is_null());
  EXPECT_EQ(informer->revision(), api.revision());
}

TEST_F(InformerTest, ALaterSubscriberHearsOfEverythingKnown) {
  api.put(kPods, pod("a"));
  start();
  Heard late;
  auto other =
      informer->subscribe([&](const Value&, const Value& after) { late.push_back(std::string(api::name_of(after))); });
  EXPECT_TRUE(late.empty());
  runtime.settle();
  EXPECT_EQ(late, Heard{"a"});
  other.reset();
  api.put(kPods, pod("b"));
  runtime.settle();
  EXPECT_EQ(late, Heard{"a"});
}

TEST_F(InformerTest, ASubscriberMayLeaveWhileBeingTold) {
  start();
  int calls = 0;
  std::unique_ptr<Subscription> once;
  once = informer->subscribe([&](const Value&, const Value&) {
    ++calls;
    once.reset();
  });
  runtime.settle();
  api.put(kPods, pod("a"));
  api.put(kPods, pod("b"));
  runtime.settle();
  EXPECT_EQ(calls, 1);
}

TEST_F(InformerTest, WatchesAgainFromTheLastRevision) {
  start();
  api.put(kPods, pod("a"));
  runtime.settle();
  int cut_off = 0;
  informer->on_cut_off([&] { ++cut_off; });
  api.cut(kPods, Code::kUnavailable);
  runtime.settle();
  EXPECT_EQ(cut_off, 1);
  api.put(kPods, pod("b"));  // while there is no watch
  api.calls.clear();
  runtime.advance(1s);
  EXPECT_EQ(cut_off, 1);
  EXPECT_EQ(api.calls, std::vector<std::string>{"watch pods 1"});
  EXPECT_EQ(take(), (Heard{"+a", "+b"}));
}

TEST_F(InformerTest, ListsAgainWhereTheHistoryIsGone) {
  api.put(kPods, pod("a"));
  api.put(kPods, pod("b"));
  start();
  take();
  api.hold(true);  // what happens now is never told
  api.put(kPods, pod("b", "n1"));
  api.erase(kPods, {"default", "a"});
  api.put(kPods, pod("c"));
  api.cut(kPods, Code::kExpired);
  runtime.advance(1s);
  EXPECT_EQ(take(), (Heard{"-a", "~b", "+c"}));
  EXPECT_EQ(informer->revision(), api.revision());
  api.hold(false);  // the late events are repetitions
  runtime.settle();
  EXPECT_EQ(take(), Heard{});
}

TEST_F(InformerTest, MadeAgainUnderTheSameNameIsDeletedAndAdded) {
  api.put(kPods, pod("a"));
  start();
  take();
  api.hold(true);
  api.erase(kPods, {"default", "a"});
  api.put(kPods, pod("a"));
  api.cut(kPods, Code::kExpired);
  runtime.advance(1s);
  EXPECT_EQ(take(), (Heard{"-a", "+a"}));
}

TEST_F(InformerTest, KeepsTryingToList) {
  api.put(kPods, pod("a"));
  for (int i = 0; i < 3; ++i) api.fail_next("list", Code::kUnavailable);
  start();
  EXPECT_FALSE(informer->synced());
  runtime.advance(2s);
  EXPECT_TRUE(informer->synced());
  EXPECT_EQ(take(), Heard{"+a"});
  EXPECT_EQ(runtime.timers(), 0u);  // at rest nothing runs
}

TEST_F(InformerTest, Indexes) {
  api.put(kPods, pod("b", "n1"));
  api.put(kPods, pod("a", "n1"));
  start();
  informer->add_index(index::kNode, index::by_node);
  informer->add_index(index::kNode, index::by_node);
  auto names = [&](const std::string& node) {
    std::string out;
    for (const Value& one : informer->by_index(index::kNode, node)) out += std::string(api::name_of(one));
    return out;
  };
  EXPECT_EQ(names("n1"), "ab");
  api.put(kPods, pod("a", "n2"));
  api.put(kPods, pod("c", "n2"));
  api.erase(kPods, {"default", "b"});
  runtime.settle();
  EXPECT_EQ(names("n1"), "");
  EXPECT_EQ(names("n2"), "ac");
  EXPECT_EQ(informer->count_by_index(index::kNode, "n2"), 2u);
  EXPECT_EQ(informer->list("default").size(), 2u);
  EXPECT_EQ(informer->list("other").size(), 0u);
}

TEST_F(InformerTest, WaitsForARevision) {
  start();
  api.hold(true);
  const Value made = api.put(kPods, pod("a"));
  bool seen = false, gone = false;
  informer->when_seen(api.revision(), [&] { seen = true; });
  runtime.settle();
  EXPECT_FALSE(seen);
  api.hold(false);
  runtime.settle();
  EXPECT_TRUE(seen);
  informer->when_moved_on({"default", "a"}, std::string(api::uid_of(made)), std::string(api::resource_version_of(made)),
                          [&] { gone = true; });
  api.put(kPods, pod("b"));
  runtime.settle();
  EXPECT_FALSE(gone);
  api.erase(kPods, {"default", "a"});
  runtime.settle();
  EXPECT_TRUE(gone);
}

TEST_F(InformerTest, SharedBetweenThoseWhoAsk) {
  InformerSet set(runtime, api);
  EXPECT_EQ(set.find(kPods), nullptr);
  Informer& one = set.get(kPods);
  EXPECT_EQ(&one, &set.get(kPods));
  EXPECT_EQ(&one, set.find(kPods));
  EXPECT_NE(&one, &set.get(kPods, {.ns = "default"}));
  EXPECT_FALSE(set.synced());
  runtime.settle();
  EXPECT_TRUE(set.synced());
}

}  // namespace
}  // namespace berth::client
