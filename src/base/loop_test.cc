#include "base/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/guarded.h"
#include "base/ids.h"
#include "base/thread_pool.h"

namespace berth {
namespace {

struct Ends {
  Fd read, write;
};

Ends make_ends() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

void put(const Fd& fd) { EXPECT_EQ(::write(fd.get(), "x", 1), 1); }

TEST(Loop, PostsRunInOrderAndNestedOnesInTheNextRound) {
  Loop loop;
  std::string seen;
  loop.post([&] {
    seen += 'a';
    loop.post([&] { seen += 'c'; });
  });
  loop.post([&] { seen += 'b'; });
  loop.run_once(0s);
  EXPECT_EQ(seen, "ab");
  loop.run_once(Duration::max());  // does not sleep: work is posted
  EXPECT_EQ(seen, "abc");
}

TEST(Loop, PostFromOtherThreadsWakesASleepingLoop) {
  Loop loop;
  constexpr int kThreads = 4, kEach = 500;
  int count = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        loop.post([&] {
          if (++count == kThreads * kEach) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(count, kThreads * kEach);
}

TEST(Loop, StopBeforeRunEndsItAndRunMayBeCalledAgain) {
  Loop loop;
  loop.stop();
  loop.run();
  bool ran = false;
  loop.post([&] {
    ran = true;
    loop.stop();
  });
  loop.run();
  EXPECT_TRUE(ran);
}

// A loop that runs on a thread of its own.
struct Running {
  Loop loop;
  std::thread thread{[this] { loop.run(); }};
  ~Running() {
    loop.stop();
    thread.join();
  }
  // Calls run_or_post(task) until the loop was found asleep, so that the task ran here and before the call returned.
  void run_here(const std::function<void()>& task) {
    for (bool here = false; !here;) {
      std::promise<void> done;
      loop.run_or_post([&, caller = std::this_thread::get_id()] {
        here = std::this_thread::get_id() == caller;
        if (here) task();
        done.set_value();
      });
      done.get_future().wait();
    }
  }
};

TEST(Loop, AnIoHelperRunsItsTaskAndTasksThatItPosts) {
  Running running;
  const auto me = std::this_thread::get_id();
  std::string seen;
  running.run_here([&] {
    running.loop.post([&] { seen += std::this_thread::get_id() == me ? "b" : "?"; });
    seen += "a";
  });
  // The loop runs what is left when the helper's turn is over.
  std::promise<void> done;
  running.loop.post([&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_TRUE(seen == "ab" || seen == "a?") << seen;
}

TEST(Loop, TasksKnowTheirIoHelper) {
  struct NamedHelper : IoHelper {
    void add_work(Work) override {}
    int wake_fd() const override { return -1; }
  } named;
  Running running;
  IoHelper* by_helper = nullptr;
  IoHelper* by_owner = &named;
  for (bool here = false; !here;) {
    std::promise<void> done;
    running.loop.run_or_post(
        [&, caller = std::this_thread::get_id()] {
          here = std::this_thread::get_id() == caller;
          (here ? by_helper : by_owner) = running.loop.io_helper();
          done.set_value();
        },
        &named);
    done.get_future().wait();
  }
  EXPECT_EQ(by_helper, &named);
  std::promise<void> done;
  running.loop.post([&] {
    by_owner = running.loop.io_helper();
    done.set_value();
  });
  done.get_future().wait();
  EXPECT_EQ(by_owner, nullptr);
}

TEST(Loop, AnIoHelperEndsItsTurn) {
  Running running;
  std::promise<void> done;
  std::function<void()> again;
  bool returned = false;
  int after = 0;
  std::mutex mutex;
  running.run_here([&] {
    again = [&] {
      std::lock_guard lock(mutex);
      if (returned && ++after == 100) return done.set_value();
      running.loop.post([&] { again(); });
    };
    again();
  });
  {
    std::lock_guard lock(mutex);
    returned = true;  // run_or_post() returned although there was always more to do
  }
  done.get_future().wait();
}

TEST(Loop, AHelpersTaskMaySetATimerAndWatchADescriptor) {
  Running running;
  Ends ends = make_ends();
  std::promise<void> timer, ready;
  running.run_here([&] {
    running.loop.after(1ms, [&] { timer.set_value(); });
    ASSERT_TRUE(running.loop
                    .watch_fd(ends.read.get(), EPOLLIN,
                              [&](std::uint32_t) {
                                running.loop.unwatch_fd(ends.read.get());
                                ready.set_value();
                              })
                    .ok());
  });
  put(ends.write);
  timer.get_future().wait();
  ready.get_future().wait();
}

TEST(Loop, AHelpersTaskMayStopTheLoop) {
  Loop loop;
  std::thread helper([&] { loop.run_or_post([&] { loop.stop(); }); });
  loop.run();
  helper.join();
}

// Calls each of the calls that belong to the loop thread, and returns how many were refused.
int refused_calls(Loop& loop, int fd) {
  const InvariantsThrow throwing;
  const LoopAffinity affinity(loop);
  const std::vector<std::function<void()>> calls = {
      [&] { loop.cancel(loop.after(1h, [] {})); },
      [&] { loop.cancel(0); },
      [&] { loop.offload([] {}, [] {}); },
      [&] { (void)loop.random(); },
      [&] { (void)loop.io_helper(); },
      [&] { (void)loop.watch_fd(fd, EPOLLIN, [](std::uint32_t) {}); },
      [&] { (void)loop.change_fd(fd, EPOLLIN); },
      [&] { loop.unwatch_fd(fd); },
      [&] { affinity.check(); },
  };
  int refused = 0;
  for (const auto& call : calls) {
    try {
      call();
    } catch (const BrokenInvariant&) {
      ++refused;
    }
  }
  return refused;
}

TEST(Loop, ItsCallsBelongToTheThreadThatHasTheTurn) {
  Ends ends = make_ends();
  Loop before_run;
  EXPECT_TRUE(before_run.on_loop());
  EXPECT_EQ(refused_calls(before_run, ends.read.get()), 0) << "the loop is being set up";
  Running running;
  std::promise<int> owner;
  running.loop.post([&] { owner.set_value(refused_calls(running.loop, ends.read.get())); });
  EXPECT_EQ(owner.get_future().get(), 0);
  EXPECT_FALSE(running.loop.on_loop());
  EXPECT_EQ(refused_calls(running.loop, ends.read.get()), 9);
  // A helper has the turn for the time of its tasks, also where these run tasks of another loop.
  Running other;
  int helper = -1, nested = -1, after_nested = -1;
  running.run_here([&] {
    helper = refused_calls(running.loop, ends.read.get());
    other.run_here([&] { nested = refused_calls(other.loop, ends.read.get()); });
    after_nested = refused_calls(running.loop, ends.read.get());
  });
  EXPECT_EQ(helper, 0);
  EXPECT_EQ(nested, 0);
  EXPECT_EQ(after_nested, 0);
  EXPECT_FALSE(running.loop.on_loop());
  running.loop.stop();
  running.thread.join();
  EXPECT_TRUE(running.loop.on_loop()) << "no thread is in run()";
  running.thread = std::thread([] {});  // for Running's destructor
}

TEST(LoopDeathTest, ACallOffTheLoopThreadEndsTheProcess) {
  Running running;
  std::promise<void> runs;
  running.loop.post([&] { runs.set_value(); });
  runs.get_future().wait();
  EXPECT_DEATH(running.loop.after(1s, [] {}), "a timer is set off the loop thread");
  EXPECT_DEATH(LoopAffinity(running.loop).check(), "called off the loop thread");
}

TEST(Loop, IoHelpersHaveNoTurnInRunOnce) {
  Loop loop;
  std::thread::id ran;
  std::thread helper([&] { loop.run_or_post([&] { ran = std::this_thread::get_id(); }); });
  while (ran == std::thread::id()) loop.run_once(1s);
  helper.join();
  EXPECT_EQ(ran, std::this_thread::get_id());
}

// One at a time, nothing lost, each in its own order; the sanitizer watches the rest.
TEST(Loop, ManyIoHelpersTakeTurns) {
  constexpr int kThreads = 4, kEach = 3000;
  struct {
    bool inside = false;
    int overlaps = 0, ran = 0, timers = 0;
    std::array<int, kThreads> last{};
    int disorder = 0;
  } state;
  {
    Running running;
    std::promise<void> done;
    auto finish_after_the_last = [&] {
      if (state.ran == kThreads * kEach && state.timers == kThreads * kEach / 100) done.set_value();
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 1; i <= kEach; ++i) {
          Task task = [&, t, i] {
            state.overlaps += std::exchange(state.inside, true);
            state.disorder += std::exchange(state.last[static_cast<std::size_t>(t)], i) != i - 1;
            if (i % 100 == 0) {
              running.loop.after(10us, [&] {
                ++state.timers;
                finish_after_the_last();
              });
            }
            state.inside = false;
            ++state.ran;
            finish_after_the_last();
          };
          i % 3 ? running.loop.run_or_post(std::move(task)) : running.loop.post(std::move(task));
        }
      });
    }
    for (auto& thread : threads) thread.join();
    done.get_future().wait();
  }
  EXPECT_EQ(state.overlaps, 0);
  EXPECT_EQ(state.disorder, 0);
  EXPECT_EQ(state.ran, kThreads * kEach);
}

TEST(Loop, TimersFireInOrderOfTimeThenOfSetting) {
  Loop loop;
  std::string seen;
  loop.after(2ms, [&] {
    seen += 'd';
    loop.stop();
  });
  loop.after(1ms, [&] { seen += 'c'; });
  loop.after(-5s, [&] { seen += 'a'; });
  loop.after(0s, [&] { seen += 'b'; });
  Duration begin = loop.monotonic();
  loop.run();
  EXPECT_EQ(seen, "abcd");
  EXPECT_GE(loop.monotonic() - begin, 2ms);
}

TEST(Loop, ZeroTimerSetByATimerWaitsForTheNextRound) {
  Loop loop;
  int fired = 0;
  loop.after(0s, [&] {
    ++fired;
    loop.after(0s, [&] { ++fired; });
  });
  loop.run_once(0s);
  EXPECT_EQ(fired, 1);
  loop.run_once(0s);
  EXPECT_EQ(fired, 2);
}

TEST(Loop, CancelledTimerIsDestroyedAtOnceAndNeverRuns) {
  Loop loop;
  auto token = std::make_shared<int>();
  bool ran = false;
  TimerId id = loop.after(0s, [&ran, token] { ran = true; });
  EXPECT_NE(id, 0u);
  loop.cancel(id);
  EXPECT_EQ(token.use_count(), 1);
  loop.cancel(id);
  loop.cancel(0);
  loop.run_once(0s);
  EXPECT_FALSE(ran);
}

TEST(Loop, TimerMayCancelAnotherThatIsDueInTheSameRound) {
  Loop loop;
  bool second = false;
  TimerId id = 0;
  loop.after(0s, [&] { loop.cancel(id); });
  id = loop.after(0s, [&] { second = true; });
  loop.run_once(0s);
  loop.run_once(0s);
  EXPECT_FALSE(second);
}

TEST(Loop, ManyCancelledTimersLeaveTheLiveOnes) {
  Loop loop;
  int fired = 0;
  std::vector<TimerId> ids;
  for (int i = 0; i < 1000; ++i) {
    loop.after(0s, [&] { ++fired; });
    ids.push_back(loop.after(1h, [&] { fired = -1'000'000; }));
    if (i % 2) ids.push_back(loop.after(0s, [&] { fired = -1'000'000; }));
  }
  for (TimerId id : ids) loop.cancel(id);
  loop.run_once(0s);
  EXPECT_EQ(fired, 1000);
}

TEST(Loop, FarTimerDoesNotOverflow) {
  Loop loop;
  bool ran = false;
  loop.after(Duration::max(), [&] { ran = true; });
  loop.run_once(0s);
  EXPECT_FALSE(ran);
}

TEST(Loop, WatchReportsLevelTriggeredUntilUnwatched) {
  Loop loop;
  Ends ends = make_ends();
  int calls = 0;
  ASSERT_TRUE(loop.watch_fd(ends.read.get(), EPOLLIN,
                            [&](std::uint32_t events) {
                              EXPECT_TRUE(events & EPOLLIN);
                              ++calls;
                            })
                  .ok());
  loop.run_once(0s);
  EXPECT_EQ(calls, 0);
  put(ends.write);
  loop.run_once(1s);
  loop.run_once(1s);
  EXPECT_EQ(calls, 2);
  ASSERT_TRUE(loop.change_fd(ends.read.get(), 0).ok());
  loop.run_once(0s);
  EXPECT_EQ(calls, 2);
  ASSERT_TRUE(loop.change_fd(ends.read.get(), EPOLLIN).ok());
  loop.run_once(0s);
  EXPECT_EQ(calls, 3);
  loop.unwatch_fd(ends.read.get());
  loop.unwatch_fd(ends.read.get());
  loop.run_once(0s);
  EXPECT_EQ(calls, 3);
  EXPECT_FALSE(loop.change_fd(ends.read.get(), EPOLLIN).ok());
}

TEST(Loop, CallbackMayUnwatchItselfAndKeepsItsCapturesUntilItReturns) {
  Loop loop;
  Ends ends = make_ends();
  auto token = std::make_shared<int>(7);
  int seen = 0;
  int fd = ends.read.get();
  ASSERT_TRUE(loop.watch_fd(fd, EPOLLIN,
                            [&loop, &seen, fd, token](std::uint32_t) {
                              loop.unwatch_fd(fd);
                              seen += *token;
                            })
                  .ok());
  put(ends.write);
  loop.run_once(1s);
  loop.run_once(0s);
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(token.use_count(), 1);
}

// Both are ready in one round; whichever comes first takes the other away and puts a new descriptor at its number.
TEST(Loop, ReusedDescriptorGetsNoEventOfItsPredecessor) {
  Loop loop;
  Ends a = make_ends(), b = make_ends();
  put(a.write);
  put(b.write);
  int first_calls = 0, stale_calls = 0;
  Fd replacement(::eventfd(0, EFD_CLOEXEC));
  auto callback = [&](Fd& other) {
    return [&](std::uint32_t) {
      ++first_calls;
      int number = other.get();
      loop.unwatch_fd(number);
      ASSERT_EQ(::dup3(replacement.get(), number, O_CLOEXEC), number);
      ASSERT_TRUE(loop.watch_fd(number, EPOLLIN, [&](std::uint32_t) { ++stale_calls; }).ok());
    };
  };
  ASSERT_TRUE(loop.watch_fd(a.read.get(), EPOLLIN, callback(b.read)).ok());
  ASSERT_TRUE(loop.watch_fd(b.read.get(), EPOLLIN, callback(a.read)).ok());
  loop.run_once(1s);
  EXPECT_EQ(first_calls, 1);
  EXPECT_EQ(stale_calls, 0);
}

TEST(Loop, WatchingAgainReplacesTheCallback) {
  Loop loop;
  Ends ends = make_ends();
  put(ends.write);
  int first = 0, second = 0;
  ASSERT_TRUE(loop.watch_fd(ends.read.get(), EPOLLIN, [&](std::uint32_t) { ++first; }).ok());
  ASSERT_TRUE(loop.watch_fd(ends.read.get(), EPOLLIN, [&](std::uint32_t) { ++second; }).ok());
  loop.run_once(1s);
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
}

TEST(Loop, WatchingWhatCannotBeWatchedFails) {
  Loop loop;
  EXPECT_FALSE(loop.watch_fd(-1, EPOLLIN, [](std::uint32_t) {}).ok());
  Fd directory(::open("/", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(loop.watch_fd(directory.get(), EPOLLIN, [](std::uint32_t) {}).ok());
}

TEST(Loop, OffloadRunsElsewhereAndCompletesOnTheLoop) {
  Loop loop(2);
  std::atomic<int> worked{0}, at_once{0}, most{0};
  int done = 0;
  auto loop_thread = std::this_thread::get_id();
  for (int i = 0; i < 50; ++i) {
    auto token = std::make_shared<int>();
    loop.offload(
        [&, token] {
          EXPECT_NE(std::this_thread::get_id(), loop_thread);
          int now = ++at_once;
          int before = most.load();
          while (now > before && !most.compare_exchange_weak(before, now)) {}
          ++worked;
          --at_once;
        },
        [&, token] {
          EXPECT_EQ(std::this_thread::get_id(), loop_thread);
          EXPECT_EQ(token.use_count(), 1);
          if (++done == 50) loop.stop();
        });
  }
  loop.run();
  EXPECT_EQ(worked.load(), 50);
  EXPECT_LE(most.load(), 2);
}

TEST(Loop, DestructionDropsWhatIsPending) {
  auto token = std::make_shared<int>();
  {
    Loop loop;
    Ends ends = make_ends();
    // A task that comes back into the loop from its destructor.
    std::shared_ptr<int> back(new int, [&loop, token](int* p) {
      loop.post([token] {});
      delete p;
    });
    loop.post([token, back] {});
    loop.after(1h, [token, back] {});
    ASSERT_TRUE(loop.watch_fd(ends.read.get(), EPOLLIN, [token, back](std::uint32_t) {}).ok());
    loop.offload([token, back] {}, [token, back] {});
    back.reset();
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(Ids, UidsAreVersionFourAndSuffixesHaveTheirAlphabet) {
  Loop loop;
  std::string a = new_uid(loop), b = new_uid(loop);
  EXPECT_NE(a, b);
  ASSERT_EQ(a.size(), 36u);
  EXPECT_EQ(a[8], '-');
  EXPECT_EQ(a[13], '-');
  EXPECT_EQ(a[14], '4');
  EXPECT_EQ(a[18], '-');
  EXPECT_NE(std::string("89ab").find(a[19]), std::string::npos);
  EXPECT_EQ(a[23], '-');
  EXPECT_EQ(a.find_first_not_of("0123456789abcdef-"), std::string::npos);
  std::string suffix = random_suffix(loop, 500);
  EXPECT_EQ(suffix.size(), 500u);
  EXPECT_EQ(suffix.find_first_not_of("bcdfghjklmnpqrstvwxz2456789"), std::string::npos);
  EXPECT_NE(suffix.substr(0, 12), suffix.substr(12, 12));
  EXPECT_EQ(random_suffix(loop, 0), "");
}

TEST(ThreadPoolTest, ThreadsThatWereStartedTakeTheWork) {
  auto threads = [] {
    std::filesystem::directory_iterator all("/proc/self/task");
    return std::distance(begin(all), end(all));
  };
  Loop loop;
  ThreadPool pool(loop, 3);
  const auto before = threads();
  pool.start();
  EXPECT_EQ(threads(), before + 3);
  std::promise<void> released;
  auto held = released.get_future().share();
  int done = 0;
  for (int n = 0; n < 6; ++n) pool.submit([held] { held.wait(); }, [&] { ++done; });
  EXPECT_EQ(threads(), before + 3);
  released.set_value();
  while (done < 6) loop.run_once(1s);
}

}  // namespace
}  // namespace berth
