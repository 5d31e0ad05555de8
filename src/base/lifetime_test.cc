#include "base/lifetime.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/function.h"

namespace berth {
namespace {

struct Owner {
  Function<int(int)> callback;
  Function<void()> task;
  Lifetime lifetime;
};

TEST(LifetimeTest, GuardsSayWhetherTheObjectIsThere) {
  std::optional<Lifetime::Guard> guard, copy;
  {
    Lifetime lifetime;
    guard = lifetime.guard();
    copy = guard;
    EXPECT_TRUE(*guard);
  }
  EXPECT_FALSE(*guard);
  EXPECT_FALSE(*copy);
}

TEST(LifetimeTest, EndsBeforeItsObjectWhereAsked) {
  Lifetime lifetime;
  const auto guard = lifetime.guard();
  lifetime.end();
  EXPECT_FALSE(guard);
  EXPECT_FALSE(lifetime.guard());
}

TEST(CallMemberTest, KeepsACallbackThatReturns) {
  Owner owner;
  owner.callback = [&](int value) {
    EXPECT_FALSE(owner.callback);  // it cannot call itself
    return value + 1;
  };
  EXPECT_EQ(call_member(owner.lifetime.guard(), owner.callback, 1), 2);
  EXPECT_EQ(call_member(owner.lifetime.guard(), owner.callback, 2), 3);
}

TEST(CallMemberTest, LeavesTheCallbackThatWasPutInItsPlace) {
  Owner owner;
  owner.callback = [&](int) {
    owner.callback = [](int) { return 7; };
    return 1;
  };
  EXPECT_EQ(call_member(owner.lifetime.guard(), owner.callback, 0), 1);
  EXPECT_EQ(call_member(owner.lifetime.guard(), owner.callback, 0), 7);
}

TEST(CallMemberTest, TouchesNothingOfAnObjectThatItsCallbackDestroyed) {
  auto owner = std::make_unique<Owner>();
  owner->task = [&] { owner.reset(); };
  call_member(owner->lifetime.guard(), owner->task);
  EXPECT_EQ(owner, nullptr);
}

TEST(CallMemberTest, DoesNothingWithoutACallback) {
  Owner owner;
  EXPECT_EQ(call_member(owner.lifetime.guard(), owner.callback, 1), 0);
  call_member(owner.lifetime.guard(), owner.task);
}

}  // namespace
}  // namespace berth
